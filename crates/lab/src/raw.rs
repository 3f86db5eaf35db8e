//! Frames as bytes, in and out of a VM's interface.

use crate::{LabError, Netns, error::Context};
use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

/// Longest frame that is read.
const FRAME_MAX: usize = 65_536;

/// An AF_PACKET socket on one interface.
#[derive(Debug)]
pub struct RawSocket {
    socket: OwnedFd,
}

impl RawSocket {
    /// On an interface of a namespace.
    pub fn open(netns: &Netns, interface: &str) -> Result<Self, LabError> {
        let socket = netns.enter(|| open(interface))?;
        let socket = socket.what(|| format!("opening a packet socket on {interface}"))?;
        Ok(Self { socket })
    }

    /// Sends one frame as it is. Frames below Ethernet's header are refused by the kernel.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        // SAFETY: the pointer and length are those of `frame`.
        let sent = unsafe { libc::send(fd, frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// The next frame that came in and that `wanted` accepts, if there is one within `limit`.
    /// What the VM itself sent is left out.
    pub fn receive(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        let mut frame = vec![0; FRAME_MAX];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.wait(left)? {
                return Ok(None);
            }
            let (length, outgoing) = self.read(&mut frame)?;
            if !outgoing && wanted(&frame[..length]) {
                frame.truncate(length);
                return Ok(Some(frame));
            }
        }
    }

    fn wait(&self, limit: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let millis = i32::try_from(limit.as_millis().max(1)).unwrap_or(i32::MAX);
        // SAFETY: one valid pollfd is passed, as the count says.
        match unsafe { libc::poll(&raw mut poll, 1, millis) } {
            -1 => Err(io::Error::last_os_error()),
            ready => Ok(ready > 0),
        }
    }

    /// One frame, and whether it is one that went out.
    fn read(&self, frame: &mut [u8]) -> io::Result<(usize, bool)> {
        // SAFETY: an all-zero sockaddr_ll is a valid value.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut size = size_of_val(&from) as libc::socklen_t;
        // SAFETY: buffer and address are valid for the lengths given.
        let length = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                frame.as_mut_ptr().cast(),
                frame.len(),
                0,
                (&raw mut from).cast(),
                &raw mut size,
            )
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        Ok((length, from.sll_pkttype == libc::PACKET_OUTGOING))
    }
}

fn open(interface: &str) -> io::Result<OwnedFd> {
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: a plain system call.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(protocol)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let name = CString::new(interface)?;
    // SAFETY: an all-zero sockaddr_ll is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    // SAFETY: the name is a valid C string.
    address.sll_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) }.cast_signed();
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is valid for the length given.
    match unsafe { libc::bind(fd, (&raw const address).cast(), size) } {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}
