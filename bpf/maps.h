/* The maps. Pinned by name, so that they outlive the agent; the loader sets sizes that depend on
 * the host. */
#ifndef MIDONET_MAPS_H
#define MIDONET_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* Connections by exact tuple: the first thing every packet looks at. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct conn_key);
	__type(value, struct conn);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} CONNS SEC(".maps");

/* Classes of decisions, the busiest first. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MASKS_MAX);
	__type(key, __u32);
	__type(value, struct mask);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} MASKS SEC(".maps");

/* Decisions by class and masked key: number of the action. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ACTIONS_MAX);
	__type(key, struct decision_key);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} DECISIONS SEC(".maps");

/* What to do, by number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ACTIONS_MAX);
	__type(key, __u32);
	__type(value, struct action);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} ACTIONS SEC(".maps");

/* Ports by number, which is the ifindex of a tap, or a sub-port's or a router's own: who may make how
 * many upcalls. 0 is the tunnel. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct port);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} PORTS SEC(".maps");

/* Sub-ports by number: tap and tag to deliver with. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct subport);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} SUBPORTS SEC(".maps");

/* Numbers of sub-ports by tap and tag. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct subport);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} TAGS SEC(".maps");

/* HTB classes by port and direction: of the shaper for what the VM sends, of the tap for what it
 * gets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct limit_key);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} CLASSES SEC(".maps");

/* Packets a second by port and direction. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct limit_key);
	__type(value, struct limit);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} LIMITS SEC(".maps");

/* Tunnel keys of this host. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct tunnel);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} TUNNELS SEC(".maps");

/* Underlay addresses that tunnelled frames may come from. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u8[16]);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} PEERS SEC(".maps");

/* Addresses and ports for source NAT, by the router's number. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POOLS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct pool);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} POOLS SEC(".maps");

/* Who has which port of a pool, and which port who has, for protocols whose ports are mapped whoever
 * the other end is. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAPPINGS_MAX);
	__type(key, struct mapping_key);
	__type(value, struct mapping);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} MAPPINGS SEC(".maps");

/* What first fragments said. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} FRAGMENTS SEC(".maps");

/* Drops by tap and reason. When it is full new pairs go uncounted. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct drop_key);
	__type(value, struct drop_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} DROPS SEC(".maps");

/* Frames for the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} UPCALLS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} CONFIG SEC(".maps");

/* Room for the entry that is being made: the stack is small. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct conn);
} SCRATCH SEC(".maps");

#endif
