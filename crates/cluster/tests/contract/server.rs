//! A cluster in this process, on ports of its own, and a client of it.

use cluster::{Cluster, Config};
use serde_json::{Value, json};
use std::{io::ErrorKind, net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::http::{HeaderMap, Request};
use uuid::Uuid;

pub const TOKEN: &str = "the-token";
pub const SECRET: &str = "the-secret";

pub const STATIC: &str = "mode = \"static\"\n[auth.static]\nusername = \"neutron\"\n\
                          password = \"pass:word\"\ntoken = \"the-token\"\n";

/// A cluster that ends with the value.
pub struct Server {
    runtime: Runtime,
    cluster: Option<Cluster>,
    dir: TempDir,
    auth: String,
    settings: String,
    pub api: SocketAddr,
    pub sync: SocketAddr,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The fields that an error complains of.
    pub fn properties(&self) -> Vec<&str> {
        let violations = self.body["violations"].as_array();
        violations
            .into_iter()
            .flatten()
            .map(|v| v["property"].as_str().unwrap())
            .collect()
    }
}

/// The text of a configuration.
pub fn config(store: &Path, auth: &str) -> String {
    format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n\
         [sync]\nlisten = \"127.0.0.1:0\"\nsecret = \"{SECRET}\"\ndown_after_seconds = 1\n\
         [store]\npath = \"{}\"\n[auth]\n{auth}",
        store.display()
    )
}

impl Server {
    pub fn start() -> Self {
        Self::with_auth(STATIC)
    }

    /// With these sections of the configuration besides.
    pub fn with_settings(settings: &str) -> Self {
        Self::with(STATIC, settings)
    }

    pub fn with_auth(auth: &str) -> Self {
        Self::with(auth, "")
    }

    fn with(auth: &str, settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let (auth, settings) = (auth.to_owned(), settings.to_owned());
        let mut server = Self {
            runtime,
            cluster: None,
            dir,
            auth,
            settings,
            api: nowhere,
            sync: nowhere,
        };
        server.begin();
        server
    }

    /// Stops in order and starts again on the same store.
    pub fn restart(&mut self) {
        self.end();
        self.begin();
    }

    fn begin(&mut self) {
        let text = config(&self.dir.path().join("store"), &self.auth) + &self.settings;
        let config = Config::parse(&text, Path::new("test")).unwrap();
        let cluster = self.runtime.block_on(Cluster::start(config)).unwrap();
        (self.api, self.sync) = (cluster.api(), cluster.sync());
        self.cluster = Some(cluster);
    }

    fn end(&mut self) {
        if let Some(cluster) = self.cluster.take() {
            self.runtime.block_on(cluster.stop());
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body.to_string().into_bytes()))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[], Some(body.to_string().into_bytes()))
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    /// Creates a Neutron resource that must be accepted.
    pub fn create(&self, kind: &str, body: &Value) {
        let answer = self.post(&format!("neutron/{kind}"), body);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Sends with the token.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        let mut all = vec![("X-Auth-Token", TOKEN)];
        all.extend(headers);
        exchange(self.api, method, path, &all, body)
    }

    /// Everything that could change.
    pub fn everything(&self) -> Value {
        let kinds = api::neutron::Kind::ALL;
        let lists = kinds.map(|k| self.get(&format!("neutron/{}", k.collection())).body);
        json!([lists, self.get("topology").body])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// One request, with these headers only.
pub fn exchange(
    api: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Vec<u8>>,
) -> Answer {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .new_agent();
    let path = path
        .strip_prefix('/')
        .map_or_else(|| format!("/midonet-api/{path}"), |p| format!("/{p}"));
    let ask = || {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{api}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match body.clone() {
            Some(body) => agent.run(request.body(body).unwrap()),
            None => agent.run(request.body(()).unwrap()),
        }
    };
    // who refuses a body does not read the rest of it: writing may fail before the answer is read
    let hung_up = |error: &ureq::Error| {
        matches!(error, ureq::Error::Io(e) if
            matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset))
    };
    let mut answers = std::iter::repeat_with(ask).take(20);
    let answer = answers.find(|answer| !answer.as_ref().is_err_and(hung_up));
    let mut response = answer.expect("an answer in 20 tries").unwrap();
    let bytes = response.body_mut().read_to_vec().unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

/// The id that tests write as a small number.
pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Network 1, subnet 2 (10.0.0.0/24), group 4 that lets out and lets members in, router 5.
pub fn town(server: &Server) {
    server.create(
        "networks",
        &json!({"id": id(1), "name": "blue", "revision_number": 3}),
    );
    server.create(
        "subnets",
        &json!({"id": id(2), "network_id": id(1), "cidr": "10.0.0.0/24",
                "gateway_ip": "10.0.0.1"}),
    );
    let rule = |n: u128, direction: &str, remote: Value| {
        json!({"id": id(n), "security_group_id": id(4), "direction": direction,
               "ethertype": "IPv4", "remote_group_id": remote})
    };
    let rules = [
        rule(41, "egress", Value::Null),
        rule(42, "ingress", json!(id(4))),
    ];
    server.create(
        "security_groups",
        &json!({"id": id(4), "name": "default", "security_group_rules": rules}),
    );
    server.create("routers", &json!({"id": id(5), "name": "r"}));
}

pub fn port(n: u128, host: &str) -> Value {
    json!({
        "id": id(n), "network_id": id(1), "mac_address": format!("fa:16:3e:00:00:{n:02x}"),
        "fixed_ips": [{"subnet_id": id(2), "ip_address": format!("10.0.0.{n}")}],
        "security_groups": [id(4)], "device_owner": "compute:nova", "binding:host_id": host,
        "revision_number": 1,
    })
}
