//! A network interface as the agent needs to know it.

use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use wire::Mac;

/// A network interface of this namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number; a name may come back with another one.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `IFLA_INFO_KIND`: "tun" for taps, "veth", "vxlan"; empty for hardware.
    pub kind: String,
    /// Its address, if it has an Ethernet one.
    pub mac: Option<Mac>,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it is up and can carry frames: the cable is in, the other end is there.
    pub carrier: bool,
    /// Whether it takes frames for any MAC.
    pub promiscuous: bool,
    /// The interface that its frames go out by, if it is only a part of that one: a VLAN of it, say.
    pub parent: Option<u32>,
    /// The bridge or bond that it is a member of.
    pub master: Option<u32>,
}

/// What happened to the interfaces of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// One is new or has changed.
    Changed(Link),
    /// The one with this index is gone from this namespace.
    Gone(u32),
    /// Events were lost: list the links again.
    Lost,
}

impl Link {
    /// Reads a kernel message; `None` if it has no name.
    pub(crate) fn of(message: &LinkMessage) -> Option<Self> {
        let flags = message.header.flags;
        let mut link = Link {
            index: message.header.index,
            name: String::new(),
            kind: String::new(),
            mac: None,
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            promiscuous: flags.contains(LinkFlags::Promisc),
            parent: None,
            master: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) => {
                    link.mac = bytes.as_slice().try_into().ok().map(Mac)
                }
                LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
                LinkAttribute::Link(index) => link.parent = Some(*index),
                LinkAttribute::Controller(index) => link.master = Some(*index),
                _ => {}
            }
        }
        // of these it names the other end, or what datagrams leave by
        if !matches!(
            link.kind.as_str(),
            "vlan" | "macvlan" | "macvtap" | "ipvlan"
        ) {
            link.parent = None;
        }
        (!link.name.is_empty()).then_some(link)
    }
}

fn kind(infos: &[LinkInfo]) -> String {
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    kind.map(InfoKind::to_string).unwrap_or_default()
}
