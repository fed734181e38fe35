//! New values for the secrets, in Secrets Manager's four steps: whatever fails, is done twice or dies in between, what
//! was current goes on working, and no request is dropped.

mod arena;
mod backup_key;
mod bad_input;
mod database;
mod kills;
mod load;
mod meanwhile;
mod orphans;
mod stripe_api_key;
mod stripe_webhook;
