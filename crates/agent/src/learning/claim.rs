//! What agents tell each other about stations and plugs, as bytes.
//!
//! A datagram is `MNS`, a version, 16 bytes of HMAC-SHA256 (RFC 2104) under the deployment's secret
//! over all that follows, the kind, and records of one length up to its end; before those about plugs
//! there is their version. One that is not sealed with the secret says nothing.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::net::IpAddr;
use topology::{BridgeId, PortId};
use uuid::Uuid;
use wire::{Mac, bytes};

const MAGIC: [u8; 4] = *b"MNS\x01";
const SEAL: usize = 16;
const HEADER: usize = MAGIC.len() + SEAL + 1;

const CLAIMS: u8 = 1;
const ASK: u8 = 2;
const CARRIERS: u8 = 3;

/// Bytes of a claim: family and whether it parted, port, MAC, address, version.
const CLAIM: usize = 1 + 16 + 6 + 16 + 8;
/// Bytes of a network in a question.
const NETWORK: usize = 16;
/// Bytes of a plug: port, whether it is up.
const PLUG: usize = 16 + 1;
const VERSION: usize = 8;

/// Records of one datagram, so that it passes any underlay whole.
const CLAIMS_MAX: usize = 24;
const NETWORKS_MAX: usize = 64;
const PLUGS_MAX: usize = 64;

/// Longest datagram.
pub(super) const DATAGRAM_MAX: usize = HEADER + CLAIM * CLAIMS_MAX;
const _: () = assert!(HEADER + NETWORK * NETWORKS_MAX <= DATAGRAM_MAX && DATAGRAM_MAX < 1232);
const _: () = assert!(HEADER + VERSION + PLUG * PLUGS_MAX <= DATAGRAM_MAX);

/// Where a station is, on the word of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The port it is behind.
    pub port: PortId,
    /// Its MAC.
    pub mac: Mac,
    /// Its address; `None` for a MAC alone.
    pub ip: Option<IpAddr>,
    /// The greater, the newer.
    pub version: u64,
    /// It is there no more.
    pub parted: bool,
}

/// What one agent says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Where stations are.
    Claims(Vec<Claim>),
    /// It wants to know the stations of these networks.
    Ask(Vec<BridgeId>),
    /// Whether its plugs are up.
    Carriers {
        /// The greater, the newer.
        version: u64,
        /// Each with whether it is up.
        plugs: Vec<(PortId, bool)>,
    },
}

/// The deployment's secret, to seal datagrams and to open them.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl Seal {
    /// Of a secret.
    pub fn new(secret: &str) -> Self {
        let hmac = Hmac::new_from_slice(secret.as_bytes());
        Self(hmac.expect("HMAC takes keys of any length"))
    }

    /// A message as datagrams.
    pub fn close(&self, message: &Message) -> Vec<Vec<u8>> {
        match message {
            Message::Claims(claims) => {
                let records = claims.chunks(CLAIMS_MAX);
                let bodies = records.map(|c| c.iter().flat_map(Claim::bytes).collect());
                bodies.map(|body| self.datagram(CLAIMS, body)).collect()
            }
            Message::Ask(networks) => {
                let records = networks.chunks(NETWORKS_MAX);
                let bodies = records.map(|n| n.iter().flat_map(|id| id.0.into_bytes()).collect());
                bodies.map(|body| self.datagram(ASK, body)).collect()
            }
            Message::Carriers { version, plugs } => {
                let plug = |(port, up): &(PortId, bool)| {
                    let id = port.0.into_bytes();
                    id.into_iter().chain([u8::from(*up)])
                };
                let body = |plugs: &[(PortId, bool)]| {
                    let version = version.to_be_bytes().into_iter();
                    version.chain(plugs.iter().flat_map(plug)).collect()
                };
                let bodies = plugs.chunks(PLUGS_MAX).map(body);
                bodies.map(|body| self.datagram(CARRIERS, body)).collect()
            }
        }
    }

    /// The message in a datagram, if it is one of this deployment.
    pub fn open(&self, datagram: &[u8]) -> Option<Message> {
        let sealed = datagram.strip_prefix(&MAGIC)?;
        let (seal, said) = sealed.split_at_checked(SEAL)?;
        let hmac = self.0.clone().chain_update(said);
        hmac.verify_truncated_left(seal).ok()?;
        let (kind, body) = said.split_first()?;
        match *kind {
            CLAIMS => Some(Message::Claims(records(body, CLAIM, Claim::read)?)),
            ASK => Some(Message::Ask(records(body, NETWORK, |record| {
                Some(BridgeId(Uuid::from_bytes(bytes::array(record, 0)?)))
            })?)),
            CARRIERS => {
                let (version, plugs) = body.split_first_chunk::<VERSION>()?;
                let plug = |record: &[u8]| {
                    let port = PortId(Uuid::from_bytes(bytes::array(record, 0)?));
                    Some((port, *record.last()? == 1))
                };
                Some(Message::Carriers {
                    version: u64::from_be_bytes(*version),
                    plugs: records(plugs, PLUG, plug)?,
                })
            }
            _ => None,
        }
    }

    fn datagram(&self, kind: u8, body: Vec<u8>) -> Vec<u8> {
        let hmac = self.0.clone().chain_update([kind]).chain_update(&body);
        let seal = hmac.finalize().into_bytes();
        let parts: [&[u8]; 4] = [&MAGIC, &seal[..SEAL], &[kind], &body];
        parts.concat()
    }
}

/// Records of one length; `None` if the body is not made of them.
fn records<T>(body: &[u8], len: usize, read: impl Fn(&[u8]) -> Option<T>) -> Option<Vec<T>> {
    let records = body.chunks_exact(len);
    let whole = records.remainder().is_empty();
    records.map(read).collect::<Option<_>>().filter(|_| whole)
}

const PARTED: u8 = 0x80;

impl Claim {
    fn bytes(&self) -> [u8; CLAIM] {
        let family = match self.ip {
            None => 0,
            Some(IpAddr::V4(_)) => 4,
            Some(IpAddr::V6(_)) => 6,
        };
        let flags = family | if self.parted { PARTED } else { 0 };
        let mut out = [0; CLAIM];
        out[0] = flags;
        out[1..17].copy_from_slice(self.port.0.as_bytes());
        out[17..23].copy_from_slice(&self.mac.0);
        out[23..39].copy_from_slice(&self.ip.map_or([0; 16], flow::mapped));
        out[39..].copy_from_slice(&self.version.to_be_bytes());
        out
    }

    fn read(record: &[u8]) -> Option<Self> {
        let flags = *record.first()?;
        let ip = match flags & !PARTED {
            0 => None,
            family @ (4 | 6) => Some(flow::unmapped(family, bytes::array(record, 23)?)),
            _ => return None,
        };
        Some(Self {
            port: PortId(Uuid::from_bytes(bytes::array(record, 1)?)),
            mac: Mac(bytes::array(record, 17)?),
            ip,
            version: u64::from_be_bytes(bytes::array(record, 39)?),
            parted: flags & PARTED != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(n: u8, ip: Option<&str>) -> Claim {
        Claim {
            port: PortId(Uuid::from_u128(u128::from(n))),
            mac: Mac([2, 0, 0, 0, 0, n]),
            ip: ip.map(|ip| ip.parse().unwrap()),
            version: u64::MAX - u64::from(n),
            parted: n.is_multiple_of(2),
        }
    }

    #[test]
    fn what_is_closed_is_opened_with_the_same_secret_only() {
        let claims = [None, Some("10.0.0.1"), Some("fd00::1")].map(|ip| claim(3, ip));
        let networks = vec![BridgeId(Uuid::from_u128(7))];
        let carriers = Message::Carriers {
            version: 7,
            plugs: vec![(claim(1, None).port, true), (claim(2, None).port, false)],
        };
        for message in [
            Message::Claims(claims.into()),
            Message::Ask(networks),
            carriers,
        ] {
            let seal = Seal::new("secret");
            let [datagram] = &seal.close(&message)[..] else {
                panic!("one datagram");
            };
            assert_eq!(seal.open(datagram), Some(message));
            assert_eq!(Seal::new("other").open(datagram), None);
            for at in 0..datagram.len() {
                let mut bad = datagram.clone();
                bad[at] ^= 1;
                assert_eq!(seal.open(&bad), None, "byte {at}");
                assert_eq!(seal.open(&datagram[..at]), None, "first {at} bytes");
            }
        }
    }

    #[test]
    fn many_claims_are_several_datagrams() {
        let claims: Vec<Claim> = (0..=50).map(|n| claim(n, None)).collect();
        let seal = Seal::new("secret");
        let datagrams = seal.close(&Message::Claims(claims.clone()));
        assert!(datagrams.iter().all(|d| d.len() <= DATAGRAM_MAX));
        let opened = datagrams.iter().map(|d| seal.open(d).unwrap());
        let all: Vec<Claim> = opened
            .flat_map(|message| match message {
                Message::Claims(claims) => claims,
                Message::Ask(_) | Message::Carriers { .. } => panic!("claims"),
            })
            .collect();
        assert_eq!(all, claims);
    }
}
