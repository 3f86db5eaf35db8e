/* Connections: what an entry means, when it ends, and how the reverse of one is recorded. */
#ifndef MIDONET_CONN_H
#define MIDONET_CONN_H

#include "maps.h"
#include "parse.h"

static __always_inline void tuple_of(const struct flow_key *key, struct tuple *to)
{
	to->family = key->family;
	to->proto = key->proto;
	to->pad = 0;
	__builtin_memcpy(to->src, key->src, 16);
	__builtin_memcpy(to->dst, key->dst, 16);
	to->sport = key->sport;
	to->dport = key->dport;
}

/* The packet as it came in at a port, before anything translates it. */
static __always_inline void see(struct packet *p, __u32 in_port)
{
	p->key.in_port = in_port;
	p->seen.in_port = in_port;
	tuple_of(&p->key, &p->seen.tuple);
}

__noinline int same_tuple(const struct tuple *a, const struct tuple *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 differ = 0;

	if (!a || !b)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < sizeof(*a) / 4; i++)
		differ |= x[i] ^ y[i];
	return !differ;
}

/* The tuple of the answer; false for ICMP messages that have none. */
__noinline int reverse(const struct tuple *t, struct tuple *to)
{
	int type = 0;

	if (!t || !to)
		return 0;
	to->family = t->family;
	to->proto = t->proto;
	to->pad = 0;
	__builtin_memcpy(to->src, t->dst, 16);
	__builtin_memcpy(to->dst, t->src, 16);
	if (t->proto == PROTO_ICMP || t->proto == PROTO_ICMPV6) {
		type = icmp_counterpart(t->proto, t->dport >> 8);
		to->sport = t->sport;
		to->dport = (__u16)type << 8 | (t->dport & 0xff);
	} else {
		to->sport = t->dport;
		to->dport = t->sport;
	}
	return type >= 0;
}

/* What the packet becomes: as it was judged, and what the action makes of that. */
__noinline int outcome(const struct packet *p, const struct action *a, struct tuple *to)
{
	if (!p || !to)
		return KERNEL_ERROR;
	tuple_of(&p->key, to);
	if (!a)
		return PASS;
	if (a->flags & ACTION_SRC)
		__builtin_memcpy(to->src, a->src, 16);
	if (a->flags & ACTION_DST)
		__builtin_memcpy(to->dst, a->dst, 16);
	if (a->flags & ACTION_DST_PORT)
		to->dport = a->dst_port;
	if (a->flags & (ACTION_SNAT | ACTION_NAT64)) {
		map_ipv4(to->src, p->claimed_address);
		to->sport = p->claimed_port;
	}
	if (a->flags & ACTION_NAT64) {
		to->family = 4;
		if (to->proto == PROTO_ICMPV6) {
			to->proto = PROTO_ICMP;
			to->dport = (to->dport >> 8 == ECHO_REQUEST_V6 ? ECHO_REQUEST : 0) << 8;
		}
	}
	return PASS;
}

/* A pure SYN: a new connection, whatever is known about the tuple. */
static __always_inline int opens(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) == TCP_SYN;
}

static __always_inline int closes(const struct packet *p)
{
	return p->tcp_flags & (TCP_FIN | TCP_RST);
}

static __always_inline int alive(const struct conn *c, __u8 proto, __u64 now)
{
	__u64 limit = c->flags & CONN_CLOSING ? IDLE_CLOSING_NS
		      : proto == PROTO_TCP    ? IDLE_TCP_NS
					      : IDLE_OTHER_NS;

	/* seen_ns of another CPU may be a tick ahead of now */
	return (__s64)(now - c->seen_ns) < (__s64)limit;
}

static __always_inline int stale(const struct conn *c, __u64 now)
{
	return (__s64)(now - c->seen_ns) > (__s64)REFRESH_NS;
}

static __always_inline int same_mac(const __u8 a[6], const __u8 b[6])
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b; /* MACs are 2-aligned in keys */

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* An entry that is being made. Entries are replaced, not changed, where their meaning changes, so that
 * a slot that the LRU hands to another connection in the same moment is never given ours. */
static __always_inline struct conn *blank(void)
{
	__u32 zero = 0;
	struct conn *c = bpf_map_lookup_elem(&SCRATCH, &zero);

	if (c)
		__builtin_memset(c, 0, sizeof(*c));
	return c;
}

static __always_inline void touch(struct conn *c, const struct packet *p)
{
	if (stale(c, p->now))
		c->seen_ns = p->now;
	if (closes(p) && !(c->flags & CONN_CLOSING))
		c->flags |= CONN_CLOSING;
}

/* Records an answer, which `to` says what it becomes if it is translated; as the last argument of
 * bpf_map_update_elem says. */
__noinline int expect(const struct conn_key *key, const struct tuple *to, __u64 now, __u32 flags,
		      __u64 how)
{
	struct conn *fresh = blank();

	if (!key || !to || !fresh)
		return KERNEL_ERROR;
	fresh->state = STATE_REPLY;
	fresh->seen_ns = now;
	fresh->flags = flags;
	if (flags & CONN_TRANSLATED)
		fresh->to = *to;
	return bpf_map_update_elem(&CONNS, key, fresh, how) ? KERNEL_ERROR : PASS;
}

/* An authorised packet goes on at or behind `port`, changed by `a` if there is one: what answers it
 * there is a reply. What the packet becomes is turned round for the key; if that is not what it was,
 * what it was is what the answer becomes. */
__noinline int record(const struct packet *p, const struct action *a, __u32 port)
{
	struct conn_key key = { .in_port = port };
	struct tuple to = {};
	struct conn *c;
	__u8 flags;

	if (!p)
		return KERNEL_ERROR;
	outcome(p, a, &to);
	if (!reverse(&to, &key.tuple))
		return PASS;
	flags = same_tuple(&to, &p->seen.tuple) ? 0 : CONN_TRANSLATED;
	if (!reverse(&p->seen.tuple, &to))
		return PASS;
	c = bpf_map_lookup_elem(&CONNS, &key);
	if (c && c->state == STATE_REPLY && alive(c, key.proto, p->now) && !opens(p) &&
	    (c->flags & CONN_TRANSLATED) == flags && (!flags || same_tuple(&c->to, &to))) {
		touch(c, p);
		return PASS;
	}
	return expect(&key, &to, p->now, flags | (closes(p) ? CONN_CLOSING : 0), BPF_ANY);
}

/* Where the reverse of what an action lets through is recorded; 0 for nowhere. An answer to what a
 * router has translated must find its way back, tracked or not. */
static __always_inline __u32 recorded_at(const struct packet *p, const struct action *a)
{
	int translated = p->key.flags & FLAG_TRANSLATED || a->flags & ACTION_DST;

	if (a->record)
		return a->record;
	if (a->kind != ACTION_LOCAL)
		return 0;
	if (a->flags & ACTION_TRACK)
		return a->ifindex;
	return translated && is_router(p->seen.in_port) && !(a->flags & ACTION_REPLY) ? a->ifindex
										      : 0;
}

static __always_inline void remember(const struct packet *p, const struct action *a)
{
	__u32 port = recorded_at(p, a);

	if (port)
		record(p, a, port);
}

/* Judges the packet as what its connection's entry makes of it, or gives it the source that was
 * claimed for it. */
static __always_inline void adopt(struct packet *p, const struct conn *c)
{
	if (c->flags & CONN_CLAIMED) {
		p->claimed_address = *(const __u32 *)(c->to.src + 12);
		p->claimed_port = c->to.sport;
		return;
	}
	p->key.flags |= FLAG_TRANSLATED;
	p->key.family = c->to.family;
	p->key.proto = c->to.proto;
	__builtin_memcpy(p->key.src, c->to.src, 16);
	__builtin_memcpy(p->key.dst, c->to.dst, 16);
	p->key.sport = c->to.sport;
	p->key.dport = c->to.dport;
}

/* Gives a fragment the ports of its packet. */
static __noinline int fragment(struct packet *p)
{
	struct fragment_key key = {
		.in_port = p->key.in_port,
		.id = p->fragment_id,
		.family = p->key.family,
		.proto = p->key.proto,
	};
	struct fragment *known, first = { .sport = p->key.sport, .dport = p->key.dport };

	__builtin_memcpy(key.src, p->key.src, 16);
	__builtin_memcpy(key.dst, p->key.dst, 16);
	if (p->fragment == FRAGMENT_FIRST) {
		bpf_map_update_elem(&FRAGMENTS, &key, &first, BPF_ANY);
		return PASS;
	}
	known = bpf_map_lookup_elem(&FRAGMENTS, &key);
	if (!known)
		return FRAGMENT_UNKNOWN;
	p->key.sport = known->sport;
	p->key.dport = known->dport;
	return PASS;
}

#endif
