//! The Stripe stand-in against what Stripe's documentation says: over HTTP, by plain requests, and by Stripe's
//! own Python SDK.

mod accounts;
mod api;
mod deliveries;
mod disputes;
mod invoices;
mod limits;
mod lists;
mod official_sdk;
mod payments;
mod payouts;
mod receiver;
mod refunds;
mod refusals;
mod subscriptions;
