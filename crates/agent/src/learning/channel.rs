//! The socket that agents talk by, and the task that talks.

use super::{Seal, Speech, claim::DATAGRAM_MAX, hearing::Copies};
use crate::{flood::Underlay, metrics::count, shared::Shared};
use bpf_abi::MARK_TO_PORT;
use datapath::{Injector, Maps, MapsError, Outgoing};
use std::{io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{net::UdpSocket, time::sleep};

/// Shortest time between two speeches, so that what comes thick is told in few datagrams.
const PACE: Duration = Duration::from_millis(5);

/// Datagrams that are sent or read before others have their turn.
const BATCH: usize = 64;

/// Longest time without a look at what is due.
const LOOK: Duration = Duration::from_secs(1);

/// Everything the task uses.
pub struct Channel {
    /// Bound to the address that other hosts know this one by.
    pub socket: UdpSocket,
    /// The port of all agents.
    pub port: u16,
    /// Of the deployment.
    pub seal: Seal,
    /// Questions to ports of this host.
    pub injector: Injector,
    /// Questions to ports of other hosts.
    pub underlay: Underlay,
}

/// Opens the socket.
pub fn open(local: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((local, port))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

impl Channel {
    /// Talks and listens until the kernel's tables fail.
    pub async fn run<M: Maps>(mut self, shared: Arc<Shared<M>>) -> MapsError {
        loop {
            if let Err(error) = self.turn(&shared).await {
                return error;
            }
        }
    }

    async fn turn<M: Maps>(&mut self, shared: &Shared<M>) -> Result<(), MapsError> {
        let speech = shared.world().speak(linux::monotonic_ns())?;
        let wait = wait(&speech);
        self.say(shared, speech).await;
        sleep(PACE).await;
        tokio::select! {
            () = shared.heard.notified() => {}
            ready = self.socket.readable() => match ready {
                Ok(()) => self.listen(shared)?,
                Err(error) => tracing::debug!(%error, "socket for other agents"),
            },
            () = sleep(wait) => {}
        }
        Ok(())
    }

    async fn say<M: Maps>(&mut self, shared: &Shared<M>, speech: Speech) {
        for copies in &speech.frames {
            self.ask(shared, copies);
        }
        let mut sent = 0;
        for (host, message) in &speech.messages {
            for datagram in self.seal.close(message) {
                // what is lost is said again
                if let Err(error) = self
                    .socket
                    .try_send_to(&datagram, (*host, self.port).into())
                {
                    tracing::debug!(%host, %error, "news of stations lost");
                }
                sent += 1;
                if sent % BATCH == 0 {
                    sleep(PACE).await;
                }
            }
        }
    }

    fn ask<M: Maps>(&mut self, shared: &Shared<M>, copies: &Copies) {
        for tap in &copies.taps {
            let frame = Outgoing {
                mark: MARK_TO_PORT | tap,
                bytes: &copies.frame,
                gso_size: 0,
            };
            if let Err(error) = self.injector.send(frame) {
                count(&shared.metrics.refused);
                tracing::debug!(%error, "question lost");
            }
        }
        for (address, vni) in &copies.remote {
            if let Err(error) = self.underlay.send(*address, *vni, &copies.frame) {
                count(&shared.metrics.refused);
                tracing::debug!(%address, %error, "question lost");
            }
        }
    }

    fn listen<M: Maps>(&self, shared: &Shared<M>) -> Result<(), MapsError> {
        let mut buffer = [0; DATAGRAM_MAX + 1];
        for _ in 0..BATCH {
            let Ok((length, from)) = self.socket.try_recv_from(&mut buffer) else {
                break;
            };
            if let Some(message) = self.seal.open(&buffer[..length]) {
                let mut world = shared.world();
                world.hear(from.ip(), message, linux::monotonic_ns())?;
            }
        }
        Ok(())
    }
}

fn wait(speech: &Speech) -> Duration {
    let next = speech.next.unwrap_or(u64::MAX);
    let left = Duration::from_nanos(next.saturating_sub(linux::monotonic_ns()));
    left.min(LOOK)
}
