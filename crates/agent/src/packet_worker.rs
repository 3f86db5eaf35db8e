//! The upcall thread: judges frames that the kernel program could not, and sends them on.
//!
//! It waits for nothing but the ring and the lock around the world. What it sends is either taken by
//! the kernel at once or lost and counted.

use crate::{
    flood::Underlay,
    metrics::count,
    shared::Shared,
    world::{Outcome, Upcall},
};
use bpf_abi::{MARK_FROM_PORT, MARK_IFINDEX, MARK_TO_PORT};
use datapath::{Injector, Maps, Outgoing, Upcalls};
use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Frames taken from the ring before the thread looks up again.
const BATCH: usize = 64;

/// Longest wait for a frame; only the thread's own wake-up depends on it.
const WAIT: Duration = Duration::from_secs(60);

/// Nanoseconds after which a frame is of no use: its sender has repeated it. The ring may hold frames
/// from the time when no agent ran.
const LATE: u64 = 1_000_000_000;

/// Everything the thread uses.
pub struct PacketWorker<M> {
    /// What is known.
    pub shared: Arc<Shared<M>>,
    /// Frames down to the kernel.
    pub injector: Injector,
    /// Frames to other hosts.
    pub underlay: Underlay,
}

impl<M: Maps> PacketWorker<M> {
    /// Serves upcalls until the ring fails.
    pub fn run(mut self, mut upcalls: Upcalls) -> io::Result<()> {
        loop {
            if upcalls.wait(WAIT)? {
                upcalls.drain(BATCH, |frame| {
                    self.handle(&Upcall {
                        header: frame.header,
                        bytes: frame.bytes,
                    });
                });
            }
        }
    }

    fn handle(&mut self, upcall: &Upcall<'_>) {
        let start = Instant::now();
        if linux::monotonic_ns().saturating_sub(upcall.header.time_ns) > LATE {
            return count(&self.shared.metrics.late);
        }
        let (outcome, news) = {
            let mut world = self.shared.world();
            (world.decide(upcall), world.book().has_news())
        };
        if news {
            self.shared.heard.notify_one();
        }
        match outcome {
            Outcome::Again => self.again(upcall),
            Outcome::Split(frames) => self.split(upcall, &frames),
            Outcome::Answer(frames) => self.answer(upcall, &frames),
            Outcome::Said { number, frame } => self.say(number, &frame),
            Outcome::Deliver { taps, remote } => self.deliver(upcall, &taps, &remote),
            Outcome::Dropped(_) => {}
        }
        self.shared
            .metrics
            .upcall(upcall.header.why, start.elapsed());
    }

    /// The kernel program takes the frame again and finds the decision.
    fn again(&mut self, upcall: &Upcall<'_>) {
        if let Some(bytes) = self.whole(upcall) {
            count(&self.shared.metrics.again);
            let mark = MARK_FROM_PORT | upcall.header.key.in_port & MARK_IFINDEX;
            self.inject(Outgoing {
                mark,
                bytes,
                gso_size: upcall.header.gso_size,
            });
        }
    }

    /// The kernel program takes the parts of the frame.
    fn split(&mut self, upcall: &Upcall<'_>, frames: &[Vec<u8>]) {
        count(&self.shared.metrics.split);
        for bytes in frames {
            let mark = MARK_FROM_PORT | upcall.header.key.in_port & MARK_IFINDEX;
            self.inject(Outgoing {
                mark,
                bytes,
                gso_size: 0,
            });
        }
    }

    fn answer(&mut self, upcall: &Upcall<'_>, frames: &[Vec<u8>]) {
        count(&self.shared.metrics.answered);
        for bytes in frames {
            self.inject_to(upcall.header.key.in_port, bytes);
        }
    }

    /// The kernel program takes the frame as one that came in at a router's port.
    fn say(&mut self, number: u32, bytes: &[u8]) {
        count(&self.shared.metrics.answered);
        self.inject(Outgoing {
            mark: MARK_FROM_PORT | number & MARK_IFINDEX,
            bytes,
            gso_size: 0,
        });
    }

    fn deliver(&mut self, upcall: &Upcall<'_>, taps: &[u32], remote: &BTreeSet<(IpAddr, u32)>) {
        let Some(bytes) = self.whole(upcall) else {
            return;
        };
        for tap in taps {
            count(&self.shared.metrics.copies);
            self.inject_to(*tap, bytes);
        }
        for (address, vni) in remote {
            count(&self.shared.metrics.copies);
            if let Err(error) = self.underlay.send(*address, *vni, bytes) {
                count(&self.shared.metrics.refused);
                tracing::debug!(%address, %error, "copy to another host lost");
            }
        }
    }

    fn inject_to(&mut self, tap: u32, bytes: &[u8]) {
        self.inject(Outgoing {
            mark: MARK_TO_PORT | tap & MARK_IFINDEX,
            bytes,
            gso_size: 0,
        });
    }

    fn inject(&mut self, frame: Outgoing<'_>) {
        if let Err(error) = self.injector.send(frame) {
            count(&self.shared.metrics.refused);
            tracing::debug!(%error, "frame lost");
        }
    }

    /// The frame, unless it was cut on its way up; its sender will repeat it.
    fn whole<'a>(&self, upcall: &Upcall<'a>) -> Option<&'a [u8]> {
        if upcall.bytes.len() < upcall.header.len as usize {
            count(&self.shared.metrics.cut);
            return None;
        }
        Some(upcall.bytes)
    }
}
