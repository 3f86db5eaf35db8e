//! Worlds for tests. [`World`] is without Neutron: a cluster that lets in one static user, hosts with
//! agents, and VMs on networks that are made as the plugin would make them. [`Cloud`] has a real
//! Neutron, and makes everything through its API.

mod cloud;
mod siege;
mod topology;
mod world;

pub use cloud::{Cloud, CloudNetwork, text};

pub use siege::{Notice, Siege};
pub use topology::{Network, PortOptions, Rule};
pub use world::{Guest, SOON, World};
