//! The agent's side of sync: follows the topology, reports ports.
//!
//! It tells the cluster what it holds and is sent the difference, so a connection that breaks costs
//! nothing but the time to make a new one. While there is none, the agent works by what it has.

use crate::{backoff::Backoff, local_api::drop_count, shared::Shared};
use datapath::{Maps, MapsError};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use sync::{
    BLOCK_WISHES, BlockWish, Counters, DecodeError, Decoder, EncodeError, FromAgent, FromCluster,
    HEARTBEAT, Heartbeat, Hello, PROTOCOL, PortStatus, SILENCE,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use topology::{Change, HostId, PortId, RouterId};
use uuid::Uuid;

/// Longest wait for a cluster node to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Time after which what was asked for and has not come is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Changes of one step that are kept until it is complete.
const STEP_MAX: usize = 4_000_000;

/// Bytes read at once.
const READ: usize = 64 << 10;

/// Who this host is to the cluster.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its identity.
    pub host: HostId,
    /// What Nova and Neutron call it.
    pub name: String,
    /// Underlay address that other hosts send to.
    pub tunnel: IpAddr,
    /// Its availability zone; empty if it is in none.
    pub zone: String,
    /// The deployment's secret.
    pub secret: String,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The network.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Nothing was heard, or nothing was taken, for too long.
    #[error("no sign of life for {} s", SILENCE.as_secs())]
    Silent,
    /// What came is no message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What was to be said is no message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The cluster speaks another protocol.
    #[error("cluster speaks protocol {0}, this agent {PROTOCOL}: they are of different releases")]
    Protocol(u32),
    /// The cluster does not want this agent.
    #[error("refused: {0}")]
    Refused(String),
    /// Changes before the welcome, or more than can be kept.
    #[error("cluster does not keep to the protocol: {0}")]
    Misbehaved(&'static str),
    /// The kernel's tables could not be brought in line. The agent ends: a fresh one starts with
    /// clean tables, and until then the kernel forwards by what it has.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

/// Follows the topology.
pub struct Follower<M> {
    shared: Arc<Shared<M>>,
    identity: Identity,
    addresses: Vec<String>,
}

impl<M: Maps> Follower<M> {
    /// That will try these cluster nodes in turn.
    pub fn new(shared: Arc<Shared<M>>, identity: Identity, addresses: Vec<String>) -> Self {
        Self {
            shared,
            identity,
            addresses,
        }
    }

    /// Connects, follows, and connects again, until the kernel's tables fail.
    pub async fn run(self) -> MapsError {
        let mut backoff = Backoff::new(self.identity.host.0.as_u128() as u64);
        for address in self.addresses.iter().cycle() {
            let error = match Session::open(&self, address).await {
                Ok(session) => {
                    let start = Instant::now();
                    let error = session.follow().await;
                    if start.elapsed() > SILENCE {
                        backoff.reset();
                    }
                    error
                }
                Err(error) => error,
            };
            if let SessionError::Maps(error) = error {
                return error;
            }
            tracing::warn!(cluster = address, %error, "not connected");
            self.shared
                .set_cluster(None, Some(format!("{address}: {error}")));
            sleep(backoff.pause()).await;
        }
        unreachable!("the configuration names at least one cluster node");
    }
}

/// A connection on which the agent is welcome.
struct Session<'a, M> {
    shared: &'a Shared<M>,
    instance: Uuid,
    reader: Reader,
    write: OwnedWriteHalf,
    up: watch::Receiver<BTreeSet<PortId>>,
    /// What the cluster was last told of.
    told: BTreeSet<PortId>,
    down: watch::Receiver<BTreeMap<PortId, String>>,
    wishes: watch::Receiver<BTreeMap<RouterId, BlockWish>>,
    /// What the cluster was last asked for.
    asked: BTreeMap<RouterId, BlockWish>,
    reclaim_after: Duration,
    /// The agent has what the cluster has: leases, too, are as the cluster says.
    current: bool,
    /// Changes of a step that is not complete.
    step: Vec<Change>,
}

impl<'a, M: Maps> Session<'a, M> {
    async fn open(follower: &'a Follower<M>, address: &str) -> Result<Self, SessionError> {
        let connect = timeout(CONNECT, TcpStream::connect(address));
        let stream = connect.await.map_err(|_| SessionError::Silent)??;
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let hello = hello(&follower.identity, &follower.shared);
        send(&mut write, &FromAgent::Hello(Box::new(hello))).await?;
        let mut reader = Reader::new(read);
        let (instance, reclaim_after) = match timeout(SILENCE, reader.next()).await {
            Err(_) => return Err(SessionError::Silent),
            Ok(Ok(FromCluster::Welcome {
                instance,
                protocol: PROTOCOL,
                reclaim_after,
            })) => (instance, Duration::from_secs(reclaim_after)),
            Ok(Ok(FromCluster::Welcome { protocol, .. })) => {
                return Err(SessionError::Protocol(protocol));
            }
            Ok(Ok(FromCluster::Refused { why })) => return Err(SessionError::Refused(why)),
            Ok(Ok(_)) => return Err(SessionError::Misbehaved("no welcome")),
            Ok(Err(error)) => return Err(error),
        };
        tracing::info!(cluster = address, %instance, "connected");
        follower.shared.set_cluster(Some(address.to_owned()), None);
        let mut session = Self {
            shared: &follower.shared,
            instance,
            reader,
            write,
            up: follower.shared.up.subscribe(),
            told: BTreeSet::new(),
            down: follower.shared.down.subscribe(),
            wishes: follower.shared.wishes.subscribe(),
            asked: BTreeMap::new(),
            reclaim_after,
            current: false,
            step: Vec::new(),
        };
        session.down.mark_changed();
        session.wishes.mark_changed();
        session.report(true).await?;
        Ok(session)
    }

    async fn follow(mut self) -> SessionError {
        match self.exchange().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn exchange(&mut self) -> Result<Infallible, SessionError> {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ask_again = interval(ASK_AGAIN);
        ask_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = self.reader.next() => {
                    heard = Instant::now();
                    self.take(message?)?;
                    if self.current {
                        self.shared.heard_cluster(self.reclaim_after);
                    }
                }
                _ = heartbeat.tick() => self.heartbeat().await?,
                _ = ask_again.tick() => {
                    self.asked.clear();
                    self.wish().await?;
                }
                _ = self.wishes.changed() => self.wish().await?,
                _ = self.up.changed() => self.report(false).await?,
                () = sleep_until(heard + SILENCE) => return Err(SessionError::Silent),
            }
        }
    }

    fn take(&mut self, message: FromCluster) -> Result<(), SessionError> {
        match message {
            FromCluster::Heartbeat => Ok(()),
            FromCluster::Refused { why } => Err(SessionError::Refused(why)),
            FromCluster::Welcome { .. } => Err(SessionError::Misbehaved("a second welcome")),
            FromCluster::Changes {
                revision,
                mut changes,
                complete,
            } => {
                self.step.append(&mut changes);
                if self.step.len() > STEP_MAX {
                    return Err(SessionError::Misbehaved("a step without end"));
                }
                if complete {
                    self.apply(revision)
                } else {
                    Ok(())
                }
            }
        }
    }

    fn apply(&mut self, revision: u64) -> Result<(), SessionError> {
        let changes = std::mem::take(&mut self.step);
        tracing::debug!(revision, changes = changes.len(), "topology");
        self.shared
            .world()
            .apply(self.instance, revision, changes)?;
        self.shared.changed.send_replace(());
        self.current = true;
        Ok(())
    }

    /// Asks for blocks of ports, unless it has been asked already.
    async fn wish(&mut self) -> Result<(), SessionError> {
        let wishes = self.wishes.borrow_and_update().clone();
        let new = wishes
            .iter()
            .filter(|(id, w)| self.asked.get(id) != Some(w));
        let new: Vec<BlockWish> = new.map(|(_, wish)| wish.clone()).collect();
        self.asked = wishes;
        for part in new.chunks(BLOCK_WISHES) {
            send(&mut self.write, &FromAgent::Blocks(part.to_vec())).await?;
        }
        Ok(())
    }

    /// Tells of the ports that went up or down; of all that are up the first time.
    async fn report(&mut self, first: bool) -> Result<(), SessionError> {
        let up = self.up.borrow_and_update().clone();
        let news: Vec<PortStatus> = self
            .told
            .symmetric_difference(&up)
            .map(|port| PortStatus {
                port: *port,
                up: up.contains(port),
            })
            .collect();
        self.told = up;
        if first || !news.is_empty() {
            send(&mut self.write, &FromAgent::Ports(news)).await?;
        }
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<(), SessionError> {
        let heartbeat = {
            let world = self.shared.world();
            let counters = Counters {
                ports: self.told.len() as u64,
                decisions: world.table().map_or(0, |table| table.len() as u64),
                upcalls: self.shared.metrics.upcalls(),
                drops: drop_count(&world)?,
            };
            Heartbeat {
                revision: world.revision(),
                counters,
            }
        };
        send(&mut self.write, &FromAgent::Heartbeat(heartbeat)).await?;
        self.explain().await
    }

    /// Tells why ports are not up, if that is news. People can wait for the next heartbeat.
    async fn explain(&mut self) -> Result<(), SessionError> {
        if !self.down.has_changed().unwrap_or(false) {
            return Ok(());
        }
        let down = self.down.borrow_and_update().clone();
        send(&mut self.write, &FromAgent::Down(down)).await
    }
}

fn hello<M: Maps>(identity: &Identity, shared: &Shared<M>) -> Hello {
    let world = shared.world();
    let have = world
        .snapshot()
        .objects()
        .map(|v| (v.object.id(), v.revision))
        .collect();
    Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: identity.host,
        name: identity.name.clone(),
        tunnel: identity.tunnel,
        zone: identity.zone.clone(),
        secret: identity.secret.clone(),
        instance: world.instance(),
        have,
    }
}

async fn send(write: &mut OwnedWriteHalf, message: &FromAgent) -> Result<(), SessionError> {
    let bytes = sync::encode(message)?;
    timeout(SILENCE, write.write_all(&bytes))
        .await
        .map_err(|_| SessionError::Silent)??;
    Ok(())
}

/// Messages from a connection.
struct Reader {
    read: OwnedReadHalf,
    decoder: Decoder,
    buffer: Box<[u8]>,
}

impl Reader {
    fn new(read: OwnedReadHalf) -> Self {
        Self {
            read,
            decoder: Decoder::default(),
            buffer: vec![0; READ].into(),
        }
    }

    /// The next message. May be given up at any time and asked again: bytes that were read are in
    /// the decoder.
    async fn next(&mut self) -> Result<FromCluster, SessionError> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return Ok(message);
            }
            match self.read.read(&mut self.buffer).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                length => self.decoder.feed(&self.buffer[..length]),
            }
        }
    }
}

#[cfg(test)]
mod tests;
