/* Keys and values of the maps: the C side of crates/bpf-abi. A test compares size and offset of
 * every field, so a change here without one there fails. */
#ifndef MIDONET_ABI_H
#define MIDONET_ABI_H

#include <linux/types.h>

#define ABI 6

enum state { STATE_FORWARD = 0, STATE_REPLY = 1 };

#define FLAG_ICMP_ERROR 1
#define FLAG_FRAGMENT 2
#define FLAG_TRANSLATED 4
#define FLAG_TRANSIT_ERROR 8

#define TUNNEL_KEY_MASK ((1u << 22) - 1)
#define VNI_REPLY (1u << 23)
#define VNI_UNTRACKED (1u << 22)

#define MARK_FROM_PORT 0x80000000u
#define MARK_TO_PORT 0x40000000u
#define MARK_IFINDEX 0x3fffffffu

/* Numbers of ports that are no device: sub-ports and routers. Below, a number is an ifindex. */
#define PORT_VIRTUAL 0x20000000u
/* Numbers of routers have both bits. */
#define PORT_ROUTER 0x10000000u

/* IPv6 extension headers that are followed in one packet. */
#define EXTENSIONS_MAX 6

#define MASKS_MAX 32
#define ACTIONS_MAX 65536

#define IDLE_TCP_NS (7440ull * 1000000000)
#define IDLE_OTHER_NS (180ull * 1000000000)
#define IDLE_CLOSING_NS (60ull * 1000000000)
#define IDLE_MAPPING_NS (240ull * 1000000000)
#define REFRESH_NS 1000000000ull

struct flow_key {
	__u32 in_port;
	__u8 state;
	__u8 family;
	__u8 proto;
	__u8 flags;
	__u8 smac[6];
	__u8 dmac[6];
	__u8 src[16];
	__u8 dst[16];
	__u16 sport;
	__u16 dport;
};

#define FLOW_KEY_WORDS (sizeof(struct flow_key) / 8)

struct mask {
	__u32 used;
	__u32 id;
	__u64 bits[FLOW_KEY_WORDS];
};

struct decision_key {
	__u32 mask;
	__u32 pad;
	__u64 masked[FLOW_KEY_WORDS];
};

struct tuple {
	__u8 family;
	__u8 proto;
	__u16 pad;
	__u8 src[16];
	__u8 dst[16];
	__u16 sport;
	__u16 dport;
};

struct conn_key {
	__u32 in_port;
	union {
		struct tuple tuple;
		struct {
			__u8 family;
			__u8 proto;
			__u16 pad;
			__u8 src[16];
			__u8 dst[16];
			__u16 sport;
			__u16 dport;
		};
	};
};

#define CONN_CLOSING 1
#define CONN_TRANSLATED 2
#define CONN_CLAIMED 4

struct conn {
	__u32 action;
	__u32 generation;
	__u8 state;
	__u8 flags;
	__u8 smac[6];
	__u8 dmac[6];
	__u16 pad;
	__u64 seen_ns;
	__u64 packets;
	__u64 bytes;
	struct tuple to;
};

enum action_kind {
	ACTION_NONE,
	ACTION_LOCAL,
	ACTION_TUNNEL,
	ACTION_DROP,
	ACTION_AGENT,
	ACTION_RESUME,
};

#define ACTION_TRACK 1
#define ACTION_REPLY 2
#define ACTION_REMOTE_V6 4
#define ACTION_SRC 8
#define ACTION_DST 16
#define ACTION_DSCP 32
#define ACTION_DST_PORT 64
#define ACTION_SNAT 128
#define ACTION_NAT64 256

struct action {
	__u32 generation;
	__u8 kind;
	__u8 hops;
	__u16 flags;
	__u32 ifindex;
	__u32 vni;
	__u32 mtu;
	__u8 smac[6];
	__u8 dmac[6];
	__u8 dscp;
	__u8 reason;
	__u16 dst_port;
	__u32 record;
	__u64 packets;
	__u64 bytes;
	__u8 remote[16];
	__u8 src[16];
	__u8 dst[16];
};

struct port {
	__u32 tokens;
	__u32 rate;
	__u64 refilled_ns;
	__u64 upcalls;
};

struct tunnel {
	__u32 ifindex;
};

struct subport {
	__u32 ifindex;
	__u16 vlan;
	__u16 pad;
};

enum direction { FROM_VM, TO_VM };

struct limit_key {
	__u32 port;
	__u32 direction;
};

struct limit {
	__u64 interval_ns;
	__u64 burst_ns;
	__u64 due_ns;
};

struct drop_key {
	__u32 in_port;
	__u32 reason;
};

struct drop_count {
	__u64 packets;
	__u64 bytes;
};

struct config {
	__u32 vxlan_ifindex;
	__u32 check_peers;
	__u8 local[16];
	__u32 local_family;
	__u32 shaper_ifindex;
	__u32 abi;
	__u32 nat64_net;
	__u32 nat64_bits;
};

#define BLOCKS_MAX 256
/* Ports that a claim tries before it gives up. */
#define CLAIM_TRIES 32
#define POOLS_MAX 4096
#define MAPPINGS_MAX 131072

struct pool {
	__u64 owned[BLOCKS_MAX / 64];
	__u64 claims;
	__u64 tries;
	__u64 failures;
	__u32 address;
	__u32 count;
	__u8 blocks[BLOCKS_MAX];
};

enum side { SIDE_INSIDE, SIDE_OUTSIDE };

struct mapping_key {
	__u32 router;
	__u32 address;
	__u16 port;
	__u8 proto;
	__u8 side;
};

struct mapping {
	__u64 seen_ns;
	__u32 address;
	__u16 port;
	__u16 pad;
};

struct fragment_key {
	__u32 in_port;
	__u32 id;
	__u8 family;
	__u8 proto;
	__u8 pad[6];
	__u8 src[16];
	__u8 dst[16];
};

struct fragment {
	__u16 sport;
	__u16 dport;
};

enum why { WHY_MISS, WHY_CONTROL, WHY_TTL, WHY_MTU, WHY_FLOOD };

#define UPCALL_DATA_MAX (65536 + 64)

struct upcall {
	__u64 time_ns;
	__u32 len;
	__u32 captured;
	__u32 vni;
	__u16 gso_size;
	__u8 why;
	__u8 parsed;
	struct flow_key key;
};

/* Drop reasons that the program itself finds; numbers as in flow::DropReason. */
enum reason {
	PASS = 0,
	MALFORMED = 1,
	BAD_CHECKSUM = 2,
	VLAN_TAGGED = 3,
	ETHER_TYPE = 4,
	EXTENSION_HEADERS = 5,
	FRAGMENT_UNKNOWN = 6,
	UPCALL_RATE = 7,
	UPCALL_RING_FULL = 8,
	TUNNEL_KEY_UNKNOWN = 9,
	KERNEL_ERROR = 10,
	PORT_UNKNOWN = 11,
	SPOOFED_IP = 16,
	TOO_MANY_DEVICES = 29,
	UNRELATED_ICMP_ERROR = 31,
	TUNNEL_SOURCE = 35,
	PACKET_RATE = 50,
	SNAT_EXHAUSTED = 52,
	SNAT_PROTOCOL = 53,
	NAT64_UNTRANSLATABLE = 58,
};

#endif
