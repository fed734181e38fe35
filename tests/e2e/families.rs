//! The families of events beyond a sale and its refunds: what each writes, in the shapes of several years, and that
//! no order of deliveries ends elsewhere.

mod amounts;
mod catalogue;
mod coaching;
mod connect;
mod disputes;
pub mod history;
mod invoices;
mod subscription_sales;
mod subscriptions;
mod ties;
