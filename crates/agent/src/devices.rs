//! The devices of the agent: one VXLAN device for all tunnels, one veth pair for frames that go back
//! into the kernel program, and one in which frames of ports with limits wait.

use crate::metadata;
use linux::{LinkError, Netlink};

/// The VXLAN device.
pub const VXLAN: &str = "mn-vxlan";
/// The end of the pair that frames are written into.
pub const INJECT: &str = "mn-inj0";
/// Its other end, which sees nothing.
const INJECT_PEER: &str = "mn-inj1";
/// The end of the shaper where frames wait.
const SHAPER: &str = "mn-shp0";
/// The end where they come out.
const SHAPER_PEER: &str = "mn-shp1";

/// MTU of the VXLAN device and of the pairs: no limit of their own, that is for the networks' MTUs.
const MTU: u32 = 65_000;

/// Indexes of the devices.
#[derive(Clone, Copy, Debug)]
pub struct Devices {
    /// Of the VXLAN device.
    pub vxlan: u32,
    /// Of the end that frames are written into.
    pub inject: u32,
    /// Of the end of the shaper where frames wait.
    pub shaper: u32,
    /// Of the end where they come out.
    pub shaped: u32,
}

/// A device of ours is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The kernel refused.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Somebody else's device has the name, or it vanished.
    #[error("interface {name} is {found}, not {wanted}; remove it or rename it")]
    Taken {
        /// The name.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
}

/// Finds the devices or makes them. A VXLAN device of an earlier agent keeps its UDP port: another
/// one needs `--teardown` first.
pub async fn ensure(netlink: &Netlink, vxlan_port: u16) -> Result<Devices, DeviceError> {
    if netlink.link(VXLAN).await?.is_none() {
        netlink.add_vxlan(VXLAN, vxlan_port, MTU).await?;
    }
    for (near, far) in [(INJECT, INJECT_PEER), (SHAPER, SHAPER_PEER)] {
        if netlink.link(near).await?.is_none() {
            netlink.add_veth(near, far).await?;
        }
    }
    let vxlan = ready(netlink, VXLAN, "vxlan").await?;
    let inject = ready(netlink, INJECT, "veth").await?;
    ready(netlink, INJECT_PEER, "veth").await?;
    let shaper = ready(netlink, SHAPER, "veth").await?;
    let shaped = ready(netlink, SHAPER_PEER, "veth").await?;
    Ok(Devices {
        vxlan,
        inject,
        shaper,
        shaped,
    })
}

async fn ready(
    netlink: &Netlink,
    name: &'static str,
    wanted: &'static str,
) -> Result<u32, DeviceError> {
    let link = netlink.link(name).await?;
    let Some(link) = link.as_ref().filter(|link| link.kind == wanted) else {
        let found = link.map_or_else(
            || "missing".to_owned(),
            |link| format!("of kind '{}'", link.kind),
        );
        return Err(DeviceError::Taken {
            name,
            found,
            wanted,
        });
    };
    if link.mtu != MTU {
        netlink.set_mtu(link.index, MTU).await?;
    }
    if !link.up {
        netlink.set_up(link.index).await?;
    }
    Ok(link.index)
}

/// Removes them, and what limits put on taps.
pub async fn remove(netlink: &Netlink) -> Result<(), LinkError> {
    for tap in netlink.shapers().await?.into_keys() {
        netlink.remove_shaper(tap).await?;
    }
    netlink.delete(SHAPER).await?;
    netlink.delete(metadata::device::DEVICE).await?;
    netlink.delete(VXLAN).await?;
    netlink.delete(INJECT).await
}
