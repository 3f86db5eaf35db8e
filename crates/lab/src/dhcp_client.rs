//! Independent DHCP clients at a VM's interface, in the foreground: ISC dhclient, busybox udhcpc and
//! dhcpcd. What each of them is told it passes to a script, which writes it down and gives the
//! interface the address.

use crate::{LabError, Netns, Process, Program, error::Context, wait::until};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long the next event of a client may take.
const EVENT_LIMIT: Duration = Duration::from_secs(30);

/// dhclient calls it with `$reason`, udhcpc with an argument. dhcpcd sets the interface itself.
const SCRIPT: &str = r#"#!/bin/sh
# hook of a lab VM's DHCP client: touches the VM's interface and nothing else
case ${reason:-$1} in
PREINIT | PREINIT6) ip link set "$interface" up ;;
BOUND | RENEW | REBIND | REBOOT)
    [ -n "$if_configured" ] || ip addr replace "$new_ip_address/$new_subnet_mask" dev "$interface" ;;
bound | renew) ip addr replace "$ip/$mask" dev "$interface" ;;
esac
{ echo "event ${reason:-$1}"; env; echo end; } >>"TOLD"
"#;

/// Ask at once and again soon; a lab has no time for the defaults.
const DHCLIENT: &str = "\
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
option lab-224 code 224 = string;
also request rfc3442-classless-static-routes, interface-mtu, lab-224, tftp-server-name,
    bootfile-name;
also request dhcp6.bootfile-url;
timeout 20;
retry 1;
initial-interval 1;
backoff-cutoff 2;
";

/// Without its own probing, which takes seconds; the kernel does what is needed for IPv6.
const DHCPCD: &str = "\
noarp
nodelay
option interface_mtu, classless_static_routes, domain_name_servers, routers
option dhcp6_name_servers, dhcp6_domain_search
ia_na
";

/// A program that asks for addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpProgram {
    /// `dhclient` of ISC.
    Dhclient,
    /// `udhcpc` of busybox; IPv4 only.
    Udhcpc,
    /// `dhcpcd` of Roy Marples.
    Dhcpcd,
}

/// A client that runs; dropping it kills it.
#[derive(Debug)]
pub struct DhcpClient {
    process: Process,
    told: PathBuf,
    /// Events that were looked at.
    seen: usize,
}

/// What a client passes to its script in one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The program's name for the event, in capitals: `BOUND`, `RENEW` and so on.
    pub event: String,
    /// By the program's names.
    pub values: BTreeMap<String, String>,
}

impl DhcpClient {
    pub(crate) fn start(
        netns: &Netns,
        interface: &str,
        dir: &Path,
        (name, program): (&str, DhcpProgram),
        arguments: &[&str],
    ) -> Result<Self, LabError> {
        let name = format!("{name}-{}", program.name());
        let dir = dir.join(&name);
        let failed = || format!("writing files of a DHCP client in {}", dir.display());
        // what an earlier one was given must not be taken for news
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).what(failed)?;
        let (told, script) = (dir.join("told"), dir.join("script"));
        fs::write(&script, SCRIPT.replace("TOLD", &told.to_string_lossy())).what(failed)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).what(failed)?;
        fs::write(dir.join("dhclient.conf"), DHCLIENT).what(failed)?;
        fs::write(dir.join("dhcpcd.conf"), DHCPCD).what(failed)?;
        let mut line = program.line(&dir, interface);
        line.splice(
            line.len() - 1..line.len() - 1,
            arguments.iter().map(ToString::to_string),
        );
        let mut words = line.into_iter();
        let program = Program {
            path: words.next().unwrap_or_default().into(),
            args: words.map(Into::into).collect(),
            env: BTreeMap::new(),
            netns: Some(netns.clone()),
            name,
        };
        Ok(Self {
            process: Process::start(program, &dir, false)?,
            told,
            seen: 0,
        })
    }

    /// Waits for the next event of this name that was not looked at yet; others before it are passed
    /// over.
    pub fn told(&mut self, event: &str) -> Result<Told, LabError> {
        let what = format!("{event} of a DHCP client");
        let found = until(&what, EVENT_LIMIT, || {
            let text = fs::read_to_string(&self.told).unwrap_or_default();
            let events: Vec<Told> = text.split_inclusive("\nend\n").filter_map(read).collect();
            let fresh = events.get(self.seen..)?;
            let at = fresh.iter().position(|told| told.event == event)?;
            Some((self.seen + at + 1, fresh[at].clone()))
        });
        let (seen, told) = found.map_err(|error| LabError::Unexpected {
            what: error.to_string(),
            detail: self.process.log_tail(),
        })?;
        self.seen = seen;
        Ok(told)
    }

    /// The process, for what a client does when it is sent a signal.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// An event that was written to its end.
fn read(text: &str) -> Option<Told> {
    let mut lines = text.strip_suffix("\nend\n")?.lines();
    let event = lines.next()?.strip_prefix("event ")?.to_uppercase();
    let values = lines.filter_map(|line| line.split_once('='));
    let values = values.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let values = values.collect();
    Some(Told { event, values })
}

impl DhcpProgram {
    fn name(self) -> &'static str {
        match self {
            Self::Dhclient => "dhclient",
            Self::Udhcpc => "udhcpc",
            Self::Dhcpcd => "dhcpcd",
        }
    }

    /// The command line; the interface is its last word.
    fn line(self, dir: &Path, interface: &str) -> Vec<String> {
        let dir = dir.display();
        let line = match self {
            Self::Dhclient => format!(
                "dhclient -d -cf {dir}/dhclient.conf -sf {dir}/script -lf {dir}/leases \
                 -pf {dir}/pid {interface}"
            ),
            Self::Udhcpc => format!(
                "busybox udhcpc -f -s {dir}/script -t 5 -T 1 -O mtu -O staticroutes -O search \
                 -O tftp -O bootfile -O 224 -i{interface}"
            ),
            // it keeps its sockets and leases where only one of a machine can
            Self::Dhcpcd => {
                let run = format!(
                    "mkdir -p /run/dhcpcd && mount -t tmpfs lab /run/dhcpcd && \
                     mount -t tmpfs lab /var/lib/dhcpcd && \
                     exec dhcpcd -B -f {dir}/dhcpcd.conf -c {dir}/script \"$@\""
                );
                let words = ["unshare", "--mount", "sh", "-c", &run, "dhcpcd", interface];
                return words.map(str::to_owned).to_vec();
            }
        };
        line.split_whitespace().map(str::to_owned).collect()
    }
}
