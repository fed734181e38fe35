//! Ends that nobody chose: the function, its connection or its database go away, at each place and at random. Stripe
//! delivers again, as it does, and the rows must be those of a run without any of it.

mod arena;
mod at_random;
mod cases;
mod messages;
