/* Connections: what an entry means, when it ends, and how the reverse of one is recorded. */
#ifndef MIDONET_CONN_H
#define MIDONET_CONN_H

#include "maps.h"
#include "parse.h"

static __always_inline struct conn_key conn_key(const struct flow_key *key)
{
	struct conn_key c = {
		.in_port = key->in_port,
		.family = key->family,
		.proto = key->proto,
		.sport = key->sport,
		.dport = key->dport,
	};

	__builtin_memcpy(c.src, key->src, 16);
	__builtin_memcpy(c.dst, key->dst, 16);
	return c;
}

/* The key of the answer as seen at `port`; false for ICMP messages that have no answer. */
static __always_inline int reverse(const struct flow_key *key, __u32 port, struct conn_key *to)
{
	struct conn_key c = { .in_port = port, .family = key->family, .proto = key->proto };

	__builtin_memcpy(c.src, key->dst, 16);
	__builtin_memcpy(c.dst, key->src, 16);
	if (key->proto == PROTO_ICMP || key->proto == PROTO_ICMPV6) {
		int type = icmp_counterpart(key->proto, key->dport >> 8);

		if (type < 0)
			return 0;
		c.sport = key->sport;
		c.dport = (__u16)type << 8 | (key->dport & 0xff);
	} else {
		c.sport = key->dport;
		c.dport = key->sport;
	}
	*to = c;
	return 1;
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

/* An authorised packet leaves by `port`, translated by `a` if there is one: what answers it there is
 * a reply. Entries are replaced, not
 * changed, where their meaning changes, so that a slot that the LRU hands to another connection in
 * the same moment is never given ours. */
static __noinline void record_reply(const struct packet *p, __u32 port, const struct action *a,
				     __u64 now)
{
	struct conn fresh = { .state = STATE_REPLY, .seen_ns = now };
	struct conn_key key;
	struct conn *c;

	if (!reverse(&p->key, port, &key))
		return;
	if (a && a->flags & ACTION_SRC)
		__builtin_memcpy(key.dst, a->src, 16);
	if (a && a->flags & ACTION_DST)
		__builtin_memcpy(key.src, a->dst, 16);
	if (closes(p))
		fresh.flags = CONN_CLOSING;
	c = bpf_map_lookup_elem(&CONNS, &key);
	if (c && c->state == STATE_REPLY && alive(c, key.proto, now) && !opens(p)) {
		if (stale(c, now))
			c->seen_ns = now;
		if (closes(p) && !(c->flags & CONN_CLOSING))
			c->flags |= CONN_CLOSING;
		return;
	}
	bpf_map_update_elem(&CONNS, &key, &fresh, BPF_ANY);
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
