//! Many datagrams in one system call: `sendmmsg` and `recvmmsg` on a connected or bound socket.

use std::{io, net::UdpSocket, os::fd::AsRawFd};

/// Datagrams per system call.
const BATCH: usize = 64;
/// Room for each received datagram; only its arrival counts.
const ROOM: usize = 2048;

/// Buffers of a batch. The kernel is pointed into `bytes` anew at each call, so that the batch may
/// be moved between calls.
pub struct Batch {
    bytes: Vec<u8>,
    size: usize,
}

impl Batch {
    /// For receiving.
    pub fn receiver() -> Self {
        Self {
            bytes: vec![0; ROOM * BATCH],
            size: ROOM,
        }
    }

    /// For sending datagrams with this much payload.
    pub fn sender(size: usize) -> Self {
        Self {
            bytes: vec![0; size * BATCH],
            size,
        }
    }

    /// Sends a batch; how many the kernel took.
    pub fn send(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.with_headers(|headers| {
            // SAFETY: the headers point into buffers that outlive the call.
            unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    headers.len() as u32,
                    0,
                )
            }
        })
    }

    /// Waits for one datagram and takes those that wait behind it; how many.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.with_headers(|headers| {
            let count = headers.len() as u32;
            // SAFETY: the headers point into buffers that outlive the call; no timeout is given.
            unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    count,
                    libc::MSG_WAITFORONE,
                    std::ptr::null_mut(),
                )
            }
        })
    }

    fn with_headers(
        &mut self,
        call: impl FnOnce(&mut [libc::mmsghdr]) -> i32,
    ) -> io::Result<usize> {
        let mut parts: Vec<libc::iovec> = self
            .bytes
            .chunks_mut(self.size)
            .map(|b| libc::iovec {
                iov_base: b.as_mut_ptr().cast(),
                iov_len: b.len(),
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: all zero is a valid header: no address, no control data.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = part;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        let done = call(&mut headers);
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(done as usize)
        }
    }
}
