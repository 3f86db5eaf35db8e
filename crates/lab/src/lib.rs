//! Hosts and VMs as network namespaces: the world that the demo, the end-to-end tests and the
//! benches run the real programs in.
//!
//! A [`Lab`] is one underlay. Its [`Host`]s are namespaces on it, each with an agent if asked; a
//! [`Vm`] is a namespace joined to its host by a tap named as Nova names it. Every lab owns a slot:
//! a number that names its namespaces, its addresses and its directory, so that labs run side by
//! side, and so that the next one can clean up after one that was killed.

mod agent;
mod cluster;
pub mod demo;

mod dhcp;
mod dhcp_client;
mod error;
mod flood;
mod frr;
mod host;
mod http;
mod netns;
mod nova;
mod openstack;

mod probe;
mod process;
mod programs;
mod raw;
mod slot;
mod upstream;
mod vlan;
mod vm;
mod wait;
mod world;

pub use agent::Agent;
pub use cluster::{Auth, Cluster};
pub use dhcp::Lease;
pub use dhcp_client::{DhcpClient, DhcpProgram, Told};
pub use error::LabError;
pub use flood::{Aim, Beats, Flood, openings, pulse};
pub use host::Host;
pub use http::{Http, Reply};
pub use netns::Netns;
pub use nova::Nova;

pub use linux::mount_bpffs;
pub use openstack::OpenStack;
pub use probe::{Echo, Probe, Stream};
pub use process::{Process, Program};
pub use programs::program;
pub use raw::RawSocket;
pub use upstream::{OUTSIDE, Uplink, Upstream};
pub use vm::{Plug, Vm};
pub use wait::{until, within};
pub use world::Lab;
