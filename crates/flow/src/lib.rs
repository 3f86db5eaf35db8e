//! What the simulation decides and the datapath carries out: keys, masks, verdicts, drop reasons.
#![forbid(unsafe_code)]

mod decision;
mod mask;
mod packet;
mod parse;
mod reason;

pub use bpf_abi::FlowKey;
pub use decision::{Decision, Destination, Nat64, Question, Rewrite, State, Verdict};
pub use mask::{Mask, key_bytes, key_from_bytes};
pub use packet::{mapped, unmapped};
pub use parse::{EXTENSIONS_MAX, Fragment, Parsed, parse};
pub use reason::DropReason;
