//! `bpf/abi.h` and `bpf-abi` say the same: a small C program tells size and offset of every field.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bpf_abi::*;
use flow::DropReason;
use std::{collections::BTreeMap, fmt::Write as _, mem::offset_of, path::Path, process::Command};

type Facts = BTreeMap<String, u64>;

/// Collects what Rust says and the C expression that must say the same.
#[derive(Default)]
struct Claims {
    rust: Facts,
    c: String,
}

impl Claims {
    fn add(&mut self, name: String, value: u64, c: &str) {
        let _ = writeln!(
            self.c,
            "  printf(\"{name} %llu\\n\", (unsigned long long)({c}));"
        );
        self.rust.insert(name, value);
    }
}

fn size_of_field<T, F>(_: impl Fn(&T) -> &F) -> u64 {
    size_of::<F>() as u64
}

macro_rules! structs {
    ($claims:ident; $($c:ident = $rust:ident { $($field:ident),* })*) => {$(
        let c = stringify!($c);
        $claims.add(format!("sizeof.{c}"), size_of::<$rust>() as u64, &format!("sizeof(struct {c})"));
        let mut fields = 0;
        $(
            let field = stringify!($field);
            let offset = offset_of!($rust, $field) as u64;
            $claims.add(format!("{c}.{field}"), offset, &format!("offsetof(struct {c}, {field})"));
            let size = size_of_field(|v: &$rust| &v.$field);
            let in_c = format!("sizeof(((struct {c} *)0)->{field})");
            $claims.add(format!("{c}.{field}.size"), size, &in_c);
            fields += size;
        )*
        assert_eq!(fields, size_of::<$rust>() as u64, "{c} has padding or a field is not listed");
    )*};
}

macro_rules! constants {
    ($claims:ident; $($name:ident),*) => {$(
        $claims.add(stringify!($name).into(), u64::from($name), stringify!($name));
    )*};
}

fn claims() -> Claims {
    let mut claims = Claims::default();
    structs! { claims;
        flow_key = FlowKey { in_port, state, family, proto, flags, smac, dmac, src, dst, sport, dport }
        mask = Mask { used, id, bits }
        decision_key = DecisionKey { mask, pad, masked }
        conn_key = ConnKey { in_port, family, proto, pad, src, dst, sport, dport }
        tuple = Tuple { family, proto, pad, src, dst, sport, dport }
        conn = Conn { action, generation, state, flags, smac, dmac, pad, seen_ns, packets, bytes, to }
        action = Action {
            generation, kind, hops, flags, ifindex, vni, mtu, smac, dmac, dscp, reason, dst_port, record,
            packets, bytes, remote, src, dst
        }
        port = Port { tokens, rate, refilled_ns, upcalls }
        tunnel = Tunnel { ifindex }
        subport = Subport { ifindex, vlan, pad }
        limit_key = LimitKey { port, direction }
        limit = Limit { interval_ns, burst_ns, due_ns }
        drop_key = DropKey { in_port, reason }
        drop_count = DropCount { packets, bytes }
        config = Config {
            vxlan_ifindex, check_peers, local, local_family, shaper_ifindex, abi, nat64_net, nat64_bits
        }
        pool = Pool { owned, claims, tries, failures, address, count, blocks }
        mapping_key = MappingKey { router, address, port, proto, side }
        mapping = Mapping { seen_ns, address, port, pad }
        fragment_key = FragmentKey { in_port, id, family, proto, pad, src, dst }
        fragment = Fragment { sport, dport }
        upcall = Upcall { time_ns, len, captured, vni, gso_size, why, parsed, key }
    }
    constants! { claims;
        STATE_FORWARD, STATE_REPLY, FLAG_ICMP_ERROR, FLAG_FRAGMENT, FLAG_TRANSLATED, FLAG_TRANSIT_ERROR,
        VNI_REPLY, VNI_UNTRACKED,
        MARK_FROM_PORT, MARK_TO_PORT, MARK_IFINDEX, PORT_VIRTUAL, PORT_ROUTER, ACTIONS_MAX, CONN_CLOSING, CONN_TRANSLATED, CONN_CLAIMED, ACTION_NONE,
        ACTION_LOCAL, ACTION_TUNNEL, ACTION_DROP, ACTION_AGENT, ACTION_RESUME, ACTION_TRACK, ACTION_REPLY,
        ACTION_REMOTE_V6, ACTION_SRC, ACTION_DST, ACTION_DSCP, ACTION_DST_PORT,
        ACTION_SNAT, ACTION_NAT64, CLAIM_TRIES, POOLS_MAX, MAPPINGS_MAX, SIDE_INSIDE, SIDE_OUTSIDE, FROM_VM, TO_VM, WHY_MISS, WHY_CONTROL, WHY_TTL, WHY_MTU, WHY_FLOOD, IDLE_TCP_NS,
        IDLE_OTHER_NS, IDLE_CLOSING_NS, IDLE_MAPPING_NS, REFRESH_NS, ABI
    }
    claims.add("BLOCKS_MAX".into(), BLOCKS_MAX as u64, "BLOCKS_MAX");
    claims.add("MASKS_MAX".into(), MASKS_MAX as u64, "MASKS_MAX");
    claims.add(
        "UPCALL_DATA_MAX".into(),
        UPCALL_DATA_MAX as u64,
        "UPCALL_DATA_MAX",
    );
    claims.add(
        "TUNNEL_KEY".into(),
        (1 << TUNNEL_KEY_BITS) - 1,
        "TUNNEL_KEY_MASK",
    );
    claims.add(
        "EXTENSIONS_MAX".into(),
        flow::EXTENSIONS_MAX as u64,
        "EXTENSIONS_MAX",
    );
    let found_by_the_program = [
        (DropReason::Malformed, "MALFORMED"),
        (DropReason::BadChecksum, "BAD_CHECKSUM"),
        (DropReason::VlanTagged, "VLAN_TAGGED"),
        (DropReason::EtherType, "ETHER_TYPE"),
        (DropReason::ExtensionHeaders, "EXTENSION_HEADERS"),
        (DropReason::FragmentUnknown, "FRAGMENT_UNKNOWN"),
        (DropReason::UpcallRate, "UPCALL_RATE"),
        (DropReason::UpcallRingFull, "UPCALL_RING_FULL"),
        (DropReason::TunnelKeyUnknown, "TUNNEL_KEY_UNKNOWN"),
        (DropReason::KernelError, "KERNEL_ERROR"),
        (DropReason::PortUnknown, "PORT_UNKNOWN"),
        (DropReason::SpoofedIp, "SPOOFED_IP"),
        (DropReason::TooManyDevices, "TOO_MANY_DEVICES"),
        (DropReason::UnrelatedIcmpError, "UNRELATED_ICMP_ERROR"),
        (DropReason::TunnelSource, "TUNNEL_SOURCE"),
        (DropReason::PacketRate, "PACKET_RATE"),
        (DropReason::SnatExhausted, "SNAT_EXHAUSTED"),
        (DropReason::SnatProtocol, "SNAT_PROTOCOL"),
        (DropReason::Nat64Untranslatable, "NAT64_UNTRANSLATABLE"),
    ];
    for (reason, c) in found_by_the_program {
        claims.add(c.into(), reason as u64, c);
    }
    claims
}

#[test]
fn both_sides_of_the_map_abi_agree() {
    let claims = claims();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, probe) = (dir.join("abi_probe.c"), dir.join("abi_probe"));
    let text = format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include \"abi.h\"\nint main(void) {{\n{}  return 0;\n}}\n",
        claims.c
    );
    std::fs::write(&source, text).unwrap();
    let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf");
    let built = Command::new("cc")
        .arg("-I")
        .arg(headers)
        .arg(&source)
        .arg("-o")
        .arg(&probe)
        .status();
    assert!(built.unwrap().success(), "the probe does not compile");
    let said = String::from_utf8(Command::new(&probe).output().unwrap().stdout).unwrap();
    let c: Facts = said
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, value)| (name.to_string(), value.parse().unwrap()))
        .collect();
    assert_eq!(c, claims.rust);
}
