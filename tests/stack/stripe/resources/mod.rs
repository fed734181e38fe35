//! The resources, a file each: an object's fields, what may be done with it, and the events that tell of it.

pub mod account;
pub mod balance_transactions;
pub mod charges;
pub mod checkout_buyer;
pub mod checkout_sessions;
pub mod customers;
mod fields;
pub mod line_items;
mod money;
pub mod payment_intents;
pub mod payment_methods;
pub mod payments;
pub mod prices;
pub mod products;
pub mod refunds;
pub mod webhook_endpoints;
