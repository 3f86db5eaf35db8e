//! Against the real kernel, in a namespace of its own. Needs root.

use crate::netlink::tests::Namespace;
use std::net::IpAddr;

#[test]
fn the_way_to_an_address_and_the_link_with_one_are_found() {
    let namespace = Namespace::new("route");
    namespace.run(async |netlink, _events| {
        let (near, own, beyond): (IpAddr, IpAddr, IpAddr) = (
            "192.0.2.1".parse().unwrap(),
            "192.0.2.2".parse().unwrap(),
            "198.51.100.9".parse().unwrap(),
        );
        assert_eq!(netlink.route_to(beyond).await.unwrap(), None);
        netlink.add_veth("mn-a", "mn-b").await.unwrap();
        let link = netlink.link("mn-a").await.unwrap().unwrap();
        netlink.set_up(link.index).await.unwrap();
        netlink.add_address(link.index, own).await.unwrap();
        netlink.add_default_route(link.index, near).await.unwrap();
        assert_eq!(netlink.route_to(beyond).await.unwrap(), Some(link.index));
        assert_eq!(netlink.link_with(own).await.unwrap(), Some(link.index));
        assert_eq!(netlink.link_with(near).await.unwrap(), None);
    });
}

#[test]
fn an_interface_is_taken_and_given_back() {
    let namespace = Namespace::new("promisc");
    namespace.run(async |netlink, _events| {
        let disabled = || {
            std::fs::read_to_string("/proc/sys/net/ipv6/conf/mn-a/disable_ipv6").unwrap_or_default()
        };
        netlink.add_veth("mn-a", "mn-b").await.unwrap();
        let before = disabled();
        let link = netlink.link("mn-a").await.unwrap().unwrap();
        assert!(!link.promiscuous && !link.carrier);
        netlink.set_promiscuous(link.index, true).await.unwrap();
        crate::keep_off_ipv6("mn-a", true).unwrap();
        let taken = netlink.link("mn-a").await.unwrap().unwrap();
        assert!(taken.promiscuous && taken.up && !taken.carrier);
        assert!(before.is_empty() || disabled().trim() == "1");

        let peer = netlink.link("mn-b").await.unwrap().unwrap();
        netlink.set_up(peer.index).await.unwrap();
        assert!(netlink.link("mn-a").await.unwrap().unwrap().carrier);

        netlink.set_promiscuous(link.index, false).await.unwrap();
        crate::keep_off_ipv6("mn-a", false).unwrap();
        let given = netlink.link("mn-a").await.unwrap().unwrap();
        assert!(!given.promiscuous && given.up);
        assert_eq!(disabled(), before);
    });
}
