//! The cluster through its doors: REST over HTTP, agents over TCP, SIGKILL.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside test functions"
)]

mod agents;
mod auth;
mod bad_input;
mod durability;
mod fake_agent;
mod fake_keystone;
mod leases;
mod neutron;
mod operator;
mod server;
mod traces;
