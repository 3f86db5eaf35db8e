//! Runs a bench in a session of its own and cleans up behind it, however it ends.
//!
//! The bench is a child process. Its session gets a scheduler group of its own, with priority over
//! what else the machine does. The parent only waits: when the child has crashed or the operator
//! interrupts, it removes what the child's lab has left.

use crate::{
    error::{BenchError, Context},
    process::Running,
};
use lab::Lab;
use std::{
    env, fs,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Tells the child that it is one.
const CHILD: &str = "MIDONET_BENCH_CHILD";
/// Weight of the child's scheduler group, as a nice value.
const GROUP_NICE: &str = "-15";
/// How soon an interruption is noticed.
const LOOK: Duration = Duration::from_millis(50);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// In the child: `work`. In the parent: start the child, wait, clean up.
pub fn guarded(work: impl FnOnce() -> Result<(), BenchError>) -> Result<ExitCode, BenchError> {
    if env::var_os(CHILD).is_some() {
        // without the privilege the figures are merely noisier
        let _ = fs::write("/proc/self/autogroup", GROUP_NICE);
        work()?;
        return Ok(ExitCode::SUCCESS);
    }
    catch_signals();
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command.args(env::args_os().skip(1)).env(CHILD, "1");
    let ended = wait(own_session(&mut command));
    if !matches!(ended, Ok(ExitCode::SUCCESS)) {
        // a new lab begins with removing those whose owner is gone
        drop(Lab::new()?);
    }
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
