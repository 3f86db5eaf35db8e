//! The task that keeps taps attached and their ports limited: it watches the host's interfaces and
//! everything that decides which of them are ports, and what these may do.

use crate::{
    bindings::{self, Wanted},
    down::{self, Refused},
    limits::{self, Limiter},
    plug::{Plugged, Plugger, Taps, ports_up},
    shared::Shared,
    uplinks::{Uplinks, Ways},
};
use datapath::{Maps, MapsError};
use linux::{Link, LinkError, LinkEvent, LinkEvents, Netlink};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use topology::Snapshot;

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
pub struct Binder<M> {
    shared: Arc<Shared<M>>,
    plugger: Plugger<Taps, M>,
    limiter: Limiter,
    uplinks: Uplinks,
    netlink: Netlink,
    events: LinkEvents,
    links: BTreeMap<u32, Link>,
}

impl<M: Maps> Binder<M> {
    /// Attaches all taps that are there.
    pub async fn start(
        shared: Arc<Shared<M>>,
        plugger: Plugger<Taps, M>,
        limiter: Limiter,
        netlink: Netlink,
        events: LinkEvents,
        ways: Ways,
    ) -> Result<Self, BinderError> {
        let links = BTreeMap::new();
        let mut binder = Self {
            shared,
            plugger,
            limiter,
            uplinks: Uplinks::new(netlink.clone(), ways),
            netlink,
            events,
            links,
        };
        binder.list().await?;
        let left = binder.plugger.left();
        binder.uplinks.take_over(left, &binder.links);
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
                () = sleep(limits::LOOK), if settled && self.limiter.is_busy() => {
                    settled = self.limit().await;
                    continue;
                }
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

    /// Brings taps, uplinks, their MTUs, limits and the ports' states to what they should be. Without a
    /// topology everything stays as an earlier process left it. False if something refused.
    async fn settle(&mut self) -> Result<bool, BinderError> {
        let (snapshot, host) = {
            let world = self.shared.world();
            if !world.is_ready() {
                return Ok(true);
            }
            (world.snapshot().clone(), world.host().to_owned())
        };
        let bindings = self.shared.bindings();
        let asked = bindings::uplinks(&snapshot, &host, &bindings, &self.links);
        let needed = self.uplinks.needed(&asked, &snapshot, &self.links).await;
        let Wanted { mut plugs, refused } =
            bindings::wanted(&snapshot, &host, &bindings, &self.links, &needed);
        let mut refused: Refused = refused
            .into_iter()
            .map(|(port, refusal)| (port, refusal.to_string()))
            .collect();
        refused.extend(self.take_uplinks(&mut plugs).await);
        refused.extend(self.plugger.reconcile(&plugs)?);
        let uplinks = plugs.iter().filter(|(_, plugged)| plugged.uplink);
        let uplinks = uplinks.map(|(number, plugged)| plugged.tap(*number));
        let uplinks = uplinks.collect();
        self.uplinks.give_back(&uplinks, &self.links).await;
        self.set_mtus(&plugs).await;
        let limited = self.limit().await;
        self.shared.links.send_replace(self.links.clone());
        let settled = limited && refused.is_empty();
        self.report(refused, &snapshot, &host)?;
        Ok(settled)
    }

    async fn limit(&mut self) -> bool {
        let datapath = &mut self.plugger.device().datapath;
        let limiter = &mut self.limiter;
        limiter.settle(datapath, &self.netlink, &self.shared).await
    }

    /// Takes the interfaces of uplinks from the host; what refuses is not plugged.
    async fn take_uplinks(&mut self, plugs: &mut BTreeMap<u32, Plugged>) -> Refused {
        let mut failed = BTreeMap::new();
        for (number, plugged) in plugs.iter().filter(|(_, plugged)| plugged.uplink) {
            let Some(link) = self.links.get(&plugged.tap(*number)) else {
                continue;
            };
            if let Err(error) = self.uplinks.take(link).await {
                tracing::warn!(port = %plugged.port, interface = plugged.name, %error, "not taken");
                failed.insert(*number, (plugged.port, error.to_string()));
            }
        }
        plugs.retain(|number, _| !failed.contains_key(number));
        failed.into_values().collect()
    }

    /// Tells which ports are up, and why the others are not.
    fn report(&self, refused: Refused, snapshot: &Snapshot, host: &str) -> Result<(), MapsError> {
        let shared = &self.shared;
        replace(&shared.refused, refused);
        let up = ports_up(snapshot, host, shared.world().taps(), &self.links);
        for port in shared.up.borrow().symmetric_difference(&up) {
            tracing::info!(%port, up = up.contains(port), "port state");
        }
        let news = {
            let mut world = shared.world();
            world.set_up(&up)?;
            world.carriers.has_news()
        };
        if news {
            shared.heard.notify_one();
        }
        replace(&shared.up, up);
        let down = down::reasons(shared, snapshot, &shared.bindings(), &self.links);
        replace(&shared.down, down);
        Ok(())
    }

    /// Nova does not set the MTU of a tap for `vif_type` midonet; a VM that sends larger frames than
    /// its network takes would lose them. An interface with VLANs takes what the largest does.
    async fn set_mtus(&mut self, wanted: &BTreeMap<u32, Plugged>) {
        for (number, plugged) in wanted {
            let of_vlan = plugged.uplink && plugged.vlan.is_some();
            let number = if of_vlan {
                plugged.tap(*number)
            } else {
                *number
            };
            let Some(link) = self.links.get_mut(&number) else {
                continue;
            };
            if link.mtu == plugged.mtu || of_vlan && link.mtu > plugged.mtu {
                continue;
            }
            match self.netlink.set_mtu(number, plugged.mtu).await {
                Ok(()) => link.mtu = plugged.mtu,
                Err(error) => tracing::warn!(interface = plugged.name, %error, "MTU not set"),
            }
        }
    }
}

/// Tells those who watch if there is something new.
fn replace<T: PartialEq>(held: &watch::Sender<T>, new: T) {
    held.send_if_modified(|held| {
        let changed = *held != new;
        *held = new;
        changed
    });
}
