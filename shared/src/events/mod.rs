//! Stripe's events: read, filed and applied.
//!
//! **Consistency.** One event is one statement is one commit ([`inbox`]): the inbox's row, the effects and the
//! status are there together or not at all. There is no state in between to crash in.
//!
//! **Order.** The network's order does not matter. A row that mirrors an object carries the event that last
//! wrote it, with that event's time and rank, and older events do not overwrite it; two that neither sets in
//! order are settled by what they changed, or marked and asked of Stripe ([`tie`]). What follows from several
//! objects (a grant from an order and its refunds) is worked out anew from all of them by whichever event comes
//! last. Two that run at once meet in the row of their payment: one of them fails to serialize, and is repeated.
//!
//! **Once.** Natural keys make every grant and every posting idempotent, whichever path brings it.
//!
//! **Never lost.** A body that was signed is kept to the byte, whatever is wrong with it ([`envelope`],
//! [`receive`]).

pub mod catalog_item;
pub mod charge;
pub mod checkout_session;
pub mod connected_account;
pub mod customer;
pub mod dispute;
pub mod effect;
pub mod envelope;
pub mod field;
pub mod grant;
pub mod inbox;
pub mod invoice;
pub mod invoice_line;
pub mod invoice_payment;
pub mod list;
pub mod payment_intent;
pub mod payout;
pub mod reading;
pub mod receive;
pub mod refund;
pub mod retry;
pub mod row;
pub mod statement;
pub mod subscription;
pub mod tie;
pub mod types;
