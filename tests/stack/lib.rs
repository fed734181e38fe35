//! The local stack.

// The Stripe stand-in writes whole API objects as one json! each: the macro recurses once per token.
#![recursion_limit = "512"]

pub mod stripe;
