//! Which ports are up, as their hosts say, and the feed of changes for Neutron.

use api::{PortState, PortStatus, PortStatuses};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use topology::{HostId, PortId};
use uuid::Uuid;

#[derive(Clone, Copy, Debug)]
struct Reported {
    up: bool,
    host: HostId,
    cursor: u64,
}

#[derive(Debug, Default)]
struct Table {
    ports: BTreeMap<PortId, Reported>,
    cursor: u64,
    /// Hosts that are known but have not said yet, since the cluster started, what is up.
    awaited: BTreeSet<HostId>,
}

/// Port states of this run of the cluster. A port that no host ever reported is not in it.
#[derive(Debug)]
pub struct Statuses {
    instance: Uuid,
    table: Mutex<Table>,
    cursor: watch::Sender<u64>,
}

impl Statuses {
    /// Nothing reported yet; the feed begins when these hosts have reported or are given up.
    pub fn awaiting(hosts: impl IntoIterator<Item = HostId>) -> Self {
        let table = Table {
            awaited: hosts.into_iter().collect(),
            ..Table::default()
        };
        Self {
            instance: Uuid::new_v4(),
            table: Mutex::new(table),
            cursor: watch::Sender::new(0),
        }
    }

    /// Notices every change of the feed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.cursor.subscribe()
    }

    /// A host says which of its ports are up or down. If `whole`, its others are down.
    pub fn report(&self, host: HostId, ports: &[(PortId, bool)], whole: bool) {
        let mut table = self.lock();
        if whole {
            table.awaited.remove(&host);
            table.down_except(host, ports);
        }
        for &(port, up) in ports {
            table.set(port, host, up);
        }
        self.publish(table);
    }

    /// A host is away: its ports are down.
    pub fn host_away(&self, host: HostId) {
        self.report(host, &[], true);
    }

    /// Hosts that have not reported by now are given up.
    pub fn stop_awaiting(&self) {
        let mut table = self.lock();
        table.awaited.clear();
        self.publish(table);
    }

    /// Ports that are no more.
    pub fn forget(&self, ports: &[PortId]) {
        if !ports.is_empty() {
            let mut table = self.lock();
            table.ports.retain(|port, _| !ports.contains(port));
        }
    }

    /// Whether a port is up.
    pub fn is_up(&self, port: PortId) -> bool {
        self.lock()
            .ports
            .get(&port)
            .is_some_and(|reported| reported.up)
    }

    /// How many ports are up.
    pub fn up(&self) -> usize {
        self.lock()
            .ports
            .values()
            .filter(|reported| reported.up)
            .count()
    }

    /// What changed after a cursor; everything if the cursor is not one of this run. `None` as
    /// long as hosts are awaited: what they have not said yet must not look like ports down.
    pub fn since(&self, cursor: u64) -> Option<PortStatuses> {
        let table = self.lock();
        if !table.awaited.is_empty() {
            return None;
        }
        let after = if cursor > table.cursor { 0 } else { cursor };
        let changed = table
            .ports
            .iter()
            .filter(|(_, reported)| reported.cursor > after);
        let ports = changed.map(|(port, reported)| PortStatus {
            id: port.0,
            status: if reported.up {
                PortState::Active
            } else {
                PortState::Down
            },
        });
        Some(PortStatuses {
            instance: self.instance,
            cursor: table.cursor,
            ports: ports.collect(),
        })
    }

    fn publish(&self, table: MutexGuard<'_, Table>) {
        let cursor = table.cursor;
        drop(table);
        self.cursor.send_replace(cursor);
    }

    /// Each change is whole before the next: a panic leaves a table that can be read.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// A port that another host says is up cannot be reported down by the host it left.
    fn set(&mut self, port: PortId, host: HostId, up: bool) {
        let old = self.ports.get(&port).copied();
        let elsewhere = old.is_some_and(|o| o.up && o.host != host);
        let same = old.is_some_and(|o| o.up == up && o.host == host);
        if same || (!up && elsewhere) {
            return;
        }
        self.cursor += 1;
        let cursor = self.cursor;
        self.ports.insert(port, Reported { up, host, cursor });
    }

    fn down_except(&mut self, host: HostId, named: &[(PortId, bool)]) {
        let named: BTreeSet<PortId> = named.iter().map(|(port, _)| *port).collect();
        let silent = self.ports.iter().filter(|(port, reported)| {
            reported.up && reported.host == host && !named.contains(port)
        });
        let silent: Vec<PortId> = silent.map(|(port, _)| *port).collect();
        silent
            .into_iter()
            .for_each(|port| self.set(port, host, false));
    }
}

#[cfg(test)]
mod tests;
