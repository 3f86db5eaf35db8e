/* Changing a packet. Checksums are changed by what the sums of old and new bytes differ in, which
 * holds for whole ones, for ones that a device will complete, and for aggregates (RFC 1624). */
#ifndef MIDONET_REWRITE_H
#define MIDONET_REWRITE_H

#include "parse.h"

#define TTL_IPV4 (ETH_LEN + 8)
#define CHECK_IPV4 (ETH_LEN + 10)
#define ADDRESSES_IPV4 (ETH_LEN + 12)
#define HOP_LIMIT_IPV6 (ETH_LEN + 7)
#define ADDRESSES_IPV6 (ETH_LEN + 8)
#define CHECK_ICMP 2
#define HEADER_ICMP 8

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

/* Source and destination as flow keys write them, and in what the sum of the new ones differs from
 * that of the old ones. */
struct addresses {
	__u8 src[16];
	__u8 dst[16];
	__u32 diff;
};

/* Offset of the checksum in a transport header whose sum covers the addresses too; 0 if none does. */
static __always_inline __u32 check_offset(__u8 family, __u8 proto)
{
	switch (proto) {
	case PROTO_TCP: return 16;
	case PROTO_UDP:
	case PROTO_UDPLITE:
	case PROTO_DCCP: return 6;
	}
	return family == 6 && proto == PROTO_ICMPV6 ? CHECK_ICMP : 0;
}

/* UDP knows no sum of 0: that would say that there is none (RFC 768). */
static __always_inline int zero_is_none(__u8 proto)
{
	return proto == PROTO_UDP || proto == PROTO_UDPLITE;
}

static __always_inline __u16 adjust(__u16 check, __u32 diff)
{
	return ~fold((__u16)~check + fold(diff));
}

static __always_inline long write_addresses(struct __sk_buff *skb, const struct packet *p,
					    const struct addresses *to)
{
	__u32 v4[2];

	if (p->key.family == 6)
		return bpf_skb_store_bytes(skb, ADDRESSES_IPV6, to, 32, BPF_F_RECOMPUTE_CSUM);
	v4[0] = *(const __u32 *)(to->src + 12);
	v4[1] = *(const __u32 *)(to->dst + 12);
	return bpf_l3_csum_replace(skb, CHECK_IPV4, 0, to->diff, 0) ?:
	       bpf_skb_store_bytes(skb, ADDRESSES_IPV4, v4, sizeof(v4), 0);
}

/* A transport checksum inside an ICMP message, which the message's own sum covers as well. */
static __always_inline long embedded_check(struct __sk_buff *skb, const struct packet *p, __u32 at,
					   __u32 diff)
{
	__u32 offset = check_offset(p->key.family, p->key.proto);
	__u16 old, new;

	if (!offset || at + offset + 2 > p->end)
		return 0; /* none, or cut off */
	if (load(skb, at + offset, &old, 2))
		return -1;
	if (!old && zero_is_none(p->key.proto))
		return 0;
	new = adjust(old, diff);
	if (!new && zero_is_none(p->key.proto))
		new = 0xffff;
	return bpf_skb_store_bytes(skb, at + offset, &new, 2, 0) ?:
	       bpf_l4_csum_replace(skb, p->transport + CHECK_ICMP, old, new, 2);
}

/* The packet inside an ICMP error went the other way: its source is the error's destination. The sum
 * of an IPv4 header stays what it is, for its checksum makes up for the addresses. */
static __noinline int translate_embedded(struct __sk_buff *skb, const struct packet *p,
					 const struct addresses *to)
{
	__u32 at = p->transport + HEADER_ICMP;
	struct ipv4 four;
	__u8 six[32];
	long err;

	if (p->key.family == 4) {
		if (load(skb, at, &four, sizeof(four)))
			return KERNEL_ERROR;
		four.check = adjust(four.check, to->diff);
		__builtin_memcpy(&four.src, to->dst + 12, 4);
		__builtin_memcpy(&four.dst, to->src + 12, 4);
		err = bpf_skb_store_bytes(skb, at, &four, sizeof(four), 0);
		at += (four.version_ihl & 15) * 4;
	} else {
		__builtin_memcpy(six, to->dst, 16);
		__builtin_memcpy(six + 16, to->src, 16);
		err = bpf_skb_store_bytes(skb, at + 8, six, sizeof(six), 0) ?:
		      bpf_l4_csum_replace(skb, p->transport + CHECK_ICMP, 0, to->diff, 0);
		at += sizeof(struct ipv6);
	}
	return err || embedded_check(skb, p, at, to->diff) ? KERNEL_ERROR : PASS;
}

/* An error from somebody on the way keeps its source: the key's is that of the packet inside. */
static __noinline int keep_source(struct __sk_buff *skb, const struct packet *p, struct addresses *to)
{
	__be32 v4;
	long err;

	if (p->key.family == 6) {
		err = load(skb, ADDRESSES_IPV6, to->src, 16);
	} else {
		err = load(skb, ADDRESSES_IPV4, &v4, sizeof(v4));
		map_ipv4(to->src, v4);
	}
	to->diff = bpf_csum_diff((void *)p->key.dst, 16, (void *)to->dst, 16, 0);
	return err ? KERNEL_ERROR : PASS;
}

/* One address for another; ports stay. A later fragment has no transport header, and the sum in its
 * first fragment is changed there. */
static __noinline int translate(struct __sk_buff *skb, const struct packet *p,
				const struct action *a)
{
	__u8 family = p->key.family, proto = p->key.proto;
	__u32 offset, flags = BPF_F_PSEUDO_HDR;
	struct addresses to;

	__builtin_memcpy(to.src, a->flags & ACTION_SRC ? a->src : p->key.src, 16);
	__builtin_memcpy(to.dst, a->flags & ACTION_DST ? a->dst : p->key.dst, 16);
	to.diff = bpf_csum_diff((void *)p->key.src, 32, (void *)to.src, 32, 0);
	if (p->key.flags & FLAG_ICMP_ERROR) {
		if (translate_embedded(skb, p, &to))
			return KERNEL_ERROR;
		proto = family == 6 ? PROTO_ICMPV6 : PROTO_ICMP;
	}
	if (p->key.flags & FLAG_TRANSIT_ERROR && keep_source(skb, p, &to))
		return KERNEL_ERROR;
	offset = p->key.flags & FLAG_FRAGMENT ? 0 : check_offset(family, proto);
	if (zero_is_none(proto))
		flags |= BPF_F_MARK_MANGLED_0;
	if (offset && bpf_l4_csum_replace(skb, p->transport + offset, 0, to.diff, flags))
		return KERNEL_ERROR;
	return write_addresses(skb, p, &to) ? KERNEL_ERROR : PASS;
}

/* Differentiated services code point: the upper six bits of IPv4's TOS and of IPv6's traffic class;
 * the lower two are ECN's (RFC 2474, 3; RFC 3168, 5). */
static __noinline int set_dscp(struct __sk_buff *skb, const struct packet *p, __u8 dscp)
{
	__u16 old, new;
	long err;

	if (load(skb, ETH_LEN, &old, sizeof(old)))
		return KERNEL_ERROR;
	if (p->key.family == 4) {
		new = (old & ~bpf_htons(0x00fc)) | bpf_htons((__u16)dscp << 2);
		err = bpf_l3_csum_replace(skb, CHECK_IPV4, old, new, 2) ?:
		      bpf_skb_store_bytes(skb, ETH_LEN, &new, sizeof(new), 0);
	} else {
		new = (old & ~bpf_htons(0x0fc0)) | bpf_htons((__u16)dscp << 6);
		err = bpf_skb_store_bytes(skb, ETH_LEN, &new, sizeof(new), BPF_F_RECOMPUTE_CSUM);
	}
	return err ? KERNEL_ERROR : PASS;
}

#endif
