//! What a Neutron resource becomes: pure translation into topology.
//!
//! [`plan`] takes a request and the state, refuses it or says which [`Op`]s carry it out.
//! [`State::apply`] makes them. Topology objects follow from the Neutron resources alone, except
//! tunnel keys, which are taken once and kept: the same resources give the same topology,
//! whatever the requests were that led to them.
#![forbid(unsafe_code)]

mod address_group;
mod dhcp_option;
mod floating_ip;
mod keys;
mod model;
mod network;
mod next;
mod op;
mod plan;
mod policy;
mod port;
mod port_forwarding;
mod reference;
mod refusal;
mod router;
mod router_interface;
mod security_group;
mod security_group_rule;
mod state;
mod subnet;
mod trunk;
mod uplink;

pub use keys::{Keys, TUNNEL_KEY_MAX};
pub use model::Model;
pub use op::Op;
pub use plan::{Request, plan};
pub use refusal::Refusal;
pub use state::State;

#[cfg(test)]
mod tests;
