//! Addresses and routes of links.

use super::{LinkError, Netlink, refused};
use crate::Namespace;
use futures_util::StreamExt;
use rtnetlink::{LinkUnspec, RouteMessageBuilder, packet_route::route::RouteAttribute};
use std::{
    io,
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

    /// The link that packets to this address leave by: what the routing table says. `None` if there
    /// is no route.
    pub async fn route_to(&self, remote: IpAddr) -> Result<Option<u32>, LinkError> {
        let message = match remote {
            IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(ip, 32)
                .build(),
            IpAddr::V6(ip) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(ip, 128)
                .build(),
        };
        let mut routes = Box::pin(self.0.route().get(message).execute());
        let route = match routes.next().await {
            None => return Ok(None),
            Some(Ok(route)) => route,
            Some(Err(error)) => match refused(&format!("look up the route to {remote}"), error) {
                LinkError::Refused { error, .. } if no_route(&error) => return Ok(None),
                error => return Err(error),
            },
        };
        Ok(route.attributes.iter().find_map(|a| match a {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        }))
    }

    /// The link that has this address of the host's.
    pub async fn link_with(&self, address: IpAddr) -> Result<Option<u32>, LinkError> {
        let mut found = Box::pin(self.0.address().get().set_address_filter(address).execute());
        let what = format!("look up the link with {address}");
        match found.next().await {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(message.header.index)),
            Some(Err(error)) => Err(refused(&what, error)),
        }
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

fn no_route(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH)
    )
}

#[cfg(test)]
mod tests;
