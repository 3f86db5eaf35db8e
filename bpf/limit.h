/* Limits of ports that have some: how many packets a second, and the class that shapes bandwidth.
 * Only programs that taps without limits do not run look here. */
#ifndef MIDONET_LIMIT_H
#define MIDONET_LIMIT_H

#include "subport.h"

/* CPUs that may lose the race for one bucket before the packet passes unpaid. */
#define BUCKET_TRIES 8
/* Ethernet, IPv4 and TCP: each packet of an aggregate has its own. */
#define HEADERS_LEAST 54

/* Packets that the frame is or will become. Guests leave the count to the kernel, which has not made
 * it yet. */
static __always_inline __u32 packets_of(struct __sk_buff *skb)
{
	__u32 size = skb->gso_size;

	if (!size || skb->len <= HEADERS_LEAST)
		return 1;
	return skb->gso_segs ?: (skb->len - HEADERS_LEAST + size - 1) / size;
}

/* Token bucket, as the time at which it will be full (the generic cell rate algorithm of ITU-T I.371,
 * A): one word, so that CPUs need no lock. An aggregate passes if its first packet may, and those
 * after it wait until it is paid for: else one larger than the bucket would never pass. */
static __noinline int over_limit(struct __sk_buff *skb, __u32 port, __u32 direction)
{
	struct limit_key key = { .port = port, .direction = direction };
	struct limit *limit = bpf_map_lookup_elem(&LIMITS, &key);
	__u64 now, due, from, cost;

	if (!limit)
		return 0;
	now = bpf_ktime_get_ns();
	cost = limit->interval_ns * packets_of(skb);
	for (int i = 0; i < BUCKET_TRIES; i++) {
		due = *(volatile __u64 *)&limit->due_ns;
		from = due > now ? due : now;
		if (from + limit->interval_ns - now > limit->burst_ns)
			return 1;
		if (__sync_val_compare_and_swap(&limit->due_ns, due, from + cost) == due)
			return 0;
	}
	return 0;
}

/* The class in which packets of the port wait in this direction: 0 if they do not. */
static __always_inline __u32 class_of(__u32 port, __u32 direction)
{
	struct limit_key key = { .port = port, .direction = direction };
	__u32 *class = bpf_map_lookup_elem(&CLASSES, &key);

	return class ? *class : 0;
}

/* To the shaper, which lets it out by `shaped` when its class may send. */
static __noinline int shape(struct __sk_buff *skb, __u32 in_port, __u32 class)
{
	__u32 zero = 0;
	struct config *config = bpf_map_lookup_elem(&CONFIG, &zero);

	if (!config || !config->shaper_ifindex)
		return drop(skb, in_port, KERNEL_ERROR);
	skb->mark = in_port;
	skb->priority = class;
	return bpf_redirect(config->shaper_ifindex, 0);
}

#endif
