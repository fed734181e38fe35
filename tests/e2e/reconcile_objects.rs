//! `reconcile {"action":"objects"}`: the rows become what Stripe's objects say, whatever was lost here.

mod bad_input;
mod dry_run;
mod gap;
pub mod life;
mod rate;
mod shown;
mod wiped;
