//! Limits of ports: keeps what the kernel allows the ports of this host what their policies say.
//!
//! Where limits are is the kernel: HTB classes (`linux::tc`) for bandwidth, of the shaper for what
//! VMs send and of the taps for what they get, and the program's maps for which class a port has and
//! for packet rates. Every pass looks there first, so that it does not matter who made them; the
//! rates of classes alone are remembered, and set again by the next process.
//!
//! A class whose port needs it no longer is opened up, so that what waits comes out, and removed
//! when it is empty.

mod plan;
mod wanted;

pub use wanted::{Wanted, wanted};

use crate::{shared::Shared, world::World};
use datapath::{AttachError, Datapath, Maps, MapsError, PacketLimit, Way};
use flow::DropReason;
use linux::{
    LinkError, Netlink,
    tc::{Class, Shape, priority},
};
use plan::{Seen, Step, plan};
use std::{collections::BTreeMap, time::Duration};
use topology::{PolicyId, PortId};

/// Time between two looks at the queues of classes, if there are any.
pub const LOOK: Duration = Duration::from_secs(2);

/// Something that limits need was refused.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is the error it carries")]
pub enum LimitError {
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Maps(#[from] MapsError),
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Keeps limits. See the module.
pub struct Limiter {
    /// The shaper's near end.
    shaper: u32,
    held: Held,
    /// Whose drops are counted where, and how many have been.
    counted: BTreeMap<Class, Counted>,
    /// Whether there was anything of ours the last time, or nobody has looked yet.
    busy: bool,
}

/// What this process has set.
#[derive(Debug, Default)]
struct Held {
    shapes: BTreeMap<Class, Shape>,
    packets: BTreeMap<Way, PacketLimit>,
}

/// What a class is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    number: u32,
    port: PortId,
    policy: PolicyId,
}

#[derive(Debug)]
struct Counted {
    owner: Owner,
    drops: u32,
}

impl Limiter {
    /// With the shaper's near end.
    pub fn new(shaper: u32) -> Self {
        Self {
            shaper,
            held: Held::default(),
            counted: BTreeMap::new(),
            busy: true,
        }
    }

    /// Whether there are classes whose queues are to be looked at.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Brings the limits of the attached ports to what their policies say. Without a topology all stay
    /// as an earlier process left them. What is refused is logged, and false then, so that it can be
    /// tried again.
    pub async fn settle<M: Maps>(
        &mut self,
        datapath: &mut Datapath,
        netlink: &Netlink,
        shared: &Shared<M>,
    ) -> bool {
        let wanted = {
            let world = shared.world();
            if !world.is_ready() {
                return true;
            }
            wanted(world.snapshot(), world.taps())
        };
        if wanted.is_empty() && !self.busy {
            return true;
        }
        let seen = match Self::look(datapath, netlink).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::error!(%error, "limits of ports cannot be looked at");
                return false;
            }
        };
        self.count(&seen, &mut shared.world());
        let plan = plan(&seen, &self.held, &wanted, self.shaper);
        let mut settled = true;
        for step in &plan.steps {
            if let Err(error) = self.carry_out(step, datapath, netlink).await {
                tracing::error!(%error, "a limit is not as it should be");
                settled = false;
            }
        }
        self.own(&seen, plan.owners);
        self.busy = !(wanted.is_empty() && seen.is_empty(self.shaper));
        settled
    }

    async fn look(datapath: &Datapath, netlink: &Netlink) -> Result<Seen, LimitError> {
        let shapers = netlink.shapers().await?;
        let links = shapers.keys().copied().collect();
        let queues = shapers.into_iter().flat_map(|(link, queues)| {
            let class = move |(minor, queue)| (Class { link, minor }, queue);
            queues.into_iter().map(class)
        });
        Ok(Seen {
            links,
            queues: queues.collect(),
            classes: datapath.classes()?.into_iter().collect(),
            packets: datapath.packet_limits()?.into_iter().collect(),
        })
    }

    async fn carry_out(
        &mut self,
        step: &Step,
        datapath: &mut Datapath,
        netlink: &Netlink,
    ) -> Result<(), LimitError> {
        match *step {
            Step::AddShaper(tap) => netlink.add_shaper(tap, None).await?,
            Step::RemoveShaper(tap) => netlink.remove_shaper(tap).await?,
            Step::SetShape(class, shape) => {
                self.held.shapes.remove(&class);
                netlink.set_class(class, &shape).await?;
                self.held.shapes.insert(class, shape);
            }
            Step::RemoveClass(class) => {
                self.held.shapes.remove(&class);
                netlink.remove_class(class).await?;
            }
            Step::SetClass(way, minor) => datapath.set_class(way, minor.map(priority))?,
            Step::SetPackets(way, limit) => {
                self.held.packets.remove(&way);
                datapath.set_packet_limit(way, limit)?;
                if let Some(limit) = limit {
                    self.held.packets.insert(way, limit);
                }
            }
        }
        Ok(())
    }

    /// Adds what full queues have dropped since the last look to the drops of their ports.
    fn count<M: Maps>(&mut self, seen: &Seen, world: &mut World<M>) {
        for (class, counted) in &mut self.counted {
            let now = seen.queues.get(class).map_or(0, |queue| queue.drops);
            // a class that was made anew counts from 0
            let more = now.checked_sub(counted.drops).unwrap_or(now);
            counted.drops = now;
            let Owner {
                number,
                port,
                policy,
            } = counted.owner;
            if more > 0
                && world
                    .taps()
                    .get(&number)
                    .is_some_and(|tap| tap.port == port)
            {
                world.count_drops(number, DropReason::RateLimit, more, policy.0);
            }
        }
    }

    /// Remembers whose the classes are; one that is going keeps its last owner until it is gone.
    fn own(&mut self, seen: &Seen, owners: BTreeMap<Class, Owner>) {
        self.counted
            .retain(|class, _| seen.queues.contains_key(class));
        for (class, owner) in owners {
            let counted = self.counted.entry(class);
            counted.or_insert(Counted { owner, drops: 0 }).owner = owner;
        }
    }
}
