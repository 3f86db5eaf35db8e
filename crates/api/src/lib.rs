//! The shapes that the programs publish: REST bodies of the cluster, answers of the agent.
#![forbid(unsafe_code)]

pub mod agent;
pub mod operator;
