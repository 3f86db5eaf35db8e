//! The kernel program, in the kernel. Needs root and a BPF file system.

mod frames;
mod pipeline;
mod world;
