//! QoS: how packets of a port are marked. Rates are kept outside of the simulation, where time is.

use crate::{pipeline::Sim, step::Step};
use flow::Rewrite;
use topology::{Port, Tag};

impl Sim<'_> {
    /// What changes in a packet that comes from a port, with the mark that its policy wants.
    pub(crate) fn marked(&mut self, from: &Port, rewrite: Rewrite) -> Rewrite {
        let Some(id) = from.policy else {
            return rewrite;
        };
        self.look.tag(Tag::Policy(id));
        let dscp = self.snapshot.policy(id).and_then(|policy| policy.dscp);
        if let Some(dscp) = dscp {
            let step = || Step::port(from, format!("marked with DSCP {dscp}"));
            self.look.step(|| step().because_of(id.0));
        }
        Rewrite { dscp, ..rewrite }
    }
}
