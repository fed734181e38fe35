//! End-to-end tests on the local stack, in one binary.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod archive_stack;
mod backup_faults;
mod backup_health;
mod backup_kinds;
mod backup_restore;
mod backup_status;
mod backup_windows;
mod concurrency;
mod corruption;
mod diskless;
mod documents;
mod door;
mod encryption;
mod families;
mod formats;
mod hard_cases;
mod hostile;
mod http;
mod kills;
mod old_refunds;
mod operators;
mod order;
mod pooler;
mod pruning;
mod rebuild;
mod restore_by_hand;
mod retry;
mod scheduled;
mod schema_pg_dump;
mod stack_ends;
mod stack_front;
mod stack_lambda;
mod stack_postgres;
mod stack_stores;
mod story;
mod stripe_cli;
mod stripe_stand_in;
mod support;
mod verify_backup;
mod verify_database;
mod verify_health;
mod verify_schema;
mod webhook;
