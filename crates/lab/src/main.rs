//! `midonet-lab`
fn main() {}
