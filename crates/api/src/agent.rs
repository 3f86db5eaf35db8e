//! What an agent says on its local socket, to `midonet` and `mm-ctl`.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// `GET /status`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Identity of the host.
    pub host: Uuid,
    /// What Nova and Neutron call it.
    pub name: String,
    /// Version of the agent.
    pub version: String,
    /// The cluster node it is connected to.
    pub cluster: Option<String>,
    /// Why it is not connected, or why the last connection ended.
    pub cluster_error: Option<String>,
    /// Seconds since it is connected or not.
    pub cluster_seconds: u64,
    /// The cluster's store that counts `revision`.
    pub instance: Option<Uuid>,
    /// Topology revision it has applied.
    pub revision: u64,
    /// Whether it has a topology to decide by.
    pub ready: bool,
    /// Ports bound to this host.
    pub ports: usize,
    /// Those of them whose frames can pass.
    pub ports_up: usize,
    /// Decisions in the kernel's table.
    pub decisions: usize,
    /// Frames the kernel sent up since the agent started.
    pub upcalls: u64,
    /// Frames dropped on this host.
    pub drops: u64,
}

/// An entry of `GET /ports`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// The port.
    pub port: Uuid,
    /// Its network.
    pub network: Option<Uuid>,
    /// Name of the interface it has or should have.
    pub interface: String,
    /// Number of that interface, if it is attached.
    pub ifindex: Option<u32>,
    /// Tunnel key.
    pub key: u32,
    /// Whether frames can pass.
    pub up: bool,
    /// Why not.
    pub why: Option<String>,
    /// Frames from it that the kernel sent up to the agent.
    pub upcalls: u64,
}

/// An entry of `GET /flows`: a decision in the kernel's table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Action slot.
    pub id: u32,
    /// The port the packets come from, if the decision depends on it.
    pub port: Option<Uuid>,
    /// What packets must look like, as `field=value` in the order of the key.
    pub matching: Vec<String>,
    /// What happens to them.
    pub action: String,
    /// Packets so far.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The topology it depends on.
    pub tags: Vec<String>,
    /// The Neutron resource that made it a drop.
    pub cause: Option<Uuid>,
}

/// An entry of `GET /connections`: one direction of a connection in the kernel's table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The port its packets come from.
    pub port: Option<Uuid>,
    /// The router they come into from its outside, if it is that.
    pub router: Option<Uuid>,
    /// IP protocol number.
    pub protocol: u8,
    /// IP source.
    pub source: IpAddr,
    /// IP destination.
    pub destination: IpAddr,
    /// Source port, or ICMP identifier.
    pub source_port: u16,
    /// Destination port, or ICMP type and code.
    pub destination_port: u16,
    /// What the addresses and ports become, if they are translated.
    pub translated: Option<Ends>,
    /// `forward` or `reply`.
    pub state: String,
    /// Whether its end has been seen.
    pub closing: bool,
    /// Action slot; 0 while it waits for its first packet.
    pub flow: u32,
    /// Packets so far.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Both ends of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ends {
    /// IP source.
    pub source: IpAddr,
    /// Source port, or ICMP identifier.
    pub source_port: u16,
    /// IP destination.
    pub destination: IpAddr,
    /// Destination port, or ICMP type and code.
    pub destination_port: u16,
}

/// An entry of `GET /drops`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drop {
    /// The port the frames came from; absent for frames that came by the tunnel.
    pub port: Option<Uuid>,
    /// The router they had come into from its outside, if they got that far.
    pub router: Option<Uuid>,
    /// Name of the reason; see `docs/drops.md`.
    pub reason: String,
    /// Frames.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The Neutron resource that caused the last one, where there is one.
    pub cause: Option<Uuid>,
}

/// An entry of `GET /stations`: somebody behind a port whom Neutron does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Station {
    /// The network.
    pub network: Uuid,
    /// The MAC.
    pub mac: String,
    /// The address that the MAC has; absent for what is known of the MAC alone.
    pub address: Option<IpAddr>,
    /// The port it is behind.
    pub port: Uuid,
    /// The host of the port.
    pub host: String,
    /// Seconds since it was heard, or its host told of it.
    pub seconds: u64,
}
