//! A VM: a namespace behind a tap.

use crate::{
    DhcpClient, DhcpProgram, Echo, Host, LabError, Lease, Netns, Probe, RawSocket, Stream, dhcp,
    vlan::Tags, wait::within, world::Shared,
};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// Name of the interface inside.
const INTERFACE: &str = "eth0";
/// Characters of a port's id in the name of its tap, after `tap`.
const TAP_ID_CHARS: usize = 11;
/// How long router advertisement and duplicate address detection get.
const SLAAC_LIMIT: Duration = Duration::from_secs(20);
/// Flags of `/proc/net/if_inet6`: the address is still being tried, or was found in use.
const IPV6_UNUSABLE: u32 = 0x08 | 0x40;

/// What is plugged: a port of Neutron.
#[derive(Clone, Debug)]
pub struct Plug {
    /// Its id, which names the tap.
    pub port: Uuid,
    /// Its MAC.
    pub mac: String,
}

impl Plug {
    /// Name that Nova gives the tap.
    pub fn tap(&self) -> String {
        format!("tap{}", &self.port.to_string()[..TAP_ID_CHARS])
    }
}

/// One VM of a lab.
#[derive(Debug)]
pub struct Vm {
    shared: Arc<Shared>,
    name: String,
    netns: Netns,
    plug: Plug,
    /// Where the other end of its cable is, and what that is called: the tap on its host.
    outside: Netns,
    cable: String,
    /// What makes the cable a VLAN of another VM's.
    _tags: Option<Tags>,
}

impl Vm {
    pub(crate) fn create(host: &Host, name: &str, plug: Plug) -> Result<Self, LabError> {
        let vm = Self::boot(&host.shared, name, host.netns(), plug.tap(), plug)?;
        vm.plug()?;
        Ok(vm)
    }

    /// A VLAN of the interface, for a sub-port of a trunk: as if it were a VM of its own with that
    /// as its interface, so that everything a VM can do can be done on it.
    pub fn vlan(&self, name: &str, id: u16, plug: Plug) -> Result<Self, LabError> {
        let device = format!("vlan{id}");
        let mut vlan = Self::boot(&self.shared, name, &self.netns, device.clone(), plug)?;
        // the end that is outside only passes frames on: it must not speak for itself
        self.netns.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        vlan.plug()?;
        self.netns.sysctl("ipv6/conf/default/disable_ipv6", "0")?;
        vlan._tags = Some(Tags::attach(&self.netns, INTERFACE, &device, id)?);
        Ok(vlan)
    }

    fn boot(
        shared: &Arc<Shared>,
        name: &str,
        outside: &Netns,
        cable: String,
        plug: Plug,
    ) -> Result<Self, LabError> {
        let netns = Netns::create(&format!("{}{name}", shared.slot.prefix()))?;
        // an address made from the MAC is what Neutron expects, and hosts need not wait to ask
        netns.sysctl("ipv6/conf/default/use_tempaddr", "0")?;
        netns.sysctl("ipv6/conf/default/router_solicitation_delay", "0")?;
        Ok(Self {
            shared: Arc::clone(shared),
            name: name.to_owned(),
            netns,
            plug,
            outside: outside.clone(),
            cable,
            _tags: None,
        })
    }

    /// Makes the tap and starts the interface inside, as Nova and the VM's boot would.
    pub fn plug(&self) -> Result<(), LabError> {
        let (tap, mac) = (&self.cable, &self.plug.mac);
        let (host, vm) = (self.outside.name(), self.netns.name());
        crate::programs::ip(&format!(
            "link add name {tap} netns {host} type veth \
             peer name {INTERFACE} address {mac} netns {vm}"
        ))?;
        // the tap first: a VM boots when its tap is there
        self.outside.ip(&format!("link set {tap} up"))?;
        self.netns.ip(&format!("link set {INTERFACE} up")).map(drop)
    }

    /// Removes the tap; the VM loses its interface.
    pub fn unplug(&self) -> Result<(), LabError> {
        self.outside
            .ip(&format!("link del {}", self.cable))
            .map(drop)
    }

    /// Its name within the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its port.
    pub fn port(&self) -> Uuid {
        self.plug.port
    }

    /// The port's MAC.
    pub fn mac(&self) -> &str {
        &self.plug.mac
    }

    /// Name of its tap on the host.
    pub fn tap(&self) -> String {
        self.plug.tap()
    }

    /// Gets an IPv4 address by DHCP, as an image with dhclient does.
    pub fn dhcp(&self) -> Result<Lease, LabError> {
        dhcp::acquire(&self.netns, INTERFACE, self.shared.slot.dir(), &self.name)
    }

    /// Runs another DHCP client with these arguments, until it is dropped.
    pub fn dhcp_client(
        &self,
        program: DhcpProgram,
        arguments: &[&str],
    ) -> Result<DhcpClient, LabError> {
        let dir = self.shared.slot.dir();
        DhcpClient::start(
            &self.netns,
            INTERFACE,
            dir,
            (&self.name, program),
            arguments,
        )
    }

    /// Waits for the global IPv6 address that router advertisements give, and for its default
    /// route.
    pub fn slaac(&self) -> Result<Ipv6Addr, LabError> {
        within(
            &format!("IPv6 address of {}", self.name),
            SLAAC_LIMIT,
            || {
                let listed = self
                    .netns
                    .enter(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6"));
                let listed = listed
                    .map_err(|e| e.to_string())?
                    .map_err(|e| e.to_string())?;
                listed
                    .lines()
                    .find_map(global)
                    .ok_or_else(|| format!("addresses:\n{listed}"))
            },
        )
    }

    /// Adds an address by hand, with its prefix length.
    pub fn add_address(&self, address: &str) -> Result<(), LabError> {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.netns
            .ip(&format!("addr add {address} dev {INTERFACE}{nodad}"))
            .map(drop)
    }

    /// Adds a route by hand, in the words of `ip route add`.
    pub fn add_route(&self, route: &str) -> Result<(), LabError> {
        let family = if route.contains(':') { "-6 " } else { "" };
        self.netns
            .ip(&format!("{family}route add {route} dev {INTERFACE}"))
            .map(drop)
    }

    /// Whether one ping is answered within `limit`.
    pub fn ping(&self, to: IpAddr, limit: Duration) -> Result<(), LabError> {
        self.netns.ping(to, limit)
    }

    /// Pings until one is answered; for a path that is being made.
    pub fn ping_until(&self, to: IpAddr, limit: Duration) -> Result<(), LabError> {
        self.netns.ping_until(to, limit)
    }

    /// Listens on a TCP port and sends back what comes.
    pub fn echo_tcp(&self, port: u16) -> Result<Echo, LabError> {
        self.netns.echo_tcp(port)
    }

    /// Listens on a UDP port and sends back what comes.
    pub fn echo_udp(&self, port: u16) -> Result<Echo, LabError> {
        self.netns.echo_udp(port)
    }

    /// One exchange with a TCP echo on a connection of its own.
    pub fn tcp(&self, to: SocketAddr, limit: Duration) -> Result<Probe, LabError> {
        self.netns.tcp(to, limit)
    }

    /// One exchange with a UDP echo.
    pub fn udp(&self, to: SocketAddr, limit: Duration) -> Result<Probe, LabError> {
        self.netns.udp(to, limit)
    }

    /// A connection to a TCP echo that exchanges bytes until it is dropped.
    pub fn stream(&self, to: SocketAddr) -> Result<Stream, LabError> {
        self.netns.stream(to)
    }

    /// Frames in and out of its interface, as bytes.
    pub fn raw(&self) -> Result<RawSocket, LabError> {
        RawSocket::open(&self.netns, INTERFACE)
    }
}

/// The address of a line of `if_inet6`, if it is global and may be used.
fn global(line: &str) -> Option<Ipv6Addr> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [address, _, _, scope, flags, _] = words[..] else {
        return None;
    };
    let usable = u32::from_str_radix(flags, 16).ok()? & IPV6_UNUSABLE == 0;
    let bits = u128::from_str_radix(address, 16).ok()?;
    (scope == "00" && usable).then(|| Ipv6Addr::from_bits(bits))
}
