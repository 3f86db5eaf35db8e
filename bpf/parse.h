/* Reading a frame into a flow key. The rules are written down in crates/flow/src/parse.rs, whose
 * parser must agree with this one on every frame; a test compares them.
 *
 * Bytes are read with bpf_skb_load_bytes: it copes with frames that are not in one piece and keeps
 * no packet pointers that would have to be proven again. */
#ifndef MIDONET_PARSE_H
#define MIDONET_PARSE_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

#define ETH_LEN 14
#define ETH_IPV4 0x0800
#define ETH_ARP 0x0806
#define ETH_VLAN 0x8100
#define ETH_IPV6 0x86dd
#define ETH_QINQ 0x88a8
#define ETH_QINQ_OLD 0x9100

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_DCCP 33
#define PROTO_ICMPV6 58
#define PROTO_SCTP 132
#define PROTO_UDPLITE 136

/* Longest IPv4 packet, and longest payload of an IPv6 packet. */
#define PACKET_MAX 65535

#define EXT_HOP_BY_HOP 0
#define EXT_ROUTING 43
#define EXT_FRAGMENT 44
#define EXT_DESTINATION 60

#define ECHO_REQUEST 8
#define ECHO_REQUEST_V6 128

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

enum fragment_kind { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };

struct packet {
	union {
		struct flow_key key; /* as it is judged */
		__u64 words[FLOW_KEY_WORDS];
	};
	struct conn_key seen; /* as it came */
	__u64 now;	      /* when, CLOCK_MONOTONIC */
	__u32 transport;      /* offset of the transport header */
	__u32 end;	      /* offset of the end of the IP packet */
	__u32 fragment_id;
	__u8 fragment;
	__u8 tcp_flags;
	__u8 transport_len; /* of the header; 0 where nothing asks */
	__u8 zero;
	__be32 claimed_address;
	__u16 claimed_port; /* what source it gets with an action that claims one */
	__u16 fragment_at;  /* in units of 8 bytes; the upper bit says that more follow */
};

struct ethernet {
	__u8 dmac[6];
	__u8 smac[6];
	__be16 type;
};

struct ipv4 {
	__u8 version_ihl;
	__u8 tos;
	__be16 total;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 proto;
	__be16 check;
	__be32 src;
	__be32 dst;
};

struct ipv6 {
	__be32 version;
	__be16 payload;
	__u8 next;
	__u8 hop_limit;
	__u8 src[16];
	__u8 dst[16];
};

/* The first bytes of any transport header that are read. */
struct transport {
	union {
		struct {
			__be16 sport;
			__be16 dport;
		};
		struct {
			__u8 type;
			__u8 code;
			__be16 check;
			__be16 id;
		};
		struct {
			__u8 tcp[12];
			__u8 data_offset;
			__u8 tcp_flags;
		};
		__u8 bytes[16];
	};
};

static __always_inline long load(struct __sk_buff *skb, __u32 at, void *to, __u32 len)
{
	return bpf_skb_load_bytes(skb, at, to, len);
}

static __always_inline void map_ipv4(__u8 to[16], __be32 ip)
{
	__u32 *words = (__u32 *)to;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ip;
}

static __always_inline int same_ip(const __u8 a[16], const __u8 b[16])
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

static __always_inline int has_ports(__u8 proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_UDPLITE ||
	       proto == PROTO_DCCP || proto == PROTO_SCTP;
}

static __always_inline int is_router(__u32 port)
{
	return !(~port & (PORT_VIRTUAL | PORT_ROUTER));
}

static __always_inline int is_icmp(__u8 family, __u8 proto)
{
	return (family == 4 && proto == PROTO_ICMP) || (family == 6 && proto == PROTO_ICMPV6);
}

static __always_inline int is_icmp_error(__u8 family, __u8 type)
{
	if (family == 4)
		return type == 3 || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

/* The type that answers an ICMP query or is answered by it, -1 for messages without an answer:
 * bpf_abi::reverse_ports. */
static __always_inline int icmp_counterpart(__u8 proto, __u8 type)
{
	if (proto == PROTO_ICMP) {
		switch (type) {
		case 8: return 0;
		case 0: return 8;
		case 13: return 14;
		case 14: return 13;
		case 15: return 16;
		case 16: return 15;
		case 17: return 18;
		case 18: return 17;
		}
		return -1;
	}
	return type == 128 ? 129 : type == 129 ? 128 : -1;
}

static __always_inline int is_echo(__u8 family, __u8 type)
{
	return family == 4 ? type == 8 || type == 0 : type == 128 || type == 129;
}

static __always_inline __u32 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Sum of the IPv4 options, `len` bytes from `at`. Rare, so simple. */
static __noinline __u32 sum_options(struct __sk_buff *skb, __u32 at, __u32 len)
{
	__u32 sum = 0, word;

	for (__u32 i = 0; i < 10; i++) {
		if (i * 4 >= len || load(skb, at + i * 4, &word, 4))
			break;
		sum += (word & 0xffff) + (word >> 16);
	}
	return sum;
}

static __always_inline int checksum_ok(struct __sk_buff *skb, const struct ipv4 *ip, __u32 ihl)
{
	const __u16 *half = (const __u16 *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += half[i];
	if (ihl > sizeof(*ip))
		sum += sum_options(skb, ETH_LEN + sizeof(*ip), ihl - sizeof(*ip));
	return fold(sum) == 0xffff;
}

/* Whether a fragment of `len` bytes, `offset` units of 8 into its packet, can be part of one: none is
 * empty, all but the last are of whole units, and none ends beyond the longest packet. */
static __always_inline int can_be_part(__u32 header, __u32 offset, __u32 more, __u32 len)
{
	return len && !(more && len & 7) && header + offset * 8 + len <= PACKET_MAX;
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, struct packet *p)
{
	__u32 ihl, total, fragment;
	struct ipv4 ip;

	if (load(skb, ETH_LEN, &ip, sizeof(ip)))
		return MALFORMED;
	ihl = (ip.version_ihl & 15) * 4;
	total = bpf_ntohs(ip.total);
	if (ip.version_ihl >> 4 != 4 || ihl < sizeof(ip) || total < ihl ||
	    ETH_LEN + total > skb->len)
		return MALFORMED;
	fragment = bpf_ntohs(ip.fragment);
	if (fragment & 0x8000 || !checksum_ok(skb, &ip, ihl))
		return BAD_CHECKSUM;
	p->key.family = 4;
	p->key.proto = ip.proto;
	map_ipv4(p->key.src, ip.src);
	map_ipv4(p->key.dst, ip.dst);
	p->transport = ETH_LEN + ihl;
	p->end = ETH_LEN + total;
	if (fragment & 0x3fff) {
		p->fragment_id = bpf_ntohs(ip.id);
		p->fragment = fragment & 0x1fff ? FRAGMENT_LATER : FRAGMENT_FIRST;
		p->fragment_at = (fragment & 0x1fff) | (fragment & 0x2000) << 2;
		if ((ip.proto == PROTO_TCP && (fragment & 0x1fff) == 1) ||
		    !can_be_part(ihl, fragment & 0x1fff, fragment & 0x2000, total - ihl))
			return MALFORMED;
	}
	return PASS;
}

static __always_inline int is_extension(__u8 next)
{
	return next == EXT_HOP_BY_HOP || next == EXT_ROUTING || next == EXT_FRAGMENT ||
	       next == EXT_DESTINATION;
}

/* The fragment header `h`, `len` bytes before the end. */
static __always_inline int fragment_header(struct packet *p, const __u8 h[8], __u32 len)
{
	__u32 offset = (__u32)h[2] << 8 | h[3];

	if (!(offset & 0xfff9))
		return PASS; /* a fragment of one, RFC 6946 */
	p->fragment_id = (__u32)h[4] << 24 | (__u32)h[5] << 16 | (__u32)h[6] << 8 | h[7];
	p->fragment = offset & 0xfff8 ? FRAGMENT_LATER : FRAGMENT_FIRST;
	p->fragment_at = offset >> 3 | (offset & 1) << 15;
	if (!can_be_part(0, offset >> 3, offset & 1, len - 8))
		return MALFORMED;
	if (p->fragment == FRAGMENT_FIRST)
		return PASS;
	if (is_extension(h[0]))
		return EXTENSION_HEADERS;
	return h[0] == PROTO_TCP && offset >> 3 == 1 ? MALFORMED : PASS;
}

/* Follows extension headers from `next` on; leaves protocol and offset in the packet. */
static __noinline int parse_extensions(struct __sk_buff *skb, struct packet *p, __u8 next)
{
	__u32 at = p->transport, len, fragmented = 0;
	__u8 h[8];
	int reason;

	for (__u32 i = 0; i <= EXTENSIONS_MAX; i++) {
		if (!is_extension(next) || p->fragment == FRAGMENT_LATER) {
			p->transport = at;
			p->key.proto = next;
			return PASS;
		}
		if (i == EXTENSIONS_MAX)
			return EXTENSION_HEADERS;
		if (at + 8 > p->end || load(skb, at, h, 8))
			return MALFORMED;
		if ((next == EXT_HOP_BY_HOP && i > 0) || (next == EXT_ROUTING && h[3]) ||
		    (next == EXT_FRAGMENT && fragmented))
			return EXTENSION_HEADERS;
		len = next == EXT_FRAGMENT ? 8 : 8 + (__u32)h[1] * 8;
		if (at + len > p->end)
			return MALFORMED;
		if (next == EXT_FRAGMENT) {
			fragmented = 1;
			reason = fragment_header(p, h, p->end - at);
			if (reason)
				return reason;
		}
		at += len;
		next = h[0];
	}
	return EXTENSION_HEADERS;
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6 ip;

	if (load(skb, ETH_LEN, &ip, sizeof(ip)))
		return MALFORMED;
	p->transport = ETH_LEN + sizeof(ip);
	p->end = p->transport + bpf_ntohs(ip.payload);
	if (bpf_ntohl(ip.version) >> 28 != 6 || p->end > skb->len)
		return MALFORMED;
	p->key.family = 6;
	p->key.proto = ip.next;
	__builtin_memcpy(p->key.src, ip.src, 16);
	__builtin_memcpy(p->key.dst, ip.dst, 16);
	return is_extension(ip.next) ? parse_extensions(skb, p, ip.next) : PASS;
}

/* Protocol and addresses of the packet inside an ICMP error, in `inner` as it was sent; `at` is
 * moved behind its IP header. */
static __always_inline int embedded_ip(struct __sk_buff *skb, __u8 family, __u32 *at,
				       struct flow_key *inner)
{
	struct ipv6 six;
	struct ipv4 four;

	if (family == 4) {
		if (load(skb, *at, &four, sizeof(four)) || four.version_ihl >> 4 != 4 ||
		    (four.version_ihl & 15) < 5 || four.fragment & bpf_htons(0x1fff))
			return UNRELATED_ICMP_ERROR;
		*at += (four.version_ihl & 15) * 4;
		inner->proto = four.proto;
		map_ipv4(inner->src, four.src);
		map_ipv4(inner->dst, four.dst);
		return PASS;
	}
	if (load(skb, *at, &six, sizeof(six)) || bpf_ntohl(six.version) >> 28 != 6)
		return UNRELATED_ICMP_ERROR;
	*at += sizeof(six);
	inner->proto = six.next;
	__builtin_memcpy(inner->src, six.src, 16);
	__builtin_memcpy(inner->dst, six.dst, 16);
	return PASS;
}

/* Makes the key that of the embedded packet turned round. */
static __noinline int parse_icmp_error(struct __sk_buff *skb, struct packet *p)
{
	__u32 at = p->transport + 8;
	struct flow_key *key = &p->key, inner = {};
	struct transport t = {};

	if (embedded_ip(skb, key->family, &at, &inner) || at + 8 > p->end || load(skb, at, &t, 8))
		return UNRELATED_ICMP_ERROR;
	if (has_ports(inner.proto)) {
		key->sport = bpf_ntohs(t.dport);
		key->dport = bpf_ntohs(t.sport);
	} else if (is_icmp(key->family, inner.proto) && is_echo(key->family, t.type)) {
		key->sport = bpf_ntohs(t.id);
		key->dport = (__u16)icmp_counterpart(inner.proto, t.type) << 8 | t.code;
	} else {
		return UNRELATED_ICMP_ERROR;
	}
	if (!same_ip(key->dst, inner.src))
		return UNRELATED_ICMP_ERROR;
	if (!same_ip(key->src, inner.dst)) {
		key->flags |= FLAG_TRANSIT_ERROR;
		__builtin_memcpy(key->src, inner.dst, 16);
	}
	key->proto = inner.proto;
	key->flags |= FLAG_ICMP_ERROR;
	return PASS;
}

static __always_inline int parse_tcp(struct __sk_buff *skb, struct packet *p)
{
	struct transport t;
	__u32 len;

	if (p->transport + 20 > p->end || load(skb, p->transport, &t, 14))
		return MALFORMED;
	len = (t.data_offset >> 4) * 4;
	if (len < 20 || p->transport + len > p->end)
		return MALFORMED;
	p->key.sport = bpf_ntohs(t.sport);
	p->key.dport = bpf_ntohs(t.dport);
	p->tcp_flags = t.tcp_flags;
	p->transport_len = len;
	return PASS;
}

static __always_inline int parse_transport(struct __sk_buff *skb, struct packet *p)
{
	__u8 family = p->key.family, proto = p->key.proto;
	struct transport t;
	__u32 least;

	if (proto == PROTO_TCP)
		return parse_tcp(skb, p);
	if (!has_ports(proto) && !is_icmp(family, proto))
		return PASS;
	least = proto == PROTO_SCTP || proto == PROTO_DCCP ? 12 : 8;
	if (p->transport + least > p->end || load(skb, p->transport, &t, 8))
		return MALFORMED;
	p->transport_len = 8;
	if (has_ports(proto)) {
		p->key.sport = bpf_ntohs(t.sport);
		p->key.dport = bpf_ntohs(t.dport);
		return PASS;
	}
	if (is_icmp_error(family, t.type))
		return parse_icmp_error(skb, p);
	p->key.sport = is_echo(family, t.type) ? bpf_ntohs(t.id) : 0;
	p->key.dport = (__u16)t.type << 8 | t.code;
	return PASS;
}

/* Fills the packet's key, all but in_port and state. Returns a drop reason or PASS. */
__noinline int parse(struct __sk_buff *skb, struct packet *p)
{
	struct ethernet eth;
	int reason;

	if (!p || load(skb, 0, &eth, sizeof(eth)))
		return MALFORMED;
	__builtin_memcpy(p->key.smac, eth.smac, 6);
	__builtin_memcpy(p->key.dmac, eth.dmac, 6);
	if (skb->vlan_present)
		return VLAN_TAGGED;
	switch (bpf_ntohs(eth.type)) {
	case ETH_IPV4:
		reason = parse_ipv4(skb, p);
		break;
	case ETH_IPV6:
		reason = parse_ipv6(skb, p);
		break;
	case ETH_ARP:
		p->transport = ETH_LEN;
		p->end = skb->len;
		return PASS;
	case ETH_VLAN:
	case ETH_QINQ:
	case ETH_QINQ_OLD:
		return VLAN_TAGGED;
	default:
		return ETHER_TYPE;
	}
	if (reason)
		return reason;
	if (p->fragment == FRAGMENT_LATER) {
		p->key.flags |= FLAG_FRAGMENT;
		return PASS;
	}
	return parse_transport(skb, p);
}

#endif
