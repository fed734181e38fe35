//! Prune, over the real stack.

mod interrupted;
mod locked;
mod old_backups;
mod protected;
mod refused;
