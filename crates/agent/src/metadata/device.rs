//! Where the service lives: a network namespace of the agent's own, joined to the kernel program by
//! a veth pair.
//!
//! The namespace dies with the agent, and the pair with it; the next agent makes new ones. Inside
//! there is one address of each family, and everything else is behind the pair, so that the service
//! answers whatever number its asker has. To look inside, see `docs/operations.md`.

use linux::{LinkError, Namespace, Netlink};
use sim::{METADATA_MAC, METADATA_PORT, METADATA_V4, METADATA_V6};
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
};
use tokio::net::TcpListener as Listener;

/// The end that the kernel program is attached to.
pub const DEVICE: &str = "mn-meta0";
/// The other end, inside the namespace.
const INSIDE: &str = "mn-meta1";

/// MTU of the pair: what both sides of a connection may send is made from it, and packets of this
/// size pass any network that carries IPv6 (RFC 8200, 5), whatever MTU its servers have set.
pub const MTU: u16 = 1280;

/// Where everything is said to be; nobody asks these for their MACs.
const GATEWAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 253)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];

/// The namespace must not pass on what is not for the service.
const NO_FORWARDING: [&str; 2] = [
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/forwarding",
];

/// The namespace, as long as it is needed.
#[derive(Debug)]
pub struct Device {
    /// The agent's end of the pair.
    pub ifindex: u32,
    namespace: Namespace,
}

/// The service has no place to live in.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A link, an address or a route.
    #[error("metadata service: {0}")]
    Link(#[from] LinkError),
    /// Something else.
    #[error("metadata service: {what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
}

impl Device {
    /// Makes it, in place of one that an agent which has died left behind.
    pub async fn make(netlink: &Netlink) -> Result<Self, DeviceError> {
        netlink.delete(DEVICE).await?;
        let namespace = Namespace::new().map_err(failed("make its namespace"))?;
        let closed = namespace.run(stop_forwarding);
        closed
            .and_then(|result| result)
            .map_err(failed("stop forwarding in its namespace"))?;
        netlink.add_veth(DEVICE, INSIDE).await?;
        let inside = index_of(netlink, INSIDE).await?;
        netlink.set_mtu(inside, u32::from(MTU)).await?;
        netlink.hand_over(inside, &namespace).await?;
        furnish(&Netlink::inside(&namespace)?).await?;
        let ifindex = index_of(netlink, DEVICE).await?;
        netlink.set_mtu(ifindex, u32::from(MTU)).await?;
        netlink.set_up(ifindex).await?;
        Ok(Self { ifindex, namespace })
    }

    /// The service's socket, for both families.
    pub fn listen(&self) -> Result<Listener, DeviceError> {
        let bind = || {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, METADATA_PORT))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = self.namespace.run(bind).and_then(|result| result);
        listener
            .and_then(Listener::from_std)
            .map_err(failed("listen"))
    }
}

async fn furnish(netlink: &Netlink) -> Result<(), DeviceError> {
    let inside = index_of(netlink, INSIDE).await?;
    netlink.set_up_alone(inside, METADATA_MAC).await?;
    for ip in [IpAddr::V4(METADATA_V4), IpAddr::V6(METADATA_V6)] {
        netlink.add_address(inside, ip).await?;
    }
    for gateway in GATEWAYS {
        netlink.add_default_route(inside, gateway).await?;
    }
    Ok(())
}

/// A namespace begins with the settings of the host, which may be a router.
fn stop_forwarding() -> io::Result<()> {
    for setting in NO_FORWARDING {
        if fs::read_to_string(setting)?.trim() != "0" {
            fs::write(setting, "0")?;
        }
    }
    Ok(())
}

async fn index_of(netlink: &Netlink, name: &str) -> Result<u32, DeviceError> {
    let link = netlink.link(name).await?;
    let gone = || failed("find the device that was just made")(io::ErrorKind::NotFound.into());
    link.map(|link| link.index).ok_or_else(gone)
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> DeviceError {
    move |error| DeviceError::Io { what, error }
}
