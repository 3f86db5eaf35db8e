//! Interfaces of the host that are uplinks: taken from the host, and given back.
//!
//! An uplink takes frames for any MAC, because those of routers are not its own, and the host itself
//! has no IPv6 on it. It is brought up when it is taken; whoever sets it down later means it.

use linux::{Link, LinkError, Netlink, keep_off_ipv6};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use topology::Snapshot;

/// What the host must not be cut off from.
#[derive(Clone, Debug)]
pub struct Ways {
    /// This host's underlay address.
    pub tunnel: IpAddr,
    /// Cluster nodes.
    pub cluster: Vec<IpAddr>,
}

/// See the module.
pub struct Uplinks {
    netlink: Netlink,
    ways: Ways,
    /// Names by ifindex.
    taken: BTreeMap<u32, String>,
}

impl Uplinks {
    /// None are taken yet.
    pub fn new(netlink: Netlink, ways: Ways) -> Self {
        let taken = BTreeMap::new();
        Self {
            netlink,
            ways,
            taken,
        }
    }

    /// Of what an earlier process attached, uplinks are what takes frames for any MAC.
    pub fn take_over(&mut self, attached: &BTreeSet<u32>, links: &BTreeMap<u32, Link>) {
        let left = links.values().filter(|l| attached.contains(&l.index));
        let uplinks = left.filter(|link| link.promiscuous);
        self.taken = uplinks.map(|l| (l.index, l.name.clone())).collect();
    }

    /// Of the interfaces that uplinks ask for, those that must not be taken: all, if that cannot be
    /// told. One that is taken was looked at then.
    pub async fn needed(
        &self,
        asked: &BTreeSet<u32>,
        snapshot: &Snapshot,
        links: &BTreeMap<u32, Link>,
    ) -> BTreeSet<u32> {
        let new = asked.iter().filter(|i| !self.taken.contains_key(i));
        let new: BTreeSet<u32> = new.copied().collect();
        if new.is_empty() {
            return new;
        }
        match self.ways(snapshot).await {
            Ok(ways) => &below(ways, links) & &new,
            Err(error) => {
                tracing::warn!(%error, "no uplink is taken: this host's ways cannot be told");
                new
            }
        }
    }

    /// The interfaces by which the cluster and other hosts are reached.
    async fn ways(&self, snapshot: &Snapshot) -> Result<BTreeSet<u32>, LinkError> {
        let mut needed = BTreeSet::new();
        needed.extend(self.netlink.link_with(self.ways.tunnel).await?);
        let hosts = snapshot.hosts().map(|host| host.tunnel);
        let far: BTreeSet<IpAddr> = hosts.chain(self.ways.cluster.clone()).collect();
        for remote in far {
            needed.extend(self.netlink.route_to(remote).await?);
        }
        Ok(needed)
    }

    /// Takes an interface.
    pub async fn take(&mut self, link: &Link) -> Result<(), LinkError> {
        if self.taken.get(&link.index) == Some(&link.name) {
            return Ok(());
        }
        if let Err(error) = keep_off_ipv6(&link.name, true) {
            let interface = &link.name;
            tracing::warn!(interface, %error, "the host keeps IPv6 on this uplink");
        }
        self.netlink.set_promiscuous(link.index, true).await?;
        tracing::info!(interface = link.name, "taken as an uplink");
        self.taken.insert(link.index, link.name.clone());
        Ok(())
    }

    /// Gives back the interfaces that are no uplinks any more.
    pub async fn give_back(&mut self, uplinks: &BTreeSet<u32>, links: &BTreeMap<u32, Link>) {
        let gone = self.taken.keys().filter(|i| !uplinks.contains(i));
        for index in gone.copied().collect::<Vec<_>>() {
            self.taken.remove(&index);
            if let Some(link) = links.get(&index) {
                give_back(&self.netlink, link).await;
            }
        }
    }
}

/// Makes an interface the host's own again. One that vanishes meanwhile is fine.
pub async fn give_back(netlink: &Netlink, link: &Link) {
    let interface = &link.name;
    if let Err(error) = netlink.set_promiscuous(link.index, false).await {
        tracing::warn!(interface, %error, "the uplink still takes frames for any MAC");
    }
    match keep_off_ipv6(interface, false) {
        Ok(()) => tracing::info!(interface, "given back to the host"),
        Err(error) => tracing::warn!(interface, %error, "the host is still without IPv6 here"),
    }
}

/// These interfaces, those that they are parts of, and members of those that are bridges or bonds.
fn below(interfaces: BTreeSet<u32>, links: &BTreeMap<u32, Link>) -> BTreeSet<u32> {
    let (mut all, mut queue) = (BTreeSet::new(), Vec::from_iter(interfaces));
    while let Some(index) = queue.pop() {
        if all.insert(index) {
            let members = links.values().filter(|link| link.master == Some(index));
            queue.extend(members.map(|link| link.index));
            queue.extend(links.get(&index).and_then(|link| link.parent));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::link;

    #[test]
    fn what_carries_a_needed_interface_is_needed() {
        // eth0 and eth1 make bond0, whose VLAN bond0.7 has the underlay's address
        let mut links = [link(1, "eth0"), link(2, "eth1"), link(3, "bond0")];
        links[0].master = Some(3);
        links[1].master = Some(3);
        let (mut vlan, other) = (link(4, "bond0.7"), link(5, "eth2"));
        vlan.parent = Some(3);
        let links = links.into_iter().chain([vlan, other]);
        let links = links.map(|l| (l.index, l)).collect();
        assert_eq!(below([4].into(), &links), [1, 2, 3, 4].into());
        assert_eq!(below([5].into(), &links), [5].into());
    }
}
