//! Changes between backups: captured, exported, checked, and replayed to any instant.

mod apply;
mod barriers;
mod command;
mod damage;
mod exact;
mod export;
mod workload;
