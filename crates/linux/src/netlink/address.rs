//! Addresses and routes of a link, for namespaces of our own.

use super::{LinkError, Netlink, refused};
use crate::Namespace;
use rtnetlink::{LinkUnspec, RouteMessageBuilder};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
};
use tokio::runtime::Handle;
use wire::Mac;

impl Netlink {
    /// A socket inside another namespace, without events. To be called inside a tokio runtime, which
    /// then serves it.
    pub fn inside(namespace: &Namespace) -> Result<Self, LinkError> {
        let runtime = Handle::current();
        let (connection, handle, _) = namespace.run(|| {
            let _runtime = runtime.enter();
            rtnetlink::new_connection()
        })??;
        runtime.spawn(connection);
        Ok(Self(handle))
    }

    /// Moves a link of this namespace into another one.
    pub async fn hand_over(&self, index: u32, to: &Namespace) -> Result<(), LinkError> {
        let fd = to.as_fd().as_raw_fd();
        let message = LinkUnspec::new_with_index(index).setns_by_fd(fd).build();
        self.set(&format!("move link {index}"), message).await
    }

    /// Gives a link a MAC, no neighbours to ask for theirs (every frame goes to the link's own MAC),
    /// and sets it up.
    pub async fn set_up_alone(&self, index: u32, mac: Mac) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(index)
            .address(mac.0.to_vec())
            .arp(false)
            .up()
            .build();
        self.set(&format!("set up link {index}"), message).await
    }

    /// Adds an address to a link.
    pub async fn add_address(&self, index: u32, ip: IpAddr) -> Result<(), LinkError> {
        let prefix = if ip.is_ipv4() { 32 } else { 128 };
        let request = self.0.address().add(index, ip, prefix);
        let what = format!("add {ip} to link {index}");
        request.execute().await.map_err(|e| refused(&what, e))
    }

    /// Sends everything of the gateway's family to it, which is taken to be at the link whatever
    /// addresses the link has.
    pub async fn add_default_route(&self, index: u32, gateway: IpAddr) -> Result<(), LinkError> {
        let message = match gateway {
            IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(index)
                .gateway(ip)
                .onlink()
                .build(),
            IpAddr::V6(ip) => RouteMessageBuilder::<Ipv6Addr>::new()
                .output_interface(index)
                .gateway(ip)
                .onlink()
                .build(),
        };
        let what = format!("route everything to {gateway} at link {index}");
        let request = self.0.route().add(message);
        request.execute().await.map_err(|e| refused(&what, e))
    }
}
