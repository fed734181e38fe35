//! What recoup's functions share.
//!
//! Each module is one room of the house: a function enters only those that it needs, and nothing here
//! builds a context that reaches everything. What a binary reaches is what its `main.rs` starts with.

pub mod archive;
pub mod audit;
pub mod changes;
pub mod comparison;
pub mod config;
pub mod db;
pub mod erasures;
pub mod events;
pub mod failure;
pub mod invariants;
pub mod invocation;
pub mod migrations;
pub mod money;
pub mod promote;
pub mod secrets;
pub mod stripe;
pub mod telemetry;
