//! What a hostile VM does to others, and what a neighbour of it notices.

use crate::{LabError, Netns, RawSocket, error::Context};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};
use wire::{Arp, ArpOperation, IpPacket, Mac, Udp, nd, protocol, tcp_flag, tcp_segment};

/// Frames between two looks at the clock.
const BATCH: u32 = 32;
/// How long an answer may take before its question counts as lost.
const LATE: Duration = Duration::from_millis(300);

/// Kinds of floods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Openings of TCP connections to a VM, each of another flow.
    Scan,
    /// Packets to addresses that nobody has, by the router.
    Sweep,
    /// ARP requests for all addresses of a network.
    Arp,
    /// Neighbour solicitations for random addresses.
    Neighbors,
    /// DHCP requests with random transactions.
    Dhcp,
    /// Frames from random MACs.
    Macs,
}

impl Flood {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Scan,
        Self::Sweep,
        Self::Arp,
        Self::Neighbors,
        Self::Dhcp,
        Self::Macs,
    ];

    /// For reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Sweep => "sweep",
            Self::Arp => "arp",
            Self::Neighbors => "neighbors",
            Self::Dhcp => "dhcp",
            Self::Macs => "macs",
        }
    }
}

/// Who sends, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// The hostile VM.
    pub mac: Mac,
    /// Its address.
    pub v4: Ipv4Addr,
    /// The VM that is scanned.
    pub target: (Mac, Ipv4Addr),
    /// The router.
    pub gateway: Mac,
}

impl Aim {
    /// Frame number `n` of a flood.
    pub fn frame(&self, flood: Flood, n: u32) -> Vec<u8> {
        match flood {
            Flood::Scan => self.opening(n),
            Flood::Sweep => {
                let nobody = Ipv4Addr::from_bits(0x2d00_0000 | n & 0x00ff_ffff);
                self.udp(self.mac, self.gateway, nobody, (1000, 2000))
            }
            Flood::Arp => self.request(n),
            Flood::Neighbors => self.solicitation(n),
            Flood::Dhcp => self.discovery(n),
            Flood::Macs => {
                let [_, a, b, c] = n.to_be_bytes();
                let mac = Mac([2, 0xbb, 0, a, b, c]);
                self.udp(mac, self.target.0, self.target.1, (1000, 2000))
            }
        }
    }

    fn packet(
        &self,
        (smac, dmac): (Mac, Mac),
        proto: u8,
        ends: (IpAddr, IpAddr),
        payload: &[u8],
    ) -> Vec<u8> {
        let packet = IpPacket {
            src: ends.0,
            dst: ends.1,
            proto,
            ttl: if proto == protocol::ICMPV6 {
                nd::ND_HOP_LIMIT
            } else {
                64
            },
            payload,
        };
        // both ends are of one family, and no payload here is long
        packet.frame(smac, dmac).unwrap_or_default()
    }

    /// 65,000 ports times as many sources as are needed.
    fn opening(&self, n: u32) -> Vec<u8> {
        let (sport, dport) = (1024 + n / 65_000, 1 + n % 65_000);
        let (src, dst) = (IpAddr::V4(self.v4), IpAddr::V4(self.target.1));
        let segment = tcp_segment((src, sport as u16), (dst, dport as u16), tcp_flag::SYN);
        self.packet(
            (self.mac, self.target.0),
            protocol::TCP,
            (src, dst),
            &segment,
        )
    }

    fn udp(&self, smac: Mac, dmac: Mac, dst: Ipv4Addr, (sport, dport): (u16, u16)) -> Vec<u8> {
        let ends = (IpAddr::V4(self.v4), IpAddr::V4(dst));
        let udp = Udp {
            sport,
            dport,
            payload: b"noise",
        };
        let datagram = udp.datagram(ends.0, ends.1).unwrap_or_default();
        self.packet((smac, dmac), protocol::UDP, ends, &datagram)
    }

    fn request(&self, n: u32) -> Vec<u8> {
        let [a, b, _, _] = self.v4.octets();
        let [.., c, d] = n.to_be_bytes();
        let arp = Arp {
            operation: ArpOperation::Request,
            sender_mac: self.mac,
            sender_ip: self.v4,
            target_mac: Mac::default(),
            target_ip: Ipv4Addr::new(a, b, c, d),
        };
        arp.frame(Mac::BROADCAST)
    }

    fn solicitation(&self, n: u32) -> Vec<u8> {
        let own = self.mac.link_local();
        let [a, b, c, d] = n.to_be_bytes().map(u16::from);
        let wanted = Ipv6Addr::new(0xfe80, 0, 0, 0, a, b, c, d);
        let to = nd::solicited_node(wanted);
        let message = nd::neighbor_solicitation(own, self.mac, wanted, to);
        let macs = (self.mac, Mac::for_ipv6_multicast(to));
        self.packet(macs, protocol::ICMPV6, (own.into(), to.into()), &message)
    }

    /// As much of a request as makes servers look at it.
    fn discovery(&self, n: u32) -> Vec<u8> {
        let mut message = vec![0; 300];
        message[..4].copy_from_slice(&[1, 1, 6, 0]);
        message[4..8].copy_from_slice(&n.to_be_bytes());
        message[28..34].copy_from_slice(&self.mac.0);
        message[236..244].copy_from_slice(&[99, 130, 83, 99, 53, 1, 1, 255]);
        let ends = (
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V4(Ipv4Addr::BROADCAST),
        );
        let udp = Udp {
            sport: 68,
            dport: 67,
            payload: &message,
        };
        let datagram = udp.datagram(ends.0, ends.1).unwrap_or_default();
        self.packet((self.mac, Mac::BROADCAST), protocol::UDP, ends, &datagram)
    }

    /// Sends `count` frames of a flood, `rate` a second; answers with how long that took.
    pub fn send(&self, raw: &RawSocket, flood: Flood, count: u32, rate: u32) -> Duration {
        let start = Instant::now();
        for n in 0..count {
            // a full queue is the kernel's business
            let _ = raw.send(&self.frame(flood, n));
            if n % BATCH == 0 {
                let due = Duration::from_secs_f64(f64::from(n) / f64::from(rate));
                thread::sleep(due.saturating_sub(start.elapsed()));
            }
        }
        start.elapsed()
    }
}

/// What became of questions at a steady pace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beats {
    /// Questions asked.
    pub asked: u32,
    /// Answers that came in time.
    pub answered: u32,
}

impl Beats {
    /// The part of the questions that was not answered.
    pub fn loss(&self) -> f64 {
        1.0 - f64::from(self.answered) / f64::from(self.asked.max(1))
    }
}

/// Asks a UDP echo at a steady pace, on one connection, as long as it should go on.
pub fn pulse(
    netns: &Netns,
    to: SocketAddr,
    pace: Duration,
    go_on: impl Fn() -> bool,
) -> Result<Beats, LabError> {
    let socket = connected(netns, to)?;
    let (start, mut beats) = (Instant::now(), Beats::default());
    let listen = |until: Instant| {
        let mut answers = 0;
        let left = || until.saturating_duration_since(Instant::now());
        while !left().is_zero() {
            let heard = socket
                .set_read_timeout(Some(left().max(Duration::from_micros(100))))
                .and_then(|()| socket.recv(&mut [0; 64]));
            answers += u32::from(heard.is_ok());
        }
        answers
    };
    while go_on() {
        // what cannot be sent is lost
        let _ = socket.send(b"still there?");
        beats.asked += 1;
        beats.answered += listen(start + pace * beats.asked);
    }
    beats.answered += listen(Instant::now() + LATE);
    Ok(beats)
}

/// Asks a UDP echo over and over, each time on a new connection, as long as it should go on.
pub fn openings(
    netns: &Netns,
    to: SocketAddr,
    go_on: impl Fn() -> bool,
) -> Result<Beats, LabError> {
    let mut beats = Beats::default();
    while go_on() {
        let socket = connected(netns, to)?;
        let exchange = || -> io::Result<usize> {
            socket.set_read_timeout(Some(LATE))?;
            socket.send(b"anybody there?")?;
            socket.recv(&mut [0; 64])
        };
        beats.asked += 1;
        beats.answered += u32::from(exchange().is_ok());
    }
    Ok(beats)
}

fn connected(netns: &Netns, to: SocketAddr) -> Result<UdpSocket, LabError> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = netns.enter(|| -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        Ok(socket)
    })?;
    socket.what(|| format!("making a socket to {to}"))
}
