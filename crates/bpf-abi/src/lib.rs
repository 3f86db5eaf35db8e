//! Keys and values of the maps that the kernel program and the agent share.
//!
//! `bpf/abi.h` says the same in C; `datapath`'s tests compare size and offset of every field.
//! All addresses are 16 bytes: IPv4 is written as an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2)
//! and the `family` byte keeps the two apart. Ports are in network byte order on the wire and in
//! host order here.
#![no_std]
#![forbid(unsafe_code)]

/// `FlowKey::state`: no connection entry says otherwise, the packet opens or continues its own.
pub const STATE_FORWARD: u8 = 0;
/// `FlowKey::state`: the reverse of this tuple has been authorised on its way here.
pub const STATE_REPLY: u8 = 1;

/// `FlowKey::flags`: the tuple was read from inside an ICMP error and turned round, so that the
/// error belongs to the connection it speaks of.
pub const FLAG_ICMP_ERROR: u8 = 1;
/// `FlowKey::flags`: a later fragment whose ports are those of its first fragment.
pub const FLAG_FRAGMENT: u8 = 2;
/// `FlowKey::flags`: addresses and ports are those that the entry of its connection translates to.
pub const FLAG_TRANSLATED: u8 = 4;
/// `FlowKey::flags`, with [`FLAG_ICMP_ERROR`]: the error's source is not the end that its packet was
/// sent to, but somebody on the way there.
pub const FLAG_TRANSIT_ERROR: u8 = 8;

/// Bits of a VXLAN network identifier below the flags: the key of a port or of a network.
pub const TUNNEL_KEY_BITS: u32 = 22;
/// VNI flag: a reply; the receiving host must not record a reverse connection for it.
pub const VNI_REPLY: u32 = 1 << 23;
/// VNI flag: not tracked; the receiving host keeps no record.
pub const VNI_UNTRACKED: u32 = 1 << 22;

/// Mark of an injected frame: run the pipeline as if it came in at the port of this ifindex.
pub const MARK_FROM_PORT: u32 = 0x8000_0000;
/// Mark of an injected frame: deliver straight to the port of this ifindex.
pub const MARK_TO_PORT: u32 = 0x4000_0000;
/// The port number in a mark.
pub const MARK_IFINDEX: u32 = 0x3fff_ffff;

/// Ports have numbers: a tap's is its ifindex, a sub-port's has this bit and is chosen by the agent.
/// Wherever a map or a mark says ifindex or in_port, it means a port's number.
pub const PORT_VIRTUAL: u32 = 0x2000_0000;

/// A router's number: where frames go on that came into it from its outside. `PORT_VIRTUAL` and this
/// bit are set; the rest is the router's tunnel key.
pub const PORT_ROUTER: u32 = 0x1000_0000;

/// The number of a router.
pub const fn router_number(key: u32) -> u32 {
    PORT_VIRTUAL | PORT_ROUTER | key
}

/// Masked classes the decision table can hold at once; more are folded into coarser ones.
pub const MASKS_MAX: usize = 32;
/// Decisions (and so action slots) a host can hold at once. Slot 0 is never used.
pub const ACTIONS_MAX: u32 = 65_536;

/// Everything a decision may depend on. 56 bytes without padding.
///
/// ICMP and ICMPv6: `sport` is the identifier of an echo (0 otherwise) and `dport` is
/// `type << 8 | code`; protocols without ports have both 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// ifindex of the tap the packet came in at.
    pub in_port: u32,
    /// `STATE_*`.
    pub state: u8,
    /// 4 or 6.
    pub family: u8,
    /// IP protocol number after all extension headers.
    pub proto: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// Ethernet source.
    pub smac: [u8; 6],
    /// Ethernet destination.
    pub dmac: [u8; 6],
    /// IP source.
    pub src: [u8; 16],
    /// IP destination.
    pub dst: [u8; 16],
    /// Source port or ICMP identifier.
    pub sport: u16,
    /// Destination port or ICMP type and code.
    pub dport: u16,
}

/// Size of a flow key in bytes and in 64-bit words.
pub const FLOW_KEY_SIZE: usize = size_of::<FlowKey>();
/// 64-bit words of a flow key.
pub const FLOW_KEY_WORDS: usize = FLOW_KEY_SIZE / 8;
const _: () = assert!(FLOW_KEY_SIZE == 56);

/// One class of the decision table: `key & mask` is what its decisions are filed under.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mask {
    /// 1 while the slot is in use; the kernel walks the slots until the first 0.
    pub used: u32,
    /// Identity of the class inside `DecisionKey`; never reused while decisions carry it.
    pub id: u32,
    /// Bits of the flow key that matter, as the key's own bytes.
    pub bits: [u64; FLOW_KEY_WORDS],
}

/// Key of the decision table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DecisionKey {
    /// `Mask::id`.
    pub mask: u32,
    /// Zero.
    pub pad: u32,
    /// The flow key with the mask applied, as its own bytes.
    pub masked: [u64; FLOW_KEY_WORDS],
}

/// Key of the connection table: the exact tuple as seen at one port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnKey {
    /// ifindex of the tap.
    pub in_port: u32,
    /// 4 or 6.
    pub family: u8,
    /// IP protocol number.
    pub proto: u8,
    /// Zero.
    pub pad: u16,
    /// IP source.
    pub src: [u8; 16],
    /// IP destination.
    pub dst: [u8; 16],
    /// Source port or ICMP identifier.
    pub sport: u16,
    /// Destination port or ICMP type and code.
    pub dport: u16,
}

/// `Conn::flags`: a FIN or RST has been seen; the entry lives only `IDLE_CLOSING_NS` more.
pub const CONN_CLOSING: u8 = 1;

/// `Conn::flags`: its packets are judged as `to`, and become what is decided about that.
pub const CONN_TRANSLATED: u8 = 2;
/// `Conn::flags`: its packets are judged as they come, and get the source of `to`, which was claimed.
pub const CONN_CLAIMED: u8 = 4;

/// Addresses and ports of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// 4 or 6.
    pub family: u8,
    /// IP protocol number.
    pub proto: u8,
    /// Zero.
    pub pad: u16,
    /// IP source.
    pub src: [u8; 16],
    /// IP destination.
    pub dst: [u8; 16],
    /// Source port or ICMP identifier.
    pub sport: u16,
    /// Destination port or ICMP type and code.
    pub dport: u16,
}

/// Value of the connection table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conn {
    /// Slot in the action table; 0 = none yet (a reverse record waiting for its first packet).
    pub action: u32,
    /// Generation of the slot when the entry was made; another one means: decide again.
    pub generation: u32,
    /// `STATE_*`: which direction of its connection this entry is.
    pub state: u8,
    /// `CONN_*`.
    pub flags: u8,
    /// Ethernet source the entry was made for; another one means: decide again.
    pub smac: [u8; 6],
    /// Ethernet destination likewise.
    pub dmac: [u8; 6],
    /// Zero.
    pub pad: u16,
    /// CLOCK_MONOTONIC of the last refresh, at most a second behind the last packet.
    pub seen_ns: u64,
    /// Packets forwarded by this entry.
    pub packets: u64,
    /// Bytes forwarded by this entry.
    pub bytes: u64,
    /// What its packets are translated to, if `flags` say so.
    pub to: Tuple,
}

/// `Action::kind`: the slot is free.
pub const ACTION_NONE: u8 = 0;
/// `Action::kind`: deliver at the tap `ifindex` of this host.
pub const ACTION_LOCAL: u8 = 1;
/// `Action::kind`: send to `remote` with key `vni`.
pub const ACTION_TUNNEL: u8 = 2;
/// `Action::kind`: drop, counted under `reason`.
pub const ACTION_DROP: u8 = 3;
/// `Action::kind`: always to the agent (answers that cannot be cached).
pub const ACTION_AGENT: u8 = 4;

/// `Action::kind`: run the pipeline again, as if it came in at the router with the number `ifindex`.
pub const ACTION_RESUME: u8 = 5;

/// `Action::flags`: the connection is tracked: record its reverse where the packet arrives.
pub const ACTION_TRACK: u16 = 1;
/// `Action::flags`: decided as a reply: the entry made from it is one, its VNI says so.
pub const ACTION_REPLY: u16 = 2;
/// `Action::flags`: `remote` is an IPv6 address.
pub const ACTION_REMOTE_V6: u16 = 4;
/// `Action::flags`: `src` becomes the IP source.
pub const ACTION_SRC: u16 = 8;
/// `Action::flags`: `dst` becomes the IP destination.
pub const ACTION_DST: u16 = 16;
/// `Action::flags`: `dscp` is written into the packet, and into the outer one of a tunnelled packet.
pub const ACTION_DSCP: u16 = 32;
/// `Action::flags`: `dst_port` becomes the destination port.
pub const ACTION_DST_PORT: u16 = 64;
/// `Action::flags`: the source becomes the address and a port of the pool of `record`.
pub const ACTION_SNAT: u16 = 128;
/// `Action::flags`: an IPv6 packet becomes an IPv4 one to `dst`, from an address of `Config`'s pool.
pub const ACTION_NAT64: u16 = 256;

/// What happens to every packet of a decision's class. What every packet needs comes first, in one
/// cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// Grows each time the slot is given a new meaning or emptied.
    pub generation: u32,
    /// `ACTION_*` kind.
    pub kind: u8,
    /// Routers passed: subtracted from TTL or hop limit; too small a TTL goes to the agent.
    pub hops: u8,
    /// `ACTION_*` flags.
    pub flags: u16,
    /// Number of the port for `ACTION_LOCAL`, of the router for `ACTION_RESUME`.
    pub ifindex: u32,
    /// VNI with flags for `ACTION_TUNNEL`.
    pub vni: u32,
    /// Largest IP packet that may pass, bytes; a larger one goes to the agent. 0 = no limit.
    pub mtu: u32,
    /// Ethernet source to write when `hops` > 0.
    pub smac: [u8; 6],
    /// Ethernet destination to write when `hops` > 0.
    pub dmac: [u8; 6],
    /// Differentiated services code point to write if `ACTION_DSCP` says so.
    pub dscp: u8,
    /// Number of the drop reason.
    pub reason: u8,
    /// Destination port to write if `ACTION_DST_PORT` says so.
    pub dst_port: u16,
    /// Number of the router where the reverse is recorded, with what the packet was for what it has
    /// become. 0: at `ifindex` if `ACTION_TRACK` says so and the packet arrives here.
    pub record: u32,
    /// Packets that took this action.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Underlay address of the receiving host, IPv4-mapped if IPv4.
    pub remote: [u8; 16],
    /// IP source to write if `ACTION_SRC` says so, of the packet's family.
    pub src: [u8; 16],
    /// IP destination to write if `ACTION_DST` says so.
    pub dst: [u8; 16],
}

/// A tap that the program is attached to. Key: ifindex (u32).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Upcalls this port may still make; refilled by the kernel program. A frame costs one, and one
    /// more for each 2 KiB of it.
    pub tokens: u32,
    /// Upcalls per second the port is allowed.
    pub rate: u32,
    /// When tokens were last refilled, CLOCK_MONOTONIC ns.
    pub refilled_ns: u64,
    /// Upcalls made. Frames and bytes are counted by the device itself.
    pub upcalls: u64,
}

/// Where a tunnel key leads on this host. Key: the key without flags (u32).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    /// Number of the port, or of the router where the frame goes on; 0 = a network's flood key: the
    /// frame goes to the agent.
    pub ifindex: u32,
}

/// A sub-port: the tap it shares and the VLAN tag of its frames there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subport {
    /// The tap.
    pub ifindex: u32,
    /// VLAN identifier, 1 to 4094.
    pub vlan: u16,
    /// Zero.
    pub pad: u16,
}

/// `LimitKey::direction`: what the VM sends.
pub const FROM_VM: u32 = 0;
/// `LimitKey::direction`: what the VM gets.
pub const TO_VM: u32 = 1;

/// Key of the packet rate limits and of the shaping classes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey {
    /// Number of the port.
    pub port: u32,
    /// `FROM_VM` or `TO_VM`.
    pub direction: u32,
}

/// A packet rate limit: a token bucket, told as the time at which it will be full.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Time that one packet is worth.
    pub interval_ns: u64,
    /// Time that a full bucket is worth.
    pub burst_ns: u64,
    /// When the bucket will be full, CLOCK_MONOTONIC; kept by the kernel program.
    pub due_ns: u64,
}

impl Limit {
    /// This many packets a second, and up to `burst` at once. No packet at all passes a limit of 0.
    pub fn new(packets_per_second: u32, burst: u32) -> Self {
        const SECOND_NS: u64 = 1_000_000_000;
        let interval_ns = SECOND_NS / u64::from(packets_per_second.max(1));
        let interval_ns = interval_ns.max(1);
        let burst = if packets_per_second == 0 {
            0
        } else {
            burst.max(1)
        };
        Self {
            interval_ns,
            burst_ns: interval_ns * u64::from(burst),
            due_ns: 0,
        }
    }

    /// Whether both let the same rate and burst pass.
    pub fn allows_like(&self, other: &Limit) -> bool {
        (self.interval_ns, self.burst_ns) == (other.interval_ns, other.burst_ns)
    }
}

/// Key of the drop counters. Per-CPU value: `DropCount`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// ifindex of the ingress tap; 0 when the frame came by the tunnel.
    pub in_port: u32,
    /// Number of the drop reason.
    pub reason: u32,
}

/// Per-CPU value of the drop counters.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCount {
    /// Frames dropped.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// First entry of the configuration array.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// ifindex of the VXLAN device.
    pub vxlan_ifindex: u32,
    /// 1 once `PEERS` holds the underlay addresses that tunnelled frames may come from.
    pub check_peers: u32,
    /// This host's underlay address, the source of tunnelled frames; IPv4-mapped if IPv4.
    pub local: [u8; 16],
    /// Family of `local`: 4 or 6; 0 lets the route choose.
    pub local_family: u32,
    /// ifindex of the shaper's near end; 0 while there is none.
    pub shaper_ifindex: u32,
    /// Layout of all maps; maps of another layout are not taken over.
    pub abi: u32,
    /// First IPv4 address that stands for an IPv6 one, in host order.
    pub nat64_net: u32,
    /// Bits of an address that tell them apart; 0: there are none.
    pub nat64_bits: u32,
}

/// Blocks of ports that there are: a block is 256 ports.
pub const BLOCKS_MAX: usize = 256;
/// Ports that a claim tries before it gives up.
pub const CLAIM_TRIES: u32 = 32;
/// Pools that a host can have.
pub const POOLS_MAX: u32 = 4096;
/// Mappings that a host can hold, two for each port.
pub const MAPPINGS_MAX: u32 = 131_072;

/// Value of the pools for source NAT. Key: the router's number (u32).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// A bit for each block that is this host's.
    pub owned: [u64; BLOCKS_MAX / 64],
    /// Ports that were claimed; kept by the kernel program, like the next two.
    pub claims: u64,
    /// Ports that were tried for that.
    pub tries: u64,
    /// Connections that found none.
    pub failures: u64,
    /// IPv4 address, as on the wire.
    pub address: [u8; 4],
    /// How many of `blocks` there are.
    pub count: u32,
    /// The blocks that are this host's, in any order.
    pub blocks: [u8; BLOCKS_MAX],
}

/// `MappingKey::side`: by who has the port.
pub const SIDE_INSIDE: u8 = 0;
/// `MappingKey::side`: by the port of the pool.
pub const SIDE_OUTSIDE: u8 = 1;

/// Key of the mappings of protocols whose ports are mapped whoever the other end is (RFC 4787, 4.1).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MappingKey {
    /// The router's number.
    pub router: u32,
    /// IPv4 address on this side, as on the wire.
    pub address: [u8; 4],
    /// Port or ICMP identifier on this side.
    pub port: u16,
    /// IP protocol number.
    pub proto: u8,
    /// `SIDE_*`.
    pub side: u8,
}

/// Value of the mappings: the other side.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// CLOCK_MONOTONIC of the last refresh.
    pub seen_ns: u64,
    /// IPv4 address on the other side, as on the wire.
    pub address: [u8; 4],
    /// Port or ICMP identifier there.
    pub port: u16,
    /// Zero.
    pub pad: u16,
}

/// `Config::abi`: changes with every change of a map's meaning.
pub const ABI: u32 = 6;

/// Key of the fragment table: what all fragments of a packet have in common.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// ifindex of the tap.
    pub in_port: u32,
    /// Identification.
    pub id: u32,
    /// 4 or 6.
    pub family: u8,
    /// IP protocol number after all extension headers.
    pub proto: u8,
    /// Zero.
    pub pad: [u8; 6],
    /// IP source.
    pub src: [u8; 16],
    /// IP destination.
    pub dst: [u8; 16],
}

/// Value of the fragment table: what only the first fragment says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// As in `FlowKey`.
    pub sport: u16,
    /// As in `FlowKey`.
    pub dport: u16,
}

/// `Upcall::why`: no decision covers the packet.
pub const WHY_MISS: u8 = 0;
/// `Upcall::why`: ARP, neighbour discovery, DHCP, or another frame only the agent answers.
pub const WHY_CONTROL: u8 = 1;
/// `Upcall::why`: TTL or hop limit would reach zero.
pub const WHY_TTL: u8 = 2;
/// `Upcall::why`: larger than the action's MTU.
pub const WHY_MTU: u8 = 3;
/// `Upcall::why`: multicast or broadcast, from a port or from a network's flood key.
pub const WHY_FLOOD: u8 = 4;

/// Largest part of a frame that an upcall carries, bytes: all of any frame that a tap can hand in,
/// aggregated ones included.
pub const UPCALL_DATA_MAX: usize = 65_536 + 64;

/// Idle limit of a TCP connection, ns (RFC 5382, REQ-5).
pub const IDLE_TCP_NS: u64 = 7_440 * 1_000_000_000;
/// Idle limit of any other connection, ns.
pub const IDLE_OTHER_NS: u64 = 180 * 1_000_000_000;
/// Idle limit of a connection that has seen a FIN or RST, ns.
pub const IDLE_CLOSING_NS: u64 = 60 * 1_000_000_000;
/// Idle limit of a mapping, ns: longer than that of the connections that refresh it.
pub const IDLE_MAPPING_NS: u64 = 240 * 1_000_000_000;
/// How stale `Conn::seen_ns` may get before a packet refreshes it, ns.
pub const REFRESH_NS: u64 = 1_000_000_000;

/// Header of a ring buffer record; `captured` bytes of the frame follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upcall {
    /// CLOCK_MONOTONIC when the kernel sent it.
    pub time_ns: u64,
    /// Length of the frame, bytes.
    pub len: u32,
    /// Bytes of the frame that follow.
    pub captured: u32,
    /// Tunnel key (with flags) the frame came by; 0 from a port.
    pub vni: u32,
    /// Segment size of an aggregated frame; 0 for a plain one.
    pub gso_size: u16,
    /// `WHY_*`.
    pub why: u8,
    /// 1 when `key` was filled (an IP packet that parsed).
    pub parsed: u8,
    /// What the kernel program read.
    pub key: FlowKey,
}

impl Conn {
    /// How long an entry of this protocol may be idle, ns.
    pub fn idle_limit(&self, proto: u8) -> u64 {
        match (self.flags & CONN_CLOSING != 0, proto) {
            (true, _) => IDLE_CLOSING_NS,
            (false, 6) => IDLE_TCP_NS,
            (false, _) => IDLE_OTHER_NS,
        }
    }
}

/// The port of a connection's destination; of ICMP messages, whose ends share it, the identifier.
pub fn dst_port(key: &ConnKey) -> u16 {
    match key.proto {
        1 | 58 => key.sport,
        _ => key.dport,
    }
}

/// Turns a tuple round: the key of the reply as its sender's port sees it, or `None` for ICMP
/// messages that have no reply. The C program does the same in `reverse()`.
pub fn reverse_ports(proto: u8, sport: u16, dport: u16) -> Option<(u16, u16)> {
    match proto {
        1 => reverse_icmp(dport, &[(8, 0), (13, 14), (15, 16), (17, 18)]).map(|d| (sport, d)),
        58 => reverse_icmp(dport, &[(128, 129)]).map(|d| (sport, d)),
        _ => Some((dport, sport)),
    }
}

fn reverse_icmp(type_and_code: u16, pairs: &[(u16, u16)]) -> Option<u16> {
    let (kind, code) = (type_and_code >> 8, type_and_code & 0xff);
    pairs.iter().find_map(|&(request, reply)| match kind {
        k if k == request => Some(reply << 8 | code),
        k if k == reply => Some(request << 8 | code),
        _ => None,
    })
}
