//! `reconcile {"action":"balance"}`: what moved at Stripe against the ledger, to the cent.

pub mod books;
mod categories;
mod pages;
mod planted;
mod whole;
