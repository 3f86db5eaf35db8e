//! A private Keystone and Neutron, by `scripts/openstack`.

use crate::{
    Auth, Cluster, Http, Lab, LabError,
    error::Context,
    programs::{program, run},
};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Name and project of the administrator.
const ADMIN: &str = "admin";
/// What Neutron logs in to the cluster with, and the cluster to Keystone.
const SERVICE: (&str, &str) = ("neutron", "service");
/// Password of everyone: the services listen on loopback only.
const PASSWORD: &str = "secret";
/// The demo's ports: database, Keystone, Neutron. A test's are its slot's.
const DEMO_PORTS: u16 = 15_000;
/// First of the ports of tests, and how many each slot has.
const TEST_PORTS: (u16, u16) = (15_010, 3);

/// A Keystone, a Neutron and their database on loopback, with everything in one folder.
#[derive(Debug)]
pub struct OpenStack {
    dir: PathBuf,
    /// First of three ports.
    port: u16,
    stays: bool,
}

impl OpenStack {
    /// Where a lab's OpenStack will be; nothing runs yet.
    pub fn prepare(lab: &Lab) -> Self {
        let slot = lab.slot();
        let (first, each) = TEST_PORTS;
        let stays = slot.stays();
        let port = if stays {
            DEMO_PORTS
        } else {
            first + each * u16::from(slot.number())
        };
        let dir = folder(slot.dir());
        Self { dir, port, stays }
    }

    /// Starts it, with Neutron's plugin set to a cluster.
    pub fn start(&self, cluster: &str) -> Result<(), LabError> {
        let mut up = script("up", &self.dir)?;
        // what takes long is told as it happens
        up.stderr(Stdio::inherit());
        up.env("DB_PORT", (self.port + 2).to_string());
        up.env("KEYSTONE_PORT", self.port.to_string());
        up.env("NEUTRON_PORT", (self.port + 1).to_string());
        up.env("MIDONET_URI", cluster);
        up.env("MIDONET_USERNAME", SERVICE.0)
            .env("MIDONET_PROJECT", SERVICE.1);
        run(up.env("MIDONET_PASSWORD", PASSWORD)).map(drop)
    }

    /// Kills Neutron with SIGKILL.
    pub fn kill_neutron(&self) -> Result<(), LabError> {
        run(&mut script("kill-neutron", &self.dir)?).map(drop)
    }

    /// Starts Neutron after it was killed, and waits until it answers.
    pub fn start_neutron(&self) -> Result<(), LabError> {
        run(&mut script("start-neutron", &self.dir)?).map(drop)
    }

    /// What the cluster needs to check tokens.
    pub fn auth(&self) -> Auth {
        Auth::Keystone {
            url: self.keystone_url(),
            username: SERVICE.0.to_owned(),
            password: PASSWORD.to_owned(),
            project: SERVICE.1.to_owned(),
        }
    }

    /// Keystone's root.
    pub fn keystone_url(&self) -> String {
        format!("http://127.0.0.1:{}/v3", self.port)
    }

    /// Neutron's root.
    pub fn neutron_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port + 1)
    }

    /// A file for the shell that names this OpenStack to the `openstack` command.
    pub fn openrc(&self) -> PathBuf {
        self.dir.join("openrc")
    }

    /// Runs the operator's tool as the administrator; words are split at blanks.
    pub fn midonet(&self, cluster: &Cluster, line: &str) -> Result<String, LabError> {
        let mut command = Command::new(program("midonet")?);
        command
            .args(line.split_whitespace())
            .env("MIDONET_URI", cluster.url())
            .env("OS_AUTH_URL", self.keystone_url())
            .env("OS_USERNAME", ADMIN)
            .env("OS_PASSWORD", PASSWORD)
            .env("OS_PROJECT_NAME", ADMIN)
            .env("OS_USER_DOMAIN_NAME", "Default")
            .env("OS_PROJECT_DOMAIN_NAME", "Default");
        run(&mut command)
    }

    /// A client of Neutron with a token of the administrator.
    pub fn neutron(&self) -> Result<Http, LabError> {
        let domain = json!({"name": "Default"});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": ADMIN, "password": PASSWORD, "domain": domain,
            }}},
            "scope": {"project": {"name": ADMIN, "domain": domain}},
        }});
        let reply = Http::new(self.keystone_url()).send("POST", "/auth/tokens", Some(&body))?;
        let token = reply.token.ok_or_else(|| LabError::Unexpected {
            what: "Keystone's answer".to_owned(),
            detail: format!("{} {}", reply.status, reply.body),
        })?;
        Ok(Http::new(self.neutron_url()).with_token(&token))
    }
}

impl Drop for OpenStack {
    fn drop(&mut self) {
        if !self.stays
            && let Err(e) = remove(&self.dir)
        {
            eprintln!("OpenStack in {}: {e}", self.dir.display());
        }
    }
}

/// Where the OpenStack of a lab is.
fn folder(lab: &Path) -> PathBuf {
    lab.join("openstack")
}

/// Ends the OpenStack of a lab, if there is one.
pub(crate) fn remove_from(lab: &Path) -> Result<(), LabError> {
    let dir = folder(lab);
    if dir.exists() { remove(&dir) } else { Ok(()) }
}

fn remove(dir: &Path) -> Result<(), LabError> {
    // it may not run, and nobody waits for what it may still have to finish
    let _ = run(&mut script("kill-neutron", dir)?);
    run(&mut script("down", dir)?).map(drop)
}

/// The script is part of the checkout that this program was built from.
fn script(verb: &str, dir: &Path) -> Result<Command, LabError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root
        .canonicalize()
        .what(|| "finding scripts/openstack".to_owned())?;
    let mut command = Command::new(root.join("scripts/openstack"));
    command.arg(verb).arg(dir);
    Ok(command)
}
