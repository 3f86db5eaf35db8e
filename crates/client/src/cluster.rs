//! Client of the cluster's REST API.
//!
//! Addresses come from the API's own index documents, read once. A token that has run out is
//! replaced once per request.

use crate::{
    ClientError,
    http::{Answer, Headers, exchange, pool},
};
use api::{
    media::{APPLICATION, JSON, NEUTRON, ROUTER_INTERFACE},
    neutron::Kind,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::sync::{Mutex, OnceLock, PoisonError};
use uuid::Uuid;

/// The cookie in which a login gives the token.
const COOKIE: &str = "sessionId=";

/// How to get a token.
#[derive(Clone)]
pub enum Credentials {
    /// One that is there already, of Keystone or of a cluster with static credentials.
    Token(String),
    /// By the cluster's own login.
    Login {
        /// User name.
        username: String,
        /// Password.
        password: String,
        /// Project, by name.
        project: Option<String>,
    },
}

/// A cluster at an address.
pub struct Cluster {
    pool: ureq::Agent,
    root: String,
    credentials: Credentials,
    token: Mutex<Option<String>>,
    application: OnceLock<Map<String, Value>>,
    neutron: OnceLock<Map<String, Value>>,
}

impl Cluster {
    /// A client of the API at `root`, for instance `http://cluster:8181/midonet-api`. Says nothing
    /// to the cluster yet.
    pub fn new(root: &str, credentials: Credentials) -> Self {
        Self {
            pool: pool(),
            root: root.trim_end_matches('/').to_owned(),
            credentials,
            token: Mutex::new(None),
            application: OnceLock::new(),
            neutron: OnceLock::new(),
        }
    }

    /// The address it was given.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// What the root document says: versions and addresses.
    pub fn application(&self) -> Result<&Map<String, Value>, ClientError> {
        self.document(&self.application, &self.root, APPLICATION)
    }

    /// Reads something below the root, for instance `hosts`.
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call("GET", &self.below(path), &[("Accept", JSON)], None)?
            .json()
    }

    /// Posts something below the root and reads the answer.
    pub fn submit<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let headers = [("Content-Type", JSON), ("Accept", JSON)];
        self.call(
            "POST",
            &self.below(path),
            &headers,
            Some(&value(path, body)?),
        )?
        .json()
    }

    /// All Neutron resources of a kind.
    pub fn list<T: DeserializeOwned>(&self, kind: Kind) -> Result<Vec<T>, ClientError> {
        let address = self.neutron_entry(kind.collection())?;
        self.call(
            "GET",
            &address,
            &[("Accept", kind.media_collection())],
            None,
        )?
        .json()
    }

    /// One Neutron resource.
    pub fn get<T: DeserializeOwned>(&self, kind: Kind, id: Uuid) -> Result<T, ClientError> {
        let address = self.template(&format!("{}_template", kind.name()), id)?;
        self.call("GET", &address, &[("Accept", kind.media())], None)?
            .json()
    }

    /// Creates a Neutron resource.
    pub fn create(&self, kind: Kind, body: &impl Serialize) -> Result<Value, ClientError> {
        let address = self.neutron_entry(kind.collection())?;
        let media = kind.media();
        let headers = [("Content-Type", media), ("Accept", media)];
        self.call("POST", &address, &headers, Some(&value(&address, body)?))?
            .json()
    }

    /// Replaces a Neutron resource.
    pub fn update(&self, kind: Kind, id: Uuid, body: &impl Serialize) -> Result<(), ClientError> {
        let address = self.template(&format!("{}_template", kind.name()), id)?;
        let body = value(&address, body)?;
        let media = kind.media();
        self.call("PUT", &address, &[("Content-Type", media)], Some(&body))
            .map(drop)
    }

    /// Deletes a Neutron resource; one that is not there is fine.
    pub fn delete(&self, kind: Kind, id: Uuid) -> Result<(), ClientError> {
        let address = self.template(&format!("{}_template", kind.name()), id)?;
        self.call("DELETE", &address, &[], None).map(drop)
    }

    /// Makes a port an interface of a router.
    pub fn add_router_interface(&self, router: Uuid, port: Uuid) -> Result<(), ClientError> {
        self.router_interface("add_router_interface_template", router, port)
    }

    /// Takes an interface away from a router.
    pub fn remove_router_interface(&self, router: Uuid, port: Uuid) -> Result<(), ClientError> {
        self.router_interface("remove_router_interface_template", router, port)
    }

    fn router_interface(&self, entry: &str, router: Uuid, port: Uuid) -> Result<(), ClientError> {
        let address = self.template(entry, router)?;
        let body = json!({"id": router, "port_id": port});
        let headers = [("Content-Type", ROUTER_INTERFACE)];
        self.call("PUT", &address, &headers, Some(&body)).map(drop)
    }

    /// A Neutron document's entry with an id put in.
    fn template(&self, entry: &str, id: Uuid) -> Result<String, ClientError> {
        Ok(self.neutron_entry(entry)?.replace("{id}", &id.to_string()))
    }

    fn neutron_entry(&self, name: &str) -> Result<String, ClientError> {
        let index = entry(self.application()?, &self.root, "neutron")?;
        let document = self.document(&self.neutron, &index, NEUTRON)?;
        entry(document, &index, name)
    }

    fn document<'a>(
        &self,
        place: &'a OnceLock<Map<String, Value>>,
        address: &str,
        accept: &str,
    ) -> Result<&'a Map<String, Value>, ClientError> {
        if let Some(document) = place.get() {
            return Ok(document);
        }
        let document = self
            .call("GET", address, &[("Accept", accept)], None)?
            .json()?;
        Ok(place.get_or_init(|| document))
    }

    fn below(&self, path: &str) -> String {
        format!("{}/{}", self.root, path.trim_start_matches('/'))
    }

    /// Sends with a token; one that is refused is replaced once.
    fn call(
        &self,
        method: &'static str,
        address: &str,
        headers: Headers<'_>,
        body: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        let held = self.held_token();
        let token = held.clone().map_or_else(|| self.login(), Ok)?;
        let answer = self.call_with(&token, method, address, headers, body)?;
        if answer.status != 401 || held.is_none() {
            return answer.success();
        }
        let token = self.login()?;
        self.call_with(&token, method, address, headers, body)?
            .success()
    }

    fn call_with(
        &self,
        token: &str,
        method: &'static str,
        address: &str,
        headers: Headers<'_>,
        body: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        let mut all = headers.to_vec();
        all.push(("X-Auth-Token", token));
        exchange(&self.pool, method, address, &all, body)
    }

    fn held_token(&self) -> Option<String> {
        self.token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn login(&self) -> Result<String, ClientError> {
        let token = match &self.credentials {
            Credentials::Token(token) => token.clone(),
            Credentials::Login {
                username,
                password,
                project,
            } => self.login_as(username, password, project.as_deref())?,
        };
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    fn login_as(
        &self,
        username: &str,
        password: &str,
        project: Option<&str>,
    ) -> Result<String, ClientError> {
        let basic = format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{password}"))
        );
        let mut headers = vec![("Authorization", basic.as_str()), ("Content-Type", JSON)];
        headers.extend(project.map(|p| ("X-Auth-Project", p)));
        let address = self.below("login");
        let answer = exchange(&self.pool, "POST", &address, &headers, Some(&json!({})))?;
        let answer = answer.success()?;
        let cookie = answer
            .header("Set-Cookie")
            .and_then(|c| c.split(';').next());
        let token = cookie.and_then(|c| c.trim().strip_prefix(COOKIE));
        token.map(str::to_owned).ok_or(ClientError::Unexpected {
            address,
            detail: "a login without the cookie that carries the token".to_owned(),
        })
    }
}

fn entry(document: &Map<String, Value>, address: &str, name: &str) -> Result<String, ClientError> {
    let found = document
        .get(name)
        .and_then(Value::as_str)
        .map(str::to_owned);
    found.ok_or_else(|| ClientError::NotOffered {
        address: address.to_owned(),
        name: name.to_owned(),
    })
}

/// A request's body as a JSON value.
fn value(address: &str, body: &impl Serialize) -> Result<Value, ClientError> {
    serde_json::to_value(body).map_err(|error| ClientError::Unexpected {
        address: address.to_owned(),
        detail: format!("cannot write the request: {error}"),
    })
}

#[cfg(test)]
mod tests;
