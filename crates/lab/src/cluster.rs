//! The cluster of a lab.

use crate::{Http, LabError, Process, Program, error::Context, wait::within, world::Shared};
use std::{
    collections::BTreeMap,
    net::SocketAddrV4,
    ops::{Deref, DerefMut},
    time::Duration,
};

/// Where the REST API listens.
const API_PORT: u16 = 8181;
/// Where agents connect.
pub(crate) const SYNC_PORT: u16 = 8182;
/// How long the cluster gets until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);
/// What the static mode lets in.
const STATIC_TOKEN: &str = "lab-token";

/// Who may use the REST API.
#[derive(Clone, Debug)]
pub enum Auth {
    /// One user, named in the configuration.
    Static,
    /// Users of a Keystone.
    Keystone {
        /// Its URL with the version.
        url: String,
        /// The service user's name.
        username: String,
        /// The service user's password.
        password: String,
        /// The service user's project.
        project: String,
    },
}

/// A running `midonet-cluster`.
#[derive(Debug)]
pub struct Cluster {
    process: Process,
    address: SocketAddrV4,
}

impl Cluster {
    pub(crate) fn start(shared: &Shared, auth: Auth) -> Result<Self, LabError> {
        // the demo's is where an operator's would be; others have an address of their own
        let stays = shared.slot.stays();
        let ip = if stays {
            std::net::Ipv4Addr::LOCALHOST
        } else {
            shared.address4(1)
        };
        let address = SocketAddrV4::new(ip, API_PORT);
        let dir = shared.slot.dir();
        let config = dir.join("cluster.toml");
        std::fs::write(&config, configuration(shared, address, &auth))
            .what(|| format!("writing {}", config.display()))?;
        let program = Program {
            name: "cluster".to_owned(),
            path: shared.program("midonet-cluster")?,
            args: vec!["--config".into(), config.into()],
            env: BTreeMap::from([("RUST_LOG".to_owned(), "info".to_owned())]),
            netns: None,
        };
        let process = Process::start(program, dir, stays)?;
        let mut cluster = Self { process, address };
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// Root of the REST API.
    pub fn url(&self) -> String {
        format!("http://{}/midonet-api", self.address)
    }

    /// A client of the REST API with the static mode's token.
    pub fn http(&self) -> Http {
        Http::new(self.url()).with_token(STATIC_TOKEN)
    }

    /// Waits until the REST API answers.
    pub fn wait_ready(&mut self) -> Result<(), LabError> {
        let Self { process, address } = self;
        within("cluster's REST API", START_LIMIT, || {
            if !process.is_running() {
                return Err(format!("the cluster has ended\n{}", process.log_tail()));
            }
            std::net::TcpStream::connect(*address)
                .map(drop)
                .map_err(|e| e.to_string())
        })
    }

    /// Starts it again after it was killed or stopped, and waits until it answers.
    pub fn restart(&mut self) -> Result<(), LabError> {
        self.process.start_again()?;
        self.wait_ready()
    }
}

impl Deref for Cluster {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Cluster {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn configuration(shared: &Shared, address: SocketAddrV4, auth: &Auth) -> String {
    format!(
        "[api]\nlisten = \"{address}\"\n\n\
         [sync]\nlisten = \"{sync}:{SYNC_PORT}\"\nsecret = \"{secret}\"\n\n\
         [store]\npath = \"{store}\"\n\n{auth}",
        sync = shared.address4(1),
        secret = shared.secret,
        store = shared.slot.dir().join("cluster.db").display(),
        auth = auth.configuration(),
    )
}

impl Auth {
    fn configuration(&self) -> String {
        match self {
            Auth::Static => format!(
                "[auth]\nmode = \"static\"\n\n[auth.static]\nusername = \"midonet\"\n\
                 password = \"midonet\"\ntoken = \"{STATIC_TOKEN}\"\n"
            ),
            Auth::Keystone {
                url,
                username,
                password,
                project,
            } => format!(
                "[auth]\nmode = \"keystone\"\n\n[auth.keystone]\nurl = \"{url}\"\n\
                 username = \"{username}\"\npassword = \"{password}\"\nproject = \"{project}\"\n\
                 user_domain = \"Default\"\nproject_domain = \"Default\"\n\
                 admin_roles = [\"admin\"]\n"
            ),
        }
    }
}
