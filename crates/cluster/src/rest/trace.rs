//! `/traces/run`: what the virtual topology does to one packet.

mod cause;
mod packet;
mod stage;

use super::{
    Shared,
    answer::{Failure, accepted, decoded, json},
};
use ::topology::{PortId, Snapshot};
use api::{TraceDevice, TraceRequest, TraceResponse, TraceState, TraceStep, TraceVerdict, media};
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bpf_abi::FlowKey;
use cause::cause;
use flow::{Destination, Verdict};
use neutron_model::State as Model;
use sim::{DeviceKind, Ingress, Packet, Step};
use std::borrow::Cow;

/// The interface a traced packet enters by: any number that is not 0 will do.
const IN_PORT: u32 = 1;

/// Simulations of one packet: its stages, and again with each upstream router that is taken to be
/// there.
const STAGES_MAX: usize = 8;

pub async fn run(
    State(app): Shared,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let media = accepted(&headers, media::JSON)?;
    let request: TraceRequest = decoded(body)?;
    let held = app.held();
    let response = trace(&request, &held.state, held.revision)?;
    Ok(json(StatusCode::OK, media, &response))
}

fn trace(request: &TraceRequest, model: &Model, revision: u64) -> Result<TraceResponse, Failure> {
    let port = PortId(request.port);
    let Some(object) = model.topology.port(port) else {
        return Err(Failure::not_found(&format!("port {port}")).about("port"));
    };
    let frame = match (&request.packet, &request.frame) {
        (Some(fields), None) => packet::build(fields, object, &model.topology)?,
        (None, Some(hex)) => packet::from_hex(hex)?,
        _ => return Err(Failure::bad("packet", "give either packet or frame")),
    };
    let (steps, verdict) = match flow::parse(&frame) {
        Ok(parsed) => {
            let mut key = parsed.key;
            key.in_port = IN_PORT;
            key.state = match request.state {
                TraceState::Forward => flow::State::Forward.number(),
                TraceState::Reply => flow::State::Reply.number(),
            };
            let (steps, verdict) = run_stages(&model.topology, port, key, frame.clone());
            let steps = steps.iter().map(|step| shown(step, model)).collect();
            (steps, judged(verdict, model))
        }
        Err(reason) => (
            Vec::new(),
            TraceVerdict::Drop {
                reason: reason.name().to_owned(),
                cause: None,
            },
        ),
    };
    Ok(TraceResponse {
        revision,
        steps,
        verdict,
        frame: packet::to_hex(&frame),
    })
}

/// Follows a packet from its port through the routers where it is handed over, as far as that can be
/// told without the records of connections.
fn run_stages(
    topology: &Snapshot,
    port: PortId,
    mut key: FlowKey,
    mut frame: Vec<u8>,
) -> (Vec<Step>, Verdict) {
    let mut topology = Cow::Borrowed(topology);
    let (mut ingress, mut all) = (Ingress::Port(port), Vec::new());
    let mut verdict = Verdict::Answer(Vec::new());
    for _ in 0..STAGES_MAX {
        let packet = Packet {
            key,
            frame: &frame,
            gso_size: 0,
        };
        let (decision, steps) = sim::trace(&topology, ingress, &packet);
        let asked = decision.question.as_ref();
        if asked.is_some_and(|q| stage::assume_upstream(topology.to_mut(), q)) {
            continue;
        }
        all.extend(steps);
        verdict = decision.verdict;
        let Verdict::Forward {
            to: Destination::Router { router, .. },
            rewrite,
            record,
            ..
        } = &verdict
        else {
            break;
        };
        let changes = (rewrite, *record);
        match stage::handed_over(&topology, *router, changes, key, &frame) {
            Some(next) => (key, frame) = next,
            None => break,
        }
        ingress = Ingress::Router(*router);
    }
    (all, verdict)
}

fn shown(step: &Step, model: &Model) -> TraceStep {
    let kind = match step.device.kind {
        DeviceKind::Port => "port",
        DeviceKind::Bridge => "network",
        DeviceKind::Router => "router",
    };
    TraceStep {
        device: TraceDevice {
            kind: kind.to_owned(),
            id: step.device.id,
            name: step.device.name.clone(),
        },
        what: step.what.clone(),
        cause: step.cause.map(|id| cause(id, model)),
    }
}

fn judged(verdict: Verdict, model: &Model) -> TraceVerdict {
    match verdict {
        Verdict::Forward {
            to: Destination::Port(port),
            rewrite,
            reply,
            ..
        } => TraceVerdict::Forward {
            port: port.0,
            host: model
                .topology
                .port(port)
                .and_then(|p| p.host())
                .map(str::to_owned),
            reply,
            hops: rewrite.hops,
        },
        Verdict::Forward {
            to: Destination::Router { router, host },
            rewrite,
            ..
        } => TraceVerdict::HandOver {
            router: router.0,
            host: host.into_string(),
            hops: rewrite.hops,
        },
        Verdict::Metadata => TraceVerdict::Metadata,
        Verdict::Flood { ports } => TraceVerdict::Flood {
            ports: ports.into_iter().map(|port| port.0).collect(),
        },
        Verdict::Answer(frames) => TraceVerdict::Answer {
            frames: frames.iter().map(|frame| packet::to_hex(frame)).collect(),
        },
        Verdict::Drop { reason, cause: id }
        | Verdict::Refuse {
            reason, cause: id, ..
        } => TraceVerdict::Drop {
            reason: reason.name().to_owned(),
            cause: id.map(|id| cause(id, model)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::testing::{Coast, FAR, Frame, Payload, World, key_of};
    use wire::tcp_flag;

    /// What is told of a SYN to port 22, and where it ends.
    fn told(coast: &Coast, port: PortId, frame: Frame) -> (String, Verdict) {
        let payload = Payload::Tcp(40_000, 22, tcp_flag::SYN);
        let frame = Frame { payload, ..frame }.bytes();
        let key = key_of(&frame, flow::State::Forward.number());
        let (steps, verdict) = run_stages(&coast.world.snapshot(), port, key, frame);
        let steps: Vec<String> = steps.iter().map(Step::to_string).collect();
        (steps.join("\n"), verdict)
    }

    fn to(verdict: &Verdict) -> Option<PortId> {
        match verdict {
            Verdict::Forward { to, .. } => to.port(),
            _ => None,
        }
    }

    #[test]
    fn the_whole_way_is_told() {
        let coast = Coast::new(World::new(), None);
        let any = Payload::Udp(1, 2, vec![]);
        // to the outside, as if the upstream routers were there
        let far = FAR.parse().expect("an address");
        let (steps, verdict) = told(&coast, coast.a.port, coast.a.to(far, any.clone()));
        let plugs = coast.uplinks.map(|u| Some(u.plug));
        assert!(plugs.contains(&to(&verdict)), "{steps}\n{verdict:?}");
        assert!(
            steps.contains("leaves as floating IP 203.0.113.101"),
            "{steps}"
        );
        // from one tenant to another, both translations and who owns
        let fip = "203.0.113.102".parse().expect("an address");
        let (steps, verdict) = told(&coast, coast.a.port, coast.a.to(fip, any.clone()));
        assert_eq!(to(&verdict), Some(coast.c.port), "{steps}");
        for what in [
            "leaves as floating IP 203.0.113.101",
            "it goes on here, on host host2",
            "floating IP 203.0.113.102 leads to 10.2.0.10",
            "delivered on host host2",
        ] {
            assert!(steps.contains(what), "no {what:?} in\n{steps}");
        }
        // what only a record knows ends where that is
        let mut coast = coast;
        let router = coast.tenants[0].router;
        coast.world.lease(router, "host2", &[8]);
        let answer = Frame {
            payload: Payload::Tcp(443, 0x0801, tcp_flag::ACK),
            ..coast.from_upstream(0, "203.0.113.10".parse().expect("an address"), any)
        };
        let bytes = answer.bytes();
        let key = key_of(&bytes, flow::State::Forward.number());
        let snapshot = coast.world.snapshot();
        let (_, verdict) = run_stages(&snapshot, coast.uplinks[0].plug, key, bytes);
        let Verdict::Forward {
            to: Destination::Router { host, .. },
            ..
        } = verdict
        else {
            panic!("{verdict:?}")
        };
        assert_eq!(&*host, "host2");
    }
}
