/* Drops: each is counted under its port and its reason. */
#ifndef MIDONET_DROP_H
#define MIDONET_DROP_H

#include <linux/pkt_cls.h>
#include "maps.h"

static __noinline int drop(struct __sk_buff *skb, __u32 in_port, __u32 reason)
{
	struct drop_key key = { .in_port = in_port, .reason = reason };
	struct drop_count *count = bpf_map_lookup_elem(&DROPS, &key);

	if (!count) {
		struct drop_count none = {};

		bpf_map_update_elem(&DROPS, &key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&DROPS, &key);
	}
	if (count) {
		count->packets++;
		count->bytes += skb->len;
	}
	return TC_ACT_SHOT;
}

#endif
