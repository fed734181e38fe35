//! Changes between backups: captured in the database, exported to the bucket, read back for any instant.
//!
//! # What is in the bucket
//!
//! ```text
//! v1/changes/<chain>/<sequence>-<utc time>-<digits>/manifest.json                  written last
//!                                                  /changes/00000.copy.zst.age     rows, in order
//!                                                  /transactions/00000.copy.zst.age   those of several statements
//! ```
//!
//! A segment holds whole transactions: those that its snapshot sees and its predecessor's did not. Its manifest names
//! the predecessor by name and checksum, so that a chain is one history or none. `docs/decisions/0022` has the reasons.
//!
//! # One history
//!
//! The row of `recoup.change_segments` that names a segment is committed before its manifest is stored. A database that
//! does not know a segment of its chain has therefore lost something that was exported, or another database writes the
//! same chain: either way it begins a new one. The manifest of a full backup says which segment was the newest when
//! it began ([`crate::archive::manifest::ChangesLink`]), and replay begins with the one after.
//!
//! # Which state an instant has
//!
//! That of the newest full backup whose snapshot was taken by then, and every transaction that this snapshot does not
//! see, that the first segment taken at or after the instant (or one before it) holds, and whose last captured
//! statement was by then. A transaction that another one of them depends on is always one of them, since it had
//! committed before the other's statement ended.

pub mod capture;
pub mod chain;
pub mod change;
pub mod check;
mod definitions;
pub mod error;
pub mod export;
pub mod instants;
pub mod link;
pub mod manifest;
mod moment;
pub mod names;
mod position;
pub mod prune;
mod removal;
pub mod replay;
pub mod row_text;
pub mod snapshot;
pub mod stream;
pub mod uncaptured;
mod window;

pub use change::{Action, Change};
pub use error::ChangesError;
pub use manifest::{CapturedTable, SegmentManifest};
pub use names::{ChainId, SegmentId};
pub use replay::Replay;
pub use stream::ChangeStream;
