//! From a decision about ports to an action about interfaces and tunnels.

use bpf_abi::{
    ACTION_DROP, ACTION_DSCP, ACTION_DST, ACTION_DST_PORT, ACTION_LOCAL, ACTION_NAT64,
    ACTION_REMOTE_V6, ACTION_REPLY, ACTION_RESUME, ACTION_SNAT, ACTION_SRC, ACTION_TRACK,
    ACTION_TUNNEL, Action, VNI_REPLY, VNI_UNTRACKED,
};
use flow::{Decision, Destination, DropReason, Rewrite, Verdict, mapped};
use std::{collections::BTreeSet, net::IpAddr};
use topology::{PortId, RouterId, Tag, TunnelKey};
use uuid::Uuid;

/// Largest differentiated services code point: it has six bits.
const DSCP_MAX: u8 = 63;

/// Where a port is, as this host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Plugged in here.
    Local {
        /// Number of the port: the tap's ifindex or a sub-port's own number.
        ifindex: u32,
    },
    /// Plugged in at another host.
    Remote {
        /// The host's name.
        host: String,
        /// Its underlay address.
        address: IpAddr,
        /// The port's tunnel key.
        key: TunnelKey,
    },
    /// Bound to no host, or to this one and its tap is not there yet.
    Unbound,
    /// Bound to a host whose underlay address is not known.
    HostUnknown {
        /// The host's name.
        host: String,
    },
}

/// Who knows where ports are.
pub trait Places {
    /// Where this port is now.
    fn place(&self, port: PortId) -> Place;
    /// Where what has come to this router from its outside goes on: at this host or another one.
    fn router(&self, router: RouterId, host: &str) -> Place;
    /// The number of a router that is known (`bpf_abi::router_number`).
    fn number(&self, router: RouterId) -> Option<u32>;
}

/// A decision as the kernel can carry it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The action, without a generation: the table gives it one.
    pub action: Action,
    /// What it depends on: the decision's tags, the destination port, and its host.
    pub tags: BTreeSet<Tag>,
    /// The Neutron resource that made it a drop, if one did.
    pub cause: Option<Uuid>,
}

/// Compiles a decision. One that translates the destination of a new packet is for the host of its
/// port alone, where the record is made that translates the answer: elsewhere it is a drop, since who
/// handed the packet over here has not heard yet where the port is.
///
/// `None` for verdicts that hold for one frame only (floods, answers, refusals).
///
/// The result carries `Tag::Port` of the destination and `Tag::Host` of its host, so that binding,
/// unbinding or moving the port and a new underlay address of the host take it out again. The
/// caller invalidates `Tag::Port` when a tap of this host comes or goes.
pub fn compile(decision: &Decision, places: &impl Places) -> Option<Compiled> {
    let mut tags = decision.tags.clone();
    let (action, cause) = match &decision.verdict {
        Verdict::Flood { .. } | Verdict::Answer(_) | Verdict::Refuse { .. } => return None,
        // the agent compiles a `Forward` to its service in its place
        Verdict::Metadata => return None,
        Verdict::Drop { reason, cause } => (drop_action(*reason), *cause),
        Verdict::Forward {
            to,
            rewrite,
            mtu,
            track,
            record,
            reply,
        } => {
            let track = *track && record.is_none() && to.port().is_some();
            let flags = flag(track, ACTION_TRACK) | flag(*reply, ACTION_REPLY);
            let base = rewritten(rewrite, *mtu, flags);
            let base = match record.map(|router| places.number(router)) {
                Some(Some(record)) => Action { record, ..base },
                Some(None) => return Some(unbound(tags)),
                None => base,
            };
            let action = match to {
                Destination::Port(port) => {
                    tags.insert(Tag::Port(*port));
                    let place = places.place(*port);
                    let opens = !reply && (rewrite.dst.is_some() || rewrite.nat64.is_some());
                    match place {
                        Place::Remote { host, .. } if opens => {
                            tags.insert(Tag::Host(host));
                            drop_action(DropReason::OwnerElsewhere)
                        }
                        place => forward(base, place, &mut tags),
                    }
                }
                Destination::Router { router, host } => {
                    let action = forward(base, places.router(*router, host), &mut tags);
                    resumed(action)
                }
            };
            (action, None)
        }
    };
    Some(Compiled {
        action,
        tags,
        cause,
    })
}

/// A drop until the router is known that the packet should be recorded at.
fn unbound(tags: BTreeSet<Tag>) -> Compiled {
    Compiled {
        action: drop_action(DropReason::PortUnbound),
        tags,
        cause: None,
    }
}

fn flag(set: bool, bit: u16) -> u16 {
    if set { bit } else { 0 }
}

fn rewritten(rewrite: &Rewrite, mtu: u16, flags: u16) -> Action {
    let dst = match rewrite.nat64 {
        Some(nat64) => Some(IpAddr::V4(nat64.dst)),
        None => rewrite.dst,
    };
    let flags = flags
        | flag(rewrite.src.is_some(), ACTION_SRC)
        | flag(dst.is_some(), ACTION_DST)
        | flag(rewrite.dst_port.is_some(), ACTION_DST_PORT)
        | flag(rewrite.snat, ACTION_SNAT)
        | flag(rewrite.nat64.is_some(), ACTION_NAT64)
        | flag(rewrite.dscp.is_some(), ACTION_DSCP);
    Action {
        flags,
        src: rewrite.src.map(mapped).unwrap_or_default(),
        dst: dst.map(mapped).unwrap_or_default(),
        dst_port: rewrite.dst_port.unwrap_or_default(),
        dscp: rewrite.dscp.unwrap_or_default() & DSCP_MAX,
        hops: rewrite.hops,
        smac: rewrite.smac.0,
        dmac: rewrite.dmac.0,
        mtu: u32::from(mtu),
        ..Action::default()
    }
}

fn forward(base: Action, place: Place, tags: &mut BTreeSet<Tag>) -> Action {
    match place {
        Place::Local { ifindex } => Action {
            kind: ACTION_LOCAL,
            ifindex,
            ..base
        },
        Place::Remote { host, address, key } => {
            tags.insert(Tag::Host(host));
            tunnel(base, address, key)
        }
        Place::Unbound => drop_action(DropReason::PortUnbound),
        Place::HostUnknown { host } => {
            tags.insert(Tag::Host(host));
            drop_action(DropReason::HostUnknown)
        }
    }
}

/// What is delivered at a router of this host goes on there.
fn resumed(action: Action) -> Action {
    let kind = match action.kind {
        ACTION_LOCAL => ACTION_RESUME,
        other => other,
    };
    Action { kind, ..action }
}

fn tunnel(base: Action, address: IpAddr, key: TunnelKey) -> Action {
    let state = match (
        base.flags & ACTION_REPLY != 0,
        base.flags & ACTION_TRACK != 0,
    ) {
        (true, _) => VNI_REPLY,
        (false, false) => VNI_UNTRACKED,
        (false, true) => 0,
    };
    let flags = base.flags | flag(address.is_ipv6(), ACTION_REMOTE_V6);
    Action {
        kind: ACTION_TUNNEL,
        vni: key | state,
        remote: mapped(address),
        flags,
        ..base
    }
}

fn drop_action(reason: DropReason) -> Action {
    Action {
        kind: ACTION_DROP,
        reason: reason as u8,
        ..Action::default()
    }
}
