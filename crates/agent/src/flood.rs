//! Frames sent over the underlay by the agent itself: VXLAN datagrams made in user space.
//!
//! Only floods and frames for the agent go this way; everything else is sent by the kernel program.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// Flags of the VXLAN header: the network identifier is valid (RFC 7348, 5).
const VNI_VALID: u8 = 0x08;

/// Sockets that send VXLAN datagrams. Sending never waits: a datagram that does not fit into the
/// socket's buffer is lost, as it would be on a wire.
pub struct Underlay {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    port: u16,
}

impl Underlay {
    /// Opens the sockets of the families this host has. Datagrams come from `local`, the address
    /// that other hosts know this one by; in the other family the routing table chooses.
    pub fn open(local: IpAddr, port: u16) -> Self {
        let of = |any: IpAddr| {
            if any.is_ipv4() == local.is_ipv4() {
                local
            } else {
                any
            }
        };
        let v4 = socket(of(Ipv4Addr::UNSPECIFIED.into()));
        let v6 = socket(of(Ipv6Addr::UNSPECIFIED.into()));
        Self { v4, v6, port }
    }

    /// Sends a frame with a key to a host.
    pub fn send(&self, remote: IpAddr, vni: u32, frame: &[u8]) -> io::Result<()> {
        let socket = if remote.is_ipv4() { &self.v4 } else { &self.v6 };
        let socket = socket.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let header = header(vni);
        let mut datagram = Vec::with_capacity(header.len() + frame.len());
        datagram.extend_from_slice(&header);
        datagram.extend_from_slice(frame);
        socket
            .send_to(&datagram, SocketAddr::new(remote, self.port))
            .map(|_| ())
    }
}

fn socket(local: IpAddr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind((local, 0)).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// The VXLAN header of RFC 7348.
fn header(vni: u32) -> [u8; 8] {
    let [_, a, b, c] = vni.to_be_bytes();
    [VNI_VALID, 0, 0, 0, a, b, c, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_arrive_over_both_families() {
        for any in ["127.0.0.1", "::1"] {
            let ip: IpAddr = any.parse().unwrap();
            let receiver = UdpSocket::bind((ip, 0)).unwrap();
            let underlay = Underlay::open(ip, receiver.local_addr().unwrap().port());
            underlay.send(ip, 0x0084_2301, b"frame").unwrap();
            let mut buffer = [0; 64];
            let (length, _) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..length], *b"\x08\0\0\0\x84\x23\x01\0frame");
        }
    }
}
