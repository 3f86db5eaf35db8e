//! What is compared with what.

use super::{
    kernel,
    measure::{Family::V6, Measure, Measure::*},
    vm::Pair,
};
use crate::{error::BenchError, guard::Workplace};

/// A pair of VMs and what is between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// One host, a kernel bridge.
    Bridge,
    /// Likewise once more, to compare the kernel with itself.
    BridgeAgain,
    /// Two hosts, kernel bridges, kernel VXLAN.
    Vxlan,
    /// Likewise once more.
    VxlanAgain,
    /// Two hosts, kernel bridges and VXLAN, connection tracking and rules by nftables.
    Conntrack,
    /// Two hosts and two subnets, routed by the sender's host, then VXLAN.
    Routed,
}

/// Two sites and what is measured on both.
#[derive(Debug)]
pub struct Comparison {
    /// What kind of path the packets take.
    pub path: &'static str,
    /// Ours.
    pub ours: Site,
    /// The kernel's.
    pub against: Site,
    /// What is measured.
    pub measures: &'static [Measure],
}

/// All comparisons, or those of the kernel with itself.
pub fn plan(_calibrate: bool) -> &'static [Comparison] {
    CALIBRATION
}

const CALIBRATION: &[Comparison] = &[
    Comparison {
        path: "across",
        ours: Site::VxlanAgain,
        against: Site::Vxlan,
        measures: &[
            Throughput(super::measure::Family::V4),
            Requests(super::measure::Family::V4),
            SmallPackets,
            Throughput(V6),
            Requests(V6),
        ],
    },
    Comparison {
        path: "local",
        ours: Site::BridgeAgain,
        against: Site::Bridge,
        measures: &[Connections { clients: 1 }, Connections { clients: 8 }],
    },
    Comparison {
        path: "routed",
        ours: Site::Routed,
        against: Site::Conntrack,
        measures: &[Connections { clients: 1 }, Connections { clients: 8 }],
    },
];

impl Site {
    /// For people and figures.
    pub fn name(self) -> &'static str {
        match self {
            Site::Bridge => "bridge",
            Site::BridgeAgain => "bridge again",
            Site::Vxlan => "bridge+vxlan",
            Site::VxlanAgain => "bridge+vxlan again",
            Site::Conntrack => "bridge+vxlan+conntrack",
            Site::Routed => "routing+vxlan",
        }
    }

    /// Builds it.
    pub fn build(self, place: &Workplace) -> Result<Pair, BenchError> {
        let prefix = format!("{}{}", place.prefix, self as u8);
        match self {
            Site::Bridge | Site::BridgeAgain => kernel::bridge(&prefix),
            Site::Vxlan | Site::VxlanAgain => kernel::vxlan(&prefix),
            Site::Conntrack => kernel::conntrack(&prefix),
            Site::Routed => kernel::routed(&prefix),
        }
    }
}
