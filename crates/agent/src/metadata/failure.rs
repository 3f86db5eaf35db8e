//! Why a VM gets no metadata: for the operator in the log, for the VM's owner on its console.

use super::Body;
use http_body_util::{Either, Full};
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
};
use std::io;

/// A request that is not answered by Nova.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The port has gone from its server in the meantime.
    #[error("the port belongs to no server any more")]
    NoInstance,
    /// Nothing that Nova could be asked.
    #[error("the request has no path")]
    NoPath,
    /// One VM asks too much at once.
    #[error("the port has {0} connections already")]
    TooMany(usize),
    /// Nova is down, or the network to it.
    #[error("Nova cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    /// Nova ended the connection, or was silent for too long.
    #[error("Nova does not answer: {0}")]
    NoAnswer(#[source] hyper::Error),
    /// Nova does not believe us.
    #[error(
        "Nova refuses the signature: metadata.shared_secret here and \
        [neutron] metadata_proxy_shared_secret there must be the same"
    )]
    Refused,
}

impl Failure {
    /// All kinds, as metrics name them.
    pub const KINDS: [&str; 6] = [
        "no_instance",
        "no_path",
        "too_many",
        "unreachable",
        "no_answer",
        "refused",
    ];

    /// Its place among them.
    pub fn kind(&self) -> usize {
        match self {
            Failure::NoInstance => 0,
            Failure::NoPath => 1,
            Failure::TooMany(_) => 2,
            Failure::Unreachable(_) => 3,
            Failure::NoAnswer(_) => 4,
            Failure::Refused => 5,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Failure::NoInstance => StatusCode::NOT_FOUND,
            Failure::NoPath => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What its owner may know.
    pub fn told(&self) -> &'static str {
        match self {
            Failure::NoInstance => "This port belongs to no server.",
            Failure::NoPath => "The request has no path.",
            Failure::TooMany(_) => "This server has too many connections to its metadata open.",
            Failure::Unreachable(_) | Failure::NoAnswer(_) => {
                "The cloud's metadata service does not answer. Try again; if this lasts, tell the \
                 cloud's operator."
            }
            Failure::Refused => {
                "The cloud's metadata service is not set up right: it refuses this host. Tell the \
                 cloud's operator."
            }
        }
    }

    /// The answer to the VM.
    pub fn answer(&self) -> Response<Body> {
        let text = format!("{}\n", self.told());
        let mut response = Response::new(Either::Right(Full::new(Bytes::from(text))));
        *response.status_mut() = self.status();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    }
}
