//! Trunk: its sub-ports are VLANs of its parent port.
//!
//! The Neutron driver writes a sub-port's place into its binding, as `parent_name` and `tag` of
//! `binding:profile`, so that a sub-port says by itself where it is plugged. Whether two sub-ports
//! have one VLAN is not looked at here: while they swap theirs, for a moment they do.

use crate::Refusal;
use api::neutron::Port;
use topology::{PortId, Trunk};

/// VLAN ids of IEEE 802.1Q; 0 and 4095 mean something else.
pub(crate) const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;

/// The place of a sub-port in its trunk.
pub(crate) fn of(port: &Port) -> Option<Trunk> {
    let parent = PortId(port.profile.parent_name?);
    let vlan = port.profile.tag?;
    Some(Trunk { parent, vlan })
}

/// Parent and VLAN belong together.
pub(crate) fn check(port: &Port) -> Result<(), Refusal> {
    let profile = &port.profile;
    let refuse = |field: &str, message: String| {
        Err(Refusal::invalid(
            format!("binding:profile.{field}"),
            message,
        ))
    };
    match (profile.parent_name, profile.tag) {
        (None, None) => Ok(()),
        (Some(_), None) => refuse("tag", "a sub-port has a VLAN id here".to_owned()),
        (None, Some(_)) => refuse(
            "parent_name",
            "a sub-port names its parent port here".to_owned(),
        ),
        (Some(parent), _) if parent == port.id => {
            refuse("parent_name", "a port is not its own parent".to_owned())
        }
        (Some(_), Some(tag)) if VLANS.contains(&tag) => Ok(()),
        (Some(_), Some(tag)) => {
            let (least, most) = (VLANS.start(), VLANS.end());
            refuse("tag", format!("{tag} is not in {least} to {most}"))
        }
    }
}
