//! DHCPv6 messages (RFC 8415) with the options that a server looks at and gives.

use crate::{Mac, bytes};
use std::net::Ipv6Addr;

/// Port of servers.
pub const DHCP6_SERVER: u16 = 547;
/// Port of clients.
pub const DHCP6_CLIENT: u16 = 546;
/// Longest client identifier (RFC 8415, 11.1).
const DUID_MAX: usize = 130;

/// Associations of a client that are read; what it asks for in more is not answered.
const ASSOCIATIONS_MAX: usize = 4;
/// Addresses that are read in an association.
const ADDRESSES_MAX: usize = 8;
/// Bytes of an answer: with its headers it fits the smallest IPv6 MTU.
const MESSAGE_MAX: usize = 1232;

const OPTION_CLIENT: u16 = 1;
const OPTION_SERVER: u16 = 2;
const OPTION_ADDRESS: u16 = 5;
const OPTION_STATUS: u16 = 13;
const OPTION_RAPID_COMMIT: u16 = 14;
const OPTION_USER_CLASS: u16 = 15;

/// The user class of the boot loader iPXE.
const IPXE: &[u8] = b"iPXE";

/// Codes of options that a server gives.
pub mod dhcp6_option {
    /// Name servers (RFC 3646)
    pub const DNS: u16 = 23;
    /// Domains to search (RFC 3646)
    pub const SEARCH: u16 = 24;
}

/// Message types between clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 8415")]
pub enum Dhcp6Kind {
    Solicit = 1,
    Advertise = 2,
    Request = 3,
    Confirm = 4,
    Renew = 5,
    Rebind = 6,
    Reply = 7,
    Release = 8,
    Decline = 9,
    InformationRequest = 11,
}

impl Dhcp6Kind {
    fn from_number(number: u8) -> Option<Self> {
        use Dhcp6Kind::*;
        let all = [
            Solicit,
            Advertise,
            Request,
            Confirm,
            Renew,
            Rebind,
            Reply,
            Release,
            Decline,
            InformationRequest,
        ];
        all.into_iter().find(|k| *k as u8 == number)
    }
}

/// Status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 8415")]
pub enum Dhcp6Status {
    Success = 0,
    NoAddrsAvail = 2,
    NotOnLink = 4,
    NoPrefixAvail = 6,
}

/// What an association is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp6Lease {
    /// Addresses (IA_NA).
    Addresses = 3,
    /// Temporary addresses (IA_TA).
    Temporary = 4,
    /// Prefixes (IA_PD).
    Prefixes = 25,
}

impl Dhcp6Lease {
    fn from_number(number: u16) -> Option<Self> {
        use Dhcp6Lease::*;
        let all = [Addresses, Temporary, Prefixes];
        all.into_iter().find(|k| *k as u16 == number)
    }

    /// Bytes before the options: an identifier, and two times where there are any.
    fn header_len(self) -> usize {
        if self == Self::Temporary { 4 } else { 12 }
    }
}

/// An association: what a client asks for as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp6Association {
    /// What it is for.
    pub lease: Dhcp6Lease,
    /// The client's name for it.
    pub id: [u8; 4],
    /// Addresses that the client has or wishes.
    pub addresses: Vec<Ipv6Addr>,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp6Request {
    /// Message type.
    pub kind: Dhcp6Kind,
    /// Transaction.
    pub xid: [u8; 3],
    /// Its identifier; empty if it gives none.
    pub client: Vec<u8>,
    /// Identifier of the server that it means.
    pub server: Option<Vec<u8>>,
    /// What it asks for.
    pub associations: Vec<Dhcp6Association>,
    /// It takes a reply to a solicitation.
    pub rapid_commit: bool,
    /// It is the boot loader iPXE.
    pub ipxe: bool,
}

impl Dhcp6Request {
    /// Reads a client's message; `None` if it is no such thing, comes through a relay, or is cut
    /// short.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut request = Self {
            kind: Dhcp6Kind::from_number(*message.first()?)?,
            xid: bytes::array(message, 1)?,
            client: Vec::new(),
            server: None,
            associations: Vec::new(),
            rapid_commit: false,
            ipxe: false,
        };
        for option in Options(message.get(4..)?) {
            let (code, value) = option?;
            match code {
                OPTION_CLIENT if value.len() <= DUID_MAX => request.client = value.to_vec(),
                OPTION_CLIENT => return None,
                OPTION_SERVER => request.server = Some(value.to_vec()),
                OPTION_RAPID_COMMIT => request.rapid_commit = true,
                OPTION_USER_CLASS => request.ipxe = has_class(value, IPXE),
                _ => request.read_association(code, value)?,
            }
        }
        Some(request)
    }

    /// Reads an option that may be an association; `None` if it is one and cut short.
    fn read_association(&mut self, code: u16, value: &[u8]) -> Option<()> {
        let Some(lease) = Dhcp6Lease::from_number(code) else {
            return Some(());
        };
        let mut addresses = Vec::new();
        for option in Options(value.get(lease.header_len()..)?) {
            if let (OPTION_ADDRESS, address) = option?
                && addresses.len() < ADDRESSES_MAX
            {
                addresses.push(bytes::ipv6(address, 0)?);
            }
        }
        if self.associations.len() < ASSOCIATIONS_MAX {
            self.associations.push(Dhcp6Association {
                lease,
                id: bytes::array(value, 0)?,
                addresses,
            });
        }
        Some(())
    }
}

/// Whether a class is among those of a user class option (RFC 8415, 21.15). Each round takes at least
/// two bytes.
fn has_class(mut classes: &[u8], wanted: &[u8]) -> bool {
    while let Some(len) = bytes::be16(classes, 0) {
        let end = 2 + usize::from(len);
        match classes.get(2..end) {
            Some(class) if class == wanted => return true,
            Some(_) => classes = &classes[end..],
            None => return false,
        }
    }
    false
}

/// Whether a message comes from a relay or goes to one (RFC 8415, 9).
pub fn dhcp6_is_relayed(message: &[u8]) -> bool {
    const RELAYED: [u8; 2] = [12, 13];
    message.first().is_some_and(|kind| RELAYED.contains(kind))
}

/// The options in these bytes; `None` for one that is cut short, and nothing after it.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Option<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = || {
            let end = 4 + usize::from(bytes::be16(self.0, 2)?);
            Some((bytes::be16(self.0, 0)?, self.0.get(4..end)?, &self.0[end..]))
        };
        let found = split();
        self.0 = found.map_or(&[], |(_, _, rest)| rest);
        Some(found.map(|(code, value, _)| (code, value)))
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp6Reply {
    /// Message type.
    pub kind: Dhcp6Kind,
    /// Identifier of the server.
    pub server: Vec<u8>,
    /// What became of the request, if there is something to say.
    pub status: Option<Dhcp6Status>,
    /// What the client's associations get; `None` if this answer is about none.
    pub grant: Option<Dhcp6Grant>,
    /// Further options by code.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// What a client is given: its addresses in the first association for addresses, and nothing in
/// others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp6Grant {
    /// The client's addresses.
    pub addresses: Vec<Ipv6Addr>,
    /// How long they hold.
    pub valid_seconds: u32,
}

impl Dhcp6Reply {
    /// The message as bytes, in answer to this request. Options that do not fit are left out.
    pub fn message(&self, request: &Dhcp6Request) -> Vec<u8> {
        let mut out = vec![self.kind as u8];
        out.extend(request.xid);
        if !request.client.is_empty() {
            write_option(OPTION_CLIENT, &request.client, &mut out);
        }
        write_option(OPTION_SERVER, &self.server, &mut out);
        if let Some(grant) = &self.grant {
            grant.write(&request.associations, &mut out);
        }
        if let Some(status) = self.status {
            write_status(status, &mut out);
        }
        if request.rapid_commit && request.kind == Dhcp6Kind::Solicit {
            write_option(OPTION_RAPID_COMMIT, &[], &mut out);
        }
        for (code, value) in &self.options {
            if out.len() + 4 + value.len() <= MESSAGE_MAX {
                write_option(*code, value, &mut out);
            }
        }
        out
    }
}

impl Dhcp6Grant {
    fn write(&self, associations: &[Dhcp6Association], out: &mut Vec<u8>) {
        let first = associations
            .iter()
            .position(|a| a.lease == Dhcp6Lease::Addresses);
        for (i, association) in associations.iter().enumerate() {
            let mut value = association.id.to_vec();
            if association.lease != Dhcp6Lease::Temporary {
                // T1 and T2 as RFC 8415, 14.2 recommends
                value.extend((self.valid_seconds / 2).to_be_bytes());
                value.extend((self.valid_seconds / 5 * 4).to_be_bytes());
            }
            match association.lease {
                Dhcp6Lease::Addresses if Some(i) == first && !self.addresses.is_empty() => {
                    self.write_addresses(&association.addresses, &mut value);
                }
                Dhcp6Lease::Addresses | Dhcp6Lease::Temporary => {
                    write_status(Dhcp6Status::NoAddrsAvail, &mut value);
                }
                Dhcp6Lease::Prefixes => write_status(Dhcp6Status::NoPrefixAvail, &mut value),
            }
            write_option(association.lease as u16, &value, out);
        }
    }

    /// The addresses to use, and those that the client named beside them as ones to give up.
    fn write_addresses(&self, named: &[Ipv6Addr], out: &mut Vec<u8>) {
        let given_up = named.iter().filter(|n| !self.addresses.contains(n));
        let valid = self.addresses.iter().map(|a| (a, self.valid_seconds));
        for (ip, seconds) in valid.chain(given_up.map(|n| (n, 0))) {
            let mut value = ip.octets().to_vec();
            value.extend(seconds.to_be_bytes()); // preferred as long as valid
            value.extend(seconds.to_be_bytes());
            write_option(OPTION_ADDRESS, &value, out);
        }
    }
}

fn write_status(status: Dhcp6Status, out: &mut Vec<u8>) {
    write_option(OPTION_STATUS, &(status as u16).to_be_bytes(), out);
}

fn write_option(code: u16, value: &[u8], out: &mut Vec<u8>) {
    out.extend(code.to_be_bytes());
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
}

/// The identifier of a device by its MAC (DUID-LL; RFC 8415, 11.4).
pub fn dhcp6_identifier(mac: Mac) -> Vec<u8> {
    [&[0, 3, 0, 1], &mac.0[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with client id, server id, and an association with one address.
    fn request() -> Vec<u8> {
        let mut association = vec![0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0];
        write_option(
            OPTION_ADDRESS,
            &[&[0xfd; 16][..], &[0; 8]].concat(),
            &mut association,
        );
        let mut out = vec![3, 1, 2, 3];
        write_option(OPTION_CLIENT, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1], &mut out);
        write_option(OPTION_SERVER, &[7], &mut out);
        write_option(8, &[0, 0], &mut out);
        write_option(3, &association, &mut out);
        out
    }

    #[test]
    fn a_request_is_read() {
        let read = Dhcp6Request::read(&request()).unwrap();
        assert_eq!((read.kind, read.xid), (Dhcp6Kind::Request, [1, 2, 3]));
        assert_eq!(read.client, dhcp6_identifier(Mac([2, 0, 0, 0, 0, 1])));
        assert_eq!(read.server, Some(vec![7]));
        let association = Dhcp6Association {
            lease: Dhcp6Lease::Addresses,
            id: [0, 0, 0, 9],
            addresses: vec![[0xfd; 16].into()],
        };
        assert_eq!(read.associations, [association]);
    }

    #[test]
    fn ipxe_says_so_in_a_user_class() {
        let is_ipxe = |classes: &[u8]| {
            let mut message = request();
            write_option(OPTION_USER_CLASS, classes, &mut message);
            Dhcp6Request::read(&message).unwrap().ipxe
        };
        assert!(is_ipxe(b"\0\x01x\0\x04iPXE"));
        for other in [&b"\0\x03PXE"[..], b"\0\x05iPXE", b"\0\x09iPXE", b"\0", b""] {
            assert!(!is_ipxe(other), "{other:?}");
        }
        assert!(!Dhcp6Request::read(&request()).unwrap().ipxe);
    }

    #[test]
    fn what_is_cut_inside_an_option_is_refused() {
        let whole = request();
        let whole_options = [4, 18, 23, 29];
        for len in 0..whole.len() {
            let read = Dhcp6Request::read(&whole[..len]);
            assert_eq!(read.is_some(), whole_options.contains(&len), "{len}");
        }
    }

    #[test]
    fn an_answer_is_no_larger_than_any_link_takes() {
        let reply = Dhcp6Reply {
            kind: Dhcp6Kind::Reply,
            server: vec![1],
            status: None,
            grant: None,
            options: vec![
                (100, vec![0; 1000]),
                (101, vec![0; 300]),
                (102, vec![0; 100]),
            ],
        };
        let message = reply.message(&Dhcp6Request::read(&request()).unwrap());
        let codes: Vec<u16> = Options(&message[4..]).map(|o| o.unwrap().0).collect();
        assert_eq!(codes, [1, 2, 100, 102]);
        assert!(message.len() <= MESSAGE_MAX);
    }

    #[test]
    fn relayed_messages_and_endless_identifiers_are_refused() {
        let mut relayed = request();
        relayed[0] = 12;
        assert_eq!(Dhcp6Request::read(&relayed), None);
        assert!(dhcp6_is_relayed(&relayed) && !dhcp6_is_relayed(&request()));
        let mut long = vec![1, 0, 0, 0];
        write_option(OPTION_CLIENT, &[0; DUID_MAX + 1], &mut long);
        assert_eq!(Dhcp6Request::read(&long), None);
    }
}
