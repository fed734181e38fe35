//! What happens by itself when its time comes: banks answer, payouts arrive, subscriptions renew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::resources::{invoice_steps, payouts, settlement, subscription_periods};
use super::world::Call;

/// Something that will happen. Whether it still applies is judged when its time comes: nothing is taken off.
#[derive(Debug)]
pub enum Due {
    /// The bank answers for a payment intent that is processing.
    BankAnswers { intent: Arc<str>, paid: bool },
    /// A draft invoice is finalized.
    InvoiceFinalizes(Arc<str>),
    /// An open invoice is tried again.
    InvoiceIsTried(Arc<str>),
    /// A payout reaches the bank.
    PayoutArrives(Arc<str>),
    /// Three days before a trial ends.
    TrialWillEnd(Arc<str>),
    /// A subscription's period or trial ends.
    PeriodEnds(Arc<str>),
    /// A subscription whose first invoice was never paid is given up.
    IncompleteExpires(Arc<str>),
    /// A subscription ends at its `cancel_at`.
    SubscriptionEnds(Arc<str>),
}

/// All that will happen in one account, by second and then in the order in which it was noted.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: BTreeMap<(i64, u64), Due>,
    next: u64,
}

impl Agenda {
    /// Notes that something happens at a second since 1970.
    pub fn note(&mut self, at: i64, due: Due) {
        self.entries.insert((at, self.next), due);
        self.next += 1;
    }

    pub fn is_due(&self, now: i64) -> bool {
        self.entries.first_key_value().is_some_and(|((at, _), _)| *at <= now)
    }

    /// Takes the first that is due by `now`, with its second.
    pub fn take(&mut self, now: i64) -> Option<(i64, Due)> {
        let first = self.entries.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), due) = first.remove_entry();
        Some((at, due))
    }
}

/// Has it happen, at the call's time.
pub fn happen(call: &mut Call, due: Due) {
    match due {
        Due::BankAnswers { intent, paid } => settlement::bank_answers(call, &intent, paid),
        Due::InvoiceFinalizes(invoice) => invoice_steps::finalize_by_itself(call, &invoice),
        Due::InvoiceIsTried(invoice) => invoice_steps::try_again(call, &invoice),
        Due::PayoutArrives(payout) => payouts::arrive(call, &payout),
        Due::TrialWillEnd(subscription) => subscription_periods::trial_will_end(call, &subscription),
        Due::PeriodEnds(subscription) => subscription_periods::end_period(call, &subscription),
        Due::IncompleteExpires(subscription) => subscription_periods::expire_incomplete(call, &subscription),
        Due::SubscriptionEnds(subscription) => subscription_periods::end_as_planned(call, &subscription),
    }
}
