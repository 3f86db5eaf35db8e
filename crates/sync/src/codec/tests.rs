//! Whatever is encoded comes out again however it is cut; whatever else arrives does no harm.

use super::*;
use crate::{BlockWish, FromAgent, FromCluster, Heartbeat, Hello, PortStatus, changes_frames};
use proptest::prelude::*;
use topology::{BridgeId, Change, HostId, ObjectId, PortId, RouterId};
use uuid::Uuid;

fn from_agent() -> impl Strategy<Value = FromAgent> {
    let hello = (
        any::<u128>(),
        ".{0,40}",
        any::<std::net::IpAddr>(),
        any::<Option<u64>>(),
    )
        .prop_map(|(id, name, tunnel, revision)| {
            FromAgent::Hello(Box::new(Hello {
                protocol: crate::PROTOCOL,
                version: "1".into(),
                host: HostId(Uuid::from_u128(id)),
                secret: name.clone(),
                name,
                tunnel,
                zone: "north".into(),
                instance: revision.map(|_| Uuid::from_u128(id)),
                have: revision
                    .map(|r| (ObjectId::Bridge(BridgeId(Uuid::nil())), r))
                    .into_iter()
                    .collect(),
            }))
        });
    let ports = prop::collection::vec((any::<u128>(), any::<bool>()), 0..5).prop_map(|ports| {
        let status = |(id, up)| PortStatus {
            port: PortId(Uuid::from_u128(id)),
            up,
        };
        FromAgent::Ports(ports.into_iter().map(status).collect())
    });
    let heartbeat = any::<u64>().prop_map(|revision| {
        FromAgent::Heartbeat(Heartbeat {
            revision,
            ..Default::default()
        })
    });
    let down = prop::collection::btree_map(any::<u128>(), ".{0,40}", 0..5).prop_map(|down| {
        let of = |(id, why)| (PortId(Uuid::from_u128(id)), why);
        FromAgent::Down(down.into_iter().map(of).collect())
    });
    let wish = (
        any::<u128>(),
        any::<Option<u64>>(),
        any::<u16>(),
        prop::collection::btree_set(any::<u8>(), 0..5),
    );
    let wish = wish.prop_map(|(router, seen, want, unused)| BlockWish {
        router: RouterId(Uuid::from_u128(router)),
        seen,
        want,
        unused,
    });
    let blocks = prop::collection::vec(wish, 0..5).prop_map(FromAgent::Blocks);
    prop_oneof![hello, ports, heartbeat, down, blocks]
}

proptest! {
    #[test]
    fn messages_survive_any_cutting(
        messages in prop::collection::vec(from_agent(), 0..6),
        cut in 1_usize..50,
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|m| encode(m).unwrap()).collect();
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        for part in bytes.chunks(cut) {
            decoder.feed(part);
            while let Some(message) = decoder.next::<FromAgent>().unwrap() {
                got.push(message);
            }
        }
        prop_assert_eq!(got, messages);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        while let Ok(Some(_)) = decoder.next::<FromCluster>() {}
    }

    #[test]
    fn damaged_messages_never_panic(message in from_agent(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encode(&message).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        while let Ok(Some(_)) = decoder.next::<FromAgent>() {}
    }
}

#[test]
fn a_long_length_is_refused_before_its_bytes_arrive() {
    let mut decoder = Decoder::default();
    decoder.feed(b"GET / HTTP/1.1\r\n");
    assert!(matches!(
        decoder.next::<FromAgent>(),
        Err(DecodeError::TooLong(_))
    ));
}

#[test]
fn a_large_step_is_cut_and_only_its_last_frame_is_complete() {
    let change = |n: u128| Change::Delete(ObjectId::Port(PortId(Uuid::from_u128(n))));
    let changes: Vec<Change> = (0..40_000).map(change).collect();
    let frames = changes_frames(7, changes.clone());
    assert!(frames.len() > 1);
    let mut joined = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        assert!(encode(frame).unwrap().len() < FRAME_MAX);
        let FromCluster::Changes {
            revision: 7,
            changes,
            complete,
        } = frame
        else {
            panic!("{frame:?}")
        };
        assert_eq!(*complete, index == frames.len() - 1);
        joined.extend(changes.iter().cloned());
    }
    assert_eq!(joined, changes);
    assert_eq!(changes_frames(7, Vec::new()).len(), 1);
}

#[test]
fn the_secret_is_not_shown() {
    let hello = Hello {
        protocol: 1,
        version: String::new(),
        host: HostId(Uuid::nil()),
        name: "h1".into(),
        tunnel: [192, 0, 2, 1].into(),
        zone: String::new(),
        secret: "open sesame".into(),
        instance: None,
        have: Vec::new(),
    };
    assert!(!format!("{hello:?}").contains("sesame"));
}
