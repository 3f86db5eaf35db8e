//! Helper commands: run to the end, or kept running until dropped.

use crate::error::{BenchError, Context};
use lab::Netns;
use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// What `timeout` exits with when time was up.
const TIMEOUT_STATUS: i32 = 124;

/// Runs a command to its end; what it printed.
pub fn output(command: &mut Command) -> Result<String, BenchError> {
    let line = line_of(command);
    let done = die_with_parent(command)
        .output()
        .context(format!("run `{line}`"))?;
    let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(stdout);
    }
    let said = format!("{stdout}{}", String::from_utf8_lossy(&done.stderr))
        .trim()
        .to_owned();
    Err(BenchError::Command {
        command: line,
        status: done.status,
        said,
    })
}

/// Runs a command in a namespace to its end, or ends it when `limit` has passed.
pub fn output_within(
    netns: &Netns,
    limit: Duration,
    program: &str,
    words: &[&str],
) -> Result<String, BenchError> {
    let seconds = limit.as_secs().max(1);
    let mut command = netns.command("timeout")?;
    command
        .args(["--kill-after=1", &seconds.to_string(), program])
        .args(words);
    output(&mut command).map_err(|error| match error {
        BenchError::Command {
            command, status, ..
        } if status.code() == Some(TIMEOUT_STATUS) => BenchError::Timeout { command, seconds },
        other => other,
    })
}

/// A process that runs until this is dropped, or until the bench itself is gone.
pub struct Running(Child);

impl Running {
    /// Starts it; its output goes where `command` says.
    pub fn start(command: &mut Command) -> Result<Self, BenchError> {
        let line = line_of(command);
        let child = die_with_parent(command).stdin(Stdio::null()).spawn();
        child.map(Self).context(format!("start `{line}`"))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // one that has ended already is as good
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kernel kills the command when the thread that started it ends, however it ends.
fn die_with_parent(command: &mut Command) -> &mut Command {
    let set = || {
        // SAFETY: a plain system call, allowed between fork and exec.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        Ok(())
    };
    // SAFETY: the closure makes one async-signal-safe system call and allocates nothing.
    unsafe { command.pre_exec(set) }
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|w| w.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
