//! Frames that the kernel program sends up.

use crate::{MapsError, kernel::pinned};
use aya::maps::{MapData, RingBuf};
use bpf_abi::Upcall;
use std::{io, os::fd::AsRawFd, path::Path, time::Duration};

/// One frame from the kernel program.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Why it came, from where, and what the kernel program read in it.
    pub header: Upcall,
    /// The frame. Whole if its length is `header.len`.
    pub bytes: &'a [u8],
}

/// Reader of the ring buffer.
pub struct Upcalls {
    ring: RingBuf<MapData>,
}

impl Upcalls {
    /// Opens the ring pinned in this directory.
    pub(crate) fn open(pin_dir: &Path) -> Result<Self, MapsError> {
        Ok(Self {
            ring: pinned(pin_dir, "UPCALLS")?,
        })
    }

    /// Waits until there is a frame; false when `timeout` passes first.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.ring.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let millis = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one valid pollfd, as the count says.
        match unsafe { libc::poll(&mut poll, 1, millis) } {
            -1 => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => Ok(false),
                e => Err(e),
            },
            ready => Ok(ready > 0),
        }
    }

    /// Hands up to `limit` waiting frames to `each`; returns how many there were. A frame's place
    /// in the ring is free once `each` returns.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Frame<'_>)) -> usize {
        let mut count = 0;
        while count < limit {
            let Some(record) = self.ring.next() else {
                break;
            };
            if let Some(frame) = read(&record) {
                each(frame);
            }
            count += 1;
        }
        count
    }
}

/// Splits a record into header and frame. `None` for one that is too short, which the kernel
/// program never makes.
fn read(record: &[u8]) -> Option<Frame<'_>> {
    let (header, rest) = record.split_at_checked(size_of::<Upcall>())?;
    // SAFETY: `header` has the size of an `Upcall`, which is integers and byte arrays only.
    let header = unsafe { header.as_ptr().cast::<Upcall>().read_unaligned() };
    Some(Frame {
        header,
        bytes: rest.get(..header.captured as usize)?,
    })
}
