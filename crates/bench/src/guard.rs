//! Runs a bench in a session of its own and cleans up behind it, however it ends.
//!
//! The bench is a child process. Its session gets a scheduler group of its own, with priority over
//! what else the machine does. The parent only waits: when the child is done, has crashed or the
//! operator interrupts, it removes the namespaces and files of the child.

use crate::{
    error::{BenchError, Context},
    netns,
    process::Running,
};
use std::{
    env, fs,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Tells the child that it is one, and what the names of all it makes begin with.
const PREFIX: &str = "MIDONET_BENCH_PREFIX";
/// Tells the child where its files go.
const DIRECTORY: &str = "MIDONET_BENCH_DIRECTORY";
/// Weight of the child's scheduler group, as a nice value.
const GROUP_NICE: &str = "-15";
/// How soon an interruption is noticed.
const LOOK: Duration = Duration::from_millis(50);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What the child works with.
#[derive(Clone, Debug)]
pub struct Workplace {
    /// What names of namespaces begin with.
    pub prefix: String,
    /// Where files go.
    pub directory: std::path::PathBuf,
}

/// In the child: `work`. In the parent: start the child, wait, clean up.
pub fn guarded(
    work: impl FnOnce(&Workplace) -> Result<(), BenchError>,
) -> Result<ExitCode, BenchError> {
    if let (Ok(prefix), Some(directory)) = (env::var(PREFIX), env::var_os(DIRECTORY)) {
        // without the privilege the figures are merely noisier
        let _ = fs::write("/proc/self/autogroup", GROUP_NICE);
        work(&Workplace {
            prefix,
            directory: directory.into(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let prefix = format!("mnb{}-", std::process::id());
    let directory = tempfile::Builder::new()
        .prefix("midonet-bench-")
        .tempdir()
        .context("make a directory for files")?;
    catch_signals();
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command
        .args(env::args_os().skip(1))
        .env(PREFIX, &prefix)
        .env(DIRECTORY, directory.path());
    let ended = wait(own_session(&mut command));
    netns::remove_all(&prefix);
    ended
}

fn wait(command: &mut Command) -> Result<ExitCode, BenchError> {
    let mut child = Running::start(command)?;
    loop {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        if let Some(status) = child.ended().context("wait for the bench")? {
            let code = status.code().and_then(|c| u8::try_from(c).ok());
            return Ok(ExitCode::from(code.unwrap_or(1)));
        }
        thread::sleep(LOOK);
    }
}

fn own_session(command: &mut Command) -> &mut Command {
    let lead = || {
        // SAFETY: a plain system call, allowed between fork and exec.
        unsafe { libc::setsid() };
        Ok(())
    };
    // SAFETY: the closure makes one async-signal-safe system call and allocates nothing.
    unsafe { command.pre_exec(lead) }
}

fn catch_signals() {
    extern "C" fn note(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, note as *const () as libc::sighandler_t) };
    }
}
