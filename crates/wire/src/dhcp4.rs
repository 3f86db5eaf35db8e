//! DHCPv4 messages (RFC 2131) with the options (RFC 2132) that a server looks at and gives.

use crate::{Mac, bytes};
use std::net::Ipv4Addr;

/// Port of servers.
pub const DHCP4_SERVER: u16 = 67;
/// Port of clients.
pub const DHCP4_CLIENT: u16 = 68;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Bytes before the options.
const FIXED_LEN: usize = 240;
/// Some clients drop anything shorter (RFC 1542, 2.1).
const MESSAGE_MIN: usize = 300;
const BROADCAST: u16 = 0x8000;

/// Option codes.
pub mod dhcp4_option {
    /// Subnet mask
    pub const MASK: u8 = 1;
    /// Default routers
    pub const ROUTER: u8 = 3;
    /// Name servers
    pub const DNS: u8 = 6;
    /// Interface MTU
    pub const MTU: u8 = 26;
    /// Broadcast address
    pub const BROADCAST: u8 = 28;
    /// Host name
    pub const HOST_NAME: u8 = 12;
    /// Domain name
    pub const DOMAIN: u8 = 15;
    /// Requested address
    pub const REQUESTED: u8 = 50;
    /// Lease time
    pub const LEASE: u8 = 51;
    /// Message type
    pub const KIND: u8 = 53;
    /// Server identifier
    pub const SERVER: u8 = 54;
    /// Codes of the options that a client asks for
    pub const WANTED: u8 = 55;
    /// Largest message that a client takes
    pub const MESSAGE_MAX: u8 = 57;
    /// When to renew
    pub const RENEWAL: u8 = 58;
    /// When to turn to any server
    pub const REBINDING: u8 = 59;
    /// Client identifier
    pub const CLIENT: u8 = 61;
    /// Name of the TFTP server
    pub const TFTP_SERVER: u8 = 66;
    /// Name of the file to boot
    pub const BOOT_FILE: u8 = 67;
    /// Classless static routes (RFC 3442)
    pub const ROUTES: u8 = 121;
    /// Said by the boot loader iPXE, to which the number is assigned
    pub const IPXE: u8 = 175;
    /// The same as Windows asked for it before there was a number
    pub const MS_ROUTES: u8 = 249;
}

/// Message types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 2131")]
pub enum Dhcp4Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
    Inform = 8,
}

impl Dhcp4Kind {
    fn from_number(number: u8) -> Option<Self> {
        use Dhcp4Kind::*;
        let all = [Discover, Offer, Request, Decline, Ack, Nak, Release, Inform];
        all.into_iter().find(|k| *k as u8 == number)
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp4Request {
    /// Message type.
    pub kind: Dhcp4Kind,
    /// Transaction.
    pub xid: u32,
    /// It cannot take unicast answers yet.
    pub broadcast: bool,
    /// Address that it has.
    pub client: Ipv4Addr,
    /// Relay that the message came through; unspecified if none.
    pub relay: Ipv4Addr,
    /// Its MAC.
    pub mac: Mac,
    /// Address that it wants.
    pub requested: Option<Ipv4Addr>,
    /// Server that it means.
    pub server: Option<Ipv4Addr>,
    /// Its identifier; empty if it gives none.
    pub identifier: Vec<u8>,
    /// Codes of the options that it asks for.
    pub wanted: Vec<u8>,
    /// Largest IP packet that it takes with an answer, if it says so.
    pub message_max: Option<u16>,
    /// It is the boot loader iPXE.
    pub ipxe: bool,
}

impl Dhcp4Request {
    /// Reads a client's message; `None` if it is no such thing or cut short. Options that a server
    /// does not need are skipped whatever they hold.
    pub fn read(message: &[u8]) -> Option<Self> {
        const FROM_CLIENT_ON_ETHERNET: [u8; 3] = [1, 1, 6];
        let right = bytes::array(message, 0)? == FROM_CLIENT_ON_ETHERNET
            && bytes::array(message, 236)? == COOKIE;
        if !right {
            return None;
        }
        let options = message.get(FIXED_LEN..)?;
        let address = |code| bytes::ipv4(find(options, code)?, 0);
        let list = |code| find(options, code).unwrap_or_default().to_vec();
        Some(Self {
            kind: Dhcp4Kind::from_number(*find(options, dhcp4_option::KIND)?.first()?)?,
            xid: bytes::be32(message, 4)?,
            broadcast: bytes::be16(message, 10)? & BROADCAST != 0,
            client: bytes::ipv4(message, 12)?,
            relay: bytes::ipv4(message, 24)?,
            mac: Mac(bytes::array(message, 28)?),
            requested: address(dhcp4_option::REQUESTED),
            server: address(dhcp4_option::SERVER),
            identifier: list(dhcp4_option::CLIENT),
            wanted: list(dhcp4_option::WANTED),
            message_max: find(options, dhcp4_option::MESSAGE_MAX).and_then(|v| bytes::be16(v, 0)),
            ipxe: find(options, dhcp4_option::IPXE).is_some(),
        })
    }

    /// Bytes of a message that the client takes: an IP packet of the size it says, and none may say
    /// less than 576 (RFC 2132, 9.10).
    pub fn room(&self) -> usize {
        const PACKET_MIN: u16 = 576;
        const HEADERS: usize = 28;
        usize::from(self.message_max.unwrap_or(0).max(PACKET_MIN)) - HEADERS
    }

    /// The message as bytes.
    pub fn message(&self) -> Vec<u8> {
        let mut options = vec![(dhcp4_option::KIND, vec![self.kind as u8])];
        options.extend(
            self.requested
                .map(|a| (dhcp4_option::REQUESTED, a.octets().to_vec())),
        );
        options.extend(
            self.server
                .map(|a| (dhcp4_option::SERVER, a.octets().to_vec())),
        );
        options.push((dhcp4_option::CLIENT, self.identifier.clone()));
        options.push((dhcp4_option::WANTED, self.wanted.clone()));
        options.extend(
            self.message_max
                .map(|m| (dhcp4_option::MESSAGE_MAX, m.to_be_bytes().to_vec())),
        );
        options.extend(self.ipxe.then(|| (dhcp4_option::IPXE, vec![1])));
        let mut out = fixed(1, self.xid, self.broadcast, self.mac);
        out[12..16].copy_from_slice(&self.client.octets());
        out[24..28].copy_from_slice(&self.relay.octets());
        write_options(&options, usize::MAX, &mut out);
        out
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp4Reply {
    /// Message type.
    pub kind: Dhcp4Kind,
    /// The client's address; unspecified in a NAK.
    pub address: Ipv4Addr,
    /// The server to boot from; unspecified if there is none.
    pub next_server: Ipv4Addr,
    /// Further options by code, the most important ones first.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Dhcp4Reply {
    /// The message as bytes, in answer to this request. Options that do not fit what the client
    /// takes are left out.
    pub fn message(&self, request: &Dhcp4Request) -> Vec<u8> {
        let mut out = fixed(2, request.xid, request.broadcast, request.mac);
        if self.kind != Dhcp4Kind::Nak {
            out[12..16].copy_from_slice(&request.client.octets());
        }
        out[16..20].copy_from_slice(&self.address.octets());
        out[20..24].copy_from_slice(&self.next_server.octets());
        // boot loaders read these two from the fixed part
        self.copy_text(dhcp4_option::TFTP_SERVER, &mut out[44..108]);
        self.copy_text(dhcp4_option::BOOT_FILE, &mut out[108..236]);
        out.extend([dhcp4_option::KIND, 1, self.kind as u8]);
        write_options(&self.options, request.room(), &mut out);
        out.resize(out.len().max(MESSAGE_MIN), 0);
        out
    }

    /// Copies an option's text to a field that ends with a zero, if it is there and fits.
    fn copy_text(&self, code: u8, field: &mut [u8]) {
        let text = self.options.iter().find(|(c, _)| *c == code);
        if let Some((_, text)) = text.filter(|(_, t)| t.len() < field.len()) {
            field[..text.len()].copy_from_slice(text);
        }
    }
}

fn fixed(operation: u8, xid: u32, broadcast: bool, mac: Mac) -> Vec<u8> {
    let mut out = vec![0; FIXED_LEN];
    out[..3].copy_from_slice(&[operation, 1, 6]);
    out[4..8].copy_from_slice(&xid.to_be_bytes());
    let flags = if broadcast { BROADCAST } else { 0 };
    out[10..12].copy_from_slice(&flags.to_be_bytes());
    out[28..34].copy_from_slice(&mac.0);
    out[236..240].copy_from_slice(&COOKIE);
    out
}

const PAD: u8 = 0;
const END: u8 = 255;
/// Bytes of an option's value in one part.
const PART_MAX: usize = 255;

/// Writes options and the end mark, as far as they fit `room`; those longer than 255 bytes in parts
/// (RFC 3396). An empty one says nothing and is not written.
fn write_options(options: &[(u8, Vec<u8>)], room: usize, out: &mut Vec<u8>) {
    for (code, value) in options {
        let len = value.len() + 2 * value.len().div_ceil(PART_MAX);
        if out.len() + len + 1 > room {
            continue;
        }
        for part in value.chunks(PART_MAX) {
            out.extend([*code, part.len() as u8]);
            out.extend(part);
        }
    }
    out.push(END);
}

/// The value of the first option with this code. Each round takes at least one byte.
fn find(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match *options.first()? {
            PAD => options = &options[1..],
            END => return None,
            code => {
                let end = 2 + usize::from(*options.get(1)?);
                let value = options.get(2..end)?;
                if code == wanted {
                    return Some(value);
                }
                options = &options[end..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Dhcp4Request {
        Dhcp4Request {
            kind: Dhcp4Kind::Request,
            xid: 0x1234_5678,
            broadcast: true,
            client: Ipv4Addr::UNSPECIFIED,
            relay: Ipv4Addr::UNSPECIFIED,
            mac: Mac([2, 0, 0, 0, 0, 1]),
            requested: Some(Ipv4Addr::new(10, 0, 0, 5)),
            server: Some(Ipv4Addr::new(10, 0, 0, 1)),
            identifier: vec![1, 2, 0, 0, 0, 0, 1],
            wanted: vec![1, 3, 6],
            message_max: Some(1500),
            ipxe: true,
        }
    }

    #[test]
    fn a_request_round_trips() {
        assert_eq!(Dhcp4Request::read(&request().message()), Some(request()));
    }

    #[test]
    fn no_cut_is_read_and_none_panics() {
        let message = request().message();
        for len in 0..FIXED_LEN + 2 {
            assert_eq!(Dhcp4Request::read(&message[..len]), None, "{len}");
        }
    }

    #[test]
    fn other_hardware_a_wrong_cookie_and_no_type_are_refused() {
        for at in [0, 1, 2, 236, 240] {
            let mut message = request().message();
            message[at] ^= 0x30;
            assert_eq!(Dhcp4Request::read(&message), None, "byte {at}");
        }
    }

    #[test]
    fn unknown_options_and_padding_are_skipped() {
        let mut message = request().message();
        message.splice(240..240, [0, 0, 12, 3, 0xff, 0xfe, 0xfd]);
        assert_eq!(Dhcp4Request::read(&message), Some(request()));
    }

    #[test]
    fn a_reply_has_its_fields_where_rfc_2131_says() {
        let reply = Dhcp4Reply {
            kind: Dhcp4Kind::Ack,
            address: Ipv4Addr::new(10, 0, 0, 5),
            next_server: Ipv4Addr::new(10, 0, 0, 9),
            options: vec![(dhcp4_option::ROUTES, vec![7; 300])],
        };
        let message = reply.message(&request());
        assert_eq!(&message[..8], &[2, 1, 6, 0, 0x12, 0x34, 0x56, 0x78]);
        assert_eq!(&message[10..12], &[0x80, 0]);
        assert_eq!(&message[16..24], &[10, 0, 0, 5, 10, 0, 0, 9]);
        assert_eq!(&message[240..245], &[53, 1, 5, 121, 255]);
        assert_eq!(&message[500..502], &[121, 45]);
        assert_eq!(message[547], 255);
        let short = Dhcp4Reply {
            options: vec![],
            ..reply
        };
        assert_eq!(short.message(&request()).len(), MESSAGE_MIN);
    }

    #[test]
    fn what_boot_loaders_read_is_in_the_fixed_part_as_well() {
        let reply = Dhcp4Reply {
            kind: Dhcp4Kind::Ack,
            address: Ipv4Addr::UNSPECIFIED,
            next_server: Ipv4Addr::UNSPECIFIED,
            options: vec![
                (dhcp4_option::TFTP_SERVER, b"tftp".to_vec()),
                (dhcp4_option::BOOT_FILE, vec![b'x'; 128]),
            ],
        };
        let message = reply.message(&request());
        assert_eq!(&message[44..49], b"tftp\0");
        assert_eq!(message[108], 0, "it does not fit with its end");
        assert_eq!(message[243..245], [66, 4]);
    }

    #[test]
    fn an_answer_is_no_larger_than_the_client_takes() {
        let reply = Dhcp4Reply {
            kind: Dhcp4Kind::Ack,
            address: Ipv4Addr::UNSPECIFIED,
            next_server: Ipv4Addr::UNSPECIFIED,
            options: vec![(200, vec![1; 250]), (201, vec![2; 250]), (202, vec![3; 5])],
        };
        let sizes = [
            (None, 240 + 3 + 252 + 7 + 1),
            (Some(300), 240 + 3 + 252 + 7 + 1),
            (Some(1500), 240 + 3 + 252 + 252 + 7 + 1),
        ];
        for (message_max, len) in sizes {
            let request = Dhcp4Request {
                message_max,
                ..request()
            };
            assert_eq!(reply.message(&request).len(), len, "{message_max:?}");
        }
    }
}
