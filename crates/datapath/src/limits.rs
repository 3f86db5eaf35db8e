//! Limits of ports, and which programs their taps need for them.
//!
//! What limits there are stands in the kernel's maps alone, so that the next process finds it. Taps
//! without limits run programs that do not know of any.

use crate::{AttachError, Datapath, Maps, MapsError};
use bpf_abi::{FROM_VM, Limit, LimitKey, PORT_VIRTUAL, TO_VM};

/// Which way a limited packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The VM sends it.
    FromVm,
    /// The VM gets it.
    ToVm,
}

/// What the limits of a port are known by: its number, and a direction.
pub type Way = (u32, Direction);

/// A limit of the packet rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketLimit {
    /// Packets a second; 0 lets nothing pass.
    pub pps: u32,
    /// Packets that may pass at once after a pause, at least 1.
    pub burst: u32,
}

/// What the ports behind a tap have limits for.
pub(crate) struct Limited {
    pub from_vm: bool,
    pub to_vm: bool,
}

impl Datapath {
    /// Shapes what passes this way in this class (a `tc` handle): of the shaper's near end what the
    /// VM sends, of the tap what it gets. `None`: it passes at once again, and what waits in the
    /// class still comes out. Which class it is is forgotten when the port is detached.
    pub fn set_class(&mut self, way: Way, class: Option<u32>) -> Result<(), AttachError> {
        let (number, direction) = way;
        let shaper = self.maps.config()?.shaper_ifindex;
        if class.is_some() && direction == Direction::FromVm && shaper == 0 {
            return Err(AttachError::NoShaper { number });
        }
        let before = self.maps.class(key(way))?;
        self.maps.set_class(key(way), class)?;
        self.settle_port(number, before.or(class).is_some())
    }

    /// Limits the packets a second that pass this way; `None`: no limit. The segments of an
    /// aggregated frame count each. The limit goes when the port is detached.
    pub fn set_packet_limit(
        &mut self,
        way: Way,
        limit: Option<PacketLimit>,
    ) -> Result<(), AttachError> {
        let limit = limit.map(|l| Limit::new(l.pps, l.burst));
        let before = self.maps.limit(key(way))?;
        self.maps.set_limit(key(way), limit)?;
        self.settle_port(way.0, before.or(limit).is_some())
    }

    /// The classes that were set, also by an earlier process.
    pub fn classes(&self) -> Result<Vec<(Way, u32)>, MapsError> {
        let all = self.maps.classes()?.into_iter();
        Ok(all.map(|(key, class)| (way(key), class)).collect())
    }

    /// Where packet limits were set, also by an earlier process.
    pub fn packet_limits(&self) -> Result<Vec<Way>, MapsError> {
        Ok(self.maps.limits()?.into_iter().map(way).collect())
    }

    /// Gives the port's tap the programs it needs, if it is attached and they may be others now.
    fn settle_port(&mut self, number: u32, changed: bool) -> Result<(), AttachError> {
        let tap = match number & PORT_VIRTUAL {
            0 => Some(number),
            _ => self.maps.subport(number)?.map(|s| s.ifindex),
        };
        match tap {
            Some(tap) if changed && self.maps.port(tap)?.is_some() => self.settle(tap),
            _ => Ok(()),
        }
    }

    /// What the ports behind a tap have limits for.
    pub(crate) fn limited(&self, tap: u32) -> Result<Limited, MapsError> {
        let subports = self.maps.subports()?;
        let behind = subports.iter().filter(|(_, s)| s.ifindex == tap);
        let mut limited = Limited {
            from_vm: false,
            to_vm: false,
        };
        for number in behind.map(|(number, _)| *number).chain([tap]) {
            limited.from_vm |= self.has_limit((number, Direction::FromVm))?;
            limited.to_vm |= self.has_limit((number, Direction::ToVm))?;
        }
        Ok(limited)
    }

    /// Whether a port has any limit.
    pub(crate) fn has_limits(&self, number: u32) -> Result<bool, MapsError> {
        Ok(self.has_limit((number, Direction::FromVm))?
            || self.has_limit((number, Direction::ToVm))?)
    }

    fn has_limit(&self, way: Way) -> Result<bool, MapsError> {
        Ok(self.maps.class(key(way))?.is_some() || self.maps.limit(key(way))?.is_some())
    }

    /// Forgets a port that is detached, with its limits.
    pub(crate) fn forget(&mut self, number: u32) -> Result<(), AttachError> {
        for direction in [Direction::FromVm, Direction::ToVm] {
            self.maps.set_class(key((number, direction)), None)?;
            self.maps.set_limit(key((number, direction)), None)?;
        }
        Ok(self.maps.remove_port(number)?)
    }
}

fn key((port, direction): Way) -> LimitKey {
    let direction = match direction {
        Direction::FromVm => FROM_VM,
        Direction::ToVm => TO_VM,
    };
    LimitKey { port, direction }
}

fn way(key: LimitKey) -> Way {
    let direction = match key.direction {
        TO_VM => Direction::ToVm,
        _ => Direction::FromVm,
    };
    (key.port, direction)
}
