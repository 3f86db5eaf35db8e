//! Topologies and packets for tests, of this crate and of others.
//!
//! [`World`] builds a topology by hand; [`Dice`] makes random ones, and random packets and changes
//! that are likely to matter in them, from a seed.

mod answers;
mod coast;
mod dice;
mod frames;
mod random;
mod shore;
mod town;
mod world;

pub use answers::random_answer;
pub use coast::{Coast, FAR, FAR6, Peer, Tenant, mac_of, upstream};
pub use dice::Dice;
pub use frames::{Frame, Payload, key_of};
pub use random::{random_change, random_frame, random_world};
pub use shore::{random_coast, random_entry, random_tide};
pub use town::{Town, Vm};
pub use world::{Uplink, World, mac, rule};
