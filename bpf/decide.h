/* The decision table: how a packet that no connection entry answers for is judged. */
#ifndef MIDONET_DECIDE_H
#define MIDONET_DECIDE_H

#include "apply.h"

/* The number of the action for the first class that knows the key, 0 if none does. */
static __noinline __u32 find_decision(const struct packet *p)
{
	struct decision_key key = {};
	struct mask *mask;
	__u32 *action;

	for (__u32 slot = 0; slot < MASKS_MAX; slot++) {
		__u32 at = slot;

		mask = bpf_map_lookup_elem(&MASKS, &at);
		if (!mask || !mask->used)
			break;
		key.mask = mask->id;
		for (__u32 i = 0; i < FLOW_KEY_WORDS; i++)
			key.masked[i] = p->words[i] & mask->bits[i];
		action = bpf_map_lookup_elem(&DECISIONS, &key);
		if (action)
			return *action;
	}
	return 0;
}

/* Makes or renews the packet's own entry from an action that forwards. */
static __always_inline void enter(const struct packet *p, const struct conn_key *key,
				  const struct conn *old, __u32 id, const struct action *a,
				  __u64 now, __u32 len)
{
	struct conn c = {
		.action = id,
		.generation = a->generation,
		.state = a->flags & ACTION_REPLY ? STATE_REPLY : STATE_FORWARD,
		.seen_ns = now,
		.packets = 1,
		.bytes = len,
	};

	if (closes(p))
		c.flags = CONN_CLOSING;
	if (old) {
		c.packets += old->packets;
		c.bytes += old->bytes;
		c.flags |= old->flags;
	}
	__builtin_memcpy(c.smac, p->key.smac, 6);
	__builtin_memcpy(c.dmac, p->key.dmac, 6);
	bpf_map_update_elem(&CONNS, key, &c, BPF_ANY);
}

/* `old`: the packet's entry if it has a live one that the packet does not start anew. */
static __noinline int decide(struct __sk_buff *skb, struct packet *p, const struct conn_key *key,
			     const struct conn *old, __u64 now)
{
	struct action *a;
	__u32 id;

	p->key.state = old ? old->state : STATE_FORWARD;
	id = find_decision(p);
	a = id ? bpf_map_lookup_elem(&ACTIONS, &id) : 0;
	if (!a)
		return upcall(skb, &p->key, 0, WHY_MISS);
	/* An ICMP error belongs to its connection's entry and makes none. Nor does what is dropped:
	 * a port scan must not push connections out. */
	if (!(p->key.flags & FLAG_ICMP_ERROR) &&
	    (a->kind == ACTION_LOCAL || a->kind == ACTION_TUNNEL)) {
		enter(p, key, old, id, a, now, skb->len);
		if (a->kind == ACTION_LOCAL && a->flags & ACTION_TRACK)
			record_reply(p, a->ifindex, a, now);
	}
	return apply(skb, p, a);
}

#endif
