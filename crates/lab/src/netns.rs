//! A named network namespace.

use crate::{
    LabError,
    error::Context,
    programs::{ip, run},
};
use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::PathBuf,
    process::Command,
    thread,
};

/// Where `ip netns` keeps namespaces.
const FOLDER: &str = "/run/netns";

/// A network namespace by name. Dropping it leaves the namespace: its lab removes it.
#[derive(Clone, Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes one, with its loopback up.
    pub fn create(name: &str) -> Result<Self, LabError> {
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        Ok(Self::existing(name))
    }

    /// One that is there already.
    pub fn existing(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(FOLDER).join(&self.name)
    }

    /// Runs `ip` in it, with words split at blanks.
    pub fn ip(&self, words: &str) -> Result<String, LabError> {
        ip(&format!("-n {} {words}", self.name))
    }

    /// Writes a `net.*` setting of it, given as a path below `/proc/sys/net`.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/proc/sys/net/{path}");
        self.enter(|| std::fs::write(&path, value))?
            .what(|| format!("writing {path}"))
    }

    /// A command that will run in it. The rest of the file system is left as it is, unlike with
    /// `ip netns exec`, which hides the bpf file system.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command, LabError> {
        let namespace = self.open()?;
        let mut command = Command::new(program);
        // SAFETY: setns is async-signal-safe, and the file lives in the closure.
        unsafe { command.pre_exec(move || enter(&namespace)) };
        Ok(command)
    }

    /// Runs a command in it to its end and gives what it printed; words are split at blanks.
    pub fn run(&self, line: &str) -> Result<String, LabError> {
        let mut words = line.split_whitespace();
        run(self.command(words.next().unwrap_or_default())?.args(words))
    }

    /// Runs `work` on a thread inside it: sockets that it makes belong to the namespace for good.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let namespace = self.open()?;
        let entered = thread::scope(|scope| {
            let worker = scope.spawn(|| enter(&namespace).map(|()| work()));
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        entered.what(|| format!("entering network namespace {}", self.name))
    }

    /// Names of all namespaces that begin with `prefix`.
    pub(crate) fn list(prefix: &str) -> Vec<Self> {
        let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        names
            .filter(|n| n.starts_with(prefix))
            .map(|n| Self::existing(&n))
            .collect()
    }

    /// Ids of the processes inside.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let listed = ip(&format!("netns pids {}", self.name)).unwrap_or_default();
        listed
            .lines()
            .filter_map(|l| l.trim().parse().ok())
            .collect()
    }

    /// Removes it; its interfaces go as well.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        ip(&format!("netns del {}", self.name)).map(drop)
    }

    fn open(&self) -> Result<File, LabError> {
        File::open(self.path()).what(|| format!("opening {}", self.path().display()))
    }
}

fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: a plain system call on an open file.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
