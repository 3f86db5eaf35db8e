/* The decision table: how a packet that no connection entry answers for is judged. */
#ifndef MIDONET_DECIDE_H
#define MIDONET_DECIDE_H

#include "apply.h"
#include "snat.h"

/* The number of the action for the first class that knows the key, 0 if none does. */
__noinline __u32 find_decision(const struct packet *p)
{
	struct decision_key key = {};
	struct mask *mask;
	__u32 *action;

	if (!p)
		return 0;
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
__noinline int enter(struct __sk_buff *skb, const struct packet *p, const struct conn *old,
			     __u32 id, const struct action *a)
{
	struct conn *c = blank();

	if (!p || !a || !c)
		return KERNEL_ERROR;
	c->action = id;
	c->generation = a->generation;
	c->state = a->flags & ACTION_REPLY ? STATE_REPLY : STATE_FORWARD;
	c->seen_ns = p->now;
	c->packets = 1;
	c->bytes = skb->len;
	if (closes(p))
		c->flags = CONN_CLOSING;
	if (old) {
		c->packets += old->packets;
		c->bytes += old->bytes;
		c->flags |= old->flags & CONN_CLOSING;
	}
	if (p->key.flags & FLAG_TRANSLATED)
		c->flags |= CONN_TRANSLATED;
	else if (a->flags & (ACTION_SNAT | ACTION_NAT64))
		c->flags |= CONN_CLAIMED;
	if (c->flags & (CONN_TRANSLATED | CONN_CLAIMED))
		outcome(p, c->flags & CONN_CLAIMED ? a : 0, &c->to);
	__builtin_memcpy(c->smac, p->key.smac, 6);
	__builtin_memcpy(c->dmac, p->key.dmac, 6);
	return bpf_map_update_elem(&CONNS, &p->seen, c, BPF_ANY) ? KERNEL_ERROR : PASS;
}

/* `old`: the packet's entry if it has a live one that the packet does not start anew. */
static __noinline int decide(struct __sk_buff *skb, struct packet *p, const struct conn *old)
{
	struct action *a;
	int reason;
	__u32 id;

	p->key.state = old ? old->state : STATE_FORWARD;
	id = find_decision(p);
	a = id ? bpf_map_lookup_elem(&ACTIONS, &id) : 0;
	if (!a)
		return upcall(skb, &p->key, 0, WHY_MISS);
	if (forwards(a) && a->flags & (ACTION_SNAT | ACTION_NAT64)) {
		reason = a->flags & ACTION_SNAT ? claim(p, a, old) : claim_ipv4(p, a, old);
		if (reason)
			return drop(skb, p->key.in_port, reason);
	}
	/* An ICMP error belongs to its connection's entry and makes none. Nor does what is dropped:
	 * a port scan must not push connections out. */
	if (!(p->key.flags & FLAG_ICMP_ERROR) && forwards(a)) {
		enter(skb, p, old, id, a);
		remember(p, a);
	}
	return apply(skb, p, a);
}

#endif
