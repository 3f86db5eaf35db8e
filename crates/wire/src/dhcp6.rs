//! DHCPv6 messages (RFC 8415) with the options that a server looks at and gives.

use crate::{Mac, bytes};
use std::net::Ipv6Addr;

/// Port of servers.
pub const DHCP6_SERVER: u16 = 547;
/// Port of clients.
pub const DHCP6_CLIENT: u16 = 546;
/// Longest client identifier (RFC 8415, 11.1).
const DUID_MAX: usize = 130;

const OPTION_CLIENT: u16 = 1;
const OPTION_SERVER: u16 = 2;
const OPTION_IA_NA: u16 = 3;
const OPTION_ADDRESS: u16 = 5;
const OPTION_STATUS: u16 = 13;
const OPTION_RAPID_COMMIT: u16 = 14;
const OPTION_DNS: u16 = 23;

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
    /// The first association for which it wants an address.
    pub association: Option<[u8; 4]>,
    /// The first address it names in that association.
    pub address: Option<Ipv6Addr>,
    /// It takes a reply to a solicitation.
    pub rapid_commit: bool,
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
            association: None,
            address: None,
            rapid_commit: false,
        };
        for option in Options(message.get(4..)?) {
            let (code, value) = option?;
            match code {
                OPTION_CLIENT if value.len() <= DUID_MAX => request.client = value.to_vec(),
                OPTION_CLIENT => return None,
                OPTION_SERVER => request.server = Some(value.to_vec()),
                OPTION_IA_NA if request.association.is_none() => request.read_association(value)?,
                OPTION_RAPID_COMMIT => request.rapid_commit = true,
                _ => {}
            }
        }
        Some(request)
    }

    /// Identifier, two times, options.
    fn read_association(&mut self, value: &[u8]) -> Option<()> {
        self.association = Some(bytes::array(value, 0)?);
        for option in Options(value.get(12..)?) {
            if let (OPTION_ADDRESS, address) = option? {
                self.address = self.address.or(bytes::ipv6(address, 0));
            }
        }
        Some(())
    }
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
    /// The client's address.
    pub address: Option<Ipv6Addr>,
    /// How long it holds.
    pub valid_seconds: u32,
    /// What became of the request, if there is something to say.
    pub status: Option<Dhcp6Status>,
    /// Name servers.
    pub dns: Vec<Ipv6Addr>,
}

impl Dhcp6Reply {
    /// The message as bytes, in answer to this request.
    pub fn message(&self, request: &Dhcp6Request) -> Vec<u8> {
        let mut out = vec![self.kind as u8];
        out.extend(request.xid);
        write_option(OPTION_CLIENT, &request.client, &mut out);
        write_option(OPTION_SERVER, &self.server, &mut out);
        if let Some(association) = request.association {
            write_option(
                OPTION_IA_NA,
                &self.association(association, request.address),
                &mut out,
            );
        }
        if let Some(status) = self.status {
            write_option(OPTION_STATUS, &(status as u16).to_be_bytes(), &mut out);
        }
        if request.rapid_commit && request.kind == Dhcp6Kind::Solicit {
            write_option(OPTION_RAPID_COMMIT, &[], &mut out);
        }
        if !self.dns.is_empty() {
            let servers: Vec<u8> = self.dns.iter().flat_map(|d| d.octets()).collect();
            write_option(OPTION_DNS, &servers, &mut out);
        }
        out
    }

    /// The address to use, and one the client named in its place as one to give up.
    fn association(&self, id: [u8; 4], named: Option<Ipv6Addr>) -> Vec<u8> {
        let mut out = id.to_vec();
        let valid = self.valid_seconds;
        out.extend((valid / 2).to_be_bytes()); // T1 and T2 as RFC 8415, 14.2 recommends
        out.extend((valid / 5 * 4).to_be_bytes());
        let given_up = named.filter(|n| Some(*n) != self.address).map(|n| (n, 0));
        for (ip, seconds) in self.address.map(|a| (a, valid)).into_iter().chain(given_up) {
            let mut value = ip.octets().to_vec();
            value.extend(seconds.to_be_bytes()); // preferred as long as valid
            value.extend(seconds.to_be_bytes());
            write_option(OPTION_ADDRESS, &value, &mut out);
        }
        if self.address.is_none() {
            let status = (Dhcp6Status::NoAddrsAvail as u16).to_be_bytes();
            write_option(OPTION_STATUS, &status, &mut out);
        }
        out
    }
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
        write_option(OPTION_IA_NA, &association, &mut out);
        out
    }

    #[test]
    fn a_request_is_read() {
        let read = Dhcp6Request::read(&request()).unwrap();
        assert_eq!((read.kind, read.xid), (Dhcp6Kind::Request, [1, 2, 3]));
        assert_eq!(read.client, dhcp6_identifier(Mac([2, 0, 0, 0, 0, 1])));
        assert_eq!(read.server, Some(vec![7]));
        assert_eq!(read.association, Some([0, 0, 0, 9]));
        assert_eq!(read.address, Some([0xfd; 16].into()));
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
    fn relayed_messages_and_endless_identifiers_are_refused() {
        let mut relayed = request();
        relayed[0] = 12;
        assert_eq!(Dhcp6Request::read(&relayed), None);
        let mut long = vec![1, 0, 0, 0];
        write_option(OPTION_CLIENT, &[0; DUID_MAX + 1], &mut long);
        assert_eq!(Dhcp6Request::read(&long), None);
    }
}
