//! The cluster: takes Neutron's resources by REST, plans and stores what they become, pushes it to
//! the agents and tells Neutron which ports are up.
//!
//! | module | what |
//! |---|---|
//! | `rest` | the HTTP API, one file per resource |
//! | `auth` | who may use it |
//! | `writer` | the one thread that plans, stores and applies changes |
//! | `state` | what is held in memory, and how it is stored |
//! | `push` | connections of agents |
//! | `agents`, `statuses` | which hosts are here, which ports are up: in memory only |
#![forbid(unsafe_code)]

mod agents;
mod app;
mod auth;
mod config;
mod leases;
mod metrics;
mod push;
mod reclaim;
mod rest;
mod server;
mod state;
mod statuses;
mod writer;

pub use config::{Config, ConfigError};
pub use server::{Cluster, StartError};
