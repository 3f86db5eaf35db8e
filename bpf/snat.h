/* Source NAT: a connection gets an address that this host shares, and a port of it that is its own.
 * Ports are claimed in the tables themselves: who inserts first has it. */
#ifndef MIDONET_SNAT_H
#define MIDONET_SNAT_H

#include "conn.h"

/* A closing connection that has been silent so long gives its port away when there is no other: the
 * sequence numbers of a new one are taken to be above it (RFC 6191). */
#define CLOSED_NS 2000000000ull

/* What of an occupied port is good enough: a connection that is known, a free port, one of a
 * connection that has closed. */
enum effort { EFFORT_OWN, EFFORT_FREE, EFFORT_CLOSED, EFFORTS };

/* A round of MurmurHash3. */
static __always_inline __u32 mix(__u32 hash, __u32 word)
{
	word *= 0xcc9e2d51;
	word = word << 15 | word >> 17;
	hash ^= word * 0x1b873593;
	hash = hash << 13 | hash >> 19;
	return hash * 5 + 0xe6546b64;
}

static __always_inline __u32 finish(__u32 hash)
{
	hash = (hash ^ hash >> 16) * 0x85ebca6b;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35;
	return hash ^ hash >> 16;
}

static __always_inline __u32 ipv4_of(const __u8 ip[16])
{
	return *(const __u32 *)(ip + 12);
}

/* The same ports in the same order for the same connection: one whose entry was lost finds its port
 * again. */
static __always_inline __u16 candidate(const struct pool *pool, __u32 hash, __u32 try)
{
	__u32 at = (hash + try * (hash >> 16 | 1)) % (pool->count << 8);

	return (__u16)pool->blocks[at >> 8 & (BLOCKS_MAX - 1)] << 8 | (at & 0xff);
}

static __always_inline int owns(const struct pool *pool, __u16 port)
{
	return pool->owned[port >> 14 & (BLOCKS_MAX / 64 - 1)] >> (port >> 8 & 63) & 1;
}

/* Whether a connection's port is mapped whoever the other end is (RFC 4787, 4.1; RFC 5508, 3.1). Of
 * TCP a port is free for each other end: it has far more connections. */
static __always_inline int is_mapped(__u8 proto)
{
	return proto == PROTO_UDP || proto == PROTO_UDPLITE || proto == PROTO_ICMP;
}

/* Whether source NAT can change the packet so that its answer is known. */
static __always_inline int is_claimable(const struct tuple *t)
{
	if (t->proto == PROTO_ICMP || t->proto == PROTO_ICMPV6)
		return is_echo(t->family, t->dport >> 8);
	return has_ports(t->proto) && t->proto != PROTO_SCTP;
}

/* Takes over an entry that has ended. Of all CPUs that see it so one wins. */
static __always_inline int inherit(__u64 *seen_ns, __u64 seen, __u64 now)
{
	return __sync_val_compare_and_swap(seen_ns, seen, now) == seen;
}

/* Takes the claimed source by the record of the answer at `port`; false if it is another's. */
__noinline int take_record(const struct packet *p, const struct action *a, __u32 port, __u32 effort)
{
	struct conn_key key = { .in_port = port };
	struct tuple to = {};
	struct conn *c;
	int own, ended;
	__u64 seen;

	if (!p || !a)
		return 0;
	outcome(p, a, &to);
	if (!reverse(&to, &key.tuple) || !reverse(&p->seen.tuple, &to))
		return 0;
	c = bpf_map_lookup_elem(&CONNS, &key);
	if (!c && effort == EFFORT_OWN)
		return 0;
	if (c) {
		seen = *(volatile __u64 *)&c->seen_ns;
		own = c->flags & CONN_TRANSLATED && same_tuple(&c->to, &to);
		ended = !alive(c, key.proto, p->now);
		if (own && !ended)
			return 1;
		if (effort == EFFORT_CLOSED && c->flags & CONN_CLOSING)
			ended = (__s64)(p->now - seen) > (__s64)CLOSED_NS;
		if (effort == EFFORT_OWN || !ended || !inherit(&c->seen_ns, seen, p->now))
			return 0;
	}
	return !expect(&key, &to, p->now, CONN_TRANSLATED, c ? BPF_ANY : BPF_NOEXIST);
}

/* Takes the claimed source by the mapping of its port. */
__noinline int take_mapping(const struct packet *p, __u32 router)
{
	struct mapping_key key = { .router = router, .side = SIDE_OUTSIDE };
	struct mapping fresh = {}, *m;
	__u64 seen;

	if (!p)
		return 0;
	key.proto = p->seen.proto;
	key.address = p->claimed_address;
	key.port = p->claimed_port;
	fresh.seen_ns = p->now;
	fresh.address = ipv4_of(p->seen.src);
	fresh.port = p->seen.sport;
	m = bpf_map_lookup_elem(&MAPPINGS, &key);
	if (m) {
		seen = *(volatile __u64 *)&m->seen_ns;
		if ((__s64)(p->now - seen) < (__s64)IDLE_MAPPING_NS) {
			if (m->address != fresh.address || m->port != fresh.port)
				return 0;
			m->seen_ns = p->now;
			return 1;
		}
		if (!inherit(&m->seen_ns, seen, p->now))
			return 0;
	}
	return !bpf_map_update_elem(&MAPPINGS, &key, &fresh, m ? BPF_ANY : BPF_NOEXIST);
}

/* The mapping of the packet's source, which every connection from it uses. */
static __always_inline struct mapping_key inside_of(const struct packet *p, __u32 router)
{
	struct mapping_key key = {
		.router = router,
		.address = ipv4_of(p->seen.src),
		.port = p->seen.sport,
		.proto = p->seen.proto,
		.side = SIDE_INSIDE,
	};

	return key;
}

__noinline int claim_mapping(struct packet *p, const struct action *a, struct pool *pool)
{
	struct mapping made = {}, *m;
	struct mapping_key inside;
	__u32 hash;

	if (!p || !a || !pool)
		return 0;
	inside = inside_of(p, a->record);
	m = bpf_map_lookup_elem(&MAPPINGS, &inside);
	if (m && m->address == pool->address && owns(pool, m->port)) {
		p->claimed_port = m->port;
		if (take_mapping(p, a->record)) {
			m->seen_ns = p->now;
			return 1;
		}
	}
	hash = finish(mix(mix(inside.proto, inside.address), inside.port));
	for (__u32 try = 0; try < CLAIM_TRIES; try++) {
		pool->tries++;
		p->claimed_port = candidate(pool, hash, try);
		if (take_mapping(p, a->record)) {
			made.seen_ns = p->now;
			made.address = pool->address;
			made.port = p->claimed_port;
			bpf_map_update_elem(&MAPPINGS, &inside, &made, BPF_ANY);
			return 1;
		}
	}
	return 0;
}

/* A new connection need not look for a port that it has already, and only it may have one that is
 * closing still. */
__noinline int claim_record(struct packet *p, const struct action *a, struct pool *pool)
{
	__u32 hash, try, effort;

	if (!p || !a || !pool)
		return 0;
	hash = mix(mix(p->seen.proto, ipv4_of(p->seen.src)), ipv4_of(p->seen.dst));
	hash = finish(mix(hash, (__u32)p->seen.sport << 16 | p->seen.dport));
	effort = opens(p) ? EFFORT_FREE : EFFORT_OWN;
	for (__u32 i = effort * CLAIM_TRIES; i < EFFORTS * CLAIM_TRIES; i++) {
		effort = i / CLAIM_TRIES;
		try = i % CLAIM_TRIES;
		if (effort == EFFORT_CLOSED && !opens(p))
			break;
		pool->tries++;
		p->claimed_port = candidate(pool, hash, try);
		if (take_record(p, a, a->record, effort))
			return 1;
	}
	return 0;
}

/* Keeps or takes again what the packet's entry has claimed: the other half may have been lost, and
 * even given away. */
__noinline int renew_claim(const struct packet *p, const struct action *a)
{
	struct mapping_key inside;
	struct mapping *m;

	if (!p || !a)
		return 0;
	if (!is_mapped(p->seen.proto) || a->flags & ACTION_NAT64)
		return take_record(p, a, a->flags & ACTION_NAT64 ? a->ifindex : a->record,
				   EFFORT_FREE);
	if (!take_mapping(p, a->record))
		return 0;
	inside = inside_of(p, a->record);
	m = bpf_map_lookup_elem(&MAPPINGS, &inside);
	if (m && m->address == p->claimed_address && m->port == p->claimed_port)
		m->seen_ns = p->now;
	return 1;
}

/* Finds the packet its source, or the reason to drop it. `old`: its entry, whose claim is in the
 * packet already. */
__noinline int claim(struct packet *p, const struct action *a, const struct conn *old)
{
	int error, kept, done;
	struct pool *pool;

	if (!p || !a)
		return KERNEL_ERROR;
	error = p->key.flags & FLAG_ICMP_ERROR;
	kept = old && old->flags & CONN_CLAIMED;
	if (!is_claimable(&p->seen.tuple) && !error)
		return SNAT_PROTOCOL;
	pool = bpf_map_lookup_elem(&POOLS, &a->record);
	if (!pool || !pool->count)
		return SNAT_EXHAUSTED;
	if (kept && p->claimed_address == pool->address && owns(pool, p->claimed_port) &&
	    (error || renew_claim(p, a)))
		return PASS;
	if (error)
		return UNRELATED_ICMP_ERROR;
	p->claimed_address = pool->address;
	done = is_mapped(p->seen.proto) ? claim_mapping(p, a, pool) : claim_record(p, a, pool);
	if (!done) {
		pool->failures++;
		return SNAT_EXHAUSTED;
	}
	pool->claims++;
	return PASS;
}

/* IPv4 addresses that are tried for one IPv6 client with the port it has itself, and then with other
 * ports. */
#define KEEPS_PORT (CLAIM_TRIES / 2)

/* Finds the packet of an IPv6 client a source that the port behind this tap may answer: a client has
 * the same address at all of them, with the port that it has itself, unless two clients meet. */
__noinline int claim_ipv4(struct packet *p, const struct action *a, const struct conn *old)
{
	struct config *config;
	__u32 zero = 0, hash, mask, words[4];

	if (!p || !a)
		return KERNEL_ERROR;
	config = bpf_map_lookup_elem(&CONFIG, &zero);
	if (!config || !config->nat64_net || a->kind != ACTION_LOCAL)
		return SNAT_EXHAUSTED;
	if (p->seen.family != 6 || (p->seen.proto != PROTO_TCP && p->seen.proto != PROTO_UDP &&
				    p->seen.proto != PROTO_ICMPV6))
		return SNAT_PROTOCOL;
	mask = config->nat64_bits < 32 ? (1u << config->nat64_bits) - 1 : 0;
	if (old && old->flags & CONN_CLAIMED &&
	    !((bpf_ntohl(p->claimed_address) ^ config->nat64_net) & ~mask) &&
	    (p->key.flags & FLAG_ICMP_ERROR || renew_claim(p, a)))
		return PASS;
	if (p->key.flags & FLAG_ICMP_ERROR)
		return UNRELATED_ICMP_ERROR;
	if (!is_claimable(&p->seen.tuple))
		return SNAT_PROTOCOL;
	__builtin_memcpy(words, p->seen.src, 16);
	hash = finish(mix(mix(mix(mix(0, words[0]), words[1]), words[2]), words[3]));
	for (__u32 try = 0; try < CLAIM_TRIES; try++) {
		p->claimed_address = bpf_htonl(config->nat64_net | ((hash + try) & mask));
		p->claimed_port = p->seen.sport;
		if (try >= KEEPS_PORT)
			p->claimed_port = finish(mix(hash, p->seen.sport + try)) | 1024;
		if (take_record(p, a, a->ifindex, EFFORT_FREE))
			return PASS;
	}
	return SNAT_EXHAUSTED;
}

/* A packet to a mapped port is for who has it, from wherever it comes: it is judged as such
 * (endpoint-independent filtering, RFC 4787, 5). */
static __noinline void take_in(struct packet *p)
{
	struct mapping_key key = {
		.router = p->seen.in_port,
		.address = ipv4_of(p->seen.dst),
		.port = p->seen.dport,
		.proto = p->seen.proto,
		.side = SIDE_OUTSIDE,
	};
	struct mapping *m;

	if (p->seen.family != 4 || !has_ports(key.proto))
		return;
	m = bpf_map_lookup_elem(&MAPPINGS, &key);
	if (!m || (__s64)(p->now - m->seen_ns) >= (__s64)IDLE_MAPPING_NS)
		return;
	p->key.flags |= FLAG_TRANSLATED;
	map_ipv4(p->key.dst, m->address);
	p->key.dport = m->port;
}

/* What comes in for a mapped port keeps it, as what goes out does (RFC 4787, REQ-6). */
static __noinline void keep_mapping(const struct packet *p)
{
	int icmp = p->seen.proto == PROTO_ICMP;
	struct mapping_key key = {
		.router = p->seen.in_port,
		.address = ipv4_of(p->seen.dst),
		.port = icmp ? p->seen.sport : p->seen.dport,
		.proto = p->seen.proto,
		.side = SIDE_OUTSIDE,
	};
	struct mapping *m = bpf_map_lookup_elem(&MAPPINGS, &key);

	if (m && m->address == ipv4_of(p->key.dst) &&
	    m->port == (icmp ? p->key.sport : p->key.dport))
		m->seen_ns = p->now;
}

#endif
