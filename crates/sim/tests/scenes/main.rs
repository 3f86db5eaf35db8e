//! Single packets in a small town, and what becomes of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod arp;
mod dhcp4;
mod dhcp6;
mod fip64;
mod floods;
mod groups;
mod hostile;
mod nd;
mod outside;
mod qos;
mod ra;
mod routing;
mod snat;
mod spoof;
mod stations;
mod traces;
mod ways;

use bpf_abi::{FlowKey, STATE_FORWARD, STATE_REPLY};
use flow::{Decision, DropReason, Verdict};
use sim::testing::{Frame, key_of};
use sim::{Ingress, Packet, simulate};
use std::net::IpAddr;
use topology::{PortId, Snapshot};
use wire::Mac;

/// The verdict on a frame that comes in at a port.
fn send(snapshot: &Snapshot, port: PortId, frame: &[u8]) -> Verdict {
    decide(snapshot, port, key_of(frame, STATE_FORWARD), frame).verdict
}

/// The same for a frame whose reverse has been authorised.
fn send_reply(snapshot: &Snapshot, port: PortId, frame: &[u8]) -> Verdict {
    decide(snapshot, port, key_of(frame, STATE_REPLY), frame).verdict
}

fn decide(snapshot: &Snapshot, port: PortId, key: FlowKey, frame: &[u8]) -> Decision {
    simulate(
        snapshot,
        Ingress::Port(port),
        &Packet {
            key,
            frame,
            gso_size: 0,
        },
    )
}

/// Where it goes, after how many routers.
fn delivered(verdict: &Verdict) -> Option<(PortId, u8)> {
    match verdict {
        Verdict::Forward { to, rewrite, .. } => Some((to.port()?, rewrite.hops)),
        _ => None,
    }
}

/// Why it does not arrive.
fn reason(verdict: &Verdict) -> Option<DropReason> {
    match verdict {
        Verdict::Drop { reason, .. } | Verdict::Refuse { reason, .. } => Some(*reason),
        _ => None,
    }
}

/// The only frame of an answer, or of a refusal.
fn answered(verdict: Verdict) -> Vec<u8> {
    match verdict {
        Verdict::Answer(mut frames) if frames.len() == 1 => frames.remove(0),
        Verdict::Refuse {
            answer: Some(frame),
            ..
        } => frame,
        other => panic!("no single answer: {other:?}"),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn with_smac(frame: Frame, smac: Mac) -> Vec<u8> {
    Frame { smac, ..frame }.bytes()
}
