//! Against the real kernel, in a namespace of its own. Needs root.

use super::*;
use crate::in_namespace;
use std::{process::Command, time::Duration};

/// A namespace that goes away with the test.
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn new(test: &str) -> Self {
        let name = format!("mnlinux-{test}-{}", std::process::id());
        assert!(
            Command::new("ip")
                .args(["netns", "add", &name])
                .status()
                .unwrap()
                .success()
        );
        Self(name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn run<T: Send>(
        &self,
        work: impl AsyncFnOnce(Netlink, LinkEvents) -> T + Send,
    ) -> T {
        in_namespace(&self.0, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (netlink, events) = Netlink::connect().unwrap();
                tokio::time::timeout(Duration::from_secs(10), work(netlink, events))
                    .await
                    .unwrap()
            })
        })
        .unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

#[test]
fn links_come_change_and_go_and_events_tell() {
    let namespace = Namespace::new("events");
    namespace.run(async |netlink, mut events| {
        netlink.add_veth("mn-a", "mn-b").await.unwrap();
        let link = netlink.link("mn-a").await.unwrap().unwrap();
        assert_eq!((link.kind.as_str(), link.up), ("veth", false));
        netlink.set_up(link.index).await.unwrap();
        netlink.set_mtu(link.index, 1450).await.unwrap();
        let wanted = |event: &LinkEvent| {
            matches!(event, LinkEvent::Changed(l) if l.index == link.index && l.up && l.mtu == 1450)
        };
        while !wanted(&events.next().await.unwrap()) {}
        netlink.delete("mn-a").await.unwrap();
        while events.next().await.unwrap() != LinkEvent::Gone(link.index) {}
        assert_eq!(netlink.link("mn-b").await.unwrap(), None);
        netlink.delete("mn-a").await.unwrap();
    });
}

#[test]
fn a_vxlan_device_takes_its_keys_from_metadata() {
    let namespace = Namespace::new("vxlan");
    namespace.run(async |netlink, _| {
        netlink.add_vxlan("mn-vxlan", 14789, 65_000).await.unwrap();
        let link = netlink.link("mn-vxlan").await.unwrap().unwrap();
        assert_eq!(
            (link.kind.as_str(), link.up, link.mtu),
            ("vxlan", true, 65_000)
        );
        assert!(netlink.links().await.unwrap().contains(&link));
        let error = netlink
            .add_vxlan("mn-vxlan", 14789, 65_000)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("mn-vxlan"), "{error}");
    });
    let shown = Command::new("ip")
        .args(["-n", &namespace.0, "-d", "link", "show", "mn-vxlan"])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("external") && shown.contains("14789"),
        "{shown}"
    );
}
