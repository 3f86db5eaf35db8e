//! Decisions become actions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bpf_abi::*;
use datapath::{Compiled, Place, Places, compile};
use flow::{Decision, Destination, DropReason, Mask, Rewrite, Verdict, mapped};
use std::{collections::BTreeSet, net::IpAddr};
use topology::{PortId, RouterId, Tag};
use uuid::Uuid;
use wire::Mac;

const PORT: PortId = PortId(Uuid::from_u128(1));
const ROUTER: RouterId = RouterId(Uuid::from_u128(2));
const REWRITE: Rewrite = Rewrite {
    hops: 1,
    smac: Mac([2, 0, 0, 0, 0, 1]),
    dmac: Mac([2, 0, 0, 0, 0, 2]),
    src: None,
    dst: None,
    dst_port: None,
    snat: false,
    nat64: None,
    dscp: None,
};

struct Everywhere(Place);

impl Places for Everywhere {
    fn place(&self, port: PortId) -> Place {
        assert_eq!(port, PORT);
        self.0.clone()
    }

    fn router(&self, _: RouterId, _: &str) -> Place {
        self.0.clone()
    }

    fn number(&self, router: RouterId) -> Option<u32> {
        (router == ROUTER).then_some(router_number(9))
    }
}

fn forward(track: bool, reply: bool) -> Decision {
    let verdict = Verdict::Forward {
        to: Destination::Port(PORT),
        rewrite: REWRITE,
        mtu: 1450,
        track,
        record: None,
        reply,
    };
    decision(verdict)
}

fn decision(verdict: Verdict) -> Decision {
    let tags = BTreeSet::from([Tag::Host("seen".into())]);
    Decision {
        mask: Mask::default(),
        verdict,
        tags,
        question: None,
    }
}

fn at(place: Place, decision: &Decision) -> Compiled {
    compile(decision, &Everywhere(place)).unwrap()
}

fn remote(address: &str) -> Place {
    Place::Remote {
        host: "two".into(),
        address: address.parse().unwrap(),
        key: 77,
    }
}

fn tags(extra: &[Tag]) -> BTreeSet<Tag> {
    [Tag::Host("seen".into())]
        .iter()
        .chain(extra)
        .cloned()
        .collect()
}

#[test]
fn a_port_of_this_host_is_a_tap() {
    let compiled = at(Place::Local { ifindex: 5 }, &forward(true, false));
    let expected = Action {
        kind: ACTION_LOCAL,
        flags: ACTION_TRACK,
        ifindex: 5,
        hops: 1,
        mtu: 1450,
        smac: REWRITE.smac.0,
        dmac: REWRITE.dmac.0,
        ..Action::default()
    };
    assert_eq!(compiled.action, expected);
    assert_eq!(compiled.tags, tags(&[Tag::Port(PORT)]));
}

#[test]
fn addresses_and_marks_are_written_where_they_are_given() {
    let [src, dst]: [IpAddr; 2] = ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse().unwrap());
    let action = |rewrite| {
        let verdict = Verdict::Forward {
            to: Destination::Port(PORT),
            rewrite,
            mtu: 1450,
            track: false,
            record: None,
            reply: false,
        };
        at(Place::Local { ifindex: 5 }, &decision(verdict)).action
    };
    let none = action(Rewrite::default());
    assert_eq!((none.flags, none.src, none.dst), (0, [0; 16], [0; 16]));
    let some = action(Rewrite {
        src: Some(src),
        dscp: Some(0),
        ..Rewrite::default()
    });
    assert_eq!(
        (some.flags, some.src),
        (ACTION_SRC | ACTION_DSCP, mapped(src))
    );
    let other = action(Rewrite {
        dst: Some(dst),
        dscp: Some(46),
        ..Rewrite::default()
    });
    assert_eq!(
        (other.flags, other.dst),
        (ACTION_DST | ACTION_DSCP, mapped(dst))
    );
    assert_eq!(other.dscp, 46);
}

#[test]
fn new_packets_are_translated_inward_at_the_host_of_their_port_alone() {
    let compiled = |place: Place, reply: bool| {
        let verdict = Verdict::Forward {
            to: Destination::Port(PORT),
            rewrite: Rewrite {
                dst: Some("10.0.0.7".parse().unwrap()),
                ..Rewrite::default()
            },
            mtu: 1450,
            track: !reply,
            record: None,
            reply,
        };
        at(place, &decision(verdict))
    };
    let elsewhere = compiled(remote("192.0.2.2"), false);
    let reason = u32::from(elsewhere.action.reason);
    assert_eq!(elsewhere.action.kind, ACTION_DROP);
    assert_eq!(
        DropReason::from_number(reason),
        Some(DropReason::OwnerElsewhere)
    );
    assert!(elsewhere.tags.contains(&Tag::Port(PORT)));
    assert_eq!(
        compiled(remote("192.0.2.2"), true).action.kind,
        ACTION_TUNNEL
    );
    let here = compiled(Place::Local { ifindex: 5 }, false);
    assert_eq!(here.action.kind, ACTION_LOCAL);
}

#[test]
fn a_port_of_another_host_is_its_address_and_key_with_the_state_in_the_vni() {
    let cases = [
        (true, false, ACTION_TRACK, 77),
        (false, true, ACTION_REPLY, 77 | VNI_REPLY),
        (false, false, 0, 77 | VNI_UNTRACKED),
    ];
    for (track, reply, flags, vni) in cases {
        let Compiled {
            action, tags: t, ..
        } = at(remote("192.0.2.2"), &forward(track, reply));
        assert_eq!(
            (action.kind, action.flags, action.vni),
            (ACTION_TUNNEL, flags, vni)
        );
        assert_eq!(
            action.remote,
            mapped("192.0.2.2".parse::<IpAddr>().unwrap())
        );
        assert_eq!(t, tags(&[Tag::Port(PORT), Tag::Host("two".into())]));
    }
    let action = at(remote("2001:db8::2"), &forward(true, false)).action;
    assert_eq!(action.flags, ACTION_TRACK | ACTION_REMOTE_V6);
}

#[test]
fn what_is_recorded_at_a_router_is_tracked_nowhere_else() {
    let verdict = |record| Verdict::Forward {
        to: Destination::Port(PORT),
        rewrite: Rewrite {
            snat: true,
            ..REWRITE
        },
        mtu: 1450,
        track: true,
        record,
        reply: false,
    };
    let compiled = at(remote("192.0.2.2"), &decision(verdict(Some(ROUTER))));
    let action = compiled.action;
    assert_eq!(
        (action.flags, action.record),
        (ACTION_SNAT, router_number(9))
    );
    assert_eq!(action.vni, 77 | VNI_UNTRACKED);
    let unknown = RouterId(Uuid::from_u128(3));
    let compiled = at(remote("192.0.2.2"), &decision(verdict(Some(unknown))));
    assert_eq!(compiled.action.reason, DropReason::PortUnbound as u8);
}

#[test]
fn what_goes_on_at_a_router_resumes_here_or_is_sent_to_its_host() {
    let verdict = Verdict::Forward {
        to: Destination::Router {
            router: ROUTER,
            host: "two".into(),
        },
        rewrite: REWRITE,
        mtu: 1450,
        track: true,
        record: None,
        reply: false,
    };
    let ifindex = router_number(9);
    let here = at(Place::Local { ifindex }, &decision(verdict.clone())).action;
    assert_eq!(
        (here.kind, here.ifindex, here.flags),
        (ACTION_RESUME, ifindex, 0)
    );
    let there = at(remote("192.0.2.2"), &decision(verdict)).action;
    assert_eq!((there.kind, there.vni), (ACTION_TUNNEL, 77 | VNI_UNTRACKED));
}

#[test]
fn destinations_may_change_port_and_family() {
    let rewrite = Rewrite {
        nat64: Some(flow::Nat64 {
            dst: [10, 0, 0, 7].into(),
        }),
        dst_port: Some(8080),
        ..Rewrite::default()
    };
    let verdict = Verdict::Forward {
        to: Destination::Port(PORT),
        rewrite,
        mtu: 1450,
        track: false,
        record: None,
        reply: false,
    };
    let action = at(Place::Local { ifindex: 5 }, &decision(verdict)).action;
    let flags = ACTION_NAT64 | ACTION_DST | ACTION_DST_PORT;
    assert_eq!((action.flags, action.dst_port), (flags, 8080));
    assert_eq!(action.dst, mapped([10, 0, 0, 7].into()));
}

#[test]
fn a_port_that_is_nowhere_is_a_drop_that_its_binding_takes_out() {
    let unbound = at(Place::Unbound, &forward(true, false));
    assert_eq!((unbound.action.kind, unbound.action.hops), (ACTION_DROP, 0));
    assert_eq!(unbound.action.reason, DropReason::PortUnbound as u8);
    assert!(unbound.tags.contains(&Tag::Port(PORT)));
    let unknown = at(
        Place::HostUnknown { host: "two".into() },
        &forward(true, false),
    );
    assert_eq!(unknown.action.reason, DropReason::HostUnknown as u8);
    assert_eq!(
        unknown.tags,
        tags(&[Tag::Port(PORT), Tag::Host("two".into())])
    );
}

#[test]
fn a_drop_keeps_its_cause() {
    let (reason, cause) = (DropReason::SecurityGroupEgress, Some(Uuid::from_u128(9)));
    let compiled = at(Place::Unbound, &decision(Verdict::Drop { reason, cause }));
    assert_eq!(
        (compiled.action.kind, compiled.action.reason),
        (ACTION_DROP, reason as u8)
    );
    assert_eq!((compiled.cause, compiled.tags), (cause, tags(&[])));
}

#[test]
fn verdicts_for_one_frame_are_not_compiled() {
    let once = [
        Verdict::Flood { ports: vec![PORT] },
        Verdict::Answer(vec![]),
        Verdict::Refuse {
            reason: DropReason::TtlExpired,
            cause: None,
            answer: None,
        },
    ];
    for verdict in once {
        assert_eq!(
            compile(&decision(verdict), &Everywhere(Place::Unbound)),
            None
        );
    }
}
