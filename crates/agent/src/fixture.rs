//! Small topologies for the tests.

use linux::Link;
use topology::{Bridge, BridgeId, Link as PortLink, Port, PortId};
use uuid::Uuid;
use wire::Mac;

/// The network that all fixture ports are on.
pub fn bridge() -> Bridge {
    Bridge {
        id: BridgeId(Uuid::from_u128(0xb)),
        name: "net".into(),
        admin_up: true,
        mtu: 1450,
        flood_key: 1000,
    }
}

/// A port without security, bound to `host`.
pub fn port(number: u8, host: &str) -> Port {
    Port {
        id: PortId(Uuid::from_u128(u128::from(number) << 100)),
        name: String::new(),
        bridge: Some(bridge().id),
        admin_up: true,
        mac: Mac([0xfa, 0x16, 0x3e, 0, 0, number]),
        outside: false,
        addresses: Vec::new(),
        link: PortLink::Host {
            host: host.into(),
            interface: None,
            trunk: None,
            vlan: None,
        },
        key: u32::from(number),
        security: None,
        policy: None,
        instance: None,
        dhcp_options: vec![],
    }
}

/// An interface that is up.
pub fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.into(),
        kind: "tun".into(),
        mac: None,
        mtu: 1500,
        up: true,
        carrier: true,
        promiscuous: false,
        parent: None,
        master: None,
    }
}
