//! Floating IP: kept for now; nothing in the topology comes from it yet.

use crate::{Op, Refusal, State, plan::check_fixed};
use api::neutron::{FloatingIp, Resource};

pub(crate) fn put(fip: &FloatingIp, state: &State) -> Result<Vec<Op>, Refusal> {
    let held = state.neutron.floating_ip(fip.id);
    let network = fip.floating_network_id;
    check_fixed(
        "floating_network_id",
        held.map(|f| f.floating_network_id),
        network,
    )?;
    Ok(vec![Op::Keep(Resource::FloatingIp(fip.clone()))])
}
