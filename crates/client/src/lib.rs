//! Clients of everything that speaks HTTP to us: the cluster's REST API, an agent's local API, and
//! the OpenStack services beside them. Blocking: tools and tests ask one thing at a time.
#![forbid(unsafe_code)]

mod agent;
mod cluster;
mod error;
mod http;
mod openstack;

pub use agent::{Agent, SOCKET, SOCKET_VARIABLE};
pub use cluster::{Cluster, Credentials};
pub use error::ClientError;
pub use openstack::{Keystone, OpenStack};
