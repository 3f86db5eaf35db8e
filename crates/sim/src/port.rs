//! The port a frame comes in at, and the one it leaves by.

use crate::{
    bridge::Path,
    group::Sender,
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{Destination, DropReason, Verdict};
use topology::{Bridge, BridgeId, Port, PortId, Tag};
use uuid::Uuid;

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

    /// Out of a port, if it is up, bound, and its security groups agree. What has come into a router
    /// from its outside is handed over instead.
    pub(crate) fn leave(&mut self, port: &'a Port, path: Path<'a>) -> Outcome<Verdict> {
        self.look.tag(Tag::Port(port.id));
        let id = port.id;
        if let (Some(entrance), Some(host)) = (path.entrance, port.host())
            && !port.outside
        {
            return self.go_on_at(&entrance, host, &path);
        }
        if id == path.ingress.id {
            let step = || Step::port(port, "the packet would go back to where it came from");
            return Err(self.drop(DropReason::Hairpin, id.0, step));
        }
        if !port.admin_up {
            let step = || Step::port(port, "it is administratively down");
            return Err(self.drop(DropReason::PortDown, id.0, step));
        }
        let Some(host) = port.host() else {
            return Err(self.unbound(port));
        };
        self.look.tag(Tag::Host(host.to_owned()));
        self.check_vouched(&path)?;
        self.check_carrier(port)?;
        let (track, reply) = self.tracked(port, &path)?;
        self.check_size(id.0, path.mtu, path.hops, |what| Step::port(port, what))?;
        let rewrite = self.marked(path.ingress, path.rewrite);
        self.look
            .step(|| Step::port(port, format!("delivered on host {host}")));
        Ok(Verdict::Forward {
            to: Destination::Port(id),
            rewrite,
            mtu: path.mtu,
            track,
            record: path.crossing.and_then(|c| c.record),
            reply,
        })
    }

    /// Judges the receiver: whether the connection is tracked there, and whether the packet passes as
    /// a reply. A translated one is tracked by all, since its answer has to be translated back.
    fn tracked(&mut self, port: &Port, path: &Path<'a>) -> Outcome<(bool, bool)> {
        let (track, reply) = self.judge_receiver(port, path)?;
        let known = path.crossing.is_some() || path.handed_over || self.look.is_translated();
        if !known {
            return Ok((track, reply));
        }
        // the record that brought it here stays one
        let untold = port.security.is_none() && path.sender == Sender::Trusted;
        let reply = reply || ((untold || self.look.is_translated()) && self.look.is_reply());
        let rewrite = &path.rewrite;
        let translated =
            rewrite.dst.is_some() || rewrite.nat64.is_some() || self.look.is_translated();
        Ok(((track || translated) && !reply && !port.outside, reply))
    }

    /// Somebody has to be there to take what leaves by an uplink.
    fn check_carrier(&mut self, port: &Port) -> Outcome<()> {
        if !port.outside {
            return Ok(());
        }
        self.look.tag(Tag::Carrier(port.id));
        if self.snapshot.has_carrier(port.id) {
            return Ok(());
        }
        let step = || Step::port(port, "its link or its host is down");
        Err(self.drop(DropReason::UplinkDown, port.id.0, step))
    }

    /// Behind a router the kernel program sends what is too large up to be split.
    pub(crate) fn check_size(
        &mut self,
        cause: Uuid,
        mtu: u16,
        hops: u8,
        step: impl FnOnce(String) -> Step,
    ) -> Outcome<()> {
        let may_pass = hops > 0 && self.frame.may_be_fragmented();
        if self.frame.ip_len() <= usize::from(mtu) || may_pass {
            return Ok(());
        }
        let step = || step(format!("larger than the MTU of {mtu} bytes"));
        Err(self.refuse(DropReason::TooBig, cause, None, step))
    }
}
