//! Dependencies between crates run one way, and the inner layers stay pure.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const WORDS: &[&str] = &["wire", "bpf-abi"];
const DOMAIN: &[&str] = &["topology", "flow"];
const LOGIC: &[&str] = &["sim", "neutron-model", "api"];
const EDGES: &[&str] = &["store", "sync", "datapath", "linux", "client"];
const PROGRAMS: &[&str] = &["cluster", "agent", "midonet"];
const DEVELOPMENT: &[&str] = &["lab", "bench", "e2e"];

/// What the crates of each layer may use of ours. A crate that is in no layer fails the test, so
/// that a new one is given its place on purpose.
const LAYERS: &[(&[&str], &[&[&str]])] = &[
    (WORDS, &[]),
    (DOMAIN, &[WORDS]),
    (LOGIC, &[WORDS, DOMAIN]),
    (EDGES, &[WORDS, DOMAIN, LOGIC]),
    (PROGRAMS, &[WORDS, DOMAIN, LOGIC, EDGES]),
    // these run the programs as processes, as an operator does
    (DEVELOPMENT, &[WORDS, DOMAIN, LOGIC, EDGES]),
];

/// Edges within a layer.
const WITHIN: &[(&str, &str)] = &[
    ("flow", "topology"),
    ("neutron-model", "api"),
    ("bench", "lab"),
    // the worlds that tests use too
    ("bench", "e2e"),
    ("e2e", "lab"),
];

/// Crates from outside that words, domain and pure logic must not use.
const IMPURE_CRATES: &[&str] = &[
    "tokio",
    "axum",
    "ureq",
    "libc",
    "aya",
    "rtnetlink",
    "redb",
    "tracing",
    "moka",
];

/// What the source of a pure crate must not say outside its tests.
const IMPURE_WORDS: &[&str] = &[
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "std::sync::Mutex",
    "std::sync::atomic",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Instant::now",
    "SystemTime",
    "async fn",
    "println!",
];

struct Crate {
    name: String,
    dir: PathBuf,
    /// Names in `[dependencies]` and `[build-dependencies]`.
    uses: BTreeSet<String>,
}

#[test]
fn dependencies_run_one_way() {
    let crates = crates();
    let ours: BTreeSet<&str> = crates.iter().map(|c| c.name.as_str()).collect();
    let mut wrong = Vec::new();
    for krate in &crates {
        let Some(may) = may_use(&krate.name) else {
            wrong.push(format!("{} has no layer", krate.name));
            continue;
        };
        let edges = krate
            .uses
            .iter()
            .map(String::as_str)
            .filter(|u| ours.contains(u));
        let forbidden = edges.filter(|u| !may.contains(u));
        wrong.extend(forbidden.map(|used| format!("{} must not use {used}", krate.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn inner_layers_are_pure() {
    let pure = |c: &&Crate| [WORDS, DOMAIN, LOGIC].concat().contains(&c.name.as_str());
    let mut wrong = Vec::new();
    for krate in crates().iter().filter(pure) {
        let used = krate
            .uses
            .iter()
            .filter(|u| IMPURE_CRATES.contains(&u.as_str()));
        wrong.extend(used.map(|u| format!("{} uses {u}", krate.name)));
        let library = fs::read_to_string(krate.dir.join("src/lib.rs")).unwrap();
        if !library.contains("#![forbid(unsafe_code)]") {
            wrong.push(format!("{} does not forbid unsafe code", krate.name));
        }
        for file in sources(&krate.dir.join("src")) {
            wrong.extend(impure_words(&file).map(|w| format!("{} says {w}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let files = crates().into_iter().flat_map(|c| sources(&c.dir));
    let silent = files.filter(|f| !fs::read_to_string(f).unwrap().starts_with("//!"));
    let silent: Vec<String> = silent.map(|f| f.display().to_string()).collect();
    assert!(
        silent.is_empty(),
        "no `//!` at the top of\n{}",
        silent.join("\n")
    );
}

/// What a crate may use of ours, if it has a place in a layer.
fn may_use(name: &str) -> Option<Vec<&'static str>> {
    let (_, layers) = LAYERS.iter().find(|(crates, _)| crates.contains(&name))?;
    let within = WITHIN
        .iter()
        .filter(|(from, _)| *from == name)
        .map(|(_, to)| *to);
    Some(
        layers
            .iter()
            .copied()
            .flatten()
            .copied()
            .chain(within)
            .collect(),
    )
}

fn impure_words(file: &Path) -> impl Iterator<Item = &'static str> {
    let text = fs::read_to_string(file).unwrap();
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let code: String = code
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    IMPURE_WORDS
        .iter()
        .copied()
        .filter(move |w| code.contains(w))
}

fn crates() -> Vec<Crate> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dirs = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let read = |dir: PathBuf| {
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not named so"
        );
        let uses = uses(&manifest);
        Crate { name, dir, uses }
    };
    dirs.filter(|d| d.join("Cargo.toml").is_file())
        .map(read)
        .collect()
}

/// Names of the dependencies that are part of the product; those of tests may be anything.
fn uses(manifest: &str) -> BTreeSet<String> {
    let mut sections: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((name, _)) = line.split_once(['.', ' ', '=']) {
            sections.entry(section).or_default().insert(name.to_owned());
        }
    }
    let wanted = ["[dependencies]", "[build-dependencies]"];
    wanted
        .iter()
        .filter_map(|s| sections.remove(s))
        .flatten()
        .collect()
}

/// Rust files below a folder, without files of tests.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
    found
}
