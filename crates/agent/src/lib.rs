//! The agent of a host: makes packets behave as if the virtual topology existed.
//!
//! | file | idea |
//! |---|---|
//! | `run` | what is started, in which order, and what ends it |
//! | `follower` | the topology from the cluster, the state of ports to it |
//! | `world` | what is known, under one lock, and how a frame is judged by it |
//! | `binder`, `bindings`, `plug` | which interface is which port; attaching it |
//! | `uplinks`, `down` | interfaces taken from the host; why ports are not up |
//! | `limits` | bandwidth and packet rates that policies allow ports |
//! | `packet_worker`, `flood` | the upcall thread and its frames to other hosts |
//! | `leases` | ports of routers' addresses that this host may translate sources to |
//! | `learning` | where the stations are that Neutron does not know of |
//! | `too_big`, `reassembly` | what is split for a smaller MTU, and put together for a router |
//! | `metadata` | the metadata service of this host's servers, and the proxy to Nova behind it |
//! | `advertiser` | unasked router advertisements |
//! | `local_api`, `metrics` | the socket for `mm-ctl`, `midonet` and Prometheus |
//! | `state`, `saver` | the state directory, and keeping the topology in it |
//! | `config`, `devices` | the configuration, our own interfaces |
#![forbid(unsafe_code)]

pub mod advertiser;
pub mod backoff;
pub mod binder;
pub mod bindings;
pub mod config;
pub mod devices;
pub mod down;
pub mod flood;
pub mod follower;
pub mod learning;
pub mod leases;
pub mod limits;
pub mod local_api;
pub mod metadata;
pub mod metrics;
pub mod packet_worker;
pub mod plug;
pub mod reassembly;
pub mod run;
pub mod saver;
pub mod shared;
pub mod state;
pub mod too_big;
pub mod uplinks;
pub mod world;

#[cfg(test)]
mod fixture;
