//! A topology built by hand. Ids and MACs are small numbers, so that a failing test can be read.

use ipnet::IpNet;
use std::net::IpAddr;
use topology::{
    Address, AddressGroup, AddressGroupId, Bridge, BridgeId, Direction, Family, FloatingIp,
    FloatingIpId, Gateway, Group, GroupId, Host, HostId, Ipv6Mode, Layer4, Lease, Link, Object,
    Port, PortId, Remote, Route, Router, RouterId, Rule, RuleId, Security, Snapshot, Subnet,
    SubnetId,
};
use uuid::Uuid;
use wire::Mac;

/// The MAC of the `n`th port.
pub fn mac(n: u16) -> Mac {
    let [high, low] = n.to_be_bytes();
    Mac([2, 0, 0, 0, high, low])
}

/// A rule that allows everything of one direction and family.
pub fn rule(direction: Direction, family: Family) -> Rule {
    let id = RuleId(Uuid::nil());
    Rule {
        id,
        direction,
        family,
        protocol: None,
        layer4: Layer4::Any,
        remote: Remote::Any,
    }
}

/// A topology under construction.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// What has been made so far, in an order in which it can be loaded.
    pub objects: Vec<Object>,
    count: u16,
}

impl World {
    /// A world with hosts `host1` and `host2` and nothing else.
    pub fn new() -> Self {
        let mut world = Self::default();
        for n in 1..=2 {
            world.host(n);
        }
        world
    }

    /// The host `hostN`.
    pub fn host(&mut self, n: u8) -> String {
        let id = HostId(self.id());
        let (name, tunnel) = (format!("host{n}"), IpAddr::from([192, 0, 2, n]));
        self.objects.push(Object::Host(Host {
            id,
            name: name.clone(),
            tunnel,
            draining: false,
        }));
        name
    }

    /// The snapshot of everything.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.objects.iter().cloned())
    }

    fn id(&mut self) -> Uuid {
        self.count += 1;
        Uuid::from_u128(u128::from(self.count))
    }

    /// A network with MTU 1450.
    pub fn bridge(&mut self) -> BridgeId {
        let id = BridgeId(self.id());
        let flood_key = 0x1000 + u32::from(self.count);
        let (name, mtu) = (format!("net{}", self.count), 1450);
        self.objects.push(Object::Bridge(Bridge {
            id,
            name,
            admin_up: true,
            mtu,
            flood_key,
        }));
        id
    }

    /// A subnet with DHCP or SLAAC. The gateway is its first address.
    pub fn subnet(&mut self, bridge: BridgeId, cidr: &str) -> SubnetId {
        let id = SubnetId(self.id());
        let cidr: IpNet = cidr.parse().expect("a prefix");
        let (gateway, ipv6_mode, dns) = match cidr {
            IpNet::V4(net) => (net.hosts().next().map(IpAddr::V4), None, "8.8.8.8"),
            IpNet::V6(net) => {
                let mode = Some(Ipv6Mode::Slaac);
                (
                    net.hosts().nth(1).map(IpAddr::V6),
                    mode,
                    "2001:4860:4860::8888",
                )
            }
        };
        let dns = dns.parse().into_iter().collect();
        let host_routes = Vec::new();
        let subnet = Subnet {
            id,
            bridge,
            cidr,
            gateway,
            dhcp: true,
            dns,
            host_routes,
            ipv6_mode,
            ipv6_address_mode: ipv6_mode,
        };
        self.objects.push(Object::Subnet(subnet));
        id
    }

    /// A router.
    pub fn router(&mut self, routes: Vec<Route>) -> RouterId {
        let id = RouterId(self.id());
        let name = format!("router{}", self.count);
        self.objects.push(Object::Router(Router {
            id,
            name,
            admin_up: true,
            routes,
            key: u32::from(self.count),
            gateway: None,
        }));
        id
    }

    /// An interface of a router.
    pub fn interface(
        &mut self,
        router: RouterId,
        bridge: BridgeId,
        addresses: &[(SubnetId, &str)],
    ) -> PortId {
        self.port(bridge, Link::Router(router), addresses, None)
    }

    /// The port by which a router is on an external network.
    pub fn gateway(
        &mut self,
        router: RouterId,
        bridge: BridgeId,
        addresses: &[(SubnetId, &str)],
        snat: bool,
    ) -> PortId {
        let port = self.interface(router, bridge, addresses);
        self.change_port(port, |p| p.outside = true);
        self.change_router(router, |r| r.gateway = Some(Gateway { port, snat }));
        port
    }

    /// An uplink of a router by an interface of a host: a network of its own, the router's port and
    /// the plug.
    pub fn uplink(&mut self, router: RouterId, host: &str, addresses: [(&str, &str); 2]) -> Uplink {
        let bridge = self.bridge();
        let of_port = addresses.map(|(cidr, ip)| (self.subnet(bridge, cidr), ip));
        let port = self.interface(router, bridge, &of_port);
        let plug = self.vm(bridge, host, &[], None);
        for id in [port, plug] {
            self.change_port(id, |p| p.outside = true);
        }
        Uplink { bridge, port, plug }
    }

    /// A floating IP that leads to a fixed address.
    pub fn floating_ip(
        &mut self,
        (bridge, address): (BridgeId, &str),
        router: RouterId,
        (port, fixed): (PortId, IpAddr),
    ) -> FloatingIpId {
        let id = FloatingIpId(self.id());
        self.objects.push(Object::FloatingIp(FloatingIp {
            id,
            address: address.parse().expect("an address"),
            bridge,
            router,
            port,
            fixed,
            forwarded: None,
            policy: None,
        }));
        id
    }

    /// Blocks of a router's ports that a host has leased.
    pub fn lease(&mut self, router: RouterId, host: &str, blocks: &[u8]) {
        self.objects.push(Object::Lease(Lease {
            id: Lease::id_of(router, host),
            router,
            host: host.to_owned(),
            blocks: blocks.iter().copied().collect(),
        }));
    }

    /// A VM's port on a host; without groups it is trusted.
    pub fn vm(
        &mut self,
        bridge: BridgeId,
        host: &str,
        addresses: &[(SubnetId, &str)],
        groups: Option<&[GroupId]>,
    ) -> PortId {
        let link = Link::Host {
            host: host.to_owned(),
            interface: None,
            trunk: None,
            vlan: None,
        };
        let security = groups.map(|g| Security {
            groups: g.to_vec(),
            pairs: Vec::new(),
        });
        self.port(bridge, link, addresses, security)
    }

    fn port(
        &mut self,
        bridge: BridgeId,
        link: Link,
        addresses: &[(SubnetId, &str)],
        security: Option<Security>,
    ) -> PortId {
        let id = PortId(self.id());
        let address = |(subnet, ip): &(SubnetId, &str)| Address {
            ip: ip.parse().expect("an address"),
            subnet: *subnet,
        };
        self.objects.push(Object::Port(Port {
            id,
            name: format!("port{}", self.count),
            bridge: Some(bridge),
            admin_up: true,
            mac: mac(self.count),
            outside: false,
            addresses: addresses.iter().map(address).collect(),
            link,
            key: u32::from(self.count),
            security,
            policy: None,
            instance: None,
            dhcp_options: vec![],
        }));
        id
    }

    /// An address group.
    pub fn address_group(&mut self, nets: Vec<IpNet>) -> AddressGroupId {
        let id = AddressGroupId(self.id());
        let name = format!("addresses{}", self.count);
        let group = AddressGroup { id, name, nets };
        self.objects.push(Object::AddressGroup(group));
        id
    }

    /// A security group. The rules get ids of their own.
    pub fn group(&mut self, stateful: bool, rules: Vec<Rule>) -> GroupId {
        let id = GroupId(self.id());
        let name = format!("group{}", self.count);
        let rules = rules
            .into_iter()
            .map(|r| Rule {
                id: RuleId(self.id()),
                ..r
            })
            .collect();
        self.objects.push(Object::Group(Group {
            id,
            name,
            stateful,
            rules,
        }));
        id
    }

    /// A group as Neutron makes it by default: out to everybody, in from its members.
    pub fn default_group(&mut self) -> GroupId {
        let id = GroupId(Uuid::from_u128(u128::from(self.count) + 1));
        let mut rules = Vec::new();
        for family in [Family::V4, Family::V6] {
            rules.push(rule(Direction::Egress, family));
            let remote = Remote::Group(id);
            rules.push(Rule {
                remote,
                ..rule(Direction::Ingress, family)
            });
        }
        self.group(true, rules)
    }

    /// Changes the port with this id.
    pub fn change_port(&mut self, id: PortId, change: impl FnOnce(&mut Port)) {
        let port = self.objects.iter_mut().find_map(|o| match o {
            Object::Port(port) if port.id == id => Some(port),
            _ => None,
        });
        change(port.expect("a port of this world"));
    }

    /// Changes the router with this id.
    pub fn change_router(&mut self, id: RouterId, change: impl FnOnce(&mut Router)) {
        let router = self.objects.iter_mut().find_map(|o| match o {
            Object::Router(router) if router.id == id => Some(router),
            _ => None,
        });
        change(router.expect("a router of this world"));
    }

    /// Changes the floating IP with this id.
    pub fn change_floating_ip(&mut self, id: FloatingIpId, change: impl FnOnce(&mut FloatingIp)) {
        let fip = self.objects.iter_mut().find_map(|o| match o {
            Object::FloatingIp(fip) if fip.id == id => Some(fip),
            _ => None,
        });
        change(fip.expect("a floating IP of this world"));
    }
}

/// An uplink of a [`World`].
#[derive(Clone, Copy, Debug)]
pub struct Uplink {
    /// Its network.
    pub bridge: BridgeId,
    /// The router's port.
    pub port: PortId,
    /// The host's interface.
    pub plug: PortId,
}
