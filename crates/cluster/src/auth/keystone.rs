//! Keystone v3: logins are passed on, tokens are validated and remembered for a while.
//!
//! Everything here blocks.

use super::{Credentials, Denied, time};
use crate::config::KeystoneConfig;
use api::Token;
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use ureq::http::Response;

/// Tokens that are remembered at one time.
const TOKENS_MAX: u64 = 10_000;
/// Longest token that is worth asking about.
const TOKEN_LENGTH_MAX: usize = 8192;
/// How long Keystone may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What Keystone says of a token.
#[derive(Clone, Debug)]
struct Known {
    /// `None`: it has no role that is wanted.
    admin: bool,
    expires: SystemTime,
}

/// A client of Keystone.
pub struct Keystone {
    config: KeystoneConfig,
    http: ureq::Agent,
    known: Cache<String, Known>,
    own_token: Mutex<Option<String>>,
}

#[derive(Deserialize)]
struct Body {
    token: TokenBody,
}

#[derive(Deserialize)]
struct TokenBody {
    expires_at: String,
    #[serde(default)]
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

impl Keystone {
    pub fn new(config: KeystoneConfig) -> Self {
        let http = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_LIMIT))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let known = Cache::builder()
            .max_capacity(TOKENS_MAX)
            .time_to_live(Duration::from_secs(config.cache_seconds))
            .build();
        Self {
            config,
            http,
            known,
            own_token: Mutex::new(None),
        }
    }

    /// A token for these credentials. Whether its roles suffice is checked when it is used.
    pub fn login(&self, credentials: &Credentials) -> Result<Token, Denied> {
        let (key, body) = self.authenticate(credentials)?;
        Ok(Token {
            key,
            expires: body.token.expires_at,
        })
    }

    /// What is remembered of a token; `None` if Keystone has to be asked.
    pub fn known(&self, token: &str) -> Option<Result<(), Denied>> {
        let known = self.known.get(token)?;
        if known.expires <= SystemTime::now() {
            return None;
        }
        Some(self.judge(&known))
    }

    /// Lets a token in, or not. Several requests with one unknown token ask Keystone once.
    pub fn check(&self, token: &str) -> Result<(), Denied> {
        if token.is_empty() || token.len() > TOKEN_LENGTH_MAX {
            return Err(Denied::Token);
        }
        if self
            .known
            .get(token)
            .is_some_and(|known| known.expires <= SystemTime::now())
        {
            self.known.invalidate(token);
        }
        let known = self
            .known
            .try_get_with(token.to_owned(), || self.validate(token));
        self.judge(&known.map_err(|denied| Denied::clone(&denied))?)
    }

    fn judge(&self, known: &Known) -> Result<(), Denied> {
        if known.admin {
            return Ok(());
        }
        Err(Denied::Role(self.config.admin_roles.join(", ")))
    }

    /// Asks Keystone about a token. The cluster's own token is renewed once if it has run out.
    fn validate(&self, token: &str) -> Result<Known, Denied> {
        let own = self.own_token(None)?;
        let mut answer = self.ask_about(token, &own)?;
        if answer.status() == 401 {
            let own = self.own_token(Some(&own))?;
            answer = self.ask_about(token, &own)?;
        }
        match answer.status().as_u16() {
            200 => self.read(answer),
            404 => Err(Denied::Token),
            401 | 403 => Err(Denied::Unavailable(format!(
                "user {} may not validate tokens",
                self.config.username
            ))),
            status => Err(Denied::Unavailable(format!("status {status}"))),
        }
    }

    fn ask_about(&self, token: &str, own: &str) -> Result<Response<ureq::Body>, Denied> {
        self.http
            .get(self.tokens_url())
            .header("X-Auth-Token", own)
            .header("X-Subject-Token", token)
            .call()
            .map_err(unavailable)
    }

    fn read(&self, mut answer: Response<ureq::Body>) -> Result<Known, Denied> {
        let body: Body = answer.body_mut().read_json().map_err(unavailable)?;
        let expires = time::parse(&body.token.expires_at)
            .ok_or_else(|| Denied::Unavailable("expires_at is not a time".to_owned()))?;
        let admin = body
            .token
            .roles
            .iter()
            .any(|r| self.config.admin_roles.contains(&r.name));
        if expires <= SystemTime::now() {
            return Err(Denied::Token);
        }
        Ok(Known { admin, expires })
    }

    /// The cluster's own token; a new one if it is still the one that was refused.
    fn own_token(&self, refused: Option<&str>) -> Result<String, Denied> {
        // held while asking, so that one token is asked for, not one by each request
        let mut own = self
            .own_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = own.as_ref().filter(|token| Some(token.as_str()) != refused) {
            return Ok(token.clone());
        }
        let credentials = Credentials {
            username: self.config.username.clone(),
            password: self.config.password.reveal().to_owned(),
            project: None,
        };
        let (token, _) = self
            .authenticate(&credentials)
            .map_err(|denied| match denied {
                Denied::Credentials => {
                    let user = &self.config.username;
                    Denied::Unavailable(format!("the cluster's own user {user} cannot log in"))
                }
                other => other,
            })?;
        *own = Some(token.clone());
        Ok(token)
    }

    /// A project is given by name or by id, and nothing says which: both are tried.
    fn authenticate(&self, credentials: &Credentials) -> Result<(String, Body), Denied> {
        let project = credentials
            .project
            .as_deref()
            .unwrap_or(&self.config.project);
        let by_name = json!({"name": project, "domain": domain(&self.config.project_domain)});
        let by_id = json!({"id": project});
        let scopes = if looks_like_id(project) {
            vec![by_id, by_name]
        } else {
            vec![by_name, by_id]
        };
        for scope in scopes {
            match self.authenticate_for(credentials, scope) {
                Err(Denied::Credentials) => {}
                other => return other,
            }
        }
        Err(Denied::Credentials)
    }

    fn authenticate_for(
        &self,
        credentials: &Credentials,
        project: Value,
    ) -> Result<(String, Body), Denied> {
        let user = json!({
            "name": credentials.username,
            "domain": domain(&self.config.user_domain),
            "password": credentials.password,
        });
        let request = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }});
        let mut answer = self
            .http
            .post(self.tokens_url())
            .send_json(request)
            .map_err(unavailable)?;
        match answer.status().as_u16() {
            201 => {}
            400 | 401 | 403 | 404 => return Err(Denied::Credentials),
            status => return Err(Denied::Unavailable(format!("status {status}"))),
        }
        let token = answer
            .headers()
            .get("X-Subject-Token")
            .and_then(|t| t.to_str().ok());
        let token = token
            .ok_or_else(|| Denied::Unavailable("no X-Subject-Token in the answer".to_owned()))?
            .to_owned();
        let body = answer.body_mut().read_json().map_err(unavailable)?;
        Ok((token, body))
    }

    fn tokens_url(&self) -> String {
        format!("{}/auth/tokens", self.config.url.trim_end_matches('/'))
    }
}

/// A domain is known by the id `default` or by a name.
fn domain(text: &str) -> Value {
    if text == "default" {
        json!({"id": text})
    } else {
        json!({"name": text})
    }
}

fn looks_like_id(text: &str) -> bool {
    text.len() >= 32 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// The error's text names the address, never what was sent.
fn unavailable(error: ureq::Error) -> Denied {
    Denied::Unavailable(error.to_string())
}
