//! Packets to and from the metadata service of this host.

use super::{Outcome, Upcall, World};
use crate::metadata::{
    askers::{Asker, Askers, Given},
    device::MTU,
};
use bpf_abi::{FLAG_ICMP_ERROR, FlowKey};
use datapath::Maps;
use flow::{Decision, Destination, DropReason, Mask, Rewrite, Verdict, unmapped};
use sim::{Ingress, METADATA_MAC};
use std::{collections::BTreeSet, net::IpAddr};
use topology::{PortId, Tag};
use uuid::Uuid;
use wire::{Mac, protocol};

/// What stands for the service where decisions name ports; no Neutron port has this id.
pub(super) const SERVICE: PortId = PortId(Uuid::max());

/// What is known of the service.
#[derive(Debug)]
pub(super) struct Metadata {
    /// Its device, if there is a service.
    pub device: Option<u32>,
    askers: Askers,
}

impl Metadata {
    pub fn off() -> Self {
        Self {
            device: None,
            askers: Askers::new(Uuid::new_v4().as_u128() as u32),
        }
    }

    pub fn forget(&mut self, port: PortId) {
        self.askers.forget(port);
    }
}

impl<M> World<M> {
    /// There is a metadata service behind this device.
    pub fn set_metadata_device(&mut self, ifindex: u32) {
        self.metadata.device = Some(ifindex);
    }

    /// The source that the service knows by this address.
    pub fn asker(&self, known_as: IpAddr) -> Option<Asker> {
        self.metadata.askers.at(known_as).copied()
    }
}

impl<M: Maps> World<M> {
    /// What becomes of packets that the simulation sends to the service, on this host.
    pub(super) fn serve_asker(&mut self, ingress: Ingress, key: &FlowKey) -> Verdict {
        let (Ingress::Port(port), Some(_)) = (ingress, self.metadata.device) else {
            return Verdict::Metadata;
        };
        let asker = Asker {
            port,
            mac: Mac(key.smac),
            ip: unmapped(key.family, key.src),
        };
        let given = self.metadata.askers.give(asker);
        let voided = match given {
            Given::Anew(_) => self.invalidate(&BTreeSet::from([Tag::Port(port)])),
            _ => Ok(()),
        };
        match (given, voided) {
            (Given::Address(ip) | Given::Anew(ip), Ok(())) => Verdict::Forward {
                to: Destination::Port(SERVICE),
                rewrite: rewrite(METADATA_MAC, Some(ip), None),
                mtu: MTU,
                track: false,
                record: None,
                reply: false,
            },
            _ => Verdict::Refuse {
                reason: DropReason::TableFull,
                cause: Some(port.0),
                answer: None,
            },
        }
    }

    /// There is no service on this host. Not cached: it is asked seldom, and there may be one soon.
    pub(super) fn no_service(&mut self, upcall: &Upcall<'_>) -> Outcome {
        self.dropped(upcall, DropReason::MetadataOff, None)
    }

    /// An answer of the service goes to who asked. What else its namespace says is of no interest.
    pub(super) fn answer_asker(&mut self, upcall: &Upcall<'_>) -> Outcome {
        let (header, key) = (&upcall.header, &upcall.header.key);
        if header.why != bpf_abi::WHY_MISS || key.proto != protocol::TCP {
            return Outcome::Answer(Vec::new());
        }
        let asker = self.asker(unmapped(key.family, key.dst));
        let decision = asker.and_then(|asker| self.to_asker(&asker, key));
        match decision {
            None => self.dropped(upcall, DropReason::MetadataUnknown, None),
            Some(decision) if self.install(upcall, &decision) => Outcome::Again,
            Some(_) => self.dropped(upcall, DropReason::TableFull, None),
        }
    }

    fn to_asker(&self, asker: &Asker, key: &FlowKey) -> Option<Decision> {
        let port = self.snapshot.port(asker.port)?;
        let bridge = self.snapshot.bridge(port.bridge?)?;
        if key.flags & FLAG_ICMP_ERROR != 0 || !port.admin_up || !bridge.admin_up {
            return None;
        }
        let mask = Mask(FlowKey {
            in_port: u32::MAX,
            family: u8::MAX,
            proto: u8::MAX,
            flags: FLAG_ICMP_ERROR,
            dst: [u8::MAX; 16],
            ..FlowKey::default()
        });
        let verdict = Verdict::Forward {
            to: Destination::Port(port.id),
            rewrite: rewrite(asker.mac, None, Some(asker.ip)),
            mtu: bridge.mtu,
            track: false,
            record: None,
            reply: false,
        };
        let tags = BTreeSet::from([Tag::Port(port.id), Tag::Bridge(bridge.id)]);
        Some(Decision {
            mask,
            verdict,
            tags,
            question: None,
        })
    }
}

/// As through a router: MACs are changed only then.
fn rewrite(dmac: Mac, src: Option<IpAddr>, dst: Option<IpAddr>) -> Rewrite {
    Rewrite {
        hops: 1,
        smac: METADATA_MAC,
        dmac,
        src,
        dst,
        ..Rewrite::default()
    }
}
