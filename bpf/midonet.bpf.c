/* The fast path: what happens to a frame on a host. docs/life-of-a-packet.md tells the story.
 *
 *   from_port          ingress of a tap: frames from its VM
 *   from_port_limited  the same where what the VM sends has a limit
 *   shaped             ingress of the shaper's far end: frames that have waited their time there
 *   to_port_limited    egress of a tap where what the VM gets has a limit
 *   from_tunnel        ingress of the VXLAN device: frames from other hosts, authorised there
 *   inject             egress of the agent's device: frames that the agent sends on
 *
 * An established connection costs one look-up in CONNS, one read of ACTIONS and a comparison of
 * generations. Counters are not atomic: a lost count costs less than a contended cache line. */
#include "decide.h"
#include "limit.h"

#define ICMPV6_MLD_FIRST 130
#define ICMPV6_ND_LAST 137
#define ICMPV6_MLD2 143

/* ARP, neighbour discovery, multicast listener reports and DHCP requests: the agent answers. */
static __always_inline int is_control(const struct flow_key *key)
{
	if (!key->family)
		return 1;
	if (key->flags & FLAG_ICMP_ERROR)
		return 0;
	if (key->family == 4)
		return key->proto == PROTO_UDP && key->sport == 68 && key->dport == 67;
	if (key->proto == PROTO_ICMPV6) {
		__u8 type = key->dport >> 8;

		return (type >= ICMPV6_MLD_FIRST && type <= ICMPV6_ND_LAST) || type == ICMPV6_MLD2;
	}
	return key->proto == PROTO_UDP && key->sport == 546 && key->dport == 547;
}

/* Once a second, and when it closes: the entry lives on, and so does its reverse if it is here. False
 * if what it had claimed is another's. */
static __noinline int refresh(const struct packet *p, struct conn *c, const struct action *a)
{
	if (a->flags & (ACTION_SNAT | ACTION_NAT64) && !renew_claim(p, a))
		return 0;
	if (p->key.flags & FLAG_TRANSLATED && is_mapped(p->seen.proto))
		keep_mapping(p);
	c->seen_ns = p->now;
	if (closes(p))
		c->flags |= CONN_CLOSING;
	remember(p, a);
	return 1;
}

static __always_inline int count(const struct packet *p, struct conn *c, const struct action *a,
				  __u32 len)
{
	if (p->key.flags & FLAG_ICMP_ERROR)
		return 1;
	c->packets++;
	c->bytes += len;
	if (stale(c, p->now) || (closes(p) && !(c->flags & CONN_CLOSING)))
		return refresh(p, c, a);
	return 1;
}

/* A frame that comes in at a port, or goes on at a router: what the program returns, or the number of
 * the router where it goes on then. The verifier looks at it once, for it is no static function. */
__noinline int pipeline(struct __sk_buff *skb, __u32 in_port)
{
	struct packet p = {};
	struct action *a;
	struct conn *c;
	int reason;

	reason = parse(skb, &p);
	p.key.in_port = in_port;
	if (!reason && p.fragment)
		reason = fragment(&p);
	if (reason)
		return drop(skb, in_port, reason);
	if (!is_router(in_port)) {
		if (is_control(&p.key))
			return upcall(skb, &p.key, 0, WHY_CONTROL);
		if (p.key.dmac[0] & 1)
			return upcall(skb, &p.key, 0, WHY_FLOOD);
	} else if (!p.key.family) {
		return drop(skb, in_port, ETHER_TYPE);
	}

	p.now = bpf_ktime_get_coarse_ns();
	see(&p, in_port);
	c = bpf_map_lookup_elem(&CONNS, &p.seen);
	if (c && (!alive(c, p.seen.proto, p.now) ||
		  (opens(&p) && (c->state == STATE_REPLY || c->flags & CONN_CLOSING))))
		c = 0;
	if (c && c->flags & (CONN_TRANSLATED | CONN_CLAIMED))
		adopt(&p, c);
	/* Who may send an error about somebody else's packet is decided: the entry knows its ends only. */
	if (c && c->action && !(p.key.flags & FLAG_TRANSIT_ERROR) &&
	    same_mac(c->smac, p.key.smac) && same_mac(c->dmac, p.key.dmac)) {
		a = bpf_map_lookup_elem(&ACTIONS, &c->action);
		if (a && a->generation == c->generation) {
			if (count(&p, c, a, skb->len))
				return apply(skb, &p, a);
			c = 0;
		}
	}
	if (!c && is_router(in_port))
		take_in(&p);
	return decide(skb, &p, c);
}

/* Stages of one packet: at its port and at routers that it comes into from outside. */
#define STAGES_MAX 3

static __always_inline int run(struct __sk_buff *skb, __u32 in_port)
{
	int next = pipeline(skb, in_port);

	for (int i = 1; i < STAGES_MAX && next & PORT_VIRTUAL; i++)
		next = pipeline(skb, next);
	return next & PORT_VIRTUAL ? drop(skb, in_port, TOO_MANY_DEVICES) : next;
}

SEC("classifier") int from_port(struct __sk_buff *skb)
{
	__u32 in_port;
	int reason = own(skb, &in_port);

	return reason ? drop(skb, in_port, reason) : run(skb, in_port);
}

SEC("classifier") int from_port_limited(struct __sk_buff *skb)
{
	__u32 in_port, class;
	int reason = own(skb, &in_port);

	if (!reason && over_limit(skb, in_port, FROM_VM))
		reason = PACKET_RATE;
	if (reason)
		return drop(skb, in_port, reason);
	class = class_of(in_port, FROM_VM);
	return class ? shape(skb, in_port, class) : run(skb, in_port);
}

/* The mark is kept between the ends of a veth pair in one namespace. */
SEC("classifier") int shaped(struct __sk_buff *skb)
{
	__u32 in_port = skb->mark & MARK_IFINDEX;

	skb->mark = 0; /* the underlay must not see it */
	return in_port ? run(skb, in_port) : TC_ACT_SHOT; /* the host's own chatter */
}

SEC("classifier") int to_port_limited(struct __sk_buff *skb)
{
	struct subport tag = { .ifindex = skb->ifindex, .vlan = skb->vlan_tci & VLAN_ID };
	__u32 *number = skb->vlan_present ? bpf_map_lookup_elem(&TAGS, &tag) : 0;
	__u32 port = number ? *number : tag.ifindex;

	if (over_limit(skb, port, TO_VM))
		return drop(skb, port, PACKET_RATE);
	skb->priority = class_of(port, TO_VM); /* of the tap's own HTB, which comes next */
	return TC_ACT_UNSPEC;
}

SEC("classifier") int inject(struct __sk_buff *skb)
{
	__u32 mark = skb->mark, port = mark & MARK_IFINDEX;

	skb->mark = 0; /* the underlay must not see it */
	if (mark & MARK_FROM_PORT)
		return run(skb, port);
	if (mark & MARK_TO_PORT)
		return deliver(skb, port, port);
	return TC_ACT_SHOT; /* the host's own chatter on the device */
}

/* Whether the frame was sent by a host of ours. */
static __always_inline int known_peer(const struct bpf_tunnel_key *t, int v6)
{
	struct config *config;
	__u8 from[16];
	__u32 zero = 0;

	config = bpf_map_lookup_elem(&CONFIG, &zero);
	if (!config || !config->check_peers)
		return 1;
	if (v6)
		__builtin_memcpy(from, t->remote_ipv6, 16);
	else
		map_ipv4(from, bpf_htonl(t->remote_ipv4));
	return bpf_map_lookup_elem(&PEERS, from) != 0;
}

/* The packet was authorised where it came from: it is itself the message that its answer may
 * pass. */
static __noinline int record_arrival(struct __sk_buff *skb, __u32 ifindex)
{
	struct packet p = {};
	int reason = parse(skb, &p);

	if (reason)
		return reason;
	see(&p, 0);
	p.now = bpf_ktime_get_coarse_ns();
	if (p.key.family && !(p.key.flags & (FLAG_ICMP_ERROR | FLAG_FRAGMENT)))
		record(&p, 0, ifindex);
	return PASS;
}

static __noinline int flood(struct __sk_buff *skb, __u32 vni)
{
	struct packet p = {};
	int reason = parse(skb, &p);

	return reason ? drop(skb, 0, reason) : upcall(skb, &p.key, vni, WHY_FLOOD);
}

/* The VNI of a tunnelled frame, if one of our hosts has sent it. */
static __noinline int sent_by_peer(struct __sk_buff *skb, __u32 *vni)
{
	struct bpf_tunnel_key t = {};
	int v6 = 0;

	if (bpf_skb_get_tunnel_key(skb, &t, sizeof(t), 0)) {
		v6 = 1;
		if (bpf_skb_get_tunnel_key(skb, &t, sizeof(t), BPF_F_TUNINFO_IPV6))
			return 0;
	}
	*vni = t.tunnel_id;
	return known_peer(&t, v6);
}

SEC("classifier") int from_tunnel(struct __sk_buff *skb)
{
	struct tunnel *to;
	__u32 vni = 0, key;
	int reason;

	if (!sent_by_peer(skb, &vni))
		return drop(skb, 0, TUNNEL_SOURCE);
	key = vni & TUNNEL_KEY_MASK;
	to = bpf_map_lookup_elem(&TUNNELS, &key);
	if (!to)
		return drop(skb, 0, TUNNEL_KEY_UNKNOWN);
	if (!to->ifindex)
		return flood(skb, vni);
	if (is_router(to->ifindex))
		return run(skb, to->ifindex);
	if (!(vni & (VNI_REPLY | VNI_UNTRACKED))) {
		reason = record_arrival(skb, to->ifindex);
		if (reason)
			return drop(skb, 0, reason);
	}
	return deliver(skb, 0, to->ifindex);
}

char _license[] SEC("license") = "Apache-2.0";
