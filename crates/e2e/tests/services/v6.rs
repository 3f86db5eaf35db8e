//! Router solicitations and DHCPv6 messages as bytes.

use dhcproto::{
    Decodable, Decoder, Encodable,
    v6::{DhcpOption, DhcpOptions, IANA, Message, MessageType, OptionCode},
};
use e2e::Guest;
use lab::RawSocket;
use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};
use wire::{IpPacket, Mac, Udp, nd, protocol};

/// Where DHCPv6 servers listen.
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Bytes of Ethernet's and IPv6's headers.
const HEADERS: usize = 54;

/// What an advertisement says of addresses and default routes.
#[derive(Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Addresses by DHCPv6.
    pub managed: bool,
    /// Everything else by DHCPv6.
    pub other: bool,
    /// Whether the prefix is for addresses of the host's own making.
    pub autonomous: bool,
    /// Whether who speaks is a default router.
    pub router: bool,
    pub mtu: u32,
}

/// Questions at a VM's interface.
pub struct Asker {
    socket: RawSocket,
    mac: Mac,
}

impl Asker {
    pub fn at(guest: &Guest) -> Self {
        Self {
            socket: guest.vm.raw().unwrap(),
            mac: guest.vm.mac().parse().unwrap(),
        }
    }

    /// Asks for an advertisement.
    pub fn solicit_router(&self, limit: Duration) -> Option<Advertised> {
        let src = self.mac.link_local();
        let message = nd::router_solicitation(src, self.mac);
        self.send(nd::ALL_ROUTERS, protocol::ICMPV6, 255, &message);
        let is_answer = |f: &[u8]| f.get(20) == Some(&58) && f.get(HEADERS) == Some(&134);
        let frame = self.socket.receive(limit, is_answer).unwrap()?;
        Some(advertised(&frame[HEADERS..]))
    }

    /// Asks for an address; answers with what is offered, and with the name servers told.
    pub fn solicit(&self, limit: Duration) -> Option<(Vec<Ipv6Addr>, Vec<Ipv6Addr>)> {
        let association = DhcpOption::IANA(IANA {
            id: 7,
            t1: 0,
            t2: 0,
            opts: DhcpOptions::new(),
        });
        let message = self.ask(MessageType::Solicit, Some(association), limit)?;
        assert_eq!(message.msg_type(), MessageType::Advertise);
        let association = match message.opts().get(OptionCode::IANA) {
            Some(DhcpOption::IANA(association)) => association.opts.iter().collect(),
            _ => Vec::new(),
        };
        let addresses = association.into_iter().filter_map(|option| match option {
            DhcpOption::IAAddr(address) => Some(address.addr),
            _ => None,
        });
        Some((addresses.collect(), name_servers(&message)))
    }

    /// Asks for everything but an address; answers with the name servers told.
    pub fn ask_information(&self, limit: Duration) -> Option<Vec<Ipv6Addr>> {
        let message = self.ask(MessageType::InformationRequest, None, limit)?;
        assert_eq!(message.msg_type(), MessageType::Reply);
        Some(name_servers(&message))
    }

    fn ask(
        &self,
        kind: MessageType,
        option: Option<DhcpOption>,
        limit: Duration,
    ) -> Option<Message> {
        let xid = [0x6c, 0x61, u8::from(kind)];
        let mut message = Message::new_with_id(kind, xid);
        let client = [&[0, 3, 0, 1][..], &self.mac.0].concat();
        message.opts_mut().insert(DhcpOption::ClientId(client));
        option
            .into_iter()
            .for_each(|o| message.opts_mut().insert(o));
        let (src, dst) = (IpAddr::V6(self.mac.link_local()), IpAddr::V6(SERVERS));
        let udp = Udp {
            sport: 546,
            dport: 547,
            payload: &message.to_vec().unwrap(),
        };
        self.send(SERVERS, protocol::UDP, 64, &udp.datagram(src, dst).unwrap());
        let is_answer = |f: &[u8]| {
            f.get(20) == Some(&protocol::UDP) && f.get(HEADERS + 9..HEADERS + 12) == Some(&xid)
        };
        let frame = self.socket.receive(limit, is_answer).unwrap()?;
        Some(Message::decode(&mut Decoder::new(&frame[HEADERS + 8..])).unwrap())
    }

    fn send(&self, dst: Ipv6Addr, proto: u8, ttl: u8, payload: &[u8]) {
        let packet = IpPacket {
            src: self.mac.link_local().into(),
            dst: dst.into(),
            proto,
            ttl,
            payload,
        };
        let frame = packet
            .frame(self.mac, Mac::for_ipv6_multicast(dst))
            .unwrap();
        self.socket.send(&frame).unwrap();
    }
}

/// Reads an advertisement with one prefix (RFC 4861, 4.2).
fn advertised(message: &[u8]) -> Advertised {
    let flags = message[5];
    let mut said = Advertised {
        managed: flags & 0x80 != 0,
        other: flags & 0x40 != 0,
        autonomous: false,
        router: message[6..8] != [0, 0],
        mtu: 0,
    };
    let mut options = &message[16..];
    while let [kind, units, ..] = *options {
        let (option, rest) = options.split_at(8 * usize::from(units));
        match kind {
            3 => said.autonomous = option[3] & 0x40 != 0,
            5 => said.mtu = u32::from_be_bytes(option[4..8].try_into().unwrap()),
            _ => {}
        }
        options = rest;
    }
    said
}

fn name_servers(message: &Message) -> Vec<Ipv6Addr> {
    match message.opts().get(OptionCode::DomainNameServers) {
        Some(DhcpOption::DomainNameServers(servers)) => servers.clone(),
        _ => Vec::new(),
    }
}
