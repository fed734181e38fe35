//! The end-to-end tests.

mod stripe_stand_in;
