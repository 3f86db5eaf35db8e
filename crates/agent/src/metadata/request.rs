//! What is said to Nova: the VM's request, with who asks put in by us.
//!
//! Nova believes these headers when the signature is right
//! (`nova/api/metadata/handler.py`, `service_metadata_proxy`). Of the VM's own headers only a few
//! are passed on, so it cannot send some of its own beside them, in whatever spelling.

use super::askers::Asker;
use hmac::{Hmac, Mac};
use hyper::{
    Request, Uri,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use sha2::Sha256;
use topology::Instance;

/// The server, as Nova knows it.
pub const INSTANCE: HeaderName = HeaderName::from_static("x-instance-id");
/// Its project.
pub const PROJECT: HeaderName = HeaderName::from_static("x-tenant-id");
/// Proof that one who knows the secret says so.
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-instance-id-signature");
/// The address it asked from.
pub const ADDRESS: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a VM may say itself.
const PASSED_ON: [HeaderName; 7] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::RANGE,
    header::USER_AGENT,
];

/// What concerns one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The request for Nova at `nova` (`host:port`); `None` if it cannot be one.
pub fn to_nova<B>(
    request: Request<B>,
    nova: &str,
    secret: &str,
    instance: &Instance,
    asker: &Asker,
) -> Option<Request<B>> {
    let (asked, body) = request.into_parts();
    let path = asked.uri.path_and_query().cloned();
    let mut passed = Request::new(body);
    *passed.method_mut() = asked.method;
    *passed.uri_mut() = Uri::from(path.filter(|path| path.as_str().starts_with('/'))?);
    let headers = passed.headers_mut();
    for name in PASSED_ON {
        let values = asked.headers.get_all(&name).iter().cloned();
        headers.extend(values.map(|value| (Some(name.clone()), value)));
    }
    headers.insert(header::HOST, HeaderValue::from_str(nova).ok()?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let said = [
        (INSTANCE, instance.id.clone()),
        (PROJECT, instance.project.clone()),
        (SIGNATURE, signature(secret, &instance.id)),
        (ADDRESS, asker.ip.to_string()),
    ];
    for (name, value) in said {
        headers.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    Some(passed)
}

/// Takes out of Nova's answer what was for our connection to it.
pub fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// HMAC-SHA256 of the server's id in hexadecimal.
pub fn signature(secret: &str, id: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .expect("HMAC takes keys of any length (RFC 2104, 2)");
    mac.update(id.as_bytes());
    let sum = mac.finalize().into_bytes();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology::PortId;
    use uuid::Uuid;

    fn pass(request: Request<()>) -> Option<Request<()>> {
        let instance = Instance {
            id: "i1".into(),
            project: "p1".into(),
        };
        let asker = Asker {
            port: PortId(Uuid::nil()),
            mac: wire::Mac([2; 6]),
            ip: "fe80::5".parse().unwrap(),
        };
        to_nova(request, "nova:8775", "secret", &instance, &asker)
    }

    #[test]
    fn the_signature_is_hmac_sha256_in_hexadecimal() {
        // RFC 4231, test case 2
        assert_eq!(
            signature("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_vm_cannot_say_who_it_is() {
        let request = Request::get("http://169.254.169.254/latest/meta-data/?x=1")
            .header("Host", "elsewhere")
            .header("User-Agent", "curl")
            .header("X-Instance-ID", "i2")
            .header("X_Instance_ID", "i2")
            .header("X-Tenant-Id", "p2")
            .header("X-Instance-ID-Signature", signature("guess", "i2"))
            .header("X-Forwarded-For", "10.0.0.9")
            .header("X-Metadata-Provider", "lb")
            .header("Connection", "upgrade")
            .header("Upgrade", "h2c")
            .body(())
            .unwrap();
        let passed = pass(request).unwrap();
        assert_eq!(passed.uri(), "/latest/meta-data/?x=1");
        let mut said: Vec<String> = passed
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        said.sort();
        let signature = format!("x-instance-id-signature: {}", signature("secret", "i1"));
        let wanted = [
            "connection: close",
            "host: nova:8775",
            "user-agent: curl",
            "x-forwarded-for: fe80::5",
            &signature,
            "x-instance-id: i1",
            "x-tenant-id: p1",
        ];
        let mut wanted = wanted.to_vec();
        wanted.sort();
        assert_eq!(said, wanted);
    }

    #[test]
    fn what_has_no_path_is_no_request() {
        assert!(pass(Request::connect("nova:8775").body(()).unwrap()).is_none());
        assert!(pass(Request::options("*").body(()).unwrap()).is_none());
    }

    #[test]
    fn an_answer_loses_what_is_for_one_connection() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("close, X-Hop"));
        headers.insert("x-hop", HeaderValue::from_static("1"));
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        strip(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
