/* Sub-ports: ports behind another port's tap, told apart by a VLAN tag. They have numbers of their
 * own, above those of devices. Tags are taken off before anything else looks at a frame and put on
 * last, so that nothing in between knows of them. */
#ifndef MIDONET_SUBPORT_H
#define MIDONET_SUBPORT_H

#include "drop.h"
#include "parse.h"

#define VLAN_ID 0xfff

/* Takes a tag off and tells whose frame it is. Tag 0 is no VLAN but a priority alone
 * (IEEE 802.1Q, 9.6): the frame is the tap's own. The kernel has put the outer tag beside the frame
 * before programs see it; an inner one stays, and ends in parse(). */
static __noinline int untag(struct __sk_buff *skb, __u32 *in_port)
{
	struct subport tag = { .ifindex = skb->ifindex, .vlan = skb->vlan_tci & VLAN_ID };

	if (skb->vlan_proto != bpf_htons(ETH_VLAN))
		return VLAN_TAGGED;
	if (tag.vlan) {
		__u32 *number = bpf_map_lookup_elem(&TAGS, &tag);

		if (!number)
			return VLAN_TAGGED;
		*in_port = *number;
	}
	return bpf_skb_vlan_pop(skb) ? KERNEL_ERROR : PASS;
}

/* Whose frame comes in at this tap: the reason to drop it, or PASS. */
static __always_inline int own(struct __sk_buff *skb, __u32 *in_port)
{
	*in_port = skb->ifindex;
	return skb->vlan_present ? untag(skb, in_port) : PASS;
}

static __noinline int deliver_tagged(struct __sk_buff *skb, __u32 in_port, __u32 port)
{
	struct subport *to = bpf_map_lookup_elem(&SUBPORTS, &port);
	__u32 tap;

	if (!to)
		return drop(skb, in_port, PORT_UNKNOWN);
	tap = to->ifindex;
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_VLAN), to->vlan))
		return drop(skb, in_port, KERNEL_ERROR);
	return bpf_redirect(tap, 0);
}

/* Out of a port. `in_port` is blamed if that fails. */
static __always_inline int deliver(struct __sk_buff *skb, __u32 in_port, __u32 port)
{
	if (port & PORT_VIRTUAL)
		return deliver_tagged(skb, in_port, port);
	return bpf_redirect(port, 0);
}

#endif
