//! Sets of addresses that rules name. A look-up costs one step per prefix length in use, not one
//! per member; a change touches only decisions about the addresses that it concerns.

use crate::{AddressGroupId, GroupId, Tag};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

/// Which set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetId {
    /// The addresses of the members of a security group.
    Members(GroupId),
    /// The addresses of an address group.
    Addresses(AddressGroupId),
}

/// The prefixes of a set by family and length, each with how many objects bring it.
type Prefixes = BTreeMap<(bool, u8), HashMap<IpNet, u32>>;

/// All sets that have an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressSets {
    sets: HashMap<SetId, Prefixes>,
}

impl AddressSets {
    /// Whether an address is in a set. Names what the answer depends on: of a prefix that covers
    /// it only that, otherwise every prefix that would.
    pub fn contains(&self, id: SetId, ip: IpAddr, mut depends_on: impl FnMut(Tag)) -> bool {
        let whole = IpNet::from(ip);
        let (family, longest) = (ip.is_ipv4(), whole.max_prefix_len());
        let lengths = self.sets.get(&id).into_iter();
        let lengths = lengths.flat_map(|p| p.range((family, 0)..(family, longest)));
        let mut asked = vec![Tag::Covered(id, whole), Tag::Lengths(id)];
        for (&(_, length), nets) in lengths {
            let net = cut(ip, length);
            if nets.contains_key(&net) {
                depends_on(Tag::Covered(id, net));
                return true;
            }
            asked.push(Tag::Covered(id, net));
        }
        let found = self.has(id, whole);
        if found {
            asked.truncate(1);
        }
        asked.into_iter().for_each(depends_on);
        found
    }

    /// An object brings other prefixes than before.
    pub fn change(
        &mut self,
        before: &BTreeSet<(SetId, IpNet)>,
        after: &BTreeSet<(SetId, IpNet)>,
        touched: &mut BTreeSet<Tag>,
    ) {
        for &(id, net) in after.difference(before) {
            self.insert(id, net, touched);
        }
        for &(id, net) in before.difference(after) {
            self.remove(id, net, touched);
        }
    }

    fn has(&self, id: SetId, net: IpNet) -> bool {
        let prefixes = self.sets.get(&id);
        let nets = prefixes.and_then(|p| p.get(&length_of(net)));
        nets.is_some_and(|nets| nets.contains_key(&net))
    }

    /// Whole addresses are always asked for, other lengths only if the set has them: one that is
    /// new concerns everybody who asked.
    fn insert(&mut self, id: SetId, net: IpNet, touched: &mut BTreeSet<Tag>) {
        let nets = self.sets.entry(id).or_default();
        let nets = nets.entry(length_of(net)).or_default();
        if nets.is_empty() && net.prefix_len() < net.max_prefix_len() {
            touched.insert(Tag::Lengths(id));
        }
        let count = nets.entry(net).or_default();
        *count += 1;
        if *count == 1 {
            touched.insert(Tag::Covered(id, net));
        }
    }

    fn remove(&mut self, id: SetId, net: IpNet, touched: &mut BTreeSet<Tag>) {
        let Some(prefixes) = self.sets.get_mut(&id) else {
            return;
        };
        let Some(nets) = prefixes.get_mut(&length_of(net)) else {
            return;
        };
        if let Some(count) = nets.get_mut(&net) {
            *count -= 1;
            if *count == 0 {
                nets.remove(&net);
                touched.insert(Tag::Covered(id, net));
            }
        }
        if nets.is_empty() {
            prefixes.remove(&length_of(net));
        }
        if prefixes.is_empty() {
            self.sets.remove(&id);
        }
    }
}

fn length_of(net: IpNet) -> (bool, u8) {
    (net.addr().is_ipv4(), net.prefix_len())
}

/// The prefix of this length around an address.
fn cut(ip: IpAddr, length: u8) -> IpNet {
    IpNet::new(ip, length).map_or_else(|_| IpNet::from(ip), |net| net.trunc())
}
