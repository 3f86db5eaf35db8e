//! Links over rtnetlink.

use crate::{Link, LinkEvent};
use futures_util::{FutureExt, Stream, StreamExt};
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan, MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkMessage},
};
use std::io;

mod address;

/// Something was asked of a link and the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No netlink socket.
    #[error("netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel said no.
    #[error("{what}: {error}")]
    Refused {
        /// What was asked, and of which link.
        what: String,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
}

/// A netlink socket in the namespace of the thread that made it.
#[derive(Clone)]
pub struct Netlink(Handle);

/// Link events of that namespace, from the moment the socket was made.
pub struct LinkEvents(Messages);

/// The receiver's own type belongs to a crate that is not worth naming here.
type Messages = std::pin::Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send>>;

impl Netlink {
    /// Opens the socket. To be called inside a tokio runtime, which then serves it.
    pub fn connect() -> Result<(Netlink, LinkEvents), LinkError> {
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
        tokio::spawn(connection);
        Ok((
            Netlink(handle),
            LinkEvents(Box::pin(messages.map(|(message, _)| message))),
        ))
    }

    /// What requests are sent by.
    pub(crate) fn handle(&self) -> Handle {
        self.0.clone()
    }

    /// All links.
    pub async fn links(&self) -> Result<Vec<Link>, LinkError> {
        let mut stream = Box::pin(self.0.link().get().execute());
        let mut links = Vec::new();
        while let Some(message) = stream.next().await {
            let message = message.map_err(|e| refused("list links", e))?;
            links.extend(Link::of(&message));
        }
        Ok(links)
    }

    /// The link of this name, if there is one.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, LinkError> {
        let mut stream = Box::pin(self.0.link().get().match_name(name).execute());
        match stream.next().await {
            Some(Ok(message)) => Ok(Link::of(&message)),
            None => Ok(None),
            Some(Err(error)) => match refused(&format!("look up link {name}"), error) {
                LinkError::Refused { error, .. } if is_missing(&error) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Makes a VXLAN device whose tunnel keys and remote addresses come with each packet
    /// (`external`), for IPv4 and IPv6 underlays alike, and sets it up.
    pub async fn add_vxlan(&self, name: &str, port: u16, mtu: u32) -> Result<(), LinkError> {
        let message = external_vxlan(name, port).mtu(mtu).up().build();
        self.add(
            &format!("make VXLAN device {name} on UDP port {port}"),
            message,
        )
        .await
    }

    /// Makes a veth pair; both ends are down.
    pub async fn add_veth(&self, name: &str, peer: &str) -> Result<(), LinkError> {
        let message = LinkVeth::new(name, peer).build();
        self.add(&format!("make veth pair {name} and {peer}"), message)
            .await
    }

    async fn add(&self, what: &str, message: LinkMessage) -> Result<(), LinkError> {
        self.0
            .link()
            .add(message)
            .execute()
            .await
            .map_err(|e| refused(what, e))
    }

    /// Sets a link up.
    pub async fn set_up(&self, index: u32) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.set(&format!("set link {index} up"), message).await
    }

    /// Sets a link up or leaves it as it is, and lets it take frames for any MAC or no longer.
    pub async fn set_promiscuous(&self, index: u32, promiscuous: bool) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(index);
        let message = match promiscuous {
            true => message.promiscuous(true).up().build(),
            false => message.promiscuous(false).build(),
        };
        let what = format!("set promiscuous mode of link {index} to {promiscuous}");
        self.set(&what, message).await
    }

    /// Sets a link's MTU.
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(index).mtu(mtu).build();
        self.set(&format!("set MTU of link {index} to {mtu}"), message)
            .await
    }

    async fn set(&self, what: &str, message: LinkMessage) -> Result<(), LinkError> {
        self.0
            .link()
            .set(message)
            .execute()
            .await
            .map_err(|e| refused(what, e))
    }

    /// Deletes a link; one that is not there is no error.
    pub async fn delete(&self, name: &str) -> Result<(), LinkError> {
        let Some(link) = self.link(name).await? else {
            return Ok(());
        };
        match self.0.link().del(link.index).execute().await {
            Ok(()) => Ok(()),
            Err(error) => match refused(&format!("delete link {name}"), error) {
                LinkError::Refused { error, .. } if is_missing(&error) => Ok(()),
                error => Err(error),
            },
        }
    }
}

impl LinkEvents {
    /// An event that is already here, so that a burst can be taken at once.
    pub fn ready(&mut self) -> Option<LinkEvent> {
        self.next().now_or_never().flatten()
    }

    /// The next event; `None` when the socket is dead and a new one is to be made.
    pub async fn next(&mut self) -> Option<LinkEvent> {
        loop {
            if let Some(event) = event(self.0.next().await?) {
                return Some(event);
            }
        }
    }
}

/// Messages of the bridge family tell of ports of kernel bridges: a link that leaves a bridge is not
/// gone.
fn event(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<LinkEvent> {
    match message.payload {
        NetlinkPayload::Overrun(_) => Some(LinkEvent::Lost),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message),
        ) if message.header.interface_family == AddressFamily::Bridge => None,
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
            Link::of(&message).map(LinkEvent::Changed)
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message)) => {
            Some(LinkEvent::Gone(message.header.index))
        }
        _ => None,
    }
}

/// A VXLAN device that takes its keys from each packet's metadata.
fn external_vxlan(name: &str, port: u16) -> LinkMessageBuilder<LinkVxlan> {
    LinkMessageBuilder::<LinkVxlan>::new(name)
        .port(port)
        .collect_metadata(true)
        .learning(false)
        .udp_csum(true)
        .udp_zero_csum6_rx(true)
}

fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENODEV)
}

pub(crate) fn refused(what: &str, error: rtnetlink::Error) -> LinkError {
    let error = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    };
    LinkError::Refused {
        what: what.to_owned(),
        error,
    }
}

#[cfg(test)]
pub(crate) mod tests;
