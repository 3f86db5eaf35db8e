/* Frames for the agent: rationed by port, so that one VM cannot take the agent from the others. */
#ifndef MIDONET_UPCALL_H
#define MIDONET_UPCALL_H

#include "drop.h"

#define SECOND_NS 1000000000ull

/* Takes tokens of the port's bucket, which holds a second's worth: one for a frame and one more for
 * each 2 KiB of it, so that no port can fill the ring. Two CPUs may take the same token: the ration
 * is a protection, not an account. */
static __always_inline int take_tokens(struct port *port, __u32 len, __u64 now)
{
	__u32 price = 1 + (len >> 11);
	__u64 elapsed = now - port->refilled_ns, tokens = port->tokens;

	if (elapsed >= SECOND_NS) {
		tokens = port->rate;
		port->refilled_ns = now;
	} else if (elapsed * port->rate >= SECOND_NS) {
		tokens += elapsed * port->rate / SECOND_NS;
		if (tokens > port->rate)
			tokens = port->rate;
		port->refilled_ns = now;
	}
	port->tokens = tokens < price ? tokens : tokens - price;
	return tokens >= price;
}

/* What goes up with a frame. */
struct report {
	struct flow_key *key;
	__u32 vni;
	__u8 why;
};

/* One record with room for `room` bytes of the frame: a size known to the verifier each. */
#define SEND(room)                                                                                 \
	do {                                                                                       \
		struct upcall *u = bpf_ringbuf_reserve(&UPCALLS, sizeof(*u) + (room), 0);          \
		__u32 n = len > (room) ? (room) : len;                                             \
                                                                                                   \
		if (!u)                                                                            \
			return UPCALL_RING_FULL;                                                   \
		u->time_ns = bpf_ktime_get_ns();                                                   \
		u->len = skb->len;                                                                 \
		u->captured = n;                                                                   \
		u->vni = r->vni;                                                                   \
		u->gso_size = skb->gso_size;                                                       \
		u->why = r->why;                                                                   \
		u->parsed = r->key->family != 0;                                                   \
		u->key = *r->key;                                                                  \
		if (n < 1 || bpf_skb_load_bytes(skb, 0, u + 1, n)) {                               \
			bpf_ringbuf_discard(u, 0);                                                 \
			return KERNEL_ERROR;                                                       \
		}                                                                                  \
		bpf_ringbuf_submit(u, 0);                                                          \
		return PASS;                                                                       \
	} while (0)

static __noinline int send_up(struct __sk_buff *skb, struct report *r)
{
	__u32 len = skb->len;

	if (len <= 256)
		SEND(256);
	if (len <= 2048)
		SEND(2048);
	SEND(UPCALL_DATA_MAX);
}

/* The frame goes up and nowhere else. */
__noinline int upcall(struct __sk_buff *skb, struct flow_key *key, __u32 vni, __u8 why)
{
	struct report r = { .key = key, .vni = vni, .why = why };
	struct port *port;
	int reason;

	if (!key)
		return TC_ACT_SHOT;
	port = bpf_map_lookup_elem(&PORTS, &key->in_port);
	if (!port)
		return drop(skb, key->in_port, PORT_UNKNOWN);
	if (!take_tokens(port, skb->len, bpf_ktime_get_coarse_ns()))
		return drop(skb, key->in_port, UPCALL_RATE);
	reason = send_up(skb, &r);
	if (reason)
		return drop(skb, key->in_port, reason);
	port->upcalls++;
	return TC_ACT_SHOT;
}

#endif
