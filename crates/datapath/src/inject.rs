//! Frames that the agent sends down.

use crate::checksum::{Offload, offload};
use std::{
    io,
    mem::{size_of, zeroed},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

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
    /// The frame. Its TCP, UDP or ICMPv6 checksum need not be right: the kernel makes it anew,
    /// because what came up from a VM may be waiting for its checksum still.
    pub bytes: &'a [u8],
    /// Segment size of an aggregated frame (`Upcall::gso_size`); 0 for a plain one.
    pub gso_size: u16,
}

/// Writer of frames into one end of a veth pair, whose MTU bounds what it takes.
pub struct Injector {
    socket: OwnedFd,
}

/// `struct virtio_net_hdr`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

const NEEDS_CSUM: u8 = 1;
const PACKET_VNET_HDR: libc::c_int = 15;
/// Space for one control message that holds a mark.
const CONTROL_WORDS: usize = 4;

impl Injector {
    /// Opens the device that `Datapath::attach_injection` took.
    pub fn open(ifindex: u32) -> Result<Self, InjectError> {
        open_socket(ifindex)
            .map(|socket| Self { socket })
            .map_err(|source| InjectError::Open { ifindex, source })
    }

    /// Sends one frame.
    pub fn send(&mut self, frame: Outgoing<'_>) -> Result<(), InjectError> {
        let failed = |source| InjectError::Send {
            len: frame.bytes.len(),
            source,
        };
        let found = offload(frame.bytes, frame.gso_size);
        let header = found.as_ref().map(vnet_header).unwrap_or_default();
        let sum = found.map(|o| o.pseudo.to_be_bytes());
        let parts = match (&found, &sum) {
            (Some(o), Some(sum)) => [
                &frame.bytes[..o.field],
                &sum[..],
                &frame.bytes[o.field + 2..o.end],
            ],
            _ => [frame.bytes, &[], &[]],
        };
        let [before, sum, after] = parts;
        self.write(frame.mark, &[as_bytes(&header), before, sum, after])
            .map_err(failed)
    }

    fn write(&self, mark: u32, parts: &[&[u8]; 4]) -> io::Result<()> {
        let mut iov = parts.map(|p| libc::iovec {
            iov_base: p.as_ptr().cast_mut().cast(),
            iov_len: p.len(),
        });
        let mut control = [0u64; CONTROL_WORDS];
        // SAFETY: all zero is a valid msghdr.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = iov.as_mut_ptr();
        message.msg_iovlen = iov.len() as _;
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute; the first control message lies in
        // `control`, which is aligned for it and has room for a header and 4 bytes.
        unsafe {
            let space = libc::CMSG_SPACE(size_of::<u32>() as u32) as usize;
            debug_assert!(space <= size_of_val(&control));
            message.msg_controllen = space as _;
            let first = libc::CMSG_FIRSTHDR(&raw const message);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SO_MARK;
            (*first).cmsg_len = libc::CMSG_LEN(size_of::<u32>() as u32) as _;
            libc::CMSG_DATA(first).cast::<u32>().write_unaligned(mark);
        }
        // SAFETY: the kernel only reads what `message` points to, all of which is alive here.
        let sent = unsafe { libc::sendmsg(self.socket.as_raw_fd(), &raw const message, 0) };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

fn vnet_header(o: &Offload) -> VnetHeader {
    VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: o.gso_type,
        hdr_len: if o.gso_size == 0 { 0 } else { o.headers },
        gso_size: o.gso_size,
        csum_start: o.start,
        csum_offset: o.field as u16 - o.start,
    }
}

fn as_bytes(header: &VnetHeader) -> &[u8] {
    // SAFETY: `repr(C)` without padding: two bytes and four 16-bit words.
    unsafe { std::slice::from_raw_parts((&raw const *header).cast(), size_of::<VnetHeader>()) }
}

fn open_socket(ifindex: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers. Protocol 0: nothing is ever received.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor just made, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let on: libc::c_int = 1;
    // SAFETY: `on` is as long as said.
    let set = unsafe {
        let len = size_of_val(&on) as libc::socklen_t;
        libc::setsockopt(
            fd,
            libc::SOL_PACKET,
            PACKET_VNET_HDR,
            (&raw const on).cast(),
            len,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zero is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = ifindex as libc::c_int;
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is as long as said.
    if unsafe { libc::bind(fd, (&raw const address).cast(), len) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}
