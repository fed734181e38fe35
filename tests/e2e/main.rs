//! End-to-end tests on the local stack, in one binary.

mod backup_faults;
mod backup_restore;
mod corruption;
mod schema_pg_dump;
mod stack_ends;
mod stack_lambda;
mod stack_postgres;
mod stack_stores;
