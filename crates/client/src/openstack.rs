//! Client of Keystone (version 3) and Neutron, as far as the tools need them.

use crate::{
    ClientError,
    http::{Answer, exchange, pool},
};
use api::{media::JSON, neutron::Kind};
use serde_json::{Value, json};
use std::env;

/// Resources that Neutron is asked for at a time.
const PAGE: usize = 1000;
/// Pages of one list that are read at most.
const PAGES_MAX: usize = 1000;

/// Where Keystone is and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystone {
    /// Its address, with or without the `/v3`.
    pub url: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Project, by name.
    pub project: String,
    /// Domain of the user, by name.
    pub user_domain: String,
    /// Domain of the project, by name.
    pub project_domain: String,
    /// Region of the Neutron that is meant; any if absent.
    pub region: Option<String>,
    /// Address of Neutron, in place of the catalogue's.
    pub neutron: Option<String>,
}

impl Keystone {
    /// From the variables that all OpenStack clients read.
    pub fn from_environment() -> Result<Self, ClientError> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let needed = |name: &'static str| get(name).ok_or(ClientError::NotSet(name));
        let domain = |name| get(name).unwrap_or_else(|| "Default".to_owned());
        Ok(Self {
            url: needed("OS_AUTH_URL")?,
            username: needed("OS_USERNAME")?,
            password: needed("OS_PASSWORD")?,
            project: needed("OS_PROJECT_NAME")?,
            user_domain: domain("OS_USER_DOMAIN_NAME"),
            project_domain: domain("OS_PROJECT_DOMAIN_NAME"),
            region: get("OS_REGION_NAME"),
            neutron: get("OS_NETWORK_ENDPOINT_OVERRIDE"),
        })
    }

    fn request(&self) -> Value {
        let user = json!({
            "name": self.username,
            "password": self.password,
            "domain": {"name": self.user_domain},
        });
        let project = json!({"name": self.project, "domain": {"name": self.project_domain}});
        json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }})
    }
}

/// A Neutron to which a token has been had.
pub struct OpenStack {
    pool: ureq::Agent,
    token: String,
    neutron: String,
}

impl OpenStack {
    /// Gets a token and finds Neutron in the catalogue.
    pub fn login(keystone: &Keystone) -> Result<Self, ClientError> {
        let pool = pool();
        let base = keystone.url.trim_end_matches('/').trim_end_matches("/v3");
        let address = format!("{base}/v3/auth/tokens");
        let headers = [("Content-Type", JSON), ("Accept", JSON)];
        let answer = exchange(&pool, "POST", &address, &headers, Some(&keystone.request()))?;
        let answer = answer.success()?;
        let unexpected = |detail: &str| ClientError::Unexpected {
            address: address.clone(),
            detail: detail.to_owned(),
        };
        let token = answer.header("X-Subject-Token").map(str::to_owned);
        let token = token.ok_or_else(|| unexpected("no X-Subject-Token"))?;
        let region = keystone.region.as_deref();
        let neutron = match &keystone.neutron {
            Some(address) => address.clone(),
            None => network_endpoint(&answer.json()?, region)
                .ok_or_else(|| unexpected("the catalogue has no public network endpoint"))?,
        };
        Ok(Self {
            pool,
            token,
            neutron: neutron.trim_end_matches('/').to_owned(),
        })
    }

    /// All resources of a kind that the project may see.
    pub fn list(&self, kind: Kind) -> Result<Vec<Value>, ClientError> {
        match kind {
            Kind::PortForwarding => self.port_forwardings(),
            _ => self.collection(&path(kind), &key(kind)),
        }
    }

    /// Port forwardings are part of their floating IPs, which say whether they have any.
    fn port_forwardings(&self) -> Result<Vec<Value>, ClientError> {
        let mut found = Vec::new();
        for fip in self.list(Kind::FloatingIp)? {
            let any = fip["port_forwardings"].as_array();
            let Some(id) = fip["id"]
                .as_str()
                .filter(|_| any.is_some_and(|a| !a.is_empty()))
            else {
                continue;
            };
            let path = format!("floatingips/{id}/port_forwardings");
            for mut forwarding in self.collection(&path, "port_forwardings")? {
                forwarding["floatingip_id"] = json!(id);
                found.push(forwarding);
            }
        }
        Ok(found)
    }

    fn collection(&self, path: &str, key: &str) -> Result<Vec<Value>, ClientError> {
        let mut next = Some(self.address(&format!("{path}?limit={PAGE}")));
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let Some(address) = next.take() else { break };
            let mut page: Value = match self.read(&address) {
                // Neutron's plugin for the kind is not loaded, so there are none
                Err(ClientError::Refused { status: 404, .. }) => break,
                answer => answer?.json()?,
            };
            if let Value::Array(items) = page[key].take() {
                found.extend(items);
            }
            next = next_page(&page[format!("{key}_links")]);
        }
        Ok(found)
    }

    fn address(&self, path: &str) -> String {
        format!("{}/v2.0/{path}", self.neutron)
    }

    fn read(&self, address: &str) -> Result<Answer, ClientError> {
        let headers = [("X-Auth-Token", self.token.as_str()), ("Accept", JSON)];
        exchange(&self.pool, "GET", address, &headers, None)?.success()
    }
}

/// Many of a kind, as Neutron's answers call them.
fn key(kind: Kind) -> String {
    match kind {
        Kind::FloatingIp => "floatingips".to_owned(),
        Kind::QosPolicy => "policies".to_owned(),
        _ => kind.collection().to_owned(),
    }
}

/// Path of the collection of a kind.
fn path(kind: Kind) -> String {
    match kind {
        Kind::QosPolicy => "qos/policies".to_owned(),
        _ => key(kind).replace('_', "-"),
    }
}

/// Address of the public network endpoint in a token's catalogue.
fn network_endpoint(token: &Value, region: Option<&str>) -> Option<String> {
    let services = token["token"]["catalog"].as_array()?.iter();
    let endpoints = services
        .filter(|s| s["type"] == "network")
        .filter_map(|s| s["endpoints"].as_array())
        .flatten();
    let right = |e: &&Value| {
        e["interface"] == "public" && region.is_none_or(|r| e["region_id"] == r || e["region"] == r)
    };
    endpoints
        .filter(right)
        .find_map(|e| e["url"].as_str())
        .map(str::to_owned)
}

/// Address of the page after this one.
fn next_page(links: &Value) -> Option<String> {
    let next = links
        .as_array()?
        .iter()
        .find(|link| link["rel"] == "next")?;
    next["href"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
