//! Limits of ports, and which programs their taps need for them.
//!
//! What limits there are stands in the kernel's maps alone, so that the next process finds it. Taps
//! without limits run programs that do not know of any.

use crate::{AttachError, Datapath, Maps, MapsError};
use bpf_abi::{FROM_VM, Limit, LimitKey, PORT_VIRTUAL, TO_VM};

/// Which way a limited packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The VM sends it.
    FromVm,
    /// The VM gets it.
    ToVm,
}

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
    /// Shapes what the VM of this port sends in this class (a `tc` handle) of the shaper's near end;
    /// `None`: it is sent at once again. What waits in the shaper still comes out. The class goes
    /// when the port is detached.
    pub fn set_egress_class(&mut self, number: u32, class: Option<u32>) -> Result<(), AttachError> {
        if class.is_some() && self.maps.config()?.shaper_ifindex == 0 {
            return Err(AttachError::NoShaper { number });
        }
        let before = self.maps.class(number)?;
        self.maps.set_class(number, class)?;
        self.settle_port(number, before.or(class).is_some())
    }

    /// Limits the packets a second of this port in one direction; `None`: no limit. The segments of
    /// an aggregated frame count each. The limit goes when the port is detached.
    pub fn set_packet_limit(
        &mut self,
        number: u32,
        direction: Direction,
        limit: Option<PacketLimit>,
    ) -> Result<(), AttachError> {
        let key = limit_key(number, direction);
        let limit = limit.map(|l| Limit::new(l.pps, l.burst));
        let before = self.maps.limit(key)?;
        self.maps.set_limit(key, limit)?;
        self.settle_port(number, before.or(limit).is_some())
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
            limited.from_vm |= self.has_limit(number, Direction::FromVm)?;
            limited.from_vm |= self.maps.class(number)?.is_some();
            limited.to_vm |= self.has_limit(number, Direction::ToVm)?;
        }
        Ok(limited)
    }

    /// Whether a port has any limit.
    pub(crate) fn has_limits(&self, number: u32) -> Result<bool, MapsError> {
        Ok(self.maps.class(number)?.is_some()
            || self.has_limit(number, Direction::FromVm)?
            || self.has_limit(number, Direction::ToVm)?)
    }

    fn has_limit(&self, number: u32, direction: Direction) -> Result<bool, MapsError> {
        let limit = self.maps.limit(limit_key(number, direction))?;
        Ok(limit.is_some())
    }

    /// Forgets a port that is detached, with its limits.
    pub(crate) fn forget(&mut self, number: u32) -> Result<(), AttachError> {
        self.maps.set_class(number, None)?;
        for direction in [Direction::FromVm, Direction::ToVm] {
            self.maps.set_limit(limit_key(number, direction), None)?;
        }
        Ok(self.maps.remove_port(number)?)
    }
}

fn limit_key(port: u32, direction: Direction) -> LimitKey {
    let direction = match direction {
        Direction::FromVm => FROM_VM,
        Direction::ToVm => TO_VM,
    };
    LimitKey { port, direction }
}
