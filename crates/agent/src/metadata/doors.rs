//! How many connections each port has open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use topology::PortId;

/// Lets each port have so many connections.
#[derive(Debug)]
pub struct Doors {
    per_port: usize,
    open: Mutex<HashMap<PortId, usize>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Inside {
    doors: Arc<Doors>,
    port: PortId,
}

impl Doors {
    /// With a limit for each port.
    pub fn new(per_port: usize) -> Arc<Self> {
        let open = Mutex::default();
        Arc::new(Self { per_port, open })
    }

    /// One more of a port, unless it has too many.
    pub fn enter(self: &Arc<Self>, port: PortId) -> Option<Inside> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(port).or_default();
        if *count >= self.per_port {
            return None;
        }
        *count += 1;
        let doors = Arc::clone(self);
        Some(Inside { doors, port })
    }

    /// All that are open.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.open.lock().unwrap().values().sum()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut open = self
            .doors
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.port) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_port_has_its_own_and_no_more() {
        let doors = Doors::new(2);
        let [a, b] = [1, 2].map(|n| PortId(Uuid::from_u128(n)));
        let first = doors.enter(a).unwrap();
        let _second = doors.enter(a).unwrap();
        assert!(doors.enter(a).is_none());
        let _others = doors.enter(b).unwrap();
        drop(first);
        let _third = doors.enter(a).unwrap();
        assert_eq!(doors.count(), 3);
    }
}
