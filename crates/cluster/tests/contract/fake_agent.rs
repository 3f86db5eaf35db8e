//! An agent that keeps what it is sent and does nothing else.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use sync::{Decoder, FromAgent, FromCluster, Heartbeat, Hello, PROTOCOL, PortStatus, encode};
use topology::{HostId, PortId, Snapshot};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct FakeAgent {
    stream: TcpStream,
    decoder: Decoder,
    pub instance: Option<Uuid>,
    pub reclaim_after: u64,
    pub topology: Snapshot,
    pub revision: u64,
    /// Changes in each step.
    pub steps: Vec<usize>,
}

/// A hello as an agent on this host would say it.
pub fn hello(n: u128) -> Hello {
    Hello {
        protocol: PROTOCOL,
        version: "test".to_owned(),
        host: HostId(Uuid::from_u128(n)),
        name: format!("h{n}"),
        tunnel: format!("192.0.2.{n}").parse().unwrap(),
        zone: "north".to_owned(),
        secret: crate::server::SECRET.to_owned(),
        instance: None,
        have: Vec::new(),
    }
}

impl FakeAgent {
    pub fn open(sync: SocketAddr, hello: Hello) -> Self {
        let stream = TcpStream::connect(sync).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut agent = Self {
            stream,
            decoder: Decoder::default(),
            instance: None,
            reclaim_after: 0,
            topology: Snapshot::default(),
            revision: 0,
            steps: Vec::new(),
        };
        agent.say(&FromAgent::Hello(Box::new(hello)));
        agent
    }

    /// Opens and takes the first step.
    pub fn join(sync: SocketAddr, hello: Hello) -> Self {
        Self::open(sync, hello).after_welcome(Snapshot::default())
    }

    /// Comes back with what it has.
    pub fn rejoin(sync: SocketAddr, mut hello: Hello, before: FakeAgent) -> Self {
        hello.instance = before.instance;
        hello.have = before
            .topology
            .objects()
            .map(|v| (v.object.id(), v.revision))
            .collect();
        Self::open(sync, hello).after_welcome(before.topology)
    }

    fn after_welcome(mut self, holding: Snapshot) -> Self {
        self.topology = holding;
        match self.read() {
            Some(FromCluster::Welcome {
                instance,
                reclaim_after,
                ..
            }) => (self.instance, self.reclaim_after) = (Some(instance), reclaim_after),
            other => panic!("{other:?}"),
        }
        self.until("the first step", |agent| !agent.steps.is_empty());
        self
    }

    pub fn say(&mut self, message: &FromAgent) {
        self.stream.write_all(&encode(message).unwrap()).unwrap();
    }

    pub fn ports(&mut self, ports: &[(u128, bool)]) {
        let status = |(n, up): &(u128, bool)| PortStatus {
            port: PortId(Uuid::from_u128(*n)),
            up: *up,
        };
        self.say(&FromAgent::Ports(ports.iter().map(status).collect()));
    }

    pub fn heartbeat(&mut self) {
        let revision = self.revision;
        self.say(&FromAgent::Heartbeat(Heartbeat {
            revision,
            ..Heartbeat::default()
        }));
    }

    /// The next message; `None` when the cluster has closed.
    pub fn read(&mut self) -> Option<FromCluster> {
        loop {
            if let Some(message) = self.decoder.next().unwrap() {
                return Some(message);
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.decoder.feed(&bytes[..count]);
        }
    }

    /// Applies what comes until something holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}");
            match self.read() {
                Some(FromCluster::Changes {
                    revision, changes, ..
                }) => {
                    self.steps.push(changes.len());
                    self.revision = revision;
                    for change in changes {
                        self.topology.apply(change);
                    }
                }
                Some(FromCluster::Heartbeat) => {}
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}
