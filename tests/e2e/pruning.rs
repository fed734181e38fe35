//! Prune, over the real stack.

mod interrupted;
mod locked;
pub mod old_backups;
mod protected;
mod refused;
