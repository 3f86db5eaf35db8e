//! Who asks: a number for each source of each port, so that the service can tell them apart.
//!
//! Networks overlap and every link has its own `fe80::/10`, so an address says nothing about who has
//! it. Packets for the service get a source made of the number of the port and address they came
//! from, and by that number answers find their way back. A number is given out again only after all
//! others, so that what is late is never taken for somebody else's.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use topology::PortId;
use wire::Mac;

/// Sources of one port. A port that uses up its numbers begins anew: what it asked by the old ones
/// stays unanswered.
pub const PER_PORT: usize = 64;

/// Sources of all ports of the host.
pub const ALL: usize = 65_536;

/// There are so many numbers: they fill `10.0.0.0/8`, which inside the service's namespace is free.
const NUMBERS: u32 = 1 << 24;
const IPV4: u32 = 10 << 24;
/// `fd00::/104` for IPv6.
const IPV6: u128 = 0xfd << 120;

/// A source as its network knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asker {
    /// The port it is behind.
    pub port: PortId,
    /// The MAC it sends from and is answered at.
    pub mac: Mac,
    /// Its address.
    pub ip: IpAddr,
}

/// The sources that have a number.
#[derive(Debug)]
pub struct Askers {
    numbers: HashMap<Asker, u32>,
    askers: HashMap<u32, Asker>,
    ports: HashMap<PortId, Vec<u32>>,
    next: u32,
}

/// What became of a source that wanted a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// It is known to the service by this address.
    Address(IpAddr),
    /// The same, and all other numbers of its port are void.
    Anew(IpAddr),
    /// There are too many on this host.
    Full,
}

impl Askers {
    /// None yet; numbers begin somewhere else in each process, because packets of a former one may
    /// still be under way.
    pub fn new(seed: u32) -> Self {
        Self {
            numbers: HashMap::new(),
            askers: HashMap::new(),
            ports: HashMap::new(),
            next: seed % NUMBERS,
        }
    }

    /// The address by which the service knows a source.
    pub fn give(&mut self, asker: Asker) -> Given {
        if let Some(number) = self.numbers.get(&asker) {
            return Given::Address(address(*number, asker.ip));
        }
        let own = self.ports.get(&asker.port).map_or(0, Vec::len);
        let anew = own >= PER_PORT;
        if anew {
            self.forget(asker.port);
        }
        if self.askers.len() >= ALL {
            return Given::Full;
        }
        let number = self.unused();
        self.numbers.insert(asker, number);
        self.askers.insert(number, asker);
        self.ports.entry(asker.port).or_default().push(number);
        match address(number, asker.ip) {
            ip if anew => Given::Anew(ip),
            ip => Given::Address(ip),
        }
    }

    /// There is one, because there are more numbers than sources.
    fn unused(&mut self) -> u32 {
        loop {
            let number = self.next;
            self.next = (number + 1) % NUMBERS;
            if number != 0 && number != NUMBERS - 1 && !self.askers.contains_key(&number) {
                return number;
            }
        }
    }

    /// Whose address that is.
    pub fn at(&self, ip: IpAddr) -> Option<&Asker> {
        let (number, base) = match ip.to_canonical() {
            IpAddr::V4(ip) => (ip.to_bits() & (NUMBERS - 1), ip.to_bits() >> 24 == 10),
            IpAddr::V6(ip) => {
                let low = ip.to_bits() & u128::from(NUMBERS - 1);
                (low as u32, ip.to_bits() - low == IPV6)
            }
        };
        let asker = self.askers.get(&number)?;
        (base && asker.ip.is_ipv4() == ip.to_canonical().is_ipv4()).then_some(asker)
    }

    /// A port is gone from this host.
    pub fn forget(&mut self, port: PortId) {
        for number in self.ports.remove(&port).unwrap_or_default() {
            if let Some(asker) = self.askers.remove(&number) {
                self.numbers.remove(&asker);
            }
        }
    }
}

/// The address of a number, in the family of the source.
fn address(number: u32, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(IPV4 | number).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(IPV6 | u128::from(number)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn asker(port: u128, ip: &str) -> Asker {
        Asker {
            port: PortId(Uuid::from_u128(port)),
            mac: Mac([2, 0, 0, 0, 0, port as u8]),
            ip: ip.parse().unwrap(),
        }
    }

    fn given(askers: &mut Askers, asker: Asker) -> IpAddr {
        match askers.give(asker) {
            Given::Address(ip) => ip,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_addresses_of_different_ports_are_told_apart() {
        let mut askers = Askers::new(7);
        for ip in ["10.0.0.5", "fe80::5"] {
            let (a, b) = (asker(1, ip), asker(2, ip));
            let (at_a, at_b) = (given(&mut askers, a), given(&mut askers, b));
            assert_ne!(at_a, at_b);
            assert_eq!(at_a, given(&mut askers, a), "it keeps its number");
            assert_eq!((askers.at(at_a), askers.at(at_b)), (Some(&a), Some(&b)));
            let seen = match at_a {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
                ip => ip,
            };
            assert_eq!(askers.at(seen), Some(&a), "as a dual-stack socket shows it");
        }
        assert_eq!(askers.at("10.0.0.1".parse().unwrap()), None);
        assert_eq!(askers.at("192.168.0.7".parse().unwrap()), None);
    }

    #[test]
    fn a_number_is_not_soon_given_to_another() {
        let mut askers = Askers::new(NUMBERS - 3);
        let first = given(&mut askers, asker(1, "10.0.0.5"));
        assert_eq!(first, "10.255.255.253".parse::<IpAddr>().unwrap());
        let wrapped = given(&mut askers, asker(3, "10.0.0.5"));
        assert!(["10.255.255.254", "10.0.0.1"].contains(&wrapped.to_string().as_str()));
        askers.forget(asker(1, "10.0.0.5").port);
        assert_eq!(askers.at(first), None);
        assert_ne!(given(&mut askers, asker(2, "10.0.0.5")), first);
    }

    #[test]
    fn a_port_with_too_many_sources_begins_anew() {
        let mut askers = Askers::new(0);
        let other = given(&mut askers, asker(2, "10.0.0.1"));
        let first = given(&mut askers, asker(1, "10.0.1.0"));
        for n in 1..PER_PORT {
            given(&mut askers, asker(1, &format!("10.0.1.{n}")));
        }
        let one_more = askers.give(asker(1, "10.0.2.0"));
        assert!(matches!(one_more, Given::Anew(_)), "{one_more:?}");
        assert_eq!(askers.at(first), None);
        assert!(askers.at(other).is_some());
    }
}
