//! The end-to-end tests.

mod schema_pg_dump;
