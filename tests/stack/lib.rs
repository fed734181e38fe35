//! The local stack: everything that recoup runs on, on this machine, in one process and without an AWS account.
//!
//! A private real Postgres, S3, Secrets Manager, a stand-in for Stripe, and a Lambda service that runs the real function
//! binaries behind an HTTP API. The demo, the end-to-end tests and `make up` all stand on [`Stack`]. Everything listens on
//! loopback and free ports, and ends with the process, even after SIGKILL (see [`leash`]).

// The Stripe stand-in writes whole API objects as one json! each: the macro recurses once per token.
#![recursion_limit = "512"]

mod contract;
pub mod deployment;
pub mod engine;
pub mod error;
pub mod gate;
pub mod iam;
pub mod lambda;
pub mod leash;
pub mod place;
pub mod pooler;
pub mod postgres;
pub mod records;
pub mod s3;
pub mod secrets;
pub mod shop;
mod stack;
pub mod store_gate;
pub mod stripe;
mod stripe_join;
pub mod versions;

pub use error::{Error, Result};
pub use stack::{DatabaseChoice, Stack, StackBuilder};
