//! What an agent and the cluster say to each other: messages and their framing.
//!
//! One TCP connection per agent. Each frame is a length (u32, network order) and a JSON message.
//! The agent opens with [`Hello`], saying what it holds of the topology; the cluster answers with
//! [`FromCluster::Welcome`] and then the difference, first to bring the agent up to date and later
//! with every change. Being connected is being alive: both sides send a heartbeat each
//! [`HEARTBEAT`] and give the connection up after [`SILENCE`] without a frame.
//!
//! Nothing here does I/O: bytes are fed to a [`Decoder`] and taken from [`encode`].
#![forbid(unsafe_code)]

mod codec;
mod message;

pub use codec::{DecodeError, Decoder, EncodeError, FRAME_MAX, encode};
pub use message::{
    BLOCK_WISHES, BlockWish, CHANGES_FRAME, Counters, FromAgent, FromCluster, Heartbeat, Hello,
    PortStatus, changes_frames,
};

use std::time::Duration;

/// Version of the protocol; a cluster refuses an agent that speaks another one.
pub const PROTOCOL: u32 = 2;

/// Time between two heartbeats of one side.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// Time without any frame after which the other side is taken for dead.
pub const SILENCE: Duration = Duration::from_secs(6);
