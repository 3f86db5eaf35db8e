//! Words of the wire: addresses and headers as bytes, with no opinion about topology.
#![forbid(unsafe_code)]

mod mac;

pub use mac::{Mac, ParseMacError};
