//! What the functions share.

pub mod archive;
