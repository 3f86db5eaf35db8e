//! `/traces/run`: what the virtual topology does to one packet.

mod cause;
mod packet;

use super::{
    Shared,
    answer::{Failure, accepted, decoded, json},
};
use ::topology::PortId;
use api::{TraceDevice, TraceRequest, TraceResponse, TraceState, TraceStep, TraceVerdict, media};
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use cause::cause;
use flow::{Destination, Verdict};
use neutron_model::State as Model;
use sim::{DeviceKind, Ingress, Packet, Step};

/// The interface a traced packet enters by: any number that is not 0 will do.
const IN_PORT: u32 = 1;

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
            let packet = Packet {
                key,
                frame: &frame,
                gso_size: 0,
            };
            let (decision, steps) = sim::trace(&model.topology, Ingress::Port(port), &packet);
            let steps = steps.iter().map(|step| shown(step, model)).collect();
            (steps, judged(decision.verdict, model))
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
