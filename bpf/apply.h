/* Carrying out an action on a packet. */
#ifndef MIDONET_APPLY_H
#define MIDONET_APPLY_H

#include "conn.h"
#include "rewrite.h"
#include "subport.h"
#include "upcall.h"

#define UNDERLAY_TTL 64

static __always_inline int forwards(const struct action *a)
{
	return a->kind == ACTION_LOCAL || a->kind == ACTION_TUNNEL || a->kind == ACTION_RESUME;
}

/* Length of the IP packet, or of each packet that an aggregated frame will become. */
static __always_inline __u32 ip_length(struct __sk_buff *skb, const struct packet *p)
{
	if (skb->gso_size)
		return p->transport - ETH_LEN + p->transport_len + skb->gso_size;
	if (p->fragment && p->key.family == 6 && p->seen.family == 4)
		return p->end - ETH_LEN + FRAGMENT_HEADER; /* the rest of what it grows by is decided */
	return p->end - ETH_LEN;
}

static __always_inline void set_remote(struct bpf_tunnel_key *t, const __u8 to[16], int v6)
{
	if (v6)
		__builtin_memcpy(t->remote_ipv6, to, 16);
	else
		t->remote_ipv4 = bpf_ntohl(*(const __u32 *)(to + 12));
}

static __always_inline void set_local(struct bpf_tunnel_key *t, const struct config *config, int v6)
{
	if (v6 && config->local_family == 6)
		__builtin_memcpy(t->local_ipv6, config->local, 16);
	if (!v6 && config->local_family == 4)
		t->local_ipv4 = bpf_ntohl(*(const __u32 *)(config->local + 12));
}

static __noinline int encapsulate(struct __sk_buff *skb, const struct action *a, __u32 in_port)
{
	struct bpf_tunnel_key t = { .tunnel_id = a->vni, .tunnel_ttl = UNDERLAY_TTL };
	int v6 = a->flags & ACTION_REMOTE_V6;
	struct config *config;
	__u32 zero = 0;

	config = bpf_map_lookup_elem(&CONFIG, &zero);
	if (!config)
		return drop(skb, in_port, KERNEL_ERROR);
	if (a->flags & ACTION_DSCP)
		t.tunnel_tos = a->dscp << 2; /* the device adds the packet's ECN */
	set_remote(&t, a->remote, v6);
	set_local(&t, config, v6);
	if (bpf_skb_set_tunnel_key(skb, &t, sizeof(t), v6 ? BPF_F_TUNINFO_IPV6 : 0))
		return drop(skb, in_port, KERNEL_ERROR);
	return bpf_redirect(config->vxlan_ifindex, 0);
}

#define ACTION_TRANSLATES (ACTION_SRC | ACTION_DST | ACTION_DST_PORT | ACTION_SNAT | ACTION_NAT64)

static __always_inline int is_translated(const struct packet *p, const struct action *a)
{
	return a->flags & ACTION_TRANSLATES || p->key.flags & FLAG_TRANSLATED;
}

/* What few packets need. */
__noinline int rewrite(struct __sk_buff *skb, const struct packet *p, const struct action *a)
{
	int reason = PASS;

	if (!p || !a)
		return KERNEL_ERROR;
	if (a->flags & ACTION_DSCP)
		reason = set_dscp(skb, p, a->dscp);
	if (!reason && is_translated(p, a))
		reason = translate(skb, p, a);
	return reason;
}

/* What the program returns, or the number of the router where the packet goes on. What goes up is
 * unchanged: it may come back. */
static __noinline int apply(struct __sk_buff *skb, struct packet *p, struct action *a)
{
	int reason = PASS;

	if (a->kind == ACTION_DROP) {
		a->packets++;
		a->bytes += skb->len;
		return drop(skb, p->key.in_port, a->reason);
	}
	if (!forwards(a))
		return upcall(skb, &p->key, 0, WHY_MISS);
	if (a->mtu && ip_length(skb, p) > a->mtu)
		return upcall(skb, &p->key, 0, WHY_MTU);
	if (a->hops) {
		if (!lower_ttl(skb, p, a->hops, &reason))
			return upcall(skb, &p->key, 0, WHY_TTL);
		if (reason == PASS)
			reason = write_macs(skb, a);
		if (reason)
			return drop(skb, p->key.in_port, reason);
	}
	if (a->flags & ACTION_DSCP || is_translated(p, a)) {
		reason = rewrite(skb, p, a);
		if (reason)
			return drop(skb, p->key.in_port, reason);
	}
	a->packets++;
	a->bytes += skb->len;
	if (a->kind == ACTION_LOCAL)
		return deliver(skb, p->key.in_port, a->ifindex);
	if (a->kind == ACTION_RESUME)
		return a->ifindex;
	return encapsulate(skb, a, p->key.in_port);
}

#endif
