//! A network namespace, gone when dropped.

use crate::{error::BenchError, process::output};
use std::process::Command;

/// Where iproute2 keeps the names.
const NAMES: &str = "/run/netns";
/// Every namespace here: room for short connections, addresses usable at once.
const SYSCTLS: &[(&str, &str)] = &[
    ("net/ipv4/ip_local_port_range", "1024 65535"),
    ("net/ipv4/tcp_tw_reuse", "1"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
];

/// A namespace by name.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace with its loopback up.
    pub fn create(name: String) -> Result<Self, BenchError> {
        output(Command::new("ip").args(["netns", "add", &name]))?;
        let made = Self { name };
        made.ip("link set lo up")?;
        for (key, value) in SYSCTLS {
            made.sysctl(key, value)?;
        }
        Ok(made)
    }

    /// `ip` inside the namespace; words are separated by blanks.
    pub fn ip(&self, words: &str) -> Result<String, BenchError> {
        output(
            Command::new("ip")
                .args(["-n", &self.name])
                .args(words.split_whitespace()),
        )
    }

    /// Several `ip` commands, one a line.
    pub fn ip_all(&self, lines: &str) -> Result<(), BenchError> {
        lines
            .lines()
            .filter(|l| !l.trim().is_empty())
            .try_for_each(|l| self.ip(l).map(drop))
    }

    /// Sets a value below /proc/sys.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), BenchError> {
        let script = r#"printf %s "$1" > "/proc/sys/$2""#;
        output(self.command("sh").args(["-c", script, "sh", value, key])).map(drop)
    }

    /// A command that will run inside the namespace. Not `ip netns exec`: that hides /sys.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={NAMES}/{}", self.name))
            .arg(program);
        command
    }

    /// Joins two namespaces by a veth pair, both ends up.
    pub fn join(&self, end: &str, other: &Netns, other_end: &str) -> Result<(), BenchError> {
        let pair = format!(
            "link add {end} type veth peer name {other_end} netns {}",
            other.name
        );
        self.ip(&pair)?;
        self.ip(&format!("link set {end} up"))?;
        other.ip(&format!("link set {other_end} up")).map(drop)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes every namespace whose name begins with `prefix`, and the processes inside.
pub fn remove_all(prefix: &str) {
    let Ok(entries) = std::fs::read_dir(NAMES) else {
        return;
    };
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    names
        .filter(|n| n.starts_with(prefix))
        .for_each(|n| remove(&n));
}

/// Best effort: this also runs while something else has already failed.
fn remove(name: &str) {
    let inside = output(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
    for pid in inside
        .split_whitespace()
        .filter_map(|p| p.parse::<i32>().ok())
    {
        // SAFETY: a plain system call; the process is inside a namespace of our own making.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    let _ = output(Command::new("ip").args(["netns", "del", name]));
}
