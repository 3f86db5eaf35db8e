//! Decisions as text for people.

use bpf_abi::{
    ACTION_AGENT, ACTION_DROP, ACTION_LOCAL, ACTION_REMOTE_V6, ACTION_REPLY, ACTION_TRACK,
    ACTION_TUNNEL, Action, FLAG_FRAGMENT, FLAG_ICMP_ERROR, FlowKey, STATE_REPLY, TUNNEL_KEY_BITS,
};
use flow::{DropReason, Mask, unmapped};
use topology::{SetId, Tag};
use wire::Mac;

/// What packets of a class look like: `field=value`, with the mask where not all of it matters.
pub fn matching(mask: &Mask, key: &FlowKey) -> Vec<String> {
    let mask = &mask.0;
    let mut out = Vec::new();
    if mask.state != 0 {
        let state = if key.state == STATE_REPLY {
            "reply"
        } else {
            "forward"
        };
        out.push(format!("state={state}"));
    }
    if mask.family != 0 {
        out.push(format!("family=ipv{}", key.family));
    }
    if mask.proto != 0 {
        out.push(format!("proto={}", key.proto));
    }
    if mask.flags & FLAG_ICMP_ERROR != 0 && key.flags & FLAG_ICMP_ERROR != 0 {
        out.push("icmp_error".to_owned());
    }
    if mask.flags & FLAG_FRAGMENT != 0 && key.flags & FLAG_FRAGMENT != 0 {
        out.push("fragment".to_owned());
    }
    for (name, mask, value) in [("smac", mask.smac, key.smac), ("dmac", mask.dmac, key.dmac)] {
        if mask != [0; 6] {
            out.push(format!("{name}={}", Mac(value)));
        }
    }
    for (name, mask, value) in [("src", mask.src, key.src), ("dst", mask.dst, key.dst)] {
        out.extend(address(name, mask, key.family, value));
    }
    for (name, mask, value) in [
        ("sport", mask.sport, key.sport),
        ("dport", mask.dport, key.dport),
    ] {
        match mask {
            0 => {}
            u16::MAX => out.push(format!("{name}={value}")),
            _ => out.push(format!("{name}={value}/{mask:#06x}")),
        }
    }
    out
}

/// The bits that matter of an address are a prefix, because the simulation asks for prefixes.
fn address(name: &str, mask: [u8; 16], family: u8, value: [u8; 16]) -> Option<String> {
    let before = if family == 4 { 96 } else { 0 };
    let length = u128::from_be_bytes(mask).count_ones();
    let shown = unmapped(family, value);
    (length > 0).then(|| format!("{name}={shown}/{}", length.saturating_sub(before)))
}

/// What happens to them.
pub fn action(action: &Action, tap: impl Fn(u32) -> String) -> String {
    let mut out = match action.kind {
        ACTION_LOCAL => format!("deliver at {}", tap(action.ifindex)),
        ACTION_TUNNEL => {
            let family = if action.flags & ACTION_REMOTE_V6 == 0 {
                4
            } else {
                6
            };
            let key = action.vni & ((1 << TUNNEL_KEY_BITS) - 1);
            format!("tunnel to {} key {key}", unmapped(family, action.remote))
        }
        ACTION_DROP => {
            let reason = DropReason::from_number(u32::from(action.reason));
            return format!(
                "drop {}",
                reason.map_or("for an unknown reason", DropReason::name)
            );
        }
        ACTION_AGENT => return "to the agent".to_owned(),
        _ => return "nothing".to_owned(),
    };
    if action.hops > 0 {
        let (smac, dmac) = (Mac(action.smac), Mac(action.dmac));
        out += &format!(", {} hops, smac {smac}, dmac {dmac}", action.hops);
    }
    if action.flags & ACTION_REPLY != 0 {
        out += ", as a reply";
    }
    if action.flags & ACTION_TRACK != 0 {
        out += ", tracked";
    }
    out
}

/// A tag as `kind/id`.
pub fn tag(tag: &Tag) -> String {
    match tag {
        Tag::Port(id) => format!("port/{id}"),
        Tag::Bridge(id) => format!("bridge/{id}"),
        Tag::Router(id) => format!("router/{id}"),
        Tag::Subnet(id) => format!("subnet/{id}"),
        Tag::Group(id) => format!("group/{id}"),
        Tag::Covered(set, net) => format!("{}/{net}", set_of(*set)),
        Tag::Lengths(set) => format!("{}/lengths", set_of(*set)),
        Tag::Mac(id, mac) => format!("bridge/{id}/mac/{mac}"),
        Tag::Neighbor(id, ip) => format!("bridge/{id}/neighbor/{ip}"),
        Tag::Ports(id) => format!("bridge/{id}/ports"),
        Tag::Policy(id) => format!("policy/{id}"),
        Tag::Host(name) => format!("host/{name}"),
        Tag::FloatingIps(id) => format!("port/{id}/floating_ips"),
        Tag::Block(id, block) => format!("router/{id}/block/{block}"),
        Tag::Carrier(id) => format!("port/{id}/carrier"),
    }
}

fn set_of(set: SetId) -> String {
    match set {
        SetId::Members(id) => format!("group/{id}/members"),
        SetId::Addresses(id) => format!("address_group/{id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::mapped;

    #[test]
    fn a_decision_reads_as_a_sentence() {
        let source = mapped("10.0.0.0".parse().expect("an address"));
        let mut prefix = [0xff; 16];
        prefix[15] = 0;
        let mask = FlowKey {
            state: 255,
            family: 255,
            src: prefix,
            dport: u16::MAX,
            ..Default::default()
        };
        let key = FlowKey {
            family: 4,
            src: source,
            dport: 80,
            ..Default::default()
        };
        let text = matching(&Mask(mask), &key).join(" ");
        assert_eq!(text, "state=forward family=ipv4 src=10.0.0.0/24 dport=80");

        let tunnel = Action {
            kind: ACTION_TUNNEL,
            flags: ACTION_TRACK,
            vni: 9,
            remote: mapped("192.0.2.7".parse().expect("an address")),
            ..Action::default()
        };
        assert_eq!(
            action(&tunnel, |_| String::new()),
            "tunnel to 192.0.2.7 key 9, tracked"
        );
        let drop = Action {
            kind: ACTION_DROP,
            reason: DropReason::NoRoute as u8,
            ..tunnel
        };
        assert_eq!(action(&drop, |_| String::new()), "drop no_route");
    }
}
