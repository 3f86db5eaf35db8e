//! The follower against a cluster made of a socket.

use super::*;
use crate::{
    fixture::{bridge, port},
    state::{Saved, StateDir},
    world::World,
};
use datapath::FakeMaps;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use topology::{Object, ObjectId, Snapshot, Versioned};

const DEADLINE: Duration = Duration::from_secs(20);

/// The cluster's end of one connection.
struct Peer {
    stream: TcpStream,
    decoder: Decoder,
}

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let accepted = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        Self {
            stream: accepted.0,
            decoder: Decoder::default(),
        }
    }

    async fn send(&mut self, message: &FromCluster) {
        self.stream
            .write_all(&sync::encode(message).unwrap())
            .await
            .unwrap();
    }

    /// The next message that is no heartbeat, or `None` when the agent hangs up.
    async fn next(&mut self) -> Option<FromAgent> {
        let mut buffer = [0; 4096];
        loop {
            match self.decoder.next().unwrap() {
                Some(FromAgent::Heartbeat(_)) => continue,
                Some(message) => return Some(message),
                None => {}
            }
            match timeout(DEADLINE, self.stream.read(&mut buffer))
                .await
                .unwrap()
            {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.decoder.feed(&buffer[..length]),
            }
        }
    }

    async fn hello(&mut self) -> Hello {
        match self.next().await {
            Some(FromAgent::Hello(hello)) => *hello,
            other => panic!("no hello: {other:?}"),
        }
    }

    async fn welcome(&mut self, instance: Uuid) -> Hello {
        let hello = self.hello().await;
        self.send(&FromCluster::Welcome {
            instance,
            protocol: PROTOCOL,
            reclaim_after: 60,
        })
        .await;
        hello
    }

    async fn ports(&mut self) -> Vec<PortStatus> {
        match self.next().await {
            Some(FromAgent::Ports(ports)) => ports,
            other => panic!("no ports: {other:?}"),
        }
    }
}

struct Bench {
    listener: TcpListener,
    shared: Arc<Shared<FakeMaps>>,
    _dir: tempfile::TempDir,
}

impl Bench {
    /// A follower that runs against a listener.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let world = World::new("h1".into(), FakeMaps::default());
        let shared = Arc::new(Shared::new(world, state).unwrap());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let identity = Identity {
            host: HostId(Uuid::from_u128(7)),
            name: "h1".into(),
            zone: String::new(),
            tunnel: [192, 0, 2, 1].into(),
            secret: "s".into(),
        };
        tokio::spawn(Follower::new(Arc::clone(&shared), identity, vec![address]).run());
        Self {
            listener,
            shared,
            _dir: dir,
        }
    }

    async fn until(&self, condition: impl Fn(&World<FakeMaps>) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            while !condition(&self.shared.world()) {
                changed.changed().await.unwrap();
            }
        };
        timeout(DEADLINE, wait).await.unwrap();
    }
}

fn put(revision: u64, object: Object) -> Change {
    Change::Put(Versioned { revision, object })
}

#[tokio::test]
async fn a_step_is_applied_when_it_is_complete_and_resumed_from_after_a_break() {
    let bench = Bench::start().await;
    let instance = Uuid::from_u128(1);
    let mut peer = Peer::accept(&bench.listener).await;
    let hello = peer.welcome(instance).await;
    assert_eq!(
        (
            hello.instance,
            hello.have,
            hello.tunnel.to_string().as_str()
        ),
        (None, vec![], "192.0.2.1")
    );
    assert_eq!(peer.ports().await, []);

    let changes = vec![put(3, Object::Bridge(bridge()))];
    peer.send(&FromCluster::Changes {
        revision: 4,
        changes,
        complete: false,
    })
    .await;
    let changes = vec![put(4, Object::Port(port(1, "h1")))];
    peer.send(&FromCluster::Changes {
        revision: 4,
        changes,
        complete: true,
    })
    .await;
    bench.until(|world| world.revision() == 4).await;
    assert!(
        bench
            .shared
            .world()
            .snapshot()
            .bridge(bridge().id)
            .is_some()
    );

    let changes = vec![Change::Delete(ObjectId::Bridge(bridge().id))];
    peer.send(&FromCluster::Changes {
        revision: 5,
        changes,
        complete: false,
    })
    .await;
    drop(peer);
    let mut peer = Peer::accept(&bench.listener).await;
    let hello = peer.welcome(instance).await;
    let have = vec![
        (ObjectId::Bridge(bridge().id), 3),
        (ObjectId::Port(port(1, "h1").id), 4),
    ];
    assert_eq!((hello.instance, hello.have), (Some(instance), have));
    let changes = vec![Change::Delete(ObjectId::Bridge(bridge().id))];
    peer.send(&FromCluster::Changes {
        revision: 5,
        changes,
        complete: true,
    })
    .await;
    bench.until(|world| world.revision() == 5).await;
    assert!(
        bench
            .shared
            .world()
            .snapshot()
            .bridge(bridge().id)
            .is_none()
    );
}

#[tokio::test]
async fn ports_are_reported_in_full_first_and_by_difference_later() {
    let bench = Bench::start().await;
    let (one, two) = (port(1, "h1").id, port(2, "h1").id);
    bench.shared.up.send_replace(BTreeSet::from([one]));
    let mut peer = Peer::accept(&bench.listener).await;
    peer.welcome(Uuid::nil()).await;
    assert_eq!(
        peer.ports().await,
        [PortStatus {
            port: one,
            up: true
        }]
    );
    bench.shared.up.send_replace(BTreeSet::from([two]));
    let mut news = peer.ports().await;
    news.sort_by_key(|status| status.up);
    assert_eq!(
        news,
        [
            PortStatus {
                port: one,
                up: false
            },
            PortStatus {
                port: two,
                up: true
            }
        ]
    );
    drop(peer);
    let mut peer = Peer::accept(&bench.listener).await;
    peer.welcome(Uuid::nil()).await;
    assert_eq!(
        peer.ports().await,
        [PortStatus {
            port: two,
            up: true
        }]
    );
}

#[tokio::test]
async fn a_refusal_is_shown_and_tried_again() {
    let bench = Bench::start().await;
    let mut peer = Peer::accept(&bench.listener).await;
    peer.hello().await;
    peer.send(&FromCluster::Refused {
        why: "the secret is wrong".into(),
    })
    .await;
    assert!(peer.next().await.is_none());
    let mut peer = Peer::accept(&bench.listener).await;
    let shown = bench.shared.cluster();
    assert!(shown.node.is_none() && shown.error.unwrap().contains("the secret is wrong"));
    peer.welcome(Uuid::nil()).await;
    peer.ports().await;
    assert!(bench.shared.cluster().node.is_some());
}

#[tokio::test]
async fn nonsense_ends_the_connection_and_not_the_agent() {
    let bench = Bench::start().await;
    for nonsense in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\0\0\0\x02{}",
        b"\0\0\0\x01",
    ] {
        let mut peer = Peer::accept(&bench.listener).await;
        peer.welcome(Uuid::nil()).await;
        peer.stream.write_all(nonsense).await.unwrap();
        peer.stream.shutdown().await.unwrap();
        while peer.next().await.is_some() {}
    }
    let mut peer = Peer::accept(&bench.listener).await;
    peer.welcome(Uuid::nil()).await;
}

#[test]
fn a_restored_world_says_what_it_holds() {
    let mut world = World::new("h1".into(), FakeMaps::default());
    let snapshot = Snapshot::of([Object::Bridge(bridge())]);
    let saved = Saved {
        instance: Some(Uuid::from_u128(1)),
        revision: 9,
        snapshot,
    };
    world.restore(saved).unwrap();
    assert_eq!((world.revision(), world.is_ready()), (9, true));
}
