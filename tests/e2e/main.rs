//! End-to-end tests on the local stack, in one binary.

mod http;
mod schema_pg_dump;
mod stack_ends;
mod stack_lambda;
mod stack_postgres;
mod stack_stores;
mod stripe_stand_in;
mod support;
mod webhook;
