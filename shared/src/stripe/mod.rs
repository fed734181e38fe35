//! Stripe: the proof that a body came from it, and the door to its API.

mod client;
mod line_items;
pub mod signature;

pub use client::{API_BASE, ApiKey, Client, StripeError};
