//! Against the real kernel, in a namespace of its own. Needs root.

use super::*;
use crate::netlink::tests::Namespace;
use std::process::Command;

fn shown(namespace: &Namespace, words: &[&str]) -> String {
    let mut command = Command::new("tc");
    let output = command
        .args(["-n", namespace.name()])
        .args(words)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

async fn veth(netlink: &Netlink) -> u32 {
    netlink.add_veth("mn-a", "mn-b").await.unwrap();
    let link = netlink.link("mn-a").await.unwrap().unwrap();
    netlink.set_up(link.index).await.unwrap();
    link.index
}

fn class(link: u32, minor: u16) -> Class {
    Class { link, minor }
}

const SLOW: Shape = Shape {
    rate: 125_000,
    burst: 10_000,
    queue: 128 * 1024,
};

#[test]
fn classes_come_change_in_place_and_go() {
    let namespace = Namespace::new("tc");
    namespace.run(async |netlink, _| {
        let index = veth(&netlink).await;
        netlink.add_shaper(index, Some(1)).await.unwrap();
        netlink.set_class(class(index, 1), &SLOW).await.unwrap();
        netlink.set_class(class(index, 2), &SLOW).await.unwrap();
        let fast = Shape {
            rate: 10_000_000_000,
            queue: 4_000_000,
            ..SLOW
        };
        netlink.set_class(class(index, 1), &fast).await.unwrap();
        // an agent that starts again finds it as it was
        netlink.add_shaper(index, Some(1)).await.unwrap();
        let empty = Queue::default();
        let classes = BTreeMap::from([(1, empty), (2, empty)]);
        let shapers = netlink.shapers().await.unwrap();
        assert_eq!(shapers, BTreeMap::from([(index, classes)]));
    });
    let classes = shown(&namespace, &["class", "show", "dev", "mn-a"]);
    assert!(classes.contains("4d4e:1 root") && classes.contains("rate 80Gbit ceil 80Gbit"));
    assert!(classes.contains("4d4e:2 root") && classes.contains("rate 1Mbit ceil 1Mbit"));
    let queues = shown(&namespace, &["qdisc", "show", "dev", "mn-a"]);
    assert!(queues.contains("default 0x1"), "{queues}");
    assert!(queues.contains("parent 4d4e:1 limit 4000000b"), "{queues}");
    namespace.run(async |netlink, _| {
        let index = netlink.link("mn-a").await.unwrap().unwrap().index;
        netlink.remove_class(class(index, 2)).await.unwrap();
        netlink.remove_class(class(index, 2)).await.unwrap();
        assert_eq!(netlink.shapers().await.unwrap()[&index].len(), 1);
        netlink.remove_shaper(index).await.unwrap();
        netlink.remove_shaper(index).await.unwrap();
        assert!(netlink.shapers().await.unwrap().is_empty());
        netlink.delete("mn-a").await.unwrap();
        netlink.remove_shaper(index).await.unwrap();
    });
}

#[test]
fn what_is_too_much_is_dropped_and_counted() {
    let namespace = Namespace::new("tcdrops");
    namespace.run(async |netlink, _| {
        let index = veth(&netlink).await;
        let peer = netlink.link("mn-b").await.unwrap().unwrap();
        netlink.set_up(peer.index).await.unwrap();
        netlink.add_shaper(index, Some(1)).await.unwrap();
        let tiny = Shape {
            rate: 1000,
            burst: 100,
            queue: 3000,
        };
        netlink.set_class(class(index, 1), &tiny).await.unwrap();
        let mut ip = Command::new("ip");
        let ip = ip.args(["addr", "add", "10.9.9.1/24", "dev", "mn-a"]);
        assert!(ip.status().unwrap().success());
        let socket = std::net::UdpSocket::bind("10.9.9.1:0").unwrap();
        socket.set_broadcast(true).unwrap();
        for _ in 0..20 {
            // a full queue is no error for the sender
            let _ = socket.send_to(&[0; 1000], "10.9.9.255:9");
        }
        let queue = netlink.shapers().await.unwrap()[&index][&1];
        assert!((10..=20).contains(&queue.drops), "{queue:?}");
        assert!(queue.waiting > 0, "{queue:?}");
    });
}
