//! The archive: what a backup consists of.

pub mod schema;
