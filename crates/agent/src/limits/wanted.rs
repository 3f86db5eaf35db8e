//! What the policies of local ports ask the kernel for.

use super::Owner;
use crate::plug::Plugged;
use datapath::{Direction, PacketLimit, Way};
use linux::tc::Shape;
use std::{collections::BTreeMap, time::Duration};
use topology::{Limits, Rate, Snapshot};

/// What a class may always send at once: less than this, and a timer that is a little late would cost
/// rate.
const BURST_LEAST: Duration = Duration::from_millis(10);
/// Ethernet frame of an MTU of 1500: every burst has room for one.
const FRAME: u64 = 1514;
/// How long a full queue takes to come out, of bandwidths where that is between the two bounds.
const QUEUE: Duration = Duration::from_millis(50);
/// Two of the largest aggregated frames.
const QUEUE_LEAST: u64 = 128 * 1024;
/// Most bytes of one port that wait.
const QUEUE_MOST: u64 = 4 * 1024 * 1024;

/// The limits of a port one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// ifindex of the port's tap.
    pub tap: u32,
    /// VLAN of a sub-port.
    pub vlan: Option<u16>,
    /// The limit of its bandwidth.
    pub shape: Option<Shape>,
    /// The limit of its packet rate.
    pub packets: Option<PacketLimit>,
    /// Who wants it.
    pub(super) owner: Owner,
}

/// The limits of the attached ports; those without any are not here.
pub fn wanted(snapshot: &Snapshot, taps: &BTreeMap<u32, Plugged>) -> BTreeMap<Way, Wanted> {
    let mut wanted = BTreeMap::new();
    for (&number, plugged) in taps {
        let port = snapshot.port(plugged.port);
        let Some(policy) = port
            .and_then(|port| port.policy)
            .and_then(|id| snapshot.policy(id))
        else {
            continue;
        };
        let owner = Owner {
            number,
            port: plugged.port,
            policy: policy.id,
        };
        for (direction, limits) in [
            (Direction::FromVm, &policy.egress),
            (Direction::ToVm, &policy.ingress),
        ] {
            if !limits.is_empty() {
                wanted.insert((number, direction), of(limits, number, plugged, owner));
            }
        }
    }
    wanted
}

fn of(limits: &Limits, number: u32, plugged: &Plugged, owner: Owner) -> Wanted {
    Wanted {
        tap: plugged.tap(number),
        vlan: plugged.vlan.map(|vlan| vlan.id),
        shape: limits.bandwidth.map(shape),
        packets: limits.packets.map(packets),
        owner,
    }
}

/// Bits of a policy as bytes of a class.
fn shape(bandwidth: Rate) -> Shape {
    let rate = (bandwidth.rate / 8).max(1);
    let during = |time: Duration| u128::from(rate) * time.as_millis() / 1000;
    let bytes = |bytes: u128| u64::try_from(bytes).unwrap_or(u64::MAX);
    let least = bytes(during(BURST_LEAST)).saturating_add(FRAME);
    let queue = bytes(during(QUEUE)).clamp(QUEUE_LEAST, QUEUE_MOST);
    Shape {
        rate,
        burst: (bandwidth.burst / 8).max(least),
        queue: u32::try_from(queue).unwrap_or(u32::MAX),
    }
}

fn packets(rate: Rate) -> PacketLimit {
    let limited = |count| u32::try_from(count).unwrap_or(u32::MAX);
    PacketLimit {
        pps: limited(rate.rate),
        burst: limited(rate.burst.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{bridge, port},
        plug::Vlan,
    };
    use topology::{Object, Policy, PolicyId, Port};
    use uuid::Uuid;

    const NO: Limits = Limits {
        bandwidth: None,
        packets: None,
    };

    fn policy(number: u128, ingress: Limits, egress: Limits) -> Policy {
        Policy {
            id: PolicyId(Uuid::from_u128(number)),
            name: String::new(),
            ingress,
            egress,
            dscp: Some(46),
        }
    }

    fn plugged(port: &Port, vlan: Option<Vlan>) -> Plugged {
        Plugged {
            port: port.id,
            name: port.tap_name(),
            vlan,
            key: port.key,
            flood_key: bridge().flood_key,
            mtu: 1450,
            uplink: false,
        }
    }

    #[test]
    fn ports_are_limited_as_their_policies_say_and_others_are_not_here() {
        let rate = |rate| Rate {
            rate,
            burst: rate * 8 / 10,
        };
        let bandwidth = Limits {
            bandwidth: Some(rate(100_000_000)),
            packets: None,
        };
        let both = Limits {
            packets: Some(rate(5_000)),
            ..bandwidth
        };
        let policies = [policy(1, NO, bandwidth), policy(2, both, NO)];
        let mut ports = [port(1, "h1"), port(2, "h1"), port(3, "h1")];
        ports[0].policy = Some(policies[0].id);
        ports[1].policy = Some(policies[1].id);
        let vlan = Vlan { tap: 5, id: 100 };
        let taps = BTreeMap::from([
            (5, plugged(&ports[0], None)),
            (7, plugged(&ports[2], None)),
            (99, plugged(&ports[1], Some(vlan))),
        ]);
        let objects = policies.into_iter().map(Object::Policy);
        let snapshot = Snapshot::of(objects.chain(ports.into_iter().map(Object::Port)));
        let found = wanted(&snapshot, &taps);
        let ways: Vec<Way> = found.keys().copied().collect();
        assert_eq!(ways, [(5, Direction::FromVm), (99, Direction::ToVm)]);
        let shape = Some(Shape {
            rate: 12_500_000,
            burst: 10_000_000,
            queue: 625_000,
        });
        let sub_port = found[&(99, Direction::ToVm)];
        assert_eq!((sub_port.tap, sub_port.vlan), (5, Some(100)));
        assert_eq!(sub_port.shape, shape);
        let pps = PacketLimit {
            pps: 5_000,
            burst: 4_000,
        };
        assert_eq!(sub_port.packets, Some(pps));
        let own = found[&(5, Direction::FromVm)];
        assert_eq!((own.tap, own.vlan, own.packets), (5, None, None));
        assert_eq!(own.shape, shape);
    }

    #[test]
    fn every_rate_can_be_kept() {
        let slow = shape(Rate {
            rate: 1000,
            burst: 8,
        });
        assert_eq!(
            (slow.rate, slow.burst, slow.queue),
            (125, FRAME + 1, 128 * 1024)
        );
        let fast = shape(Rate {
            rate: u64::MAX,
            burst: u64::MAX,
        });
        assert_eq!(u64::from(fast.queue), QUEUE_MOST);
        let brief = shape(Rate {
            rate: 1_000_000_000,
            burst: 1000,
        });
        assert_eq!(brief.burst, 1_250_000 + FRAME, "10 ms");
    }
}
