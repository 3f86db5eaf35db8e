/* Carrying out an action on a packet. */
#ifndef MIDONET_APPLY_H
#define MIDONET_APPLY_H

#include "conn.h"
#include "subport.h"
#include "upcall.h"

#define TTL_IPV4 (ETH_LEN + 8)
#define HOP_LIMIT_IPV6 (ETH_LEN + 7)
#define UNDERLAY_TTL 64

/* Length of the IP packet, or of each packet that an aggregated frame will become. */
static __always_inline __u32 ip_length(struct __sk_buff *skb, const struct packet *p)
{
	if (skb->gso_size)
		return p->transport - ETH_LEN + p->transport_len + skb->gso_size;
	return p->end - ETH_LEN;
}

/* Lowers TTL or hop limit by the routers passed; false when it does not suffice. */
static __always_inline int lower_ttl(struct __sk_buff *skb, const struct packet *p, __u8 hops,
				     int *reason)
{
	struct {
		__u8 ttl;
		__u8 proto;
		__be16 check;
	} v4;
	__u8 limit;
	__u32 sum;
	long err;

	if (p->key.family == 4) {
		if (load(skb, TTL_IPV4, &v4, sizeof(v4))) {
			*reason = KERNEL_ERROR;
			return 1;
		}
		if (v4.ttl <= hops)
			return 0;
		v4.ttl -= hops;
		sum = v4.check + (__u32)bpf_htons((__u16)hops << 8);
		v4.check = sum + (sum >= 0xffff);
		err = bpf_skb_store_bytes(skb, TTL_IPV4, &v4, sizeof(v4), 0);
	} else {
		if (load(skb, HOP_LIMIT_IPV6, &limit, 1)) {
			*reason = KERNEL_ERROR;
			return 1;
		}
		if (limit <= hops)
			return 0;
		limit -= hops;
		err = bpf_skb_store_bytes(skb, HOP_LIMIT_IPV6, &limit, 1, BPF_F_RECOMPUTE_CSUM);
	}
	*reason = err ? KERNEL_ERROR : PASS;
	return 1;
}

static __always_inline int write_macs(struct __sk_buff *skb, const struct action *a)
{
	__u8 macs[12];

	__builtin_memcpy(macs, a->dmac, 6);
	__builtin_memcpy(macs + 6, a->smac, 6);
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0) ? KERNEL_ERROR : PASS;
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
	set_remote(&t, a->remote, v6);
	set_local(&t, config, v6);
	if (bpf_skb_set_tunnel_key(skb, &t, sizeof(t), v6 ? BPF_F_TUNINFO_IPV6 : 0))
		return drop(skb, in_port, KERNEL_ERROR);
	return bpf_redirect(config->vxlan_ifindex, 0);
}

static __noinline int apply(struct __sk_buff *skb, struct packet *p, struct action *a)
{
	int reason = PASS;

	if (a->kind == ACTION_DROP) {
		a->packets++;
		a->bytes += skb->len;
		return drop(skb, p->key.in_port, a->reason);
	}
	if (a->kind != ACTION_LOCAL && a->kind != ACTION_TUNNEL)
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
	a->packets++;
	a->bytes += skb->len;
	if (a->kind == ACTION_LOCAL)
		return deliver(skb, p->key.in_port, a->ifindex);
	return encapsulate(skb, a, p->key.in_port);
}

#endif
