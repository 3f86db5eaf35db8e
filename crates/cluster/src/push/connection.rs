//! One agent: who it is, what it needs, what it says.

use super::frames::{LinkError, Reader, Sender};
use crate::{agents::Session, app::App, writer::Work};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use store::Revision;
use sync::changes_frames;
use sync::{BlockWish, FromAgent, FromCluster, HEARTBEAT, Hello, PROTOCOL, PortStatus, SILENCE};
use tokio::{
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use topology::{Change, PortId, View};

/// Time for the first message.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// Longest host name.
const NAME_MAX: usize = 255;

/// Serves one agent until either side has had enough.
pub async fn serve(stream: TcpStream, peer: SocketAddr, app: Arc<App>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let (read, write) = stream.into_split();
    let (mut reader, mut sender) = (Reader::new(read), Sender::new(write));
    let hello = match timeout(HELLO_LIMIT, reader.next()).await {
        Ok(Ok(FromAgent::Hello(hello))) => *hello,
        Ok(Ok(_)) => return tracing::warn!(%peer, "the first message is not a hello"),
        Ok(Err(error)) => return tracing::warn!(%peer, %error, "no hello"),
        Err(_) => return tracing::warn!(%peer, limit = ?HELLO_LIMIT, "no hello in time"),
    };
    if let Err(why) = admit(&hello, &app).await {
        app.metrics.agent_refused();
        tracing::warn!(%peer, host = %hello.name, why, "agent refused");
        // it may be gone already
        let _ = sender.send(&FromCluster::Refused { why }).await;
        return;
    }
    let (host, name) = (hello.host, hello.name.clone());
    let (version, tunnel) = (&hello.version, hello.tunnel);
    tracing::info!(%peer, %host, name, version, %tunnel, "agent connected");
    let session = app.agents.connect(host, &hello.version);
    let mut agent = Connected {
        view: view(&hello, &app),
        hello,
        session,
        app,
        whole: true,
    };
    let ended = agent.talk(&mut reader, &mut sender).await;
    match ended {
        Ok(()) => tracing::info!(%peer, %host, name, "agent let go"),
        Err(error) => tracing::warn!(%peer, %host, name, %error, "agent lost"),
    }
    agent.leave();
}

/// Lets an agent in and registers its host; else says why not.
async fn admit(hello: &Hello, app: &App) -> Result<(), String> {
    if hello.protocol != PROTOCOL {
        let theirs = hello.protocol;
        return Err(format!(
            "protocol {theirs} is not spoken here, but {PROTOCOL}"
        ));
    }
    if !app.config.sync.secret.is(&hello.secret) {
        return Err("the secret is wrong".to_owned());
    }
    if hello.zone.len() > NAME_MAX {
        return Err(format!("an availability zone has at most {NAME_MAX} bytes"));
    }
    if hello.name.is_empty() || hello.name.len() > NAME_MAX {
        return Err(format!("a host name has 1 to {NAME_MAX} bytes"));
    }
    let work = Work::Register {
        id: hello.host,
        name: hello.name.clone(),
        tunnel: hello.tunnel,
        zone: hello.zone.clone(),
    };
    app.writer
        .write(work)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

/// What the agent holds. Revisions of another store mean nothing here: all it has is stale.
fn view(hello: &Hello, app: &App) -> View {
    let ours = hello.instance == Some(app.instance);
    let stale = |revision| if ours { revision } else { Revision::MAX };
    View::held(
        hello
            .have
            .iter()
            .map(|(id, revision)| (*id, stale(*revision))),
    )
}

struct Connected {
    app: Arc<App>,
    hello: Hello,
    session: Session,
    view: View,
    /// The next report of ports names all that are up.
    whole: bool,
}

impl Connected {
    async fn talk(&mut self, reader: &mut Reader, sender: &mut Sender) -> Result<(), LinkError> {
        let app = Arc::clone(&self.app);
        let mut revisions = app.revisions.clone();
        sender
            .send(&FromCluster::Welcome {
                instance: app.instance,
                protocol: PROTOCOL,
                reclaim_after: app.config.snat.reclaim_after_seconds,
            })
            .await?;
        revisions.mark_unchanged();
        self.advance(sender, true).await?;
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_at = Instant::now() + SILENCE;
        loop {
            tokio::select! {
                message = reader.next() => {
                    silent_at = Instant::now() + SILENCE;
                    self.hear(message?).await;
                }
                changed = revisions.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.advance(sender, false).await?;
                }
                _ = beat.tick() => sender.send(&FromCluster::Heartbeat).await?,
                () = sleep_until(silent_at) => return Err(LinkError::Silent(SILENCE.as_secs())),
                () = self.session.replaced() => return Ok(()),
                () = app.stopped() => return Ok(()),
            }
        }
    }

    /// Sends what is new in the host's part of the topology. Changes made while it is sent come
    /// with the next step: the agent never lags by more than one.
    async fn advance(&mut self, sender: &mut Sender, first: bool) -> Result<(), LinkError> {
        let (revision, changes) = self.step();
        if changes.is_empty() && !first {
            return Ok(());
        }
        tracing::debug!(
            host = %self.hello.host, revision, changes = changes.len(), "sending changes"
        );
        let frames = changes_frames(revision, changes);
        self.app.agents.sent(&self.session, revision);
        self.app.metrics.sent(frames.len());
        for frame in &frames {
            sender.send(frame).await?;
        }
        Ok(())
    }

    fn step(&mut self) -> (Revision, Vec<Change>) {
        let held = self.app.held();
        let changes = self.view.advance(&held.state.topology, &self.hello.name);
        (held.revision, changes)
    }

    async fn hear(&mut self, message: FromAgent) {
        match message {
            FromAgent::Blocks(wishes) => self.grant(wishes).await,
            FromAgent::Heartbeat(heartbeat) => self.app.agents.heard(&self.session, heartbeat),
            FromAgent::Ports(ports) => self.report(&ports),
            FromAgent::Down(down) => self.app.agents.explained(&self.session, down),
            FromAgent::Hello(_) => {
                tracing::warn!(host = %self.hello.host, "a second hello is ignored");
            }
        }
    }

    /// The answer is a lease, and comes with the next step. An agent that gets none wishes again.
    async fn grant(&self, wishes: Vec<BlockWish>) {
        if !self.app.agents.is_latest(&self.session) {
            return;
        }
        let work = Work::Blocks {
            host: self.hello.name.clone(),
            wishes,
        };
        if let Err(error) = self.app.writer.write(work).await {
            tracing::warn!(host = %self.hello.host, %error, "no blocks of ports given");
        }
    }

    /// Ports that are not in the topology any more are of no interest. The state of a plug is that of
    /// the uplink's port.
    fn report(&mut self, ports: &[PortStatus]) {
        let known: Vec<(PortId, bool)> = {
            let held = self.app.held();
            let topology = &held.state.topology;
            let known = ports
                .iter()
                .filter_map(|p| Some((topology.port(p.port)?.neutron_id(), p.up)));
            known.collect()
        };
        for (port, up) in &known {
            tracing::info!(host = %self.hello.host, %port, up, "port state");
        }
        if self.app.agents.is_latest(&self.session) {
            self.app
                .statuses
                .report(self.hello.host, &known, self.whole);
            self.whole = false;
        }
    }

    /// The host's ports go down if its agent does not come back soon.
    fn leave(self) {
        if !self.app.agents.disconnect(&self.session) {
            return;
        }
        let (app, host) = (self.app, self.hello.host);
        tokio::spawn(async move {
            tokio::select! {
                () = app.stopped() => return,
                () = tokio::time::sleep(app.config.sync.down_after()) => {}
            }
            if !app.agents.is_connected(host) && app.agents.is_latest(&self.session) {
                tracing::warn!(%host, "agent stays away: its ports are down");
                app.statuses.host_away(host);
            }
        });
    }
}
