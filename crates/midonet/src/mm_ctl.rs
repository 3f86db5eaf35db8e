//! `mm-ctl`: what Nova calls to plug a tap into a port and to unplug it.
//!
//! Exit status: 0 done, 2 bad arguments, 3 the agent refused or is not there, 13 not root.

use clap::Parser;
use client::Agent;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::ExitCode,
};
use uuid::Uuid;

/// The name under which this program is `mm-ctl`.
const NAME: &str = "mm-ctl";
const BAD_ARGUMENTS: u8 = 2;
const FAILED: u8 = 3;
const NOT_ROOT: u8 = 13;

/// Plugs interfaces of this host into ports of the virtual network.
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
struct MmCtl {
    #[command(flatten)]
    task: Task,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Task {
    /// Plug an interface into a port
    #[arg(long, num_args = 2, value_names = ["PORT", "INTERFACE"])]
    bind_port: Option<Vec<String>>,
    /// Unplug a port
    #[arg(long, value_name = "PORT")]
    unbind_port: Option<Uuid>,
}

/// The arguments of `mm-ctl` if that is what was called: by its own name or as `midonet mm-ctl`.
pub fn arguments(all: &[OsString]) -> Option<&[OsString]> {
    let is_name = |word: &OsString| Path::new(word).file_name() == Some(OsStr::new(NAME));
    match all {
        [first, ..] if is_name(first) => Some(all),
        [_, second, ..] if second == NAME => Some(&all[1..]),
        _ => None,
    }
}

/// Does what the arguments, the name first, ask for.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let called = match MmCtl::try_parse_from(arguments) {
        Ok(called) => called,
        Err(error) => {
            // nothing is left to try when the complaint cannot be printed
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_ARGUMENTS } else { 0 });
        }
    };
    ExitCode::from(carry_out(&called.task, &Agent::of_environment(), is_root()))
}

fn carry_out(task: &Task, agent: &Agent, root: bool) -> u8 {
    let bind = match task.bind_port.as_deref() {
        Some([port, interface]) => match port.parse::<Uuid>() {
            Ok(port) => Some((port, interface)),
            Err(error) => return complain(BAD_ARGUMENTS, &format!("port {port:?}: {error}")),
        },
        _ => None,
    };
    if !root {
        return complain(NOT_ROOT, "only root may plug interfaces");
    }
    let done = match (bind, task.unbind_port) {
        (Some((port, interface)), _) => agent.bind(port, interface),
        (None, Some(port)) => agent.unbind(port),
        (None, None) => return complain(BAD_ARGUMENTS, "nothing to do"),
    };
    done.map_or_else(|error| complain(FAILED, &error.to_string()), |()| 0)
}

fn complain(status: u8, what: &str) -> u8 {
    eprintln!("{NAME}: {what}");
    status
}

/// The owner of a process's own entry below /proc is its effective user.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        os::unix::net::UnixListener,
        thread,
    };

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn task(line: &str) -> Task {
        MmCtl::try_parse_from(words(line)).unwrap().task
    }

    /// An agent that gives one answer; the result, and the first line it was asked.
    fn asked(line: &str, answer: &'static str) -> (u8, String) {
        let path = std::env::temp_dir().join(format!("mm-ctl-{}.sock", Uuid::new_v4()));
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0; 4096];
            let count = stream.read(&mut seen).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&seen[..count])
                .lines()
                .next()
                .unwrap()
                .to_owned()
        });
        let status = carry_out(&task(line), &Agent::at(&path), true);
        fs::remove_file(&path).unwrap();
        (status, server.join().unwrap())
    }

    const PORT: &str = "00000000-0000-0000-0000-000000000007";

    #[test]
    fn is_called_by_either_name() {
        assert!(arguments(&words("/usr/bin/mm-ctl --help")).is_some());
        assert_eq!(
            arguments(&words("midonet mm-ctl -x")).unwrap(),
            words("mm-ctl -x")
        );
        assert!(arguments(&words("midonet status")).is_none());
    }

    #[test]
    fn binds_and_unbinds() {
        let done = "HTTP/1.0 204 No Content\r\n\r\n";
        let (status, line) = asked(&format!("mm-ctl --bind-port {PORT} tap7"), done);
        assert_eq!((status, line), (0, format!("PUT /binding/{PORT} HTTP/1.0")));
        let (status, line) = asked(&format!("mm-ctl --unbind-port {PORT}"), done);
        assert_eq!(
            (status, line),
            (0, format!("DELETE /binding/{PORT} HTTP/1.0"))
        );
    }

    #[test]
    fn a_refusal_of_the_agent_is_3() {
        let refused = "HTTP/1.0 409 Conflict\r\n\r\n{\"message\":\"interface in use\"}";
        let (status, _) = asked(&format!("mm-ctl --bind-port {PORT} tap7"), refused);
        assert_eq!(status, FAILED);
    }

    #[test]
    fn an_absent_agent_is_3_and_another_user_13() {
        let absent = Agent::at("/nonexistent/agent.sock");
        let unbind = task(&format!("mm-ctl --unbind-port {PORT}"));
        assert_eq!(carry_out(&unbind, &absent, true), FAILED);
        assert_eq!(carry_out(&unbind, &absent, false), NOT_ROOT);
    }

    #[test]
    fn bad_arguments_are_2() {
        let absent = Agent::at("/nonexistent/agent.sock");
        assert_eq!(
            carry_out(&task("mm-ctl --bind-port x tap7"), &absent, true),
            BAD_ARGUMENTS
        );
        for line in ["mm-ctl", "mm-ctl --bind-port a", "mm-ctl --unbind-port x"] {
            assert!(MmCtl::try_parse_from(words(line)).is_err(), "{line}");
        }
    }
}
