/* Changing a packet. Checksums are changed by what the sums of old and new bytes differ in, which
 * holds for whole ones, for ones that a device will complete, and for aggregates (RFC 1624). */
#ifndef MIDONET_REWRITE_H
#define MIDONET_REWRITE_H

#include "conn.h"

#define TTL_IPV4 (ETH_LEN + 8)
#define CHECK_IPV4 (ETH_LEN + 10)
#define ADDRESSES_IPV4 (ETH_LEN + 12)
#define HOP_LIMIT_IPV6 (ETH_LEN + 7)
#define ADDRESSES_IPV6 (ETH_LEN + 8)
#define CHECK_ICMP 2
#define ID_ICMP 4
#define CHECK_UDP 6
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

	if (p->seen.family == 4) {
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

/* What a packet becomes, and in what the sums of its new addresses and ports differ from those of the
 * old ones. */
struct change {
	struct tuple to;
	__u32 addresses;
	__u32 outer; /* of the addresses that the packet itself has, if it is an ICMP error */
	__u32 ports;
	__u32 ported; /* whether ports change: a difference of 0 may be one of 0xffff */
};

/* Offset of the checksum in a transport header whose sum covers the addresses too; 0 if none does. */
static __always_inline __u32 check_offset(__u8 family, __u8 proto)
{
	switch (proto) {
	case PROTO_TCP: return 16;
	case PROTO_UDP:
	case PROTO_UDPLITE:
	case PROTO_DCCP: return CHECK_UDP;
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

/* An error from somebody on the way keeps its source: the key's is that of the packet inside. */
static __always_inline long write_addresses(struct __sk_buff *skb, const struct packet *p,
					    const struct change *change)
{
	__u32 keeps = p->key.flags & FLAG_TRANSIT_ERROR, v4[2];
	const struct tuple *to = &change->to;

	if (p->seen.family == 6) {
		if (keeps)
			return bpf_skb_store_bytes(skb, ADDRESSES_IPV6 + 16, to->dst, 16,
						   BPF_F_RECOMPUTE_CSUM);
		return bpf_skb_store_bytes(skb, ADDRESSES_IPV6, to->src, 32, BPF_F_RECOMPUTE_CSUM);
	}
	v4[0] = *(const __u32 *)(to->src + 12);
	v4[1] = *(const __u32 *)(to->dst + 12);
	if (bpf_l3_csum_replace(skb, CHECK_IPV4, 0, change->outer, 0))
		return -1;
	if (keeps)
		return bpf_skb_store_bytes(skb, ADDRESSES_IPV4 + 4, &v4[1], 4, 0);
	return bpf_skb_store_bytes(skb, ADDRESSES_IPV4, v4, sizeof(v4), 0);
}

static __always_inline __u32 differ(__u16 old, __u16 new)
{
	return (__u16)~bpf_htons(old) + bpf_htons(new);
}

/* Ports, or the identifier of an echo. */
static __always_inline long write_ports(struct __sk_buff *skb, __u32 at, __u8 proto, __u16 first,
					__u16 second)
{
	__u16 ports[2] = { bpf_htons(first), bpf_htons(second) };

	if (has_ports(proto))
		return bpf_skb_store_bytes(skb, at, ports, 4, 0);
	return bpf_skb_store_bytes(skb, at + ID_ICMP, ports, 2, 0);
}

/* A transport checksum inside an ICMP message, which the message's own sum covers as well. */
static __always_inline long embedded_check(struct __sk_buff *skb, const struct packet *p, __u32 at,
					   const struct change *change)
{
	__u32 offset = check_offset(p->seen.family, p->seen.proto), diff = change->ports;
	__u16 old, new;

	if (offset)
		diff = fold(diff) + fold(change->addresses);
	else if (p->seen.proto == PROTO_ICMP)
		offset = CHECK_ICMP;
	if (!offset || at + offset + 2 > p->end)
		return 0; /* none, or cut off */
	if (load(skb, at + offset, &old, 2))
		return -1;
	if (!old && zero_is_none(p->seen.proto))
		return 0;
	new = adjust(old, diff);
	if (!new && zero_is_none(p->seen.proto))
		new = 0xffff;
	return bpf_skb_store_bytes(skb, at + offset, &new, 2, 0) ?:
	       bpf_l4_csum_replace(skb, p->transport + CHECK_ICMP, old, new, 2);
}

/* The packet inside an ICMP error went the other way: its source is the error's destination. The sum
 * of an IPv4 header stays what it is, for its checksum makes up for the addresses. */
static __noinline int translate_embedded(struct __sk_buff *skb, const struct packet *p,
					 const struct change *change)
{
	__u32 at = p->transport + HEADER_ICMP, own = p->transport + CHECK_ICMP;
	const struct tuple *to = &change->to;
	struct ipv4 four;
	__u8 six[32];
	long err;

	if (p->seen.family == 4) {
		if (load(skb, at, &four, sizeof(four)))
			return KERNEL_ERROR;
		four.check = adjust(four.check, change->addresses);
		__builtin_memcpy(&four.src, to->dst + 12, 4);
		__builtin_memcpy(&four.dst, to->src + 12, 4);
		err = bpf_skb_store_bytes(skb, at, &four, sizeof(four), 0);
		at += (four.version_ihl & 15) * 4;
	} else {
		__builtin_memcpy(six, to->dst, 16);
		__builtin_memcpy(six + 16, to->src, 16);
		err = bpf_skb_store_bytes(skb, at + 8, six, sizeof(six), 0) ?:
		      bpf_l4_csum_replace(skb, own, 0, change->addresses, 0);
		at += sizeof(struct ipv6);
	}
	if (!err && change->ported) {
		__u16 first = has_ports(to->proto) ? to->dport : to->sport;

		err = write_ports(skb, at, to->proto, first, to->sport) ?:
		      bpf_l4_csum_replace(skb, own, 0, change->ports, 0);
	}
	return err || embedded_check(skb, p, at, change) ? KERNEL_ERROR : PASS;
}

/* A checksum that a device will complete holds the sum of the addresses and not that of the ports. */
static __noinline int translate_transport(struct __sk_buff *skb, const struct packet *p,
					  const struct change *change)
{
	__u8 proto = p->key.flags & FLAG_ICMP_ERROR ? 0 : p->seen.proto;
	__u32 offset, flags = zero_is_none(proto) ? BPF_F_MARK_MANGLED_0 : 0;
	long err = 0;

	if (!proto)
		proto = p->seen.family == 6 ? PROTO_ICMPV6 : PROTO_ICMP;
	offset = check_offset(p->seen.family, proto);
	if (offset)
		err = bpf_l4_csum_replace(skb, p->transport + offset, 0, change->outer,
					  flags | BPF_F_PSEUDO_HDR);
	if (err || !change->ported || p->key.flags & FLAG_ICMP_ERROR)
		return err ? KERNEL_ERROR : PASS;
	if (proto == PROTO_ICMP)
		offset = CHECK_ICMP;
	if (!offset)
		return KERNEL_ERROR; /* one that no difference can change: SCTP's */
	err = bpf_l4_csum_replace(skb, p->transport + offset, 0, change->ports, flags) ?:
	      write_ports(skb, p->transport, proto, change->to.sport, change->to.dport);
	return err ? KERNEL_ERROR : PASS;
}

#include "family.h"

/* Makes of the packet what it is to become. A later fragment has no transport header, and the sum in
 * its first fragment is changed there. */
static __always_inline int translate(struct __sk_buff *skb, const struct packet *p,
				const struct action *a)
{
	struct change change = {};
	int reason = PASS;

	outcome(p, a, &change.to);
	if (change.to.family != p->seen.family)
		return change_family(skb, p, &change.to);
	change.addresses = bpf_csum_diff((void *)p->seen.src, 32, (void *)change.to.src, 32, 0);
	change.outer = change.addresses;
	if (p->key.flags & FLAG_TRANSIT_ERROR)
		change.outer = bpf_csum_diff((void *)p->seen.dst, 16, (void *)change.to.dst, 16, 0);
	change.ported = p->seen.sport != change.to.sport || p->seen.dport != change.to.dport;
	change.ports = 0;
	if (change.ported)
		change.ports = fold(differ(p->seen.sport, change.to.sport) +
				    differ(p->seen.dport, change.to.dport));
	if (p->key.flags & FLAG_ICMP_ERROR)
		reason = translate_embedded(skb, p, &change);
	if (!reason && !(p->key.flags & FLAG_FRAGMENT))
		reason = translate_transport(skb, p, &change);
	if (reason)
		return reason;
	return write_addresses(skb, p, &change) ? KERNEL_ERROR : PASS;
}

/* Differentiated services code point: the upper six bits of IPv4's TOS and of IPv6's traffic class;
 * the lower two are ECN's (RFC 2474, 3; RFC 3168, 5). */
static __noinline int set_dscp(struct __sk_buff *skb, const struct packet *p, __u8 dscp)
{
	__u16 old, new;
	long err;

	if (load(skb, ETH_LEN, &old, sizeof(old)))
		return KERNEL_ERROR;
	if (p->seen.family == 4) {
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
