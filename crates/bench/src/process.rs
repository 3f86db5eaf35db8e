//! Helper commands: run to the end, or kept running until dropped.

use crate::error::{BenchError, Context};
use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// What `timeout` exits with when time was up.
const TIMEOUT_STATUS: i32 = 124;
/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a command to its end; what it printed.
pub fn output(command: &mut Command) -> Result<String, BenchError> {
    let line = line_of(command);
    let done = die_with_parent(command)
        .output()
        .context(format!("run `{line}`"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(BenchError::Command {
        command: line,
        status: done.status,
        stderr,
    })
}

/// Runs a command to its end, or ends it when `limit` has passed.
pub fn output_within(command: &Command, limit: Duration) -> Result<String, BenchError> {
    let seconds = limit.as_secs().max(1);
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=1", &seconds.to_string()]);
    limited.arg(command.get_program()).args(command.get_args());
    output(&mut limited).map_err(|error| match error {
        BenchError::Command { status, .. } if status.code() == Some(TIMEOUT_STATUS) => {
            BenchError::Timeout {
                command: line_of(command),
                seconds,
            }
        }
        other => other,
    })
}

/// A process that runs until this is dropped, or until the bench itself is gone.
pub struct Running(Child);

impl Running {
    /// Starts it; its output goes where `command` says, by default nowhere.
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

/// Looks until `reached` says yes or time is up.
pub fn wait_for(
    what: &str,
    limit: Duration,
    mut reached: impl FnMut() -> bool,
) -> Result<(), BenchError> {
    let start = Instant::now();
    while !reached() {
        if start.elapsed() >= limit {
            let (what, seconds) = (what.to_owned(), limit.as_secs());
            return Err(BenchError::NotReached { what, seconds });
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The kernel kills the command when this process ends, however it ends.
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
