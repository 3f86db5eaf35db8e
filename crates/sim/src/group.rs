//! Security groups: what no rule allows is dropped; replies need no rule of their own.
//!
//! A reply is recognised by its state, which the kernel program keeps, and judged by the rules as
//! they are now: each stateful end must allow the *opposite* direction of its tuple. A packet that
//! fails this is judged as if it opened a connection. An end whose groups are all stateless always
//! asks for a rule of the packet's own direction.
//!
//! An ICMP error passes with its connection. Where nobody knows connections it passes if a packet
//! of its connection in its direction would, or by a rule for ICMP errors; flow keys do not tell
//! the types of errors apart, so a rule for one type is good for all.

use crate::{
    bridge::Path,
    look::Side,
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::DropReason;
use topology::{
    Direction, Family, GroupId, Layer4, Port, Remote, Rule, RuleId, Security, SetId, Snapshot, Tag,
};
use wire::{icmp4, icmp6, protocol};

/// Which end of the packet a port is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Sender,
    Receiver,
}

/// The packet's own tuple, or that of the packet it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tuple {
    Own,
    Answered,
}

/// What the sender's groups said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// It has no policy.
    Trusted,
    /// A rule allows the packet itself.
    Allowed {
        /// By a port with stateful groups.
        stateful: bool,
    },
    /// It is a reply to something that is allowed.
    Reply,
}

impl Sim<'_> {
    /// The sender's groups on a packet from it.
    pub(crate) fn judge_sender(&mut self, port: &Port) -> Outcome<Sender> {
        let Some(security) = &port.security else {
            return Ok(Sender::Trusted);
        };
        if self.look.is_reply() && self.is_good_reply(port, security, End::Sender) {
            return Ok(Sender::Reply);
        }
        let stateful = self.is_stateful(security);
        self.refuse_lone_error(port, stateful)?;
        self.require_rule(port, security, End::Sender)?;
        Ok(Sender::Allowed { stateful })
    }

    /// The receiver's groups on a packet to it. Returns whether the connection is tracked, and
    /// whether the packet passes as a reply.
    pub(crate) fn judge_receiver(&mut self, port: &Port, path: &Path<'_>) -> Outcome<(bool, bool)> {
        let Some(security) = &port.security else {
            return Ok(match path.sender {
                Sender::Trusted => (false, false),
                Sender::Allowed { stateful } => (stateful, false),
                Sender::Reply => (false, true),
            });
        };
        let may_be_reply = match path.sender {
            Sender::Trusted => self.look.is_reply(),
            Sender::Allowed { .. } => false,
            Sender::Reply => true,
        };
        if may_be_reply && self.is_good_reply(port, security, End::Receiver) {
            return Ok((false, true));
        }
        let stateful = self.is_stateful(security);
        self.refuse_lone_error(port, stateful)?;
        let sender_stateful = match (path.sender, &path.ingress.security) {
            (Sender::Reply, Some(sender)) => {
                let stateful = self.is_stateful(sender);
                self.refuse_lone_error(path.ingress, stateful)?;
                self.require_rule(path.ingress, sender, End::Sender)?;
                stateful
            }
            (sender, _) => sender == Sender::Allowed { stateful: true },
        };
        self.require_rule(port, security, End::Receiver)?;
        Ok((stateful || sender_stateful, false))
    }

    /// Whether a port wants a copy of a flooded packet.
    pub(crate) fn wants_copy(&mut self, port: &Port) -> bool {
        let security = port.security.as_ref();
        security.is_none_or(|s| self.find_rule(s, End::Receiver, Tuple::Own).is_some())
    }

    fn is_good_reply(&mut self, port: &Port, security: &Security, end: End) -> bool {
        let (tuple, what) = match self.is_stateful(security) {
            true => (
                Tuple::Answered,
                "passes as a reply: what it answers is allowed",
            ),
            false => (Tuple::Own, "allowed"),
        };
        let Some((group, rule)) = self.find_rule(security, end, tuple) else {
            return false;
        };
        self.look.step(|| {
            let what = format!("{what} by rule {rule} of group {group}");
            Step::port(port, what).because_of(rule.0)
        });
        true
    }

    /// Whether replies are recognised at a port: Neutron does not mix the two kinds on one port.
    fn is_stateful(&mut self, security: &Security) -> bool {
        let groups = &security.groups;
        groups.iter().for_each(|g| self.look.tag(Tag::Group(*g)));
        groups
            .iter()
            .filter_map(|g| self.snapshot.group(*g))
            .any(|g| g.stateful)
    }

    /// An ICMP error must belong to a connection, if there is an end that knows connections.
    fn refuse_lone_error(&mut self, port: &Port, stateful: bool) -> Outcome<()> {
        if stateful && self.look.is_icmp_error() {
            let step = || Step::port(port, "an ICMP error about no known connection");
            return Err(self.drop(DropReason::UnrelatedIcmpError, port.id.0, step));
        }
        Ok(())
    }

    fn require_rule(&mut self, port: &Port, security: &Security, end: End) -> Outcome<()> {
        let (word, reason) = match end {
            End::Sender => ("egress", DropReason::SecurityGroupEgress),
            End::Receiver => ("ingress", DropReason::SecurityGroupIngress),
        };
        if let Some((group, rule)) = self.find_rule(security, end, Tuple::Own) {
            self.look.step(|| {
                let what = format!("{word} allowed by rule {rule} of group {group}");
                Step::port(port, what).because_of(rule.0)
            });
            return Ok(());
        }
        let snapshot = self.snapshot;
        let groups = || list(security, snapshot);
        let step = || Step::port(port, format!("no {word} rule allows it: {}", groups()));
        // one group is what an operator has to change; of several, none is more to blame
        let cause = match security.groups[..] {
            [only] => only.0,
            _ => port.id.0,
        };
        Err(self.drop(reason, cause, step))
    }

    /// A rule that allows a tuple at one end. Rules that need to know least are asked first, so
    /// that the mask stays wide.
    fn find_rule(
        &mut self,
        security: &Security,
        end: End,
        tuple: Tuple,
    ) -> Option<(GroupId, RuleId)> {
        let direction = match (end, tuple) {
            (End::Sender, Tuple::Own) | (End::Receiver, Tuple::Answered) => Direction::Egress,
            (End::Receiver, Tuple::Own) | (End::Sender, Tuple::Answered) => Direction::Ingress,
        };
        for id in &security.groups {
            self.look.tag(Tag::Group(*id));
        }
        let snapshot = self.snapshot;
        let groups = || security.groups.iter().filter_map(|id| snapshot.group(*id));
        for cost in 0..=COST_MAX {
            for group in groups().filter(|g| tuple == Tuple::Own || g.stateful) {
                let rules = group.rules.iter();
                let mut rules = rules.filter(|r| r.direction == direction && cost_of(r) == cost);
                if let Some(rule) = rules.find(|r| self.allows(r, end, tuple)) {
                    return Some((group.id, rule.id));
                }
            }
        }
        None
    }

    fn allows(&mut self, rule: &Rule, end: End, tuple: Tuple) -> bool {
        self.look.family() == Some(rule.family)
            && (self.matches_packet(rule, tuple)
                || (tuple == Tuple::Own && self.is_error_for(rule)))
            && self.matches_remote(rule, end)
    }

    fn matches_packet(&mut self, rule: &Rule, tuple: Tuple) -> bool {
        rule.protocol.is_none_or(|p| p == self.look.proto()) && self.matches_layer4(rule, tuple)
    }

    /// An ICMP error, and a rule for these. Only stateless ends ask: others know its connection.
    fn is_error_for(&self, rule: &Rule) -> bool {
        let (icmp, errors): (u8, &[u8]) = match rule.family {
            Family::V4 => (protocol::ICMP, &icmp4::ERRORS),
            Family::V6 => (protocol::ICMPV6, &icmp6::ERRORS),
        };
        let of_kind = match rule.layer4 {
            Layer4::Any => true,
            Layer4::Icmp { kind, .. } => errors.contains(&kind),
            Layer4::Ports { .. } => false,
        };
        self.look.is_icmp_error() && rule.protocol == Some(icmp) && of_kind
    }

    fn matches_layer4(&mut self, rule: &Rule, tuple: Tuple) -> bool {
        match (rule.layer4, tuple) {
            (Layer4::Any, _) => true,
            (Layer4::Ports { min, max }, Tuple::Own) => {
                has_ports(self.look.proto()) && self.look.port_in(Side::Dst, min, max)
            }
            (Layer4::Ports { min, max }, Tuple::Answered) => {
                has_ports(self.look.proto()) && self.look.port_in(Side::Src, min, max)
            }
            (Layer4::Icmp { kind, code }, Tuple::Own) => self.look.icmp_is(kind, code),
            (Layer4::Icmp { kind, code }, Tuple::Answered) => {
                self.look.answered_icmp_is(kind, code)
            }
        }
    }

    /// The other end is the same for a packet and for what it answers.
    fn matches_remote(&mut self, rule: &Rule, end: End) -> bool {
        let side = match end {
            End::Sender => Side::Dst,
            End::Receiver => Side::Src,
        };
        match &rule.remote {
            Remote::Any => true,
            Remote::Prefix(net) => self.look.address_in(side, net),
            Remote::Group(id) => self.is_in(SetId::Members(*id), side),
            Remote::Addresses(id) => self.is_in(SetId::Addresses(*id), side),
        }
    }

    fn is_in(&mut self, set: SetId, side: Side) -> bool {
        let ip = self.look.address(side);
        let look = &mut self.look;
        self.snapshot.is_in(set, ip, |tag| look.tag(tag))
    }
}

const COST_MAX: u8 = 2;

/// How much of a packet a rule needs to know: nothing, some bits, or an exact address.
fn cost_of(rule: &Rule) -> u8 {
    match rule.remote {
        Remote::Any if rule.protocol.is_none() => 0,
        Remote::Any | Remote::Prefix(_) => 1,
        Remote::Group(_) | Remote::Addresses(_) => COST_MAX,
    }
}

fn has_ports(proto: u8) -> bool {
    use protocol::{DCCP, SCTP, TCP, UDP, UDP_LITE};
    matches!(proto, TCP | UDP | DCCP | SCTP | UDP_LITE)
}

/// The groups of a port by name and id, for the trace.
fn list(security: &Security, snapshot: &Snapshot) -> String {
    if security.groups.is_empty() {
        return "it has no security group".to_owned();
    }
    let name = |id: &GroupId| snapshot.group(*id).map_or("", |group| group.name.as_str());
    let groups: Vec<String> = security
        .groups
        .iter()
        .map(|id| format!("{} ({id})", name(id)))
        .collect();
    format!("its groups are {}", groups.join(", "))
}
