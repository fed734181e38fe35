//! The end-to-end tests.

mod schema_pg_dump;
mod stack_ends;
mod stack_lambda;
mod stack_postgres;
mod stack_stores;
