//! A world without Neutron: a cluster that lets in one static user, hosts with agents, and VMs on
//! networks that are made as the plugin would make them.

mod topology;
mod world;

pub use topology::{Network, PortOptions, Rule};
pub use world::{Guest, World};
