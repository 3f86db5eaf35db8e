/* From one family to the other: the headers by RFC 7915, and which packets belong together by what is
 * recorded, as for every other translation (RFC 6146). Included by rewrite.h. */
#ifndef MIDONET_FAMILY_H
#define MIDONET_FAMILY_H

#define TRANSPORT_IPV4 (ETH_LEN + sizeof(struct ipv4))
#define TRANSPORT_IPV6 (ETH_LEN + sizeof(struct ipv6))
#define HEADERS_DIFFER (sizeof(struct ipv6) - sizeof(struct ipv4))
#define FRAGMENT_HEADER 8
#define DONT_FRAGMENT 0x4000
#define MORE_FRAGMENTS 0x8000
#define MTU_LEAST_IPV6 1280

/* An ICMP header and the IP header of the packet that it speaks of. */
#define ERROR_IPV4 (HEADER_ICMP + sizeof(struct ipv4))
#define ERROR_IPV6 (HEADER_ICMP + sizeof(struct ipv6))

struct icmp {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 rest; /* MTU, or pointer */
};

struct error_ipv4 {
	struct icmp icmp;
	struct ipv4 ip;
};

struct error_ipv6 {
	struct icmp icmp;
	struct ipv6 ip;
};

static __always_inline __u8 proto_ipv6(__u8 proto)
{
	return proto == PROTO_ICMP ? PROTO_ICMPV6 : proto;
}

static __always_inline __u8 proto_ipv4(__u8 proto)
{
	return proto == PROTO_ICMPV6 ? PROTO_ICMP : proto;
}

/* The byte that a parameter problem points at (RFC 7915, figures 3 and 6); -1 if there is none. */
static __always_inline int pointer_ipv6(__u8 at)
{
	switch (at) {
	case 0:
	case 1: return at;
	case 2:
	case 3: return 4;
	case 8: return 7;
	case 9: return 6;
	}
	return at < 12 ? -1 : at < 16 ? 8 : at < 20 ? 24 : -1;
}

static __always_inline int pointer_ipv4(__u32 at)
{
	switch (at) {
	case 0:
	case 1: return at;
	case 4:
	case 5: return 2;
	case 6: return 9;
	case 7: return 8;
	}
	return at < 8 ? -1 : at < 24 ? 12 : at < 40 ? 16 : -1;
}

/* Type, code and rest of an error in IPv6 (RFC 7915, 4.2); false if there is none such. */
static __always_inline int error_to_ipv6(struct icmp *icmp)
{
	__u32 mtu = bpf_ntohl(icmp->rest) & 0xffff, code = icmp->code;
	int pointer = pointer_ipv6(bpf_ntohl(icmp->rest) >> 24);

	icmp->rest = 0;
	if (icmp->type == 11) {
		icmp->type = 3;
		return code < 2;
	}
	icmp->code = 0;
	if (icmp->type == 12) {
		icmp->type = 4;
		icmp->rest = bpf_htonl(pointer);
		return (code == 0 || code == 2) && pointer >= 0;
	}
	if (code == 4) {
		mtu += HEADERS_DIFFER;
		icmp->type = 2;
		icmp->rest = bpf_htonl(mtu < MTU_LEAST_IPV6 ? MTU_LEAST_IPV6 : mtu);
		return 1;
	}
	if (code == 2) {
		icmp->type = 4;
		icmp->code = 1;
		icmp->rest = bpf_htonl(6); /* the next header is none that is known */
		return 1;
	}
	icmp->type = 1;
	icmp->code = code == 3 ? 4 : code == 9 || code == 10 || code == 13 || code == 15 ? 1 : 0;
	return code != 14 && code < 16;
}

/* And in IPv4 (RFC 7915, 5.2). */
static __always_inline int error_to_ipv4(struct icmp *icmp)
{
	__u32 rest = bpf_ntohl(icmp->rest), code = icmp->code;
	int pointer = pointer_ipv4(rest);

	icmp->rest = 0;
	switch (icmp->type) {
	case 1:
		icmp->type = 3;
		icmp->code = code == 4 ? 3 : code == 1 ? 10 : 1;
		return code < 5;
	case 2:
		rest = rest < HEADERS_DIFFER ? 0 : rest - HEADERS_DIFFER;
		icmp->type = 3;
		icmp->code = 4;
		icmp->rest = bpf_htonl(rest > 0xffff ? 0xffff : rest);
		return 1;
	case 3:
		icmp->type = 11;
		return code < 2;
	}
	icmp->type = code == 1 ? 3 : 12;
	icmp->code = code == 1 ? 2 : 0;
	if (code == 0)
		icmp->rest = bpf_htonl((__u32)pointer << 24);
	return code == 1 || (code == 0 && pointer >= 0);
}

/* What the sum of an ICMPv6 message covers besides the message. */
static __always_inline __u32 pseudo(const __u8 addresses[32], __u32 len)
{
	return bpf_csum_diff(0, 0, (void *)addresses, 32,
			     bpf_htons(len) + bpf_htons(PROTO_ICMPV6));
}

static __always_inline void write_ipv6(struct ipv6 *ip, const struct ipv4 *old,
				       const __u8 src[16], const __u8 dst[16])
{
	ip->version = bpf_htonl(6u << 28 | (__u32)old->tos << 20);
	ip->payload = bpf_htons(bpf_ntohs(old->total) - (old->version_ihl & 15) * 4);
	ip->next = proto_ipv6(old->proto);
	ip->hop_limit = old->ttl;
	__builtin_memcpy(ip->src, src, 16);
	__builtin_memcpy(ip->dst, dst, 16);
}

static __always_inline void sum_ipv4(struct ipv4 *ip)
{
	ip->check = 0;
	ip->check = ~fold(bpf_csum_diff(0, 0, (void *)ip, sizeof(*ip), 0));
}

static __always_inline void write_ipv4(struct ipv4 *ip, const struct ipv6 *old, __u8 proto,
				       const __u8 src[16], const __u8 dst[16])
{
	ip->version_ihl = 0x45;
	ip->tos = bpf_ntohl(old->version) >> 20;
	ip->total = bpf_htons(bpf_ntohs(old->payload) + sizeof(*ip));
	ip->id = 0;
	ip->fragment = bpf_htons(DONT_FRAGMENT);
	ip->ttl = old->hop_limit;
	ip->proto = proto_ipv4(proto);
	__builtin_memcpy(&ip->src, src + 12, 4);
	__builtin_memcpy(&ip->dst, dst + 12, 4);
	sum_ipv4(ip);
}

/* An error in IPv6 up to the header of the packet inside, without the sum over what follows that. */
static __noinline int begin_error_ipv6(struct __sk_buff *skb, const struct packet *p,
				       const struct tuple *to, struct error_ipv6 *new)
{
	struct error_ipv4 old;
	__u16 check;

	if (load(skb, p->transport, &old, sizeof(old)))
		return KERNEL_ERROR;
	check = old.icmp.check;
	old.icmp.check = 0;
	new->icmp = old.icmp;
	if (old.ip.version_ihl != 0x45 || !error_to_ipv6(&new->icmp))
		return NAT64_UNTRANSLATABLE;
	write_ipv6(&new->ip, &old.ip, to->dst, to->src);
	check = adjust(check, bpf_csum_diff((void *)&old, sizeof(old), (void *)new, sizeof(*new), 0));
	new->icmp.check = adjust(check, pseudo(to->src, p->end - p->transport + HEADERS_DIFFER));
	return PASS;
}

/* And in IPv4; `outer` are the addresses that it has. */
static __noinline int begin_error_ipv4(struct __sk_buff *skb, const struct packet *p,
				       const struct tuple *to, const struct ipv6 *outer,
				       struct error_ipv4 *new)
{
	struct error_ipv6 old;
	__u16 check;

	if (load(skb, p->transport, &old, sizeof(old)))
		return KERNEL_ERROR;
	check = old.icmp.check;
	old.icmp.check = 0;
	new->icmp = old.icmp;
	if (!error_to_ipv4(&new->icmp))
		return NAT64_UNTRANSLATABLE;
	write_ipv4(&new->ip, &old.ip, old.ip.next, to->dst, to->src);
	check = adjust(check, bpf_csum_diff((void *)&old, sizeof(old), (void *)new, sizeof(*new), 0));
	new->icmp.check = adjust(check, ~fold(pseudo(outer->src, p->end - p->transport)) & 0xffff);
	return PASS;
}

/* What follows the inner header of an error: ports or type and identifier, and a checksum. `end` is that
 * of the packet. */
__noinline int end_error(struct __sk_buff *skb, const struct packet *p,
				const struct tuple *to, __u32 at, __u32 end)
{
	__u32 own, addresses, offset, diff;
	__u16 old[4], new[4], len;

	if (!p || !to)
		return KERNEL_ERROR;
	own = (to->family == 6 ? TRANSPORT_IPV6 : TRANSPORT_IPV4) + CHECK_ICMP;
	addresses = bpf_csum_diff((void *)p->seen.src, 32, (void *)to->src, 32, 0);
	if (load(skb, at, old, sizeof(old)))
		return KERNEL_ERROR;
	__builtin_memcpy(new, old, sizeof(new));
	if (is_icmp(to->family, to->proto)) {
		new[0] = bpf_htons((__u16)icmp_counterpart(to->proto, to->dport >> 8) << 8);
		new[2] = bpf_htons(to->sport);
		diff = differ(bpf_ntohs(old[0]), bpf_ntohs(new[0])) +
		       differ(bpf_ntohs(old[2]), bpf_ntohs(new[2]));
		/* of the whole packet that is not all here */
		if (load(skb, at - (to->family == 6 ? 36 : 18), &len, 2))
			return KERNEL_ERROR;
		if (to->family == 6)
			diff = fold(diff) + fold(pseudo(to->src, bpf_ntohs(len)));
		else
			diff = fold(diff) + (~fold(pseudo(p->seen.src, bpf_ntohs(len) -
							  sizeof(struct ipv4))) & 0xffff);
		new[1] = adjust(old[1], diff);
		offset = 0;
	} else {
		new[0] = bpf_htons(to->dport);
		new[1] = bpf_htons(to->sport);
		diff = fold(addresses) + differ(p->seen.sport, to->sport) +
		       differ(p->seen.dport, to->dport);
		offset = check_offset(to->family, to->proto);
	}
	if (offset == CHECK_UDP && (old[3] || !zero_is_none(to->proto)))
		new[3] = adjust(old[3], diff) ?: 0xffff;
	if (bpf_skb_store_bytes(skb, at, new, sizeof(new), 0) ||
	    bpf_l4_csum_replace(skb, own, 0,
				bpf_csum_diff((void *)old, sizeof(old), (void *)new, sizeof(new), 0),
				0))
		return KERNEL_ERROR;
	if (offset <= CHECK_UDP || at + offset + 2 > end)
		return PASS;
	if (load(skb, at + offset, old, 2))
		return KERNEL_ERROR;
	new[0] = adjust(old[0], diff);
	return bpf_skb_store_bytes(skb, at + offset, new, 2, 0) ||
			       bpf_l4_csum_replace(skb, own, old[0], new[0], 2) ?
		       KERNEL_ERROR :
		       PASS;
}

/* Grows or shrinks between IP and transport header. */
static __always_inline long make_room(struct __sk_buff *skb, __s32 len)
{
	return len ? bpf_skb_adjust_room(skb, len, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO) : 0;
}

static __always_inline long set_family(struct __sk_buff *skb, __u16 type)
{
	__be16 wire = bpf_htons(type);

	return bpf_skb_change_proto(skb, wire, 0) ?:
	       bpf_skb_store_bytes(skb, ETH_LEN - 2, &wire, 2, 0);
}

__noinline int to_ipv6(struct __sk_buff *skb, const struct packet *p, const struct tuple *to)
{
	struct error_ipv6 error = {};
	struct ipv4 old;
	struct ipv6 new;
	__u32 more = 0;
	int reason;

	if (!p || !to || load(skb, ETH_LEN, &old, sizeof(old)))
		return KERNEL_ERROR;
	write_ipv6(&new, &old, to->src, to->dst);
	if (p->fragment)
		more = FRAGMENT_HEADER;
	if (p->key.flags & FLAG_ICMP_ERROR) {
		reason = begin_error_ipv6(skb, p, to, &error);
		if (reason)
			return reason;
		more = HEADERS_DIFFER;
	}
	new.payload = bpf_htons(bpf_ntohs(new.payload) + more);
	if (p->fragment)
		new.next = EXT_FRAGMENT;
	if (make_room(skb, (__s32)TRANSPORT_IPV4 - (__s32)p->transport) ||
	    set_family(skb, ETH_IPV6) || make_room(skb, more) ||
	    bpf_skb_store_bytes(skb, ETH_LEN, &new, sizeof(new), BPF_F_RECOMPUTE_CSUM))
		return KERNEL_ERROR;
	if (p->fragment) {
		__u16 at = (p->fragment_at & ~MORE_FRAGMENTS) << 3 |
			   !!(p->fragment_at & MORE_FRAGMENTS);
		__u16 header[4] = { 0, bpf_htons(at), 0, bpf_htons(p->fragment_id) };

		*(__u8 *)header = proto_ipv6(old.proto);
		return bpf_skb_store_bytes(skb, TRANSPORT_IPV6, header, sizeof(header),
					   BPF_F_RECOMPUTE_CSUM) ?
			       KERNEL_ERROR :
			       PASS;
	}
	if (!(p->key.flags & FLAG_ICMP_ERROR))
		return PASS;
	if (bpf_skb_store_bytes(skb, TRANSPORT_IPV6, &error, sizeof(error), BPF_F_RECOMPUTE_CSUM))
		return KERNEL_ERROR;
	return end_error(skb, p, to, TRANSPORT_IPV6 + sizeof(error),
			 TRANSPORT_IPV6 + bpf_ntohs(new.payload));
}

__noinline int to_ipv4(struct __sk_buff *skb, const struct packet *p, const struct tuple *to)
{
	struct error_ipv4 error = {};
	__u32 extra, less = 0;
	struct ipv6 old;
	struct ipv4 new;
	int reason;

	if (!p || !to || load(skb, ETH_LEN, &old, sizeof(old)))
		return KERNEL_ERROR;
	extra = p->transport - TRANSPORT_IPV6; /* headers that IPv4 has not */
	if (p->key.flags & FLAG_ICMP_ERROR) {
		reason = begin_error_ipv4(skb, p, to, &old, &error);
		if (reason)
			return reason;
		less = HEADERS_DIFFER;
	}
	old.payload = bpf_htons(bpf_ntohs(old.payload) - extra - less);
	write_ipv4(&new, &old, p->key.flags & FLAG_ICMP_ERROR ? PROTO_ICMP : p->seen.proto, to->src,
		   to->dst);
	if (p->fragment) {
		new.id = bpf_htons(p->fragment_id);
		new.fragment = bpf_htons((p->fragment_at & 0x1fff) |
					 (p->fragment_at & MORE_FRAGMENTS) >> 2);
		sum_ipv4(&new);
	}
	if (make_room(skb, -(__s32)(extra + less)) || set_family(skb, ETH_IPV4) ||
	    bpf_skb_store_bytes(skb, ETH_LEN, &new, sizeof(new), BPF_F_RECOMPUTE_CSUM))
		return KERNEL_ERROR;
	if (!(p->key.flags & FLAG_ICMP_ERROR))
		return PASS;
	if (bpf_skb_store_bytes(skb, TRANSPORT_IPV4, &error, sizeof(error), BPF_F_RECOMPUTE_CSUM))
		return KERNEL_ERROR;
	return end_error(skb, p, to, TRANSPORT_IPV4 + sizeof(error), ETH_LEN + bpf_ntohs(new.total));
}

/* Of a datagram without a sum, so much is summed at once, and so often; a longer one is dropped. */
#define SUMMED_LEN 64
#define SUMMED_TIMES 24

/* IPv4 may do without a sum, IPv6 may not (RFC 7915, 4.5). `at`: of the UDP header, whose ports are those
 * of the new packet already. */
__noinline int sum_udp(struct __sk_buff *skb, const struct tuple *to, __u32 at, __u32 len)
{
	__u32 sum;
	__u8 part[SUMMED_LEN];
	__u16 check;

	if (!to)
		return KERNEL_ERROR;
	if (len > SUMMED_LEN * SUMMED_TIMES)
		return NAT64_UNTRANSLATABLE;
	sum = bpf_csum_diff(0, 0, (void *)to->src, 32, bpf_htons(len) + bpf_htons(to->proto));
	for (__u32 i = 0; i < SUMMED_TIMES && i * SUMMED_LEN < len; i++) {
		__u32 n = len - i * SUMMED_LEN;

		if (n > SUMMED_LEN)
			n = SUMMED_LEN;
		__builtin_memset(part, 0, sizeof(part));
		asm volatile("" : "+r"(n)); /* the verifier must see what follows */
		if (n < 1 || n > SUMMED_LEN || load(skb, at + i * SUMMED_LEN, part, n))
			return KERNEL_ERROR;
		sum = bpf_csum_diff(0, 0, (void *)part, sizeof(part), sum);
	}
	check = (__u16)~fold(sum) ?: 0xffff;
	return bpf_skb_store_bytes(skb, at + CHECK_UDP, &check, 2, 0) ? KERNEL_ERROR : PASS;
}

/* The transport header of a packet whose IP header has changed family. */
__noinline int change_transport(struct __sk_buff *skb, const struct packet *p,
				const struct tuple *to)
{
	__u32 at, len, flags, pseudo_diff, ports, offset;
	int icmp, unsummed = 0;
	__u16 old, type;

	if (!p || !to)
		return KERNEL_ERROR;
	at = to->family == 6 ? TRANSPORT_IPV6 : TRANSPORT_IPV4;
	len = p->end - p->transport;
	flags = zero_is_none(to->proto) ? BPF_F_MARK_MANGLED_0 : 0;
	icmp = is_icmp(to->family, to->proto);
	type = bpf_htons(to->dport);
	if (to->family == 6 && p->fragment)
		at += FRAGMENT_HEADER;
	offset = icmp ? CHECK_ICMP : check_offset(to->family, to->proto);
	if (!offset)
		return NAT64_UNTRANSLATABLE;
	ports = fold(differ(p->seen.sport, to->sport) + differ(p->seen.dport, to->dport));
	if (!icmp)
		pseudo_diff = bpf_csum_diff((void *)p->seen.src, 32, (void *)to->src, 32, 0);
	else if (to->family == 6)
		pseudo_diff = pseudo(to->src, len);
	else
		pseudo_diff = ~fold(pseudo(p->seen.src, len)) & 0xffff;
	if (flags && to->family == 6) {
		if (load(skb, at + offset, &old, 2))
			return KERNEL_ERROR;
		unsummed = !old;
		if (unsummed && p->fragment)
			return NAT64_UNTRANSLATABLE;
	}
	if (bpf_l4_csum_replace(skb, at + offset, 0, pseudo_diff, flags | BPF_F_PSEUDO_HDR) ||
	    bpf_l4_csum_replace(skb, at + offset, 0, ports, flags) ||
	    write_ports(skb, at, to->proto, to->sport, to->dport) ||
	    (icmp && bpf_skb_store_bytes(skb, at, &type, 2, 0)))
		return KERNEL_ERROR;
	return unsummed ? sum_udp(skb, to, at, len) : PASS;
}

/* Makes an IPv6 packet an IPv4 one or the other way. The sum of an ICMPv6 message covers the length of
 * all of it, which no fragment knows. */
static __always_inline int change_family(struct __sk_buff *skb, const struct packet *p,
					 const struct tuple *to)
{
	int reason;

	if (p->fragment && (p->key.flags & FLAG_ICMP_ERROR || is_icmp(to->family, to->proto)))
		return NAT64_UNTRANSLATABLE;
	reason = to->family == 6 ? to_ipv6(skb, p, to) : to_ipv4(skb, p, to);
	if (reason || p->key.flags & (FLAG_ICMP_ERROR | FLAG_FRAGMENT))
		return reason;
	return change_transport(skb, p, to);
}

#endif
