//! Pings without pause until one is answered, and knows when that was.

use crate::error::{BenchError, Context};
use lab::Netns;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{FromRawFd, OwnedFd},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Pause between two pings.
const PAUSE: Duration = Duration::from_millis(2);
/// ICMP types.
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
/// Bytes of an IPv4 header without options, which a raw socket delivers too.
const IPV4_HEADER: usize = 20;

/// A ping that goes on until it is answered.
pub struct Pinger {
    answered: JoinHandle<io::Result<Option<Instant>>>,
}

impl Pinger {
    /// Starts in a namespace; gives up after `limit`.
    pub fn start(netns: &Netns, to: Ipv4Addr, limit: Duration) -> Result<Self, BenchError> {
        let socket = netns.enter(raw_socket)?.context("make a socket for ICMP")?;
        socket
            .set_read_timeout(Some(PAUSE))
            .context("set a read timeout")?;
        Ok(Self {
            answered: thread::spawn(move || ping(&socket, to, limit)),
        })
    }

    /// When the first answer came; an error if none did.
    pub fn answered(self) -> Result<Instant, BenchError> {
        let ended = self.answered.join().expect("the pinger does not panic");
        let answered = ended.context("ping")?;
        answered
            .ok_or(io::ErrorKind::TimedOut.into())
            .context("ping until there is an answer")
    }
}

fn raw_socket() -> io::Result<UdpSocket> {
    // SAFETY: a plain system call.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    // sending to and receiving from an address is all that is done with it
    Ok(UdpSocket::from(owned))
}

fn ping(socket: &UdpSocket, to: Ipv4Addr, limit: Duration) -> io::Result<Option<Instant>> {
    let start = Instant::now();
    let target = SocketAddr::from((to, 0));
    for number in 0_u16.. {
        if start.elapsed() > limit {
            break;
        }
        // a neighbour that does not answer yet is what is waited for
        let _ = socket.send_to(&echo_request(number), target);
        let mut frame = [0; 256];
        match socket.recv_from(&mut frame) {
            Ok((length, from))
                if from.ip() == IpAddr::V4(to)
                    && length > IPV4_HEADER
                    && frame[IPV4_HEADER] == ECHO_REPLY =>
            {
                return Ok(Some(Instant::now()));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// An echo request with its checksum (RFC 792).
fn echo_request(number: u16) -> [u8; 8] {
    let [high, low] = number.to_be_bytes();
    let mut message = [ECHO_REQUEST, 0, 0, 0, 0, 1, high, low];
    let words = message
        .chunks_exact(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sums_up_to_all_ones() {
        for number in [0, 1, 0x1234, 0xf7fe, 0xffff] {
            let message = echo_request(number);
            let words = message
                .chunks_exact(2)
                .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
            let sum: u32 = words.sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{number}");
        }
    }
}
