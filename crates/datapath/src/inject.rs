//! Frames that the agent sends down.

use std::io;

/// The injection device cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// Opening the packet socket.
    #[error("cannot open a packet socket on interface {ifindex}: {source}")]
    Open {
        /// The device.
        ifindex: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Sending.
    #[error("cannot inject a frame of {len} bytes: {source}")]
    Send {
        /// Length of the frame.
        len: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// One frame for the kernel program.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// `MARK_FROM_PORT` or `MARK_TO_PORT` with an ifindex.
    pub mark: u32,
    /// The frame. Its TCP, UDP or ICMPv6 checksum need not be right: the kernel makes it anew.
    pub bytes: &'a [u8],
    /// Segment size of an aggregated frame (`Upcall::gso_size`); 0 for a plain one.
    pub gso_size: u16,
}

/// Writer of frames into one end of a veth pair.
pub struct Injector {}

impl Injector {
    /// Opens the device that `Datapath::attach_injection` took.
    pub fn open(_ifindex: u32) -> Result<Self, InjectError> {
        unimplemented!()
    }

    /// Sends one frame.
    pub fn send(&mut self, _frame: Outgoing<'_>) -> Result<(), InjectError> {
        unimplemented!()
    }
}
