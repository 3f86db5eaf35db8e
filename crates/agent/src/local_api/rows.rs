//! What is told: rows made from the world.

use super::text;
use crate::{
    bindings::interface, down::why, metrics::Prometheus, shared::Shared, state::Bindings,
    world::World,
};
use bpf_abi::{CONN_CLAIMED, CONN_CLOSING, CONN_TRANSLATED, Conn, ConnKey, DropKey, STATE_REPLY};
use datapath::{Maps, MapsError};
use flow::{DropReason, unmapped};
use std::collections::BTreeMap;
use topology::{HostId, Port, PortId, Station};

/// `GET /status`
pub fn status<M: Maps>(shared: &Shared<M>, host: HostId) -> Result<api::agent::Status, MapsError> {
    let (cluster, bindings) = (shared.cluster(), shared.bindings());
    let ports_up = shared.up.borrow().len();
    let world = shared.world();
    let bound = |port: &&std::sync::Arc<Port>| {
        interface(world.snapshot(), port, world.host(), &bindings).is_some()
    };
    Ok(api::agent::Status {
        host: host.0,
        name: world.host().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: cluster.node,
        cluster_error: cluster.error,
        cluster_seconds: cluster.since.elapsed().as_secs(),
        instance: world.instance(),
        revision: world.revision(),
        ready: world.is_ready(),
        ports: world.snapshot().ports().filter(bound).count(),
        ports_up,
        decisions: world.table().map_or(0, |table| table.len()),
        upcalls: shared.metrics.upcalls(),
        drops: drop_count(&world)?,
    })
}

/// `GET /ports`: every port that is or should be on this host, and why those that are not up are not.
pub fn ports<M: Maps>(shared: &Shared<M>) -> Result<Vec<api::agent::Port>, MapsError> {
    let (bindings, links) = (shared.bindings(), shared.links.borrow().clone());
    let (up, refused) = (shared.up.borrow().clone(), shared.refused.borrow().clone());
    let world = shared.world();
    let counters: BTreeMap<u32, bpf_abi::Port> = match world.table() {
        Some(table) => table.maps().ports()?.into_iter().collect(),
        None => BTreeMap::new(),
    };
    let known = world.snapshot().ports().filter_map(|port| {
        let interface = interface(world.snapshot(), port, world.host(), &bindings)?;
        let ifindex = world.tap_of(port.id);
        let why = || why(&world, port, &interface.name, &links, &refused);
        let why = (!up.contains(&port.id)).then(why);
        Some(api::agent::Port {
            network: port.bridge.map(|b| b.0),
            ifindex,
            key: port.key,
            up: why.is_none(),
            why,
            upcalls: ifindex
                .and_then(|tap| counters.get(&tap))
                .map_or(0, |count| count.upcalls),
            ..unknown(port.id, interface.to_string())
        })
    });
    Ok(known.chain(unknown_ports(&world, &bindings)).collect())
}

/// Ports that were bound explicitly and that the cluster does not place on this host.
fn unknown_ports<'a, M>(
    world: &'a World<M>,
    bindings: &'a Bindings,
) -> impl Iterator<Item = api::agent::Port> + 'a {
    let unknown_here = bindings
        .iter()
        .filter(|(port, _)| world.snapshot().port(**port).is_none());
    unknown_here.map(|(port, name)| unknown(*port, name.clone()))
}

fn unknown(port: PortId, interface: String) -> api::agent::Port {
    api::agent::Port {
        port: port.0,
        network: None,
        interface,
        ifindex: None,
        key: 0,
        up: false,
        why: Some("the cluster has no such port for this host".to_owned()),
        upcalls: 0,
    }
}

/// `GET /flows`
pub fn flows<M: Maps>(world: &World<M>) -> Result<Vec<api::agent::Flow>, MapsError> {
    let Some(table) = world.table() else {
        return Ok(Vec::new());
    };
    let port = |tap: u32| world.taps().get(&tap).map(|plugged| plugged.port.0);
    let name = |tap: u32| match world.taps().get(&tap) {
        Some(plugged) => plugged.name.clone(),
        None => format!("interface {tap}"),
    };
    let flow = |d: datapath::DecisionInfo| api::agent::Flow {
        id: d.id,
        port: if d.mask.0.in_port == 0 {
            None
        } else {
            port(d.key.in_port)
        },
        matching: text::matching(&d.mask, &d.key),
        action: text::action(&d.action, name),
        packets: d.action.packets,
        bytes: d.action.bytes,
        tags: d.tags.iter().map(text::tag).collect(),
        cause: d.cause,
    };
    Ok(table.decisions()?.into_iter().map(flow).collect())
}

/// An entry of `GET /connections`
pub fn connection<M>(world: &World<M>, key: &ConnKey, conn: &Conn) -> api::agent::Connection {
    api::agent::Connection {
        port: port_of(world, key.in_port),
        router: world.router_of(key.in_port).map(|router| router.0),
        protocol: key.proto,
        source: unmapped(key.family, key.src),
        destination: unmapped(key.family, key.dst),
        source_port: key.sport,
        destination_port: key.dport,
        translated: translated(conn),
        state: if conn.state == STATE_REPLY {
            "reply"
        } else {
            "forward"
        }
        .to_owned(),
        closing: conn.flags & CONN_CLOSING != 0,
        flow: conn.action,
        packets: conn.packets,
        bytes: conn.bytes,
    }
}

/// The port that the kernel program knows by a number.
fn port_of<M>(world: &World<M>, number: u32) -> Option<uuid::Uuid> {
    let tap = world.taps().get(&number).map(|plugged| plugged.port);
    tap.or_else(|| world.router_port_of(number))
        .map(|port| port.0)
}

fn translated(conn: &Conn) -> Option<api::agent::Ends> {
    let to = &conn.to;
    let ends = api::agent::Ends {
        source: unmapped(to.family, to.src),
        source_port: to.sport,
        destination: unmapped(to.family, to.dst),
        destination_port: to.dport,
    };
    (conn.flags & (CONN_TRANSLATED | CONN_CLAIMED) != 0).then_some(ends)
}

/// `GET /drops`: the kernel's counters and the agent's own, the most frames first.
pub fn drops<M: Maps>(world: &World<M>) -> Result<Vec<api::agent::Drop>, MapsError> {
    let mut rows: BTreeMap<(u32, u32), api::agent::Drop> = BTreeMap::new();
    let mut add = |tap: u32, reason: u32, packets: u64, bytes: u64, cause| {
        let row = rows
            .entry((tap, reason))
            .or_insert_with(|| api::agent::Drop {
                port: port_of(world, tap),
                router: world.router_of(tap).map(|router| router.0),
                reason: DropReason::from_number(reason).map_or_else(
                    || format!("reason_{reason}"),
                    |reason| reason.name().to_owned(),
                ),
                packets: 0,
                bytes: 0,
                cause: None,
            });
        row.packets += packets;
        row.bytes += bytes;
        row.cause = row.cause.or(cause);
    };
    for ((tap, reason), dropped) in world.drops() {
        add(
            *tap,
            *reason as u32,
            dropped.packets,
            dropped.bytes,
            dropped.cause,
        );
    }
    if let Some(table) = world.table() {
        for (key, dropped) in table.maps().drops()? {
            add(
                key.in_port,
                key.reason,
                dropped.packets,
                dropped.bytes,
                cause_of(world, key),
            );
        }
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.packets));
    Ok(rows)
}

/// The kernel program does not know why, but only a port's policy limits its packets.
fn cause_of<M>(world: &World<M>, key: DropKey) -> Option<uuid::Uuid> {
    let limited = key.reason == DropReason::PacketRate as u32;
    let tap = world.taps().get(&key.in_port).filter(|_| limited)?;
    world
        .snapshot()
        .port(tap.port)?
        .policy
        .map(|policy| policy.0)
}

/// Frames dropped on this host, for whatever reason.
pub fn drop_count<M: Maps>(world: &World<M>) -> Result<u64, MapsError> {
    let own: u64 = world.drops().values().map(|dropped| dropped.packets).sum();
    let Some(table) = world.table() else {
        return Ok(own);
    };
    let kernel: u64 = table
        .maps()
        .drops()?
        .iter()
        .map(|(_, dropped)| dropped.packets)
        .sum();
    Ok(own + kernel)
}

/// The part of `GET /metrics` that the world tells.
pub fn write_metrics<M: Maps>(shared: &Shared<M>, out: &mut Prometheus) -> Result<(), MapsError> {
    let connected = u8::from(shared.cluster().node.is_some());
    out.single(
        "midonet_cluster_connected",
        "gauge",
        "1 while connected to a cluster.",
        connected,
    );
    let ports = ports(shared)?;
    let up = ports.iter().filter(|port| port.up).count();
    out.family("midonet_ports", "gauge", "Ports of this host.");
    out.sample(&[("state", "up")], up);
    out.sample(&[("state", "down")], ports.len() - up);
    let world = shared.world();
    let decisions = world.table().map_or(0, |table| table.len());
    out.single(
        "midonet_topology_revision",
        "gauge",
        "Topology applied.",
        world.revision(),
    );
    out.single(
        "midonet_decisions",
        "gauge",
        "Decisions in the kernel's table.",
        decisions,
    );
    out.single(
        "midonet_stations",
        "gauge",
        "Stations behind ports that are known.",
        world.snapshot().stations().count(),
    );
    out.single(
        "midonet_stations_refused_total",
        "counter",
        "Times that a station found no room.",
        world.book().refused(),
    );
    out.single(
        "midonet_station_claims_ignored_total",
        "counter",
        "Claims of other hosts that were not theirs to make.",
        world.book().ignored(),
    );
    uplink_metrics(&world, out);
    pool_metrics(&world, out)?;
    out.family(
        "midonet_drops_total",
        "counter",
        "Frames dropped, by port or router and reason.",
    );
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in drops(&world)? {
        let port = row.port.or(row.router);
        let port = port.map(|id| id.to_string()).unwrap_or_default();
        *sums.entry((port, row.reason)).or_default() += row.packets;
    }
    for ((port, reason), packets) in &sums {
        out.sample(&[("port", port), ("reason", reason)], packets);
    }
    out.family(
        "midonet_port_upcalls_total",
        "counter",
        "Frames from a port sent to the agent.",
    );
    for port in &ports {
        out.sample(&[("port", &port.port.to_string())], port.upcalls);
    }
    Ok(())
}

fn uplink_metrics<M: Maps>(world: &World<M>, out: &mut Prometheus) {
    out.family(
        "midonet_uplink_alive",
        "gauge",
        "1 for a way to the outside that is used from here.",
    );
    for plug in world.snapshot().ports().filter(|port| port.is_plug()) {
        let alive = u8::from(world.snapshot().has_carrier(plug.id));
        let (port, host) = (
            plug.neutron_id().to_string(),
            plug.host().unwrap_or_default(),
        );
        out.sample(&[("port", &port), ("host", host)], alive);
    }
}

fn pool_metrics<M: Maps>(world: &World<M>, out: &mut Prometheus) -> Result<(), MapsError> {
    let Some(table) = world.table() else {
        return Ok(());
    };
    let pools = table.maps().pools()?;
    let routers = world.router_keys();
    let router = |key| {
        let number: Option<&u32> = routers.get(key);
        let router = number.and_then(|number| world.router_of(*number));
        router.map(|id| id.to_string()).unwrap_or_default()
    };
    let blocks = "Blocks of 256 ports that new translated connections get ports of.";
    out.family("midonet_snat_blocks", "gauge", blocks);
    for (key, pool, _) in &pools {
        out.sample(&[("router", &router(key))], pool.blocks.len());
    }
    let claims = "Ports given to translated connections.";
    out.family("midonet_snat_ports_total", "counter", claims);
    for (key, _, counts) in &pools {
        out.sample(&[("router", &router(key))], counts.claims);
    }
    let failures = "Packets that found no port to be translated to.";
    out.family("midonet_snat_exhausted_total", "counter", failures);
    for (key, _, counts) in &pools {
        out.sample(&[("router", &router(key))], counts.failures);
    }
    Ok(())
}

/// Who is known to be behind ports, by network, MAC and address.
pub fn stations<M: Maps>(world: &World<M>) -> Vec<api::agent::Station> {
    let now = linux::monotonic_ns();
    let row = |station: &Station| {
        let host = world.snapshot().port(station.port).and_then(|p| p.host());
        api::agent::Station {
            network: station.bridge.0,
            mac: station.mac.to_string(),
            address: station.ip,
            port: station.port.0,
            host: host.unwrap_or_default().to_owned(),
            seconds: world.book().idle(&station.tag(), now).as_secs(),
        }
    };
    let mut rows: Vec<_> = world.snapshot().stations().map(row).collect();
    rows.sort_by(|a, b| (a.network, &a.mac, a.address).cmp(&(b.network, &b.mac, b.address)));
    rows
}
