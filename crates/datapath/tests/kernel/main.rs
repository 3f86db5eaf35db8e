//! The kernel program, in the kernel. Needs root and a BPF file system.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arrival;
mod forwarding;
mod frames;
mod hostile;
mod limits;
mod nat64;
mod net;
mod outside;
mod parsing;
mod pipeline;
mod restart;
mod rewriting;
mod snat;
mod subports;
#[path = "../suite/mod.rs"]
mod suite;
mod table;
mod world;
