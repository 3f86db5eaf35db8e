//! `midonet`, the operator's tool, and `mm-ctl`, the tool that Nova calls: one program, told apart
//! by the name it is called by.

mod command;
mod error;
mod mm_ctl;
mod options;
mod table;

use clap::Parser;
use std::{env, io, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    if let Some(ours) = mm_ctl::arguments(&arguments) {
        return mm_ctl::run(ours);
    }
    let called = command::Midonet::parse_from(arguments);
    command::run(called, &mut io::stdout().lock()).unwrap_or_else(|error| {
        eprintln!("midonet: {error}");
        ExitCode::FAILURE
    })
}
