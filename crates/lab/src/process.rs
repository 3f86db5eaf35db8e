//! A program that a lab runs in the background, and its record on disk.

use crate::{LabError, Netns, error::Context, wait::until};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// How long a program gets to end by itself.
const END_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a log that go into an error message.
const LOG_TAIL: u64 = 4000;

/// What to run, so that it can be run again.
#[derive(Clone, Debug)]
pub struct Program {
    /// Names its log and its record.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Where it runs; the caller's namespace if absent.
    pub netns: Option<Netns>,
}

/// A running [`Program`]. Dropping it kills it, unless its lab stays.
#[derive(Debug)]
pub struct Process {
    program: Program,
    dir: PathBuf,
    child: Child,
    stays: bool,
}

impl Process {
    /// Starts a program; its output is appended to `<dir>/<name>.log`.
    pub(crate) fn start(program: Program, dir: &Path, stays: bool) -> Result<Self, LabError> {
        let child = spawn(&program, dir)?;
        Ok(Self {
            program,
            dir: dir.to_owned(),
            child,
            stays,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) -> Result<(), LabError> {
        // a child that has ended already has nothing left to kill
        let _ = self.child.kill();
        self.child
            .wait()
            .what(|| format!("waiting for {}", self.program.name))?;
        let _ = fs::remove_file(record(&self.dir, &self.program.name));
        Ok(())
    }

    /// Asks it to end and waits until it has; gives how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus, LabError> {
        signal(self.child.id().cast_signed(), libc::SIGTERM);
        let what = format!("end of {}", self.program.name);
        let status = until(&what, END_LIMIT, || self.child.try_wait().ok().flatten())?;
        let _ = fs::remove_file(record(&self.dir, &self.program.name));
        Ok(status)
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        signal(self.child.id().cast_signed(), number);
    }

    /// Starts it again after it has ended.
    pub fn start_again(&mut self) -> Result<(), LabError> {
        self.child = spawn(&self.program, &self.dir)?;
        Ok(())
    }

    /// The end of its log, for error messages.
    pub fn log_tail(&self) -> String {
        tail(&log(&self.dir, &self.program.name)).unwrap_or_default()
    }

    /// Memory it holds now, KiB.
    pub fn resident_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Processor time it has used.
    pub fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        let after = stat.rsplit_once(')')?.1;
        let ticks: u64 = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|t| t.parse::<u64>().ok())
            .sum();
        // SAFETY: no arguments that could be wrong.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.stays {
            // nobody is left to tell; the next lab in this slot would kill it
            let _ = self.kill();
        }
    }
}

fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

fn record(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.pid"))
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn spawn(program: &Program, dir: &Path) -> Result<Child, LabError> {
    let mut command = match &program.netns {
        Some(netns) => netns.command(&program.path)?,
        None => Command::new(&program.path),
    };
    let path = log(dir, &program.name);
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .what(|| format!("opening {}", path.display()))?;
    let errors = output
        .try_clone()
        .what(|| format!("opening {}", path.display()))?;
    // its own group: an interrupt at the terminal is for us, and we decide what ends
    let child = command
        .args(&program.args)
        .envs(&program.env)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .what(|| format!("starting {}", program.path.display()))?;
    let path = record(dir, &program.name);
    let born = born(child.id().cast_signed()).unwrap_or_default();
    fs::write(&path, format!("{} {born}\n", child.id()))
        .what(|| format!("writing {}", path.display()))?;
    Ok(child)
}

/// Kills the programs whose records are in a lab's folder.
pub(crate) fn kill_recorded(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let records = entries
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "pid"));
    let recorded: Vec<i32> = records.filter_map(|path| alive(&path)).collect();
    kill_all(&recorded, END_LIMIT);
}

/// The process of a record, if it is still the one that was recorded: ids are used again.
fn alive(record: &Path) -> Option<i32> {
    let text = fs::read_to_string(record).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (born(pid)?.to_string() == started).then_some(pid)
}

/// Kills processes and waits until they are gone.
pub(crate) fn kill_all(pids: &[i32], limit: Duration) {
    for pid in pids {
        signal(*pid, libc::SIGKILL);
    }
    // what stays is a process in an uninterruptible call; its namespace goes when it returns
    let _ = until("end of killed processes", limit, || {
        pids.iter().all(|pid| gone(*pid)).then_some(())
    });
}

/// Whether a process has ended; a zombie of ours has.
fn gone(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z')),
        Err(_) => true,
    }
}

/// When a process started, in ticks since boot.
fn born(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: a plain system call; a process that is gone is not an error here.
    unsafe { libc::kill(pid, signal) };
}
