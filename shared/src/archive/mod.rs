//! The archive: backups that need nothing but their bucket and a key to come back.
//!
//! # What is in the bucket
//!
//! ```text
//! v1/backups/<utc time>-<type>-<id>/manifest.json                         written last
//!                                  /schema.sql.age                        definitions
//!                                  /RESTORE.md                            aws + age + zstd + psql, nothing of ours
//!                                  /summary/rows-…_expires-…_label-…      for listings
//!                                  /data/<schema>.<table>/<part>.copy.zst.age   or .csv. or .json.
//! ```
//!
//! # Consistency
//!
//! One session takes a snapshot, exports it, and locks every table against being dropped or altered; all
//! other sessions adopt that snapshot. So a backup shows one instant, however long it takes. A table that
//! was rewritten between snapshot and lock is refused, because such a snapshot sees it empty.
//!
//! # Crashes
//!
//! Objects are created once and never overwritten. The manifest goes up last; a folder without one is no
//! backup, for listings, for `latest` and for restore. A restore fills a database of its own, marked as
//! incomplete until its digests are proven, and drops it where it fails.
//!
//! # What may leak
//!
//! Rows and definitions are encrypted to age recipients unless plaintext is asked for by name. Manifest,
//! instructions and keys are plain: they tell names of schemas, tables and columns, counts and digests of
//! whole tables. Errors never quote a row.
//!
//! # The three steps
//!
//! [`plan`], [`part`] and [`seal`] are separate, so that they can run apart; [`backup`] runs them in one
//! process.

pub mod backup;
pub mod backup_progress;
pub mod decode;
pub mod digest;
pub mod encode;
pub mod encryption;
pub mod error;
pub mod format;
pub mod instructions;
pub mod inventory;
pub mod kind;
pub mod manifest;
pub mod names;
pub mod part;
pub mod plan;
pub mod progress;
pub mod prune;
mod queue;
pub mod quick;
pub mod read_rows;
pub mod reading;
pub mod rebuild;
pub mod record;
pub mod restore;
pub mod scheduled;
pub mod schema;
pub mod seal;
pub mod selection;
pub mod session;
pub mod status;
pub mod stop;
pub mod store;
pub mod summary;
pub mod verify;

pub use error::{ArchiveError, Damage};
