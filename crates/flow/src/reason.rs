//! Why packets are dropped. One name, one number, one counter, one line in `docs/drops.md`.

macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $number:literal, $name:literal;)*) => {
        /// Why a packet was dropped. Numbers are shared with the kernel program and never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])+ $variant = $number,)* }

        impl DropReason {
            /// All reasons by number.
            pub const ALL: &[DropReason] = &[$(DropReason::$variant),*];

            /// The name used in metrics, traces and the command line.
            pub fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)* }
            }

            /// The reason with this number.
            pub fn from_number(number: u32) -> Option<DropReason> {
                Self::ALL.iter().copied().find(|r| *r as u32 == number)
            }
        }
    };
}

reasons! {
    /// Header cut short, bad version, or lengths that contradict each other.
    Malformed = 1, "malformed";
    /// IPv4 header checksum or reserved fields are wrong.
    BadChecksum = 2, "bad_checksum";
    /// A VLAN tag on a port that carries none.
    VlanTagged = 3, "vlan_tagged";
    /// Neither IP nor ARP.
    EtherType = 4, "ethertype";
    /// More IPv6 extension headers than are followed, or a routing header.
    ExtensionHeaders = 5, "extension_headers";
    /// A later fragment whose first fragment was not seen.
    FragmentUnknown = 6, "fragment_unknown";
    /// The port makes upcalls faster than it may.
    UpcallRate = 7, "upcall_rate";
    /// The ring to the agent is full.
    UpcallRingFull = 8, "upcall_ring_full";
    /// A tunnelled frame with a key that no port of this host has.
    TunnelKeyUnknown = 9, "tunnel_key_unknown";
    /// The kernel refused to change or redirect the packet.
    KernelError = 10, "kernel_error";
    /// The tap is not bound to a port that the agent knows.
    PortUnknown = 11, "port_unknown";
    /// The port is administratively down.
    PortDown = 12, "port_down";
    /// The network is administratively down.
    NetworkDown = 13, "network_down";
    /// The router is administratively down.
    RouterDown = 14, "router_down";
    /// The Ethernet source is not the port's.
    SpoofedMac = 15, "spoofed_mac";
    /// The IP source is not the port's.
    SpoofedIp = 16, "spoofed_ip";
    /// An ARP message speaks for an address or MAC that is not the port's.
    SpoofedArp = 17, "spoofed_arp";
    /// A neighbour discovery message does, or a VM sends router advertisements.
    SpoofedNd = 18, "spoofed_nd";
    /// A VM answers DHCP requests.
    DhcpServer = 19, "dhcp_server";
    /// No security group rule of the sender allows it.
    SecurityGroupEgress = 20, "security_group_egress";
    /// No security group rule of the receiver allows it.
    SecurityGroupIngress = 21, "security_group_ingress";
    /// No port of the network has the destination MAC.
    UnknownMac = 22, "unknown_mac";
    /// The router has no route to the destination.
    NoRoute = 23, "no_route";
    /// The next hop has no port.
    UnknownNeighbor = 24, "unknown_neighbor";
    /// TTL or hop limit is used up.
    TtlExpired = 25, "ttl_expired";
    /// Larger than the next network's MTU and not to be fragmented.
    TooBig = 26, "too_big";
    /// The destination port is not bound to a host.
    PortUnbound = 27, "port_unbound";
    /// The destination's host has no known underlay address.
    HostUnknown = 28, "host_unknown";
    /// The packet would pass more devices than are followed.
    TooManyDevices = 29, "too_many_devices";
    /// To a router's own address, of a kind that routers do not answer.
    RouterAddress = 30, "router_address";
    /// An ICMP error about a connection that is not known.
    UnrelatedIcmpError = 31, "unrelated_icmp_error";
    /// The destination is the port it came from.
    Hairpin = 32, "hairpin";
    /// A source or destination address that must not be routed.
    MartianAddress = 33, "martian_address";
    /// The agent's tables are full.
    TableFull = 34, "table_full";
    /// An outer source address that is not the underlay address of a known host.
    TunnelSource = 35, "tunnel_source";
    /// More packets a second than the port's policy allows it to send or to get.
    PacketRate = 50, "packet_rate";
    /// A DHCP message that comes through a relay; a network's own server is on its link.
    DhcpRelayed = 42, "dhcp_relayed";
    /// The next hop is nobody's fixed address; who has it is being asked.
    NeighborUnresolved = 38, "neighbor_unresolved";
    /// To a destination in a blackhole route.
    BlackholeRoute = 47, "blackhole_route";
    /// To a destination in a reject route; the sender is told.
    RejectRoute = 48, "reject_route";
    /// A fragment for a router's own address: kept until the packet is whole, or dropped when it
    /// does not become so.
    RouterFragment = 49, "router_fragment";
    /// The host's agent has no `[metadata]` section.
    MetadataOff = 44, "metadata_off";
    /// From the metadata service to a port that is no longer there, or not what the service answers.
    MetadataUnknown = 45, "metadata_unknown";
    /// The host's pool of source NAT ports, of this router, has none for the connection.
    SnatExhausted = 52, "snat_exhausted";
    /// Of a protocol without ports that source NAT can change.
    SnatProtocol = 53, "snat_protocol";
    /// IPv6 and IPv4 cannot say the same with this packet: a fragment of an ICMP message or of a
    /// datagram without a checksum, or an ICMP message that the other family has not.
    Nat64Untranslatable = 58, "nat64_untranslatable";
    /// The queue of a port's bandwidth limit is full.
    RateLimit = 51, "rate_limit";
    /// To a floating IP of which only some ports are forwarded, and not to one of these.
    NotForwarded = 54, "not_forwarded";
    /// An answer as an address that is no longer the sender's: its floating IP went elsewhere.
    TranslationGone = 55, "translation_gone";
    /// The only way is by an uplink whose link or host is down.
    UplinkDown = 56, "uplink_down";
    /// To an IPv6 floating IP of an IPv4 address, and neither TCP, UDP nor an echo.
    Nat64Protocol = 57, "nat64_protocol";
    /// It came into a router from its outside, and was handed over to a host that its VM is not on any
    /// more.
    OwnerElsewhere = 59, "owner_elsewhere";
}
