//! The published shapes: what the REST API takes and gives, apart from how it does so.
#![forbid(unsafe_code)]

pub mod agent;
mod decode;
mod document;
mod error;
mod host;
pub mod media;
pub mod neutron;
mod port_status;
mod status;
mod system_state;
mod token;
mod topology;
mod trace;
mod tunnel_zone;

pub use decode::{Shape, decode, parse};
pub use document::{Application, NeutronIndex};
pub use error::{ErrorBody, Violation};
pub use host::{Host, HostPort};
pub use port_status::{PortState, PortStatus, PortStatuses};
pub use status::{ClusterStatus, Counts, HostCounters, HostStatus, PortDown, Status, UplinkStatus};
pub use system_state::SystemState;
pub use token::Token;
pub use topology::TopologyListing;
pub use trace::{
    Cause, PacketFields, TraceDevice, TraceRequest, TraceResponse, TraceState, TraceStep,
    TraceVerdict,
};
pub use tunnel_zone::{DEFAULT_TUNNEL_ZONE, TunnelZone, TunnelZoneHost};
