//! The port a frame comes in at, and the one it leaves by.

use crate::{
    bridge::Path,
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{Destination, DropReason, Rewrite, Verdict};
use topology::{Bridge, BridgeId, Port, PortId, Tag};

impl<'a> Sim<'a> {
    /// The port and its network, if both are there and up.
    pub(crate) fn enter(&mut self, id: PortId) -> Outcome<(&'a Port, &'a Bridge)> {
        self.look.tag(Tag::Port(id));
        let Some(port) = self.snapshot.port(id) else {
            return Err(Verdict::Drop {
                reason: DropReason::PortUnknown,
                cause: Some(id.0),
            });
        };
        let Some(bridge) = port.bridge else {
            let step = || Step::port(port, "it is not on a network");
            return Err(self.drop(DropReason::PortUnknown, id.0, step));
        };
        if !port.admin_up {
            let step = || Step::port(port, "it is administratively down");
            return Err(self.drop(DropReason::PortDown, id.0, step));
        }
        self.look.step(|| Step::port(port, "the frame comes in"));
        Ok((port, self.bridge_up(bridge)?))
    }

    /// A network that is there and up.
    pub(crate) fn bridge_up(&mut self, id: BridgeId) -> Outcome<&'a Bridge> {
        self.look.tag(Tag::Bridge(id));
        let Some(bridge) = self.snapshot.bridge(id) else {
            return Err(Verdict::Drop {
                reason: DropReason::NetworkDown,
                cause: Some(id.0),
            });
        };
        if !bridge.admin_up {
            let step = || Step::bridge(bridge, "it is administratively down");
            return Err(self.drop(DropReason::NetworkDown, id.0, step));
        }
        Ok(bridge)
    }

    /// Out of a port, if it is up, bound, and its security groups agree.
    pub(crate) fn leave(
        &mut self,
        port: &Port,
        path: Path<'a>,
        rewrite: Rewrite,
    ) -> Outcome<Verdict> {
        self.look.tag(Tag::Port(port.id));
        let id = port.id;
        if id == path.ingress.id {
            let step = || Step::port(port, "the packet would go back to where it came from");
            return Err(self.drop(DropReason::Hairpin, id.0, step));
        }
        if !port.admin_up {
            let step = || Step::port(port, "it is administratively down");
            return Err(self.drop(DropReason::PortDown, id.0, step));
        }
        let Some(host) = port.host() else {
            let step = || Step::port(port, "it is not bound to a host");
            return Err(self.drop(DropReason::PortUnbound, id.0, step));
        };
        self.look.tag(Tag::Host(host.to_owned()));
        let (track, reply) = self.judge_receiver(port, &path)?;
        // behind a router the kernel program sends what is too large up to be split
        let may_pass = path.hops > 0 && self.frame.may_be_fragmented();
        if self.frame.ip_len() > usize::from(path.mtu) && !may_pass {
            let step = || Step::port(port, format!("larger than the MTU of {} bytes", path.mtu));
            return Err(self.refuse(DropReason::TooBig, id.0, None, step));
        }
        let rewrite = self.marked(path.ingress, rewrite);
        self.look
            .step(|| Step::port(port, format!("delivered on host {host}")));
        Ok(Verdict::Forward {
            to: Destination::Port(id),
            rewrite,
            mtu: path.mtu,
            track,
            record: None,
            reply,
        })
    }
}
