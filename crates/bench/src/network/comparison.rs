//! What is compared with what.

use super::{
    kernel,
    measure::{
        Family::{V4, V6},
        Measure::{self, Connections, Requests, SmallPackets, Throughput},
    },
    ours::Ours,
    pair::{Pair, prepare},
    translating::Translating,
};
use crate::{
    error::BenchError,
    outside::{FLOATING, FLOATING_IP, Outside},
};
use lab::{Lab, OUTSIDE};
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
    /// Ours, from outside to a VM by its floating IP.
    OursFloating,
    /// Ours, from a VM without a floating IP to the outside.
    OursSnat,
    /// VXLAN to a host that routes and translates one to one, from outside to a VM.
    KernelFloating,
    /// Likewise, sources and ports translated, from a VM to the outside.
    KernelSnat,
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
    Comparison {
        path: "floating_ip",
        ours: Site::OursFloating,
        against: Site::KernelFloating,
        measures: TRANSLATED,
    },
    Comparison {
        path: "snat",
        ours: Site::OursSnat,
        against: Site::KernelSnat,
        measures: TRANSLATED,
    },
];

const TRANSLATED: &[Measure] = &[
    Throughput(V4),
    Requests(V4),
    Connections { clients: 1 },
    Connections { clients: 8 },
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
    Comparison {
        path: "floating_ip",
        ours: Site::KernelFloating,
        against: Site::KernelFloating,
        measures: TRANSLATED,
    },
    Comparison {
        path: "snat",
        ours: Site::KernelSnat,
        against: Site::KernelSnat,
        measures: TRANSLATED,
    },
];

impl Site {
    /// For people and figures.
    pub fn name(self) -> &'static str {
        match self {
            Site::OursLocal | Site::OursAcross | Site::OursRouted => "midonet",
            Site::OursFloating | Site::OursSnat => "midonet",
            Site::KernelFloating | Site::KernelSnat => "vxlan+routing+nft nat",
            Site::BeforeLocal | Site::BeforeAcross | Site::BeforeRouted => "midonet before",
            Site::Bridge | Site::BridgeAgain => "bridge",
            Site::Vxlan | Site::VxlanAgain => "bridge+vxlan",
            Site::Conntrack => "bridge+vxlan+conntrack",
            Site::Routed => "routing+vxlan",
        }
    }
}

/// Builds sites in a lab; ours share their VMs. Those with an outside have a cluster and a lab of
/// their own.
pub struct Builder {
    ours: Option<Ours>,
    before: Option<(Ours, Lab)>,
    outside: Option<(Outside, Lab)>,
    translating: Option<Translating>,
    lab: Lab,
}

impl Builder {
    /// An empty lab, and one for the programs of an earlier build.
    pub fn new(before: Option<&Path>) -> Result<Self, BenchError> {
        let earlier = |folder| -> Result<(Ours, Lab), BenchError> {
            let mut lab = Lab::with_programs(folder)?;
            Ok((Ours::new(&mut lab)?, lab))
        };
        Ok(Self {
            ours: None,
            before: before.map(earlier).transpose()?,
            outside: None,
            translating: None,
            lab: Lab::new()?,
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
            Site::OursFloating => floating_pair(self.outside()?),
            Site::OursSnat => snat_pair(self.outside()?),
            Site::KernelFloating => self.translating()?.floating(),
            Site::KernelSnat => self.translating()?.snat(),
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

    fn outside(&mut self) -> Result<&Outside, BenchError> {
        if self.outside.is_none() {
            let mut lab = Lab::new()?;
            let outside = Outside::new(&mut lab, 1)?;
            prepare(outside.outside())?;
            self.outside = Some((outside, lab));
        }
        Ok(&self.outside.as_ref().expect("made above").0)
    }

    fn translating(&mut self) -> Result<&Translating, BenchError> {
        if self.translating.is_none() {
            self.translating = Some(Translating::new(&mut self.lab, "n")?);
        }
        Ok(self.translating.as_ref().expect("made above"))
    }
}

fn floating_pair(ours: &Outside) -> Result<Pair, BenchError> {
    let addresses = [FLOATING_IP.into(), FLOATING.v6().into()];
    Pair::between(ours.outside(), ours.floating.netns(), addresses)
}

fn snat_pair(ours: &Outside) -> Result<Pair, BenchError> {
    Pair::between(ours.plain.netns(), ours.outside(), OUTSIDE)
}
