//! The task that keeps taps attached: it watches the host's interfaces and everything that decides
//! which of them are ports.

use crate::{
    bindings,
    plug::{Attach, Plugged, Plugger, ports_up},
    shared::Shared,
};
use datapath::{Maps, MapsError};
use linux::{Link, LinkError, LinkEvent, LinkEvents, Netlink};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Time after which a tap that refused is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Why the task ends, and the agent with it: a fresh one looks at everything anew.
#[derive(Debug, thiserror::Error)]
pub enum BinderError {
    /// The kernel's tables.
    #[error(transparent)]
    Maps(#[from] MapsError),
    /// The netlink socket.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The netlink socket again.
    #[error("the netlink socket for interface events is dead")]
    EventsEnded,
}

/// See the module.
pub struct Binder<A, M> {
    shared: Arc<Shared<M>>,
    plugger: Plugger<A, M>,
    netlink: Netlink,
    events: LinkEvents,
    links: BTreeMap<u32, Link>,
}

impl<A: Attach, M: Maps> Binder<A, M> {
    /// Attaches all taps that are there.
    pub async fn start(
        shared: Arc<Shared<M>>,
        plugger: Plugger<A, M>,
        netlink: Netlink,
        events: LinkEvents,
    ) -> Result<Self, BinderError> {
        let links = BTreeMap::new();
        let mut binder = Self {
            shared,
            plugger,
            netlink,
            events,
            links,
        };
        binder.list().await?;
        binder.settle().await?;
        Ok(binder)
    }

    /// Goes on for ever.
    pub async fn run(mut self) -> BinderError {
        match self.follow().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, BinderError> {
        let mut changed = self.shared.changed.subscribe();
        changed.mark_changed();
        let mut settled = true;
        loop {
            tokio::select! {
                event = self.events.next() => {
                    self.take(event.ok_or(BinderError::EventsEnded)?).await?;
                    while let Some(event) = self.events.ready() {
                        self.take(event).await?;
                    }
                }
                _ = changed.changed() => {}
                () = sleep(RETRY), if !settled => {}
            }
            settled = self.settle().await?;
        }
    }

    async fn take(&mut self, event: LinkEvent) -> Result<(), BinderError> {
        match event {
            LinkEvent::Changed(link) => drop(self.links.insert(link.index, link)),
            LinkEvent::Gone(index) => drop(self.links.remove(&index)),
            LinkEvent::Lost => self.list().await?,
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<(), BinderError> {
        self.links = self
            .netlink
            .links()
            .await?
            .into_iter()
            .map(|l| (l.index, l))
            .collect();
        Ok(())
    }

    /// Brings taps, their MTUs and the ports' states to what they should be. Without a topology
    /// everything stays as an earlier process left it. False if a tap refused.
    async fn settle(&mut self) -> Result<bool, BinderError> {
        let (snapshot, host) = {
            let world = self.shared.world();
            if !world.is_ready() {
                return Ok(true);
            }
            (world.snapshot().clone(), world.host().to_owned())
        };
        let wanted = bindings::wanted(&snapshot, &host, &self.shared.bindings(), &self.links);
        let settled = self.plugger.reconcile(&wanted)?;
        self.set_mtus(&wanted).await;
        self.shared.links.send_replace(self.links.clone());
        let up = ports_up(&snapshot, &host, self.shared.world().taps(), &self.links);
        self.shared.up.send_if_modified(|held| {
            for port in held.symmetric_difference(&up) {
                tracing::info!(%port, up = up.contains(port), "port state");
            }
            let changed = *held != up;
            *held = up;
            changed
        });
        Ok(settled)
    }

    /// Nova does not set the MTU of a tap for `vif_type` midonet; a VM that sends larger frames than
    /// its network takes would lose them.
    async fn set_mtus(&mut self, wanted: &BTreeMap<u32, Plugged>) {
        for (ifindex, plugged) in wanted {
            let Some(link) = self.links.get_mut(ifindex) else {
                continue;
            };
            if link.mtu == plugged.mtu {
                continue;
            }
            match self.netlink.set_mtu(*ifindex, plugged.mtu).await {
                Ok(()) => link.mtu = plugged.mtu,
                Err(error) => tracing::warn!(interface = plugged.name, %error, "MTU not set"),
            }
        }
    }
}
