//! Sub-ports: ports behind the tap of another, by VLAN tag.

use crate::{AttachError, Datapath, Maps, program::VLAN_LAST};
use bpf_abi::{MARK_IFINDEX, PORT_VIRTUAL, Subport};

impl Datapath {
    /// Makes frames of an attached tap that carry this VLAN tag those of a port of its own, which
    /// may make as many upcalls as the tap may. The number stands for the port wherever a tap's
    /// ifindex would: in decisions, tunnel keys and marks, and in what comes up.
    pub fn set_subport(
        &mut self,
        number: u32,
        tap_ifindex: u32,
        vlan: u16,
    ) -> Result<(), AttachError> {
        let numbers = PORT_VIRTUAL..=MARK_IFINDEX;
        if !numbers.contains(&number) || !(1..=VLAN_LAST).contains(&vlan) {
            return Err(AttachError::BadSubport { number, vlan });
        }
        let tap = self.maps.port(tap_ifindex)?.ok_or(AttachError::NoTrunk {
            number,
            ifindex: tap_ifindex,
        })?;
        self.maps.set_port(number, tap.rate)?;
        let subport = Subport {
            ifindex: tap_ifindex,
            vlan,
            pad: 0,
        };
        self.maps.set_subport(number, subport)?;
        match self.has_limits(number)? {
            true => self.settle(tap_ifindex),
            false => Ok(()),
        }
    }

    /// Lets a sub-port go with its limits: frames with its tag are dropped again. Absent is fine.
    pub fn remove_subport(&mut self, number: u32) -> Result<(), AttachError> {
        self.maps.remove_subport(number)?;
        self.forget(number)
    }
}
