//! FRR as plain processes in one namespace: real routing daemons to stand next to.
//!
//! The daemons run as the user `frr`, so their sockets are in a folder of that user outside the
//! lab's own, which may be where no other user can look.

use crate::{
    LabError, Netns, Process, Program,
    error::Context,
    programs::run,
    wait::{until, within},
    world::Shared,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Where Debian's package puts the daemons.
const DAEMONS: &str = "/usr/lib/frr";
/// How long a daemon gets until it answers.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Running daemons: zebra and staticd. Dropping it kills them, unless their lab stays.
#[derive(Debug)]
pub(crate) struct Frr {
    dir: PathBuf,
    _daemons: [Process; 2],
}

impl Frr {
    /// Starts the daemons of the router `name`, without any routes.
    pub(crate) fn start(shared: &Shared, name: &str, netns: &Netns) -> Result<Self, LabError> {
        let dir = shared.slot.frr_dir().join(name);
        run(Command::new("install")
            .args(["-d", "-o", "frr", "-g", "frr"])
            .arg(&dir))?;
        let zebra = daemon(shared, name, netns, "zebra")?;
        let socket = dir.join("zserv.api");
        until("zebra's socket", START_LIMIT, || {
            socket.exists().then_some(())
        })?;
        let frr = Self {
            _daemons: [zebra, daemon(shared, name, netns, "staticd")?],
            dir,
        };
        within("staticd's answer", START_LIMIT, || {
            frr.vtysh(&["show version"])
                .map_err(|e| e.to_string())
                .and_then(|_| match frr.dir.join("staticd.vty").exists() {
                    true => Ok(()),
                    false => Err("no socket".to_owned()),
                })
        })?;
        Ok(frr)
    }

    /// Says lines of configuration, as after `configure terminal`.
    pub(crate) fn configure(&self, lines: &[String]) -> Result<(), LabError> {
        let lines = lines.iter().map(String::as_str);
        let all: Vec<&str> = std::iter::once("configure terminal").chain(lines).collect();
        let said = self.vtysh(&all)?;
        // vtysh ends well whatever the daemons thought of it
        match said.lines().find(|l| l.starts_with('%')) {
            None => Ok(()),
            Some(complaint) => Err(LabError::Unexpected {
                what: format!("FRR's answer to {all:?}"),
                detail: complaint.to_owned(),
            }),
        }
    }

    fn vtysh(&self, lines: &[&str]) -> Result<String, LabError> {
        let mut command = Command::new("vtysh");
        command.arg("--vty_socket").arg(&self.dir);
        lines.iter().for_each(|line| {
            command.args(["-c", line]);
        });
        run(&mut command)
    }
}

/// What a daemon starts with. FRR 8 does not put next hops back into the kernel that went with
/// their link, so routes name theirs themselves.
fn configuration(daemon: &str) -> &'static str {
    match daemon {
        "zebra" => "no zebra nexthop kernel enable\n",
        _ => "",
    }
}

fn daemon(shared: &Shared, router: &str, netns: &Netns, name: &str) -> Result<Process, LabError> {
    let dir = shared.slot.frr_dir().join(router);
    let file = |suffix: &str| dir.join(format!("{name}{suffix}"));
    let config = file(".conf");
    std::fs::write(&config, configuration(name))
        .what(|| format!("writing {}", config.display()))?;
    let mut args: Vec<_> = ["-u", "frr", "-g", "frr", "-A", "127.0.0.1", "-P", "0"]
        .map(Into::into)
        .into();
    args.extend(["--log".into(), "stdout".into()]);
    args.extend(["--vty_socket".into(), dir.clone().into()]);
    args.extend(["-z".into(), dir.join("zserv.api").into()]);
    args.extend(["-i".into(), file(".pid").into()]);
    args.extend(["-f".into(), config.into()]);
    let program = Program {
        name: format!("{router}-{name}"),
        path: Path::new(DAEMONS).join(name),
        args,
        env: BTreeMap::new(),
        netns: Some(netns.clone()),
    };
    Process::start(program, shared.slot.dir(), shared.slot.stays())
}
