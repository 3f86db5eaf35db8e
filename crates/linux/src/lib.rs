//! What the agent and the lab ask of Linux: links, link events, network namespaces, host facts.
//!
//! Everything that touches the operating system outside of the eBPF maps goes through here, so that
//! the rest of the agent reads as what it means. `unsafe` is confined to `bpffs`, `clock`,
//! `namespace` and `netns`.

mod bpffs;
mod clock;
mod host;
mod link;
mod namespace;
mod netlink;
mod netns;
pub mod tc;

pub use bpffs::mount_bpffs;
pub use clock::{day_ns, monotonic_ns};
pub use host::{host_name, keep_off_ipv6, source_for};
pub use link::{Link, LinkEvent};
pub use namespace::Namespace;
pub use netlink::{LinkError, LinkEvents, Netlink};
pub use netns::{NamespaceError, in_namespace};
