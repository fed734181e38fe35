//! Stripe: the proof that a body came from it, and the door to its API.

mod api_key;
mod client;
pub mod endpoints;
mod error;
pub mod line_items;
mod pace;
mod path;
pub mod signature;

pub use api_key::ApiKey;
pub use client::{API_BASE, Answer, Asked, Client};
pub use error::StripeError;
pub use pace::Share;
pub use path::encoded;
