//! Changes between backups: captured, exported, checked, and replayed to any instant.

mod apply;
mod barriers;
mod command;
mod copies;
mod damage;
mod exact;
mod exchanged;
mod export;
mod kept;
mod killed;
mod versions;
mod workload;
