//! Frames that the kernel program sends up.

use std::{io, time::Duration};

/// One frame from the kernel program.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Why it came, from where, and what the kernel program read in it.
    pub header: bpf_abi::Upcall,
    /// The frame. Whole if its length is `header.len`.
    pub bytes: &'a [u8],
}

/// Reader of the ring buffer.
pub struct Upcalls {}

impl Upcalls {
    /// Waits until there is a frame; false when `timeout` passes first.
    pub fn wait(&self, _timeout: Duration) -> io::Result<bool> {
        unimplemented!()
    }

    /// Hands up to `limit` waiting frames to `each`; returns how many there were. A frame's place
    /// in the ring is free once `each` returns.
    pub fn drain(&mut self, _limit: usize, _each: impl FnMut(Frame<'_>)) -> usize {
        unimplemented!()
    }
}
