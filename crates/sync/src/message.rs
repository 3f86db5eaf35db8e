//! The messages.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};
use topology::{Change, HostId, ObjectId, PortId, RouterId};
use uuid::Uuid;

/// From an agent to the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromAgent {
    /// The first message of a connection; boxed because it is much larger than the others.
    Hello(Box<Hello>),
    /// Ports of this host whose state changed. The first one after `Welcome` names every port
    /// that is up: what it does not name is down.
    Ports(Vec<PortStatus>),
    /// Why ports of this host are not up, for people: all of them, each time that something of it
    /// changed.
    Down(BTreeMap<PortId, String>),
    /// What it would like to have of routers' ports for source NAT, at most [`BLOCK_WISHES`] wishes.
    /// The answer is a lease, with the other changes, or nothing: the agent wishes again.
    Blocks(Vec<BlockWish>),
    /// Still here.
    Heartbeat(Heartbeat),
}

/// Wishes in one message.
pub const BLOCK_WISHES: usize = 1_000;

/// How many blocks of a router's ports a host would like to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockWish {
    /// The router.
    pub router: RouterId,
    /// Revision of the host's lease as the agent knows it. If it is another by now the wish is void.
    pub seen: Option<u64>,
    /// Blocks to have. To have fewer takes none away.
    pub want: u16,
    /// Blocks that are not used any more.
    pub unused: BTreeSet<u8>,
}

/// Who the agent is and what it holds.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Version of the agent's program, for people.
    pub version: String,
    /// Identity of the host, made by the agent on its first start.
    pub host: HostId,
    /// Name of the host as Nova and Neutron call it.
    pub name: String,
    /// Underlay address that other hosts send to.
    pub tunnel: IpAddr,
    /// Availability zone of the host; empty if it is in none.
    #[serde(default)]
    pub zone: String,
    /// The secret of this deployment.
    pub secret: String,
    /// Cluster instance that the revisions of `have` belong to. Another instance counts in other
    /// revisions: the cluster must then take every object of `have` for stale.
    pub instance: Option<Uuid>,
    /// Objects the agent holds, with their revisions.
    pub have: Vec<(ObjectId, u64)>,
}

/// The secret stays out of logs.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("protocol", &self.protocol)
            .field("version", &self.version)
            .field("host", &self.host)
            .field("name", &self.name)
            .field("tunnel", &self.tunnel)
            .field("zone", &self.zone)
            .field("instance", &self.instance)
            .field("have", &self.have.len())
            .finish_non_exhaustive()
    }
}

/// State of a port at its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// The port.
    pub port: PortId,
    /// Whether its frames can pass.
    pub up: bool,
}

/// What an agent says of itself at each heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Topology revision that the agent has applied.
    pub revision: u64,
    /// How it fares.
    pub counters: Counters,
}

/// Figures of an agent that the operator's tool shows of every host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Ports that are up.
    pub ports: u64,
    /// Decisions in the kernel's table.
    pub decisions: u64,
    /// Frames that the kernel sent up to the agent since it started.
    pub upcalls: u64,
    /// Frames dropped on this host, for whatever reason.
    pub drops: u64,
}

/// From the cluster to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromCluster {
    /// The agent is welcome.
    Welcome {
        /// Identity of the cluster's store: what revisions are relative to.
        instance: Uuid,
        /// [`crate::PROTOCOL`] of the cluster.
        protocol: u32,
        /// Seconds for which a host may be away before others get its blocks of ports. An agent that
        /// has not heard of the cluster for half of it gives out no ports.
        reclaim_after: u64,
    },
    /// Steps from what the agent holds towards `revision`.
    Changes {
        /// Topology revision reached when `complete`.
        revision: u64,
        /// In order.
        changes: Vec<Change>,
        /// False: more frames of the same step follow, and the agent applies none before the last.
        complete: bool,
    },
    /// Still here.
    Heartbeat,
    /// The agent is not welcome; the cluster closes the connection after this.
    Refused {
        /// For the operator of the host.
        why: String,
    },
}

/// JSON bytes of changes after which a step goes on in another frame. Far below
/// [`crate::FRAME_MAX`], so that one change that crosses it still fits.
pub const CHANGES_FRAME: usize = 1 << 20;

/// Cuts a step into frames of bounded size, the last one complete. No changes make one frame.
pub fn changes_frames(revision: u64, changes: Vec<Change>) -> Vec<FromCluster> {
    let mut frames = Vec::new();
    let (mut part, mut size) = (Vec::new(), 0);
    for change in changes {
        if size >= CHANGES_FRAME {
            let changes = std::mem::take(&mut part);
            frames.push(FromCluster::Changes {
                revision,
                changes,
                complete: false,
            });
            size = 0;
        }
        size += json_size(&change);
        part.push(change);
    }
    frames.push(FromCluster::Changes {
        revision,
        changes: part,
        complete: true,
    });
    frames
}

/// Bytes a change takes as JSON, counted without keeping them.
fn json_size(change: &Change) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written as JSON fails again in `encode`, which reports it.
    let _ = serde_json::to_writer(&mut count, change);
    count.0
}
