//! The documents that tell a client where everything is.

use crate::neutron::Kind;
use serde::Serialize;
use serde_json::{Map, Value};

/// The root document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "each field is the address of what it is named for"
)]
pub struct Application {
    pub uri: String,
    pub version: String,
    pub neutron: String,
    pub login: String,
    pub hosts: String,
    pub host_template: String,
    pub tunnel_zones: String,
    pub tunnel_zone_template: String,
    pub system_state: String,
    pub port_statuses: String,
    pub status: String,
    pub topology: String,
    pub traces: String,
}

impl Application {
    /// The document of the API whose root is at `root`.
    pub fn at(root: &str, version: &str) -> Self {
        let below = |path: &str| format!("{root}/{path}");
        Self {
            uri: root.to_owned(),
            version: version.to_owned(),
            neutron: below("neutron"),
            login: below("login"),
            hosts: below("hosts"),
            host_template: below("hosts/{id}"),
            tunnel_zones: below("tunnel_zones"),
            tunnel_zone_template: below("tunnel_zones/{id}"),
            system_state: below("system_state"),
            port_statuses: below("neutron/port_statuses"),
            status: below("status"),
            topology: below("topology"),
            traces: below("traces/run"),
        }
    }
}

/// The index of the Neutron resources: for each kind the address of the collection and the
/// template of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NeutronIndex(Map<String, Value>);

impl NeutronIndex {
    /// The index of the API whose root is at `root`.
    pub fn at(root: &str) -> Self {
        let base = format!("{root}/neutron");
        let mut index = Map::new();
        let mut add = |name: String, address: String| index.insert(name, Value::String(address));
        add("uri".to_owned(), base.clone());
        for kind in Kind::ALL {
            let path = format!("{base}/{}", kind.collection());
            add(
                format!("{}_template", kind.name()),
                format!("{path}/{{id}}"),
            );
            add(kind.collection().to_owned(), path);
        }
        for action in ["add_router_interface", "remove_router_interface"] {
            add(
                format!("{action}_template"),
                format!("{base}/routers/{{id}}/{action}"),
            );
        }
        add("port_statuses".to_owned(), format!("{base}/port_statuses"));
        Self(index)
    }
}
