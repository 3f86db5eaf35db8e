//! Compiles the kernel program with the first clang that is there.

use std::{env, fmt::Write as _, path::Path, path::PathBuf, process::Command};

/// Tried in this order. 19 is what the project is tested with; any of them makes a program that
/// the kernel's verifier takes.
const COMPILERS: &[&str] = &[
    "clang-19", "clang-22", "clang-21", "clang-20", "clang-18", "clang-17", "clang-16", "clang-15",
    "clang-14", "clang",
];
const HELP: &str = "the kernel program needs clang and libbpf's headers; \
    on Debian or Ubuntu: apt-get install clang-19 libbpf-dev (any clang from 14 on will do)";

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../../bpf");
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-env-changed=MIDONET_CLANG");
    let out = PathBuf::from(variable("OUT_DIR")).join("midonet.bpf.o");
    let chosen = env::var("MIDONET_CLANG").ok();
    let compilers: Vec<&str> = match &chosen {
        Some(one) => vec![one],
        None => COMPILERS.to_vec(),
    };
    let Some(compiler) = compilers.iter().find(|c| has_bpf(c)) else {
        fail(&format!(
            "none of {} is installed with a BPF back end: {HELP}",
            compilers.join(", ")
        ));
    };
    if let Err(why) = compile(compiler, &root.join("midonet.bpf.c"), &out) {
        fail(&format!(
            "{compiler} cannot compile bpf/midonet.bpf.c: {HELP}\n{why}"
        ));
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

/// Reports and ends: every line goes into cargo's own message.
fn fail(message: &str) -> ! {
    let mut text = String::new();
    for line in message.lines() {
        let _ = writeln!(text, "cargo::error={line}");
    }
    print!("{text}");
    std::process::exit(1)
}

fn has_bpf(compiler: &str) -> bool {
    let out = Command::new(compiler).arg("-print-targets").output();
    out.is_ok_and(|o| o.status.success() && String::from_utf8_lossy(&o.stdout).contains("bpf"))
}

fn compile(compiler: &str, source: &Path, object: &Path) -> Result<(), String> {
    let mut command = Command::new(compiler);
    command.args([
        "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror",
    ]);
    command.args(include_dir().iter().flat_map(|dir| ["-I", dir]));
    command.arg("-c").arg(source).arg("-o").arg(object);
    let done = command.output().map_err(|e| e.to_string())?;
    if done.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

/// Where distributions with multiarch keep `asm/types.h`; others have it in /usr/include.
fn include_dir() -> Option<String> {
    let arch = variable("CARGO_CFG_TARGET_ARCH");
    let dir = format!("/usr/include/{arch}-linux-gnu");
    Path::new(&dir).join("asm/types.h").exists().then_some(dir)
}
