//! Many VMs behind one address, and the blocks that tell whose an answer is.

use crate::outside::{answer_key, at_router, carried, coast, judge_at, sent};
use crate::{answered, decide, ip, reason, send};
use bpf_abi::{FLAG_ICMP_ERROR, FlowKey, STATE_FORWARD};
use flow::{Destination, DropReason};
use sim::testing::{Coast, FAR, Frame, Payload, key_of};
use topology::Tag;
use wire::{protocol, tcp_flag};

const ADDRESS: &str = "203.0.113.10";

/// A coast where host2 has leased blocks 8 and 9 of the first tenant's router.
fn leased() -> Coast {
    let mut coast = coast();
    coast.world.lease(coast.tenants[0].router, "host2", &[8, 9]);
    coast
}

#[test]
fn a_vm_without_a_floating_ip_leaves_as_its_router_and_all_its_connections_do_alike() {
    let coast = leased();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    for payload in [
        Payload::Tcp(40_000, 443, tcp_flag::SYN),
        Payload::Udp(40_000, 53, vec![]),
        Payload::Echo {
            reply: false,
            id: 7,
        },
    ] {
        let bytes = coast.b.to(ip(FAR), payload).bytes();
        let decision = decide(
            &snapshot,
            coast.b.port,
            key_of(&bytes, STATE_FORWARD),
            &bytes,
        );
        let (to, rewrite, record, track, _) = sent(&decision.verdict);
        assert!(
            coast
                .uplinks
                .map(|u| Destination::Port(u.plug))
                .contains(to)
        );
        assert_eq!((record, track), (Some(router), false));
        assert_eq!((rewrite.snat, rewrite.src, rewrite.hops), (true, None, 2));
    }
    // with one way out, one decision is for all that it speaks to
    let mut coast = leased();
    coast
        .world
        .change_router(coast.edge, |r| r.routes.truncate(1));
    let bytes = coast
        .b
        .to(ip(FAR), Payload::Tcp(40_000, 443, tcp_flag::SYN))
        .bytes();
    let decision = decide(
        &coast.snapshot(),
        coast.b.port,
        key_of(&bytes, STATE_FORWARD),
        &bytes,
    );
    let mask = decision.mask.0;
    assert_eq!((mask.sport, mask.dport), (0, 0));
    assert!(u128::from_be_bytes(mask.dst).count_ones() < 16, "{mask:?}");
    assert!(sent(&decision.verdict).1.snat);
}

#[test]
fn answers_go_to_the_host_that_has_leased_their_port() {
    let coast = leased();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let plug = coast.uplinks[0].plug;
    let answer = |payload| coast.from_upstream(0, ip(ADDRESS), payload);
    let id = 0x0805;
    for payload in [
        Payload::Tcp(443, 0x0805, tcp_flag::ACK),
        Payload::Udp(53, 0x09ff, vec![]),
        Payload::Echo { reply: true, id },
    ] {
        let bytes = answer(payload).bytes();
        let decision = decide(&snapshot, plug, key_of(&bytes, STATE_FORWARD), &bytes);
        assert_eq!(*sent(&decision.verdict).0, at_router(router, "host2"));
        let blocks = [8, 9].map(|b| decision.tags.contains(&Tag::Block(router, b)));
        assert!(blocks[0] || blocks[1]);
        let mask = decision.mask.0;
        if mask.proto != 0 && decision.tags.contains(&Tag::Block(router, 8)) && mask.sport == 0 {
            assert_eq!(mask.dport, 0xff00);
        }
    }
    // an error about an answer's connection goes where the answer would
    let key = FlowKey {
        flags: FLAG_ICMP_ERROR,
        ..key_of(
            &answer(Payload::Tcp(443, 0x0805, tcp_flag::ACK)).bytes(),
            STATE_FORWARD,
        )
    };
    let decision = decide(&snapshot, plug, key, &[]);
    assert_eq!(*sent(&decision.verdict).0, at_router(router, "host2"));
    // requests are the router's own, whatever their identifier
    let bytes = answer(Payload::Echo { reply: false, id }).bytes();
    answered(send(&snapshot, plug, &bytes));
    // a block that nobody has
    let bytes = answer(Payload::Tcp(443, 0x0a05, tcp_flag::ACK)).bytes();
    let decision = decide(&snapshot, plug, key_of(&bytes, STATE_FORWARD), &bytes);
    assert_eq!(reason(&decision.verdict), Some(DropReason::RouterAddress));
    assert!(decision.tags.contains(&Tag::Block(router, 10)));
    // well-known ports are never leased
    let bytes = answer(Payload::Udp(443, 0x0305, vec![])).bytes();
    assert_eq!(
        reason(&send(&snapshot, plug, &bytes)),
        Some(DropReason::RouterAddress)
    );
}

#[test]
fn at_its_host_an_answer_is_for_the_vm_or_for_nobody() {
    let coast = leased();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let opening = coast
        .b
        .to(ip(FAR), Payload::Tcp(40_000, 443, tcp_flag::SYN));
    let answer = coast.from_upstream(0, ip(ADDRESS), Payload::Tcp(443, 0x0805, tcp_flag::ACK));
    let first = send(&snapshot, coast.uplinks[0].plug, &answer.bytes());
    let rewrite = *sent(&first).1;
    let key = answer_key(&opening, rewrite.smac, rewrite.dmac, ip(FAR), coast.b.v4);
    let frame = carried(&answer, &rewrite).bytes();
    let second = judge_at(&snapshot, router, key, &frame);
    let (to, rewrite, _, track, reply) = sent(&second.verdict);
    assert_eq!(*to, Destination::Port(coast.b.port));
    assert_eq!((track, reply, rewrite.dst), (false, true, None));
    // no record
    let second = judge_at(&snapshot, router, key_of(&frame, STATE_FORWARD), &frame);
    assert_eq!(reason(&second.verdict), Some(DropReason::RouterAddress));
    // a mapping takes in whom groups allow, and the answer is to be translated back
    let key = FlowKey {
        state: STATE_FORWARD,
        dport: 22,
        ..key
    };
    let second = judge_at(&snapshot, router, key, &frame);
    let (_, _, _, track, reply) = sent(&second.verdict);
    assert_eq!((track, reply), (true, false));
    let src = ip(ADDRESS);
    let key = answer_key(&answer, coast.b.mac, coast.b.gateway, src, ip(FAR));
    let back = decide(&snapshot, coast.b.port, FlowKey { sport: 22, ..key }, &[]);
    assert!(sent(&back.verdict).4);
}

#[test]
fn without_snat_sources_stay_and_what_has_no_ports_is_dropped_by_name() {
    let mut coast = leased();
    let router = coast.tenants[0].router;
    let gre = coast.b.to(ip(FAR), Payload::Other(47, vec![0; 8])).bytes();
    let verdict = send(&coast.snapshot(), coast.b.port, &gre);
    assert_eq!(reason(&verdict), Some(DropReason::SnatProtocol));
    // one-to-one translation takes any protocol
    let with_fip = coast.a.to(ip(FAR), Payload::Other(47, vec![0; 8])).bytes();
    let verdict = send(&coast.snapshot(), coast.a.port, &with_fip);
    assert_eq!(sent(&verdict).1.src, Some(ip("203.0.113.101")));
    coast.world.change_router(router, |r| {
        r.gateway.as_mut().unwrap().snat = false;
    });
    let snapshot = coast.snapshot();
    let (_, rewrite, record, ..) = {
        let verdict = send(&snapshot, coast.b.port, &gre);
        let sent = sent(&verdict);
        (sent.0.clone(), *sent.1, sent.2, sent.3)
    };
    assert_eq!((rewrite.snat, rewrite.src), (false, None));
    assert_eq!(record, Some(router));
    // routed inward too, where the upstream routes the tenant's network here
    coast.world.change_router(coast.edge, |r| {
        let route = ("10.1.0.0/24".parse().unwrap(), ip(ADDRESS));
        r.routes.push(topology::Route::via(route.0, route.1));
    });
    let snapshot = coast.snapshot();
    let frame = coast.from_upstream(0, coast.b.v4, Payload::Tcp(1, 22, tcp_flag::SYN));
    let first = send(&snapshot, coast.uplinks[0].plug, &frame.bytes());
    assert_eq!(*sent(&first).0, at_router(router, "host2"));
    // its answer is not translated, though the VM might have a floating IP
    let own = (coast.b.port, coast.b.v4);
    coast
        .world
        .floating_ip((coast.external, "203.0.113.130"), router, own);
    let answer = coast
        .b
        .to(ip(FAR), Payload::Tcp(22, 1, tcp_flag::ACK))
        .bytes();
    let verdict = crate::send_reply(&coast.snapshot(), coast.b.port, &answer);
    assert_eq!((sent(&verdict).1.src, sent(&verdict).4), (None, true));
}

#[test]
fn vms_of_one_tenant_meet_by_floating_ip_with_the_routers_address() {
    let coast = leased();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let frame = coast
        .b
        .to(ip("203.0.113.101"), Payload::Tcp(40_000, 22, tcp_flag::SYN));
    let first = send(&snapshot, coast.b.port, &frame.bytes());
    let (to, rewrite, record, ..) = sent(&first);
    assert_eq!(*to, at_router(router, "host1"));
    assert_eq!((rewrite.snat, record), (true, Some(router)));
    // a's answer goes to the block of b's host
    let seen = Frame {
        src: ip(ADDRESS),
        payload: Payload::Tcp(0x0805, 22, tcp_flag::SYN),
        ..frame
    };
    let key = answer_key(
        &seen,
        coast.a.mac,
        coast.a.gateway,
        ip("203.0.113.101"),
        ip(ADDRESS),
    );
    let back = decide(&snapshot, coast.a.port, key, &[]);
    assert_eq!(*sent(&back.verdict).0, at_router(router, "host2"));
    assert_eq!(key.proto, protocol::TCP);
}
