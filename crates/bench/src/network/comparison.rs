//! What is compared with what.

use super::{
    kernel,
    measure::{
        Family::{V4, V6},
        Measure::{self, Connections, Requests, SmallPackets, Throughput},
    },
    ours::Ours,
    pair::Pair,
};
use crate::error::BenchError;
use lab::Lab;
use std::path::Path;

/// A pair of VMs and what is between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// Ours, one host.
    OursLocal,
    /// Ours, two hosts.
    OursAcross,
    /// Ours, two hosts, two networks, a router.
    OursRouted,
    /// One host, the build before.
    BeforeLocal,
    /// Two hosts, the build before.
    BeforeAcross,
    /// Two hosts, two networks, a router, the build before.
    BeforeRouted,
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
    /// The one in question.
    pub ours: Site,
    /// The kernel's.
    pub against: Site,
    /// What is measured.
    pub measures: &'static [Measure],
}

/// Ours with the kernel. Our ports have their default security groups everywhere; the kernel has
/// rules only where `Conntrack` says so.
pub const PLAN: &[Comparison] = &[
    Comparison {
        path: "across",
        ours: Site::OursAcross,
        against: Site::Vxlan,
        measures: &[
            Throughput(V4),
            Requests(V4),
            SmallPackets,
            Throughput(V6),
            Requests(V6),
        ],
    },
    Comparison {
        path: "across",
        ours: Site::OursAcross,
        against: Site::Conntrack,
        measures: &[Connections { clients: 1 }, Connections { clients: 8 }],
    },
    Comparison {
        path: "local",
        ours: Site::OursLocal,
        against: Site::Bridge,
        measures: &[
            Throughput(V4),
            Requests(V4),
            SmallPackets,
            Connections { clients: 1 },
        ],
    },
    Comparison {
        path: "routed",
        ours: Site::OursRouted,
        against: Site::Routed,
        measures: &[
            Throughput(V4),
            Requests(V4),
            SmallPackets,
            Throughput(V6),
            Requests(V6),
        ],
    },
];

/// Ours with an earlier build of ours.
pub const BEFORE: &[Comparison] = &[
    Comparison {
        path: "across",
        ours: Site::OursAcross,
        against: Site::BeforeAcross,
        measures: EVERYTHING,
    },
    Comparison {
        path: "local",
        ours: Site::OursLocal,
        against: Site::BeforeLocal,
        measures: EVERYTHING,
    },
    Comparison {
        path: "routed",
        ours: Site::OursRouted,
        against: Site::BeforeRouted,
        measures: EVERYTHING,
    },
];

const EVERYTHING: &[Measure] = &[
    Throughput(V4),
    Requests(V4),
    SmallPackets,
    Throughput(V6),
    Requests(V6),
    Connections { clients: 1 },
    Connections { clients: 8 },
];

/// The kernel with itself: ratios that differ from 1 by chance alone.
pub const CALIBRATION: &[Comparison] = &[
    Comparison {
        path: "across",
        ours: Site::VxlanAgain,
        against: Site::Vxlan,
        measures: &[
            Throughput(V4),
            Requests(V4),
            SmallPackets,
            Connections { clients: 8 },
        ],
    },
    Comparison {
        path: "local",
        ours: Site::BridgeAgain,
        against: Site::Bridge,
        measures: &[
            Throughput(V4),
            Requests(V4),
            SmallPackets,
            Connections { clients: 1 },
        ],
    },
];

impl Site {
    /// For people and figures.
    pub fn name(self) -> &'static str {
        match self {
            Site::OursLocal | Site::OursAcross | Site::OursRouted => "midonet",
            Site::BeforeLocal | Site::BeforeAcross | Site::BeforeRouted => "midonet before",
            Site::Bridge | Site::BridgeAgain => "bridge",
            Site::Vxlan | Site::VxlanAgain => "bridge+vxlan",
            Site::Conntrack => "bridge+vxlan+conntrack",
            Site::Routed => "routing+vxlan",
        }
    }
}

/// Builds sites in a lab; ours share their VMs.
pub struct Builder {
    lab: Lab,
    ours: Option<Ours>,
    before: Option<(Ours, Lab)>,
}

impl Builder {
    /// An empty lab, and one for the programs of an earlier build.
    pub fn new(before: Option<&Path>) -> Result<Self, BenchError> {
        let earlier = |folder| -> Result<(Ours, Lab), BenchError> {
            let mut lab = Lab::with_programs(folder)?;
            Ok((Ours::new(&mut lab)?, lab))
        };
        Ok(Self {
            lab: Lab::new()?,
            ours: None,
            before: before.map(earlier).transpose()?,
        })
    }

    /// Builds one.
    pub fn build(&mut self, site: Site) -> Result<Pair, BenchError> {
        match site {
            Site::OursLocal => self.ours()?.local(),
            Site::OursAcross => self.ours()?.across(),
            Site::OursRouted => self.ours()?.routed(),
            Site::BeforeLocal => self.before().local(),
            Site::BeforeAcross => self.before().across(),
            Site::BeforeRouted => self.before().routed(),
            Site::Bridge => kernel::bridge(&mut self.lab, "b"),
            Site::BridgeAgain => kernel::bridge(&mut self.lab, "bb"),
            Site::Vxlan => kernel::vxlan(&mut self.lab, "v"),
            Site::VxlanAgain => kernel::vxlan(&mut self.lab, "vv"),
            Site::Conntrack => kernel::conntrack(&mut self.lab, "t"),
            Site::Routed => kernel::routed(&mut self.lab, "r"),
        }
    }

    fn before(&self) -> &Ours {
        let (ours, _) = self.before.as_ref().expect("its plan needs --before");
        ours
    }

    fn ours(&mut self) -> Result<&Ours, BenchError> {
        if self.ours.is_none() {
            self.ours = Some(Ours::new(&mut self.lab)?);
        }
        Ok(self.ours.as_ref().expect("made above"))
    }
}
