//! Restore: a backup becomes a database of its own, equal to what was backed up, and proven so.
//!
//! Production is read at the end, to say how it differs, and never written. The staging database carries a comment that
//! says `incomplete` until its digests are proven, and beside the rows a list of what is done: each piece of work
//! is committed with its mark. So a restore that its invocation has no time for, or that is killed, goes on where
//! it was. What fails for good drops the database; what only lost its connection keeps it and says how to go on.

mod analyze;
mod compare;
mod definitions;
mod documents;
mod engine;
mod found;
mod ledger;
mod leftovers;
mod load;
mod mark;
mod mask;
mod occupancy;
mod older_server;
mod order;
mod preview;
mod production;
mod replay;
mod staging;
mod standing;
mod subset;
mod wanted;

pub use compare::{RestoredTable, digest_database};
pub use engine::{HandedOver, Outcome, Phases, Rebuilt, RestoreTarget, Restoring};
pub use found::{Found, find_restore};
pub use leftovers::drop_leftovers;
pub use mark::{Mark, State};
pub(crate) use mask::mask_json;
pub use mask::{Masks, Rule};
pub use order::{Masking, Order};
pub use preview::{Preview, TablePreview};
pub use production::{DatabaseCopy, Difference, TableDifference, compare_production};
pub(super) use staging::locale;
pub use staging::{Staging, check_name};
pub use standing::Standing;
