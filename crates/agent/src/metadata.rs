//! The metadata service: servers ask at `169.254.169.254` and `fe80::a9fe:a9fe`, Nova answers.
//!
//! ```text
//! VM --tap--> kernel program --mn-meta0--> namespace: this proxy --host's network--> Nova
//!             source becomes the asker's number
//! ```
//!
//! The kernel program gives packets for the service a source that is a number of the port and address
//! they came from (`askers`), so the peer of a connection says which port asks: nothing that a VM
//! sends does. The proxy (`request`) tells Nova which server that is and signs it. Bodies stream in
//! both directions and are never held whole.
//!
//! | file | idea |
//! |---|---|
//! | `device` | the namespace and its link to the kernel program |
//! | `askers` | a number for each source |
//! | `request`, `failure` | what is said to Nova, and to the VM when Nova says nothing |
//! | `config` | its section of the configuration file |
//! | `doors`, `silence` | limits on connections |
//! | `counters` | metrics |

pub mod askers;
pub mod config;
pub mod counters;
pub mod device;
mod doors;
mod failure;
pub mod request;
mod silence;

use crate::shared::Shared;
use askers::Asker;
use config::MetadataConfig;
use doors::{Doors, Inside};
use failure::Failure;
use http_body_util::{Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1 as client,
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use silence::Silence;
use std::{
    convert::Infallible,
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use topology::PortId;

/// How long a VM may take to send the headers of a request.
const HEADERS_TIME: Duration = Duration::from_secs(10);
/// Bytes of the headers of a request, and of a body that are held at a time.
const BUFFER: usize = 16 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// How long a connection with a VM may be silent. Longer than Nova's, so that a VM is told that Nova
/// is silent.
const VM_SILENCE: Duration = Duration::from_secs(60);
/// How long Nova may be.
const NOVA_SILENCE: Duration = Duration::from_secs(30);
/// How long it may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Pause after the system had no connection to give, mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Least time between two log lines about failures: VMs can make any number.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// What a VM is sent: Nova's answer as it comes, or a few words of ours.
type Body = Either<Incoming, Full<Bytes>>;

/// See the module.
pub struct Service<M> {
    shared: Arc<Shared<M>>,
    config: MetadataConfig,
    /// `host:port`.
    nova: String,
    doors: Arc<Doors>,
    log: Log,
}

impl<M: Send + 'static> Service<M> {
    /// That asks the Nova of this configuration.
    pub fn new(shared: Arc<Shared<M>>, config: MetadataConfig) -> Arc<Self> {
        Arc::new(Self {
            shared,
            doors: Doors::new(config.connections_per_port),
            nova: config.nova().unwrap_or_default(),
            config,
            log: Log::default(),
        })
    }

    /// Serves for ever. While all connections are in use new ones wait in the kernel's queue.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> Infallible {
        let room = Arc::new(Semaphore::new(self.config.connections));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                unreachable!("nobody closes the semaphore");
            };
            match listener.accept().await {
                Ok((stream, peer)) => self.accept(stream, peer, permit),
                Err(error) => {
                    tracing::warn!(%error, "metadata service cannot take a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn accept(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // a number that is not in use any more: its port has gone
        let Some(asker) = self.shared.world().asker(peer.ip()) else {
            return;
        };
        match self.doors.enter(asker.port) {
            Some(inside) => {
                let talk = Arc::clone(self).talk(stream, asker, (inside, permit));
                tokio::spawn(talk);
            }
            None => self.turn_away(stream, asker.port),
        }
    }

    /// Costs as little as can be: whoever opens too many connections does not read what is said.
    fn turn_away(&self, stream: TcpStream, port: PortId) {
        let failure = Failure::TooMany(self.config.connections_per_port);
        self.shared.metrics.metadata.turned_away(&failure);
        self.log.failed(port, &failure);
        let said = failure.told();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{said}\n",
            said.len() + 1
        );
        // if it is not taken at once it is not worth waiting for
        let _ = stream
            .into_std()
            .and_then(|mut s| s.write_all(answer.as_bytes()));
    }

    async fn talk(
        self: Arc<Self>,
        stream: TcpStream,
        asker: Asker,
        _room: (Inside, OwnedSemaphorePermit),
    ) {
        let stream = TokioIo::new(Silence::limit(stream, VM_SILENCE));
        let service = service_fn(|request| self.answer(asker, request));
        let served = server::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_TIME)
            .max_headers(HEADERS)
            .max_buf_size(BUFFER)
            .serve_connection(stream, service)
            .await;
        if let Err(error) = served {
            tracing::debug!(port = %asker.port, %error, "metadata connection broken");
        }
    }

    async fn answer(
        &self,
        asker: Asker,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let start = Instant::now();
        let result = self.ask(&asker, request).await;
        let failure = result.as_ref().err();
        self.shared.metrics.metadata.asked(failure, start.elapsed());
        match result {
            Ok(answer) => Ok(answer.map(Either::Left)),
            Err(failure) => {
                self.log.failed(asker.port, &failure);
                Ok(failure.answer())
            }
        }
    }

    async fn ask(
        &self,
        asker: &Asker,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, Failure> {
        let port = self.shared.world().snapshot().port(asker.port).cloned();
        let instance = port.and_then(|port| port.instance.clone());
        let instance = instance.ok_or(Failure::NoInstance)?;
        let secret = self.config.shared_secret.reveal();
        let request = request::to_nova(request, &self.nova, secret, &instance, asker)
            .ok_or(Failure::NoPath)?;
        let mut answer = send(&self.nova, request).await?;
        if answer.status() == StatusCode::FORBIDDEN {
            return Err(Failure::Refused);
        }
        request::strip(answer.headers_mut());
        Ok(answer)
    }
}

/// One request on a connection of its own, which lives as long as the body of the answer.
async fn send(nova: &str, request: Request<Incoming>) -> Result<Response<Incoming>, Failure> {
    let connected = timeout(CONNECT, TcpStream::connect(nova)).await;
    let stream = connected
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(Failure::Unreachable)?;
    let stream = TokioIo::new(Silence::limit(stream, NOVA_SILENCE));
    let handshake = client::Builder::new()
        .max_buf_size(BUFFER)
        .handshake(stream)
        .await;
    let (mut sender, connection) = handshake.map_err(Failure::NoAnswer)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to Nova broken");
        }
    });
    sender
        .send_request(request)
        .await
        .map_err(Failure::NoAnswer)
}

/// What the log is told: that requests fail, now and then.
#[derive(Debug, Default)]
struct Log {
    last: Mutex<Option<Instant>>,
    unsaid: AtomicU64,
}

impl Log {
    fn failed(&self, port: PortId, failure: &Failure) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < LOG_PAUSE) {
            self.unsaid.fetch_add(1, Relaxed);
            return;
        }
        *last = Some(Instant::now());
        let unsaid = self.unsaid.swap(0, Relaxed);
        tracing::warn!(%port, %failure, unsaid, "no metadata for a server");
    }
}
