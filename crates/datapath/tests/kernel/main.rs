//! The kernel program, in the kernel. Needs root and a BPF file system.

mod arrival;
mod forwarding;
mod frames;
mod net;
mod parsing;
mod pipeline;
mod restart;
#[path = "../suite/mod.rs"]
mod suite;
mod table;
mod world;
