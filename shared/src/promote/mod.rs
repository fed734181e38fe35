//! Going live: a copy that was proven takes production's place, as a whole or in part.
//!
//! - [`swap`]: the copy takes production's name in one transaction of the server; production is kept under another name, and
//!   [`undo`] brings it back the same way.
//! - [`rows`]: rows that production lacks are put in, or rows of it are made equal to the copy's.
//! - [`discard`]: what is not needed any more is dropped.
//!
//! What a database is stands in its comment ([`mark`]), which moves with it and changes in the transaction that renames it.
//! So there is no state besides to be wrong after a crash: everything is as it was, or it is done, and the same request again
//! says which. One of these runs at a time for a production database.

pub mod audit;
mod carried;
mod checks;
mod counts;
mod discard;
mod error;
mod exchange;
pub mod mark;
pub mod rows;
mod server;
mod sessions;
mod swap;
mod undo;

pub use discard::{Discarded, discard};
pub use error::PromoteError;
pub use swap::{Order, Swapped, swap};
pub use undo::undo;
