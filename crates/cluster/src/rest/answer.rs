//! Answers: JSON of a media type that the client takes, and errors that name what is wrong.

use crate::{auth::Denied, writer::WriteError};
use api::{ErrorBody, Shape, Violation, media};
use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use neutron_model::Refusal;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// An answer that is an error.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    message: String,
    violations: Vec<Violation>,
}

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            violations: Vec::new(),
        }
    }

    /// The same, about this field.
    pub fn about(mut self, property: impl Into<String>) -> Self {
        let message = self.message.clone();
        self.violations.push(Violation {
            property: property.into(),
            message,
        });
        self
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} does not exist"))
    }

    pub fn bad(property: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message).about(property)
    }

    /// The same about an element of an array.
    pub fn at(mut self, index: usize) -> Self {
        self.message = format!("[{index}]: {}", self.message);
        for violation in &mut self.violations {
            violation.property = format!("[{index}].{}", violation.property);
        }
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.status.as_u16();
        let body = ErrorBody {
            message: self.message,
            code,
            violations: self.violations,
        };
        let mut response = json(self.status, media::ERROR, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"MidoNet\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}

impl From<Shape> for Failure {
    fn from(shape: Shape) -> Self {
        let message = shape.to_string();
        match shape {
            Shape::Malformed(_) => Failure::new(StatusCode::BAD_REQUEST, message),
            Shape::Field(violation) => Failure {
                status: StatusCode::BAD_REQUEST,
                message,
                violations: vec![violation],
            },
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (status, property) = match refusal {
            Refusal::NotFound { .. } => (StatusCode::NOT_FOUND, None),
            Refusal::UnknownReference { property, .. } => (StatusCode::NOT_FOUND, Some(property)),
            Refusal::Exists { .. } => (StatusCode::CONFLICT, Some("id".to_owned())),
            Refusal::InUse { .. } => (StatusCode::CONFLICT, None),
            Refusal::OtherRouter { .. } => (StatusCode::CONFLICT, Some("port_id".to_owned())),
            Refusal::Stale { .. } => (StatusCode::CONFLICT, Some("revision_number".to_owned())),
            Refusal::Invalid { property, .. } => (StatusCode::BAD_REQUEST, Some(property)),
            Refusal::KeysExhausted => (StatusCode::SERVICE_UNAVAILABLE, None),
        };
        let failure = Failure::new(status, message);
        match property {
            Some(property) => failure.about(property),
            None => failure,
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let status = match error {
            WriteError::Refused { refusal, .. } => return refusal.into(),
            WriteError::NoHost(_) => StatusCode::NOT_FOUND,
            WriteError::HostInUse(..) | WriteError::NameTaken { .. } => StatusCode::CONFLICT,
            WriteError::Busy | WriteError::Store(_) | WriteError::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Failure::new(status, error.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let status = match denied {
            Denied::Credentials | Denied::Token => StatusCode::UNAUTHORIZED,
            Denied::Role(_) => StatusCode::FORBIDDEN,
            Denied::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Failure::new(status, denied.to_string())
    }
}

/// JSON of a media type.
pub fn json(status: StatusCode, media: &'static str, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, media)], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer has no JSON form");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What the client takes of a resource's own media type and plain JSON.
pub fn accepted(headers: &HeaderMap, media: &'static str) -> Result<&'static str, Failure> {
    let mut plain = false;
    let mut any = false;
    for value in headers.get_all(header::ACCEPT) {
        any = true;
        for range in value.to_str().unwrap_or_default().split(',') {
            let range = range.split(';').next().unwrap_or_default().trim();
            if range.eq_ignore_ascii_case(media) || matches!(range, "*/*" | "application/*") {
                return Ok(media);
            }
            plain |= range.eq_ignore_ascii_case(media::JSON);
        }
    }
    match (any, plain) {
        (false, _) => Ok(media),
        (true, true) => Ok(media::JSON),
        (true, false) => Err(Failure::new(
            StatusCode::NOT_ACCEPTABLE,
            format!("this address gives {media} or {}", media::JSON),
        )),
    }
}

/// Refuses a body of a media type that is not among those taken here.
pub fn check_content_type(headers: &HeaderMap, taken: &[&str]) -> Result<(), Failure> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let given = given.to_str().unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    let all = taken.iter().chain(std::iter::once(&media::JSON));
    if all.clone().any(|media| given.eq_ignore_ascii_case(media)) {
        return Ok(());
    }
    let all: Vec<&str> = all.copied().collect();
    let message = format!("this address takes {}", all.join(" or "));
    Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// A body as JSON.
pub fn parsed(body: Result<Bytes, BytesRejection>) -> Result<Value, Failure> {
    let bytes = body.map_err(|rejection| {
        let message = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                format!("a body has at most {} bytes", super::BODY_MAX)
            }
            _ => rejection.body_text(),
        };
        Failure::new(rejection.status(), message)
    })?;
    Ok(api::parse(&bytes)?)
}

/// A body as a value of a shape.
pub fn decoded<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Failure> {
    Ok(api::decode(parsed(body)?)?)
}

/// An id in the path.
pub fn id(text: &str) -> Result<uuid::Uuid, Failure> {
    text.parse()
        .map_err(|_| Failure::bad("id", "the id in the address is not a UUID"))
}

/// Address of the API's root as the client knows it.
pub fn root(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = if text("x-forwarded-proto") == Some("https") {
        "https"
    } else {
        "http"
    };
    let host = text("x-forwarded-host")
        .or(text("host"))
        .unwrap_or("localhost");
    format!("{scheme}://{host}{}", super::ROOT)
}
