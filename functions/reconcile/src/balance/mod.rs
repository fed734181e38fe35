//! The scope `balance`: what moved at Stripe against the ledger, to the cent.
//!
//! **How.** Stripe's balance transactions of a span are listed, newest first, and kept a page at a time
//! (`recoup.balance_transactions`), so that memory does not grow with them; what no event tells of is posted with its
//! page: fees, transfers, conversions. Then the automatic payouts of the span are asked for what they are made of, which
//! Stripe tells in no other way. What remains to be proven is asked for one by one, and the rest is one view:
//! `recoup.balance_comparison`.
//!
//! **Dry run.** The same work in a transaction that is rolled back: what it says is what a real run does.
//!
//! **Once.** Every posting is known by its balance transaction, and every page is a commit: whatever is repeated changes
//! nothing.

mod account;
mod books;
mod payouts;
mod proofs;
mod reply;
mod transaction;
mod window;

use std::time::SystemTime;

use recoup::events::receive::Rules;
use recoup::failure::Failure;
use recoup::stripe::Client;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use self::account::OfAccount;
pub use self::books::{Money, PaidOut};
pub use self::reply::{Reply, Totals};
pub use self::window::Span;
use crate::accounts::{self, Account, Cursor};
use crate::differences::Differences;
use crate::runs::{self, Ended};

/// One run.
pub struct Run<'r> {
    /// Where transactions and payouts are listed.
    pub stripe: &'r Client,
    /// Which accounts are ours.
    pub rules: &'r Rules,
    /// The one account that was asked for.
    pub account: Option<String>,
    /// The span.
    pub span: Span,
    /// Where the invocation before stopped.
    pub cursor: Option<Cursor>,
    /// Whether to change nothing.
    pub dry_run: bool,
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Compared {
    /// Accounts that were compared whole.
    pub accounts: u64,
    /// Balance transactions that Stripe listed.
    pub listed: u64,
    /// Payouts that Stripe listed.
    pub payouts_listed: u64,
    /// Entries that were posted, or would be.
    pub posted: u64,
    /// What differs.
    pub differences: Differences,
    /// Movements of money that nothing explains, the first hundred, in words.
    pub unexplained: Vec<String>,
    /// How many there are of them.
    pub unexplained_in_all: u64,
    /// What moved.
    pub money: Vec<(Account, Money)>,
    /// The same by currency.
    pub totals: Vec<Totals>,
    /// Payouts and what they are made of.
    pub paid_out: Vec<(Account, PaidOut)>,
    /// What the operator should know besides.
    pub warnings: Vec<String>,
    /// Where to go on.
    pub stopped: Option<Cursor>,
}

impl Run<'_> {
    /// Compares until the span is done or the invocation nears its deadline, and posts what no event tells of.
    ///
    /// # Errors
    /// Why Stripe or Postgres could not be used; what was posted by then stays posted.
    pub async fn finish(
        &self,
        connection: &mut PgConnection,
        started: OffsetDateTime,
        deadline: SystemTime,
    ) -> Result<Compared, Failure> {
        let compared = if self.dry_run {
            let mut everything = connection.begin().await.map_err(database)?;
            let compared = self.compare(&mut everything, deadline).await;
            everything.rollback().await.map_err(database)?;
            compared?
        } else {
            self.compare(connection, deadline).await?
        };
        self.record(connection, started, &compared).await?;
        Ok(compared)
    }

    async fn compare(
        &self,
        connection: &mut PgConnection,
        deadline: SystemTime,
    ) -> Result<Compared, Failure> {
        let mut compared = Compared::default();
        let accounts = accounts::compared(self.stripe, self.rules, self.account.as_deref()).await?;
        for account in accounts {
            let Some(to) = Cursor::left_of(self.cursor.as_ref(), &account, self.span.to) else { continue };
            let span = Span { to, ..self.span };
            let mut run = OfAccount {
                stripe: self.stripe,
                connection: &mut *connection,
                account: account.as_deref(),
                compared: &mut compared,
                deadline,
            };
            let stopped = match run.finish(span).await {
                Err(failure) if account.is_some() && failure.error_type() == "StripeAccountRefused" => {
                    compared.differences.add(accounts::left(account.as_deref().unwrap_or_default()));
                    continue;
                }
                ended => ended?,
            };
            if let Some(to) = stopped {
                compared.stopped = Some(Cursor { account, to });
                break;
            }
            compared.accounts += 1;
        }
        Ok(compared)
    }

    async fn record(
        &self,
        connection: &mut PgConnection,
        started: OffsetDateTime,
        compared: &Compared,
    ) -> Result<(), Failure> {
        let run = Ended {
            scope: "balance",
            narrowed: self.account.is_some(),
            from: self.span.from,
            to: self.span.to,
            dry_run: self.dry_run,
            started,
            status: if compared.stopped.is_some() { "partial" } else { "completed" },
            listed: compared.listed,
            missing: compared.differences.found(),
            repaired: if self.dry_run { 0 } else { compared.posted },
            failed: compared.unexplained_in_all,
        };
        runs::record(connection, &run).await.map_err(database)
    }
}

/// Where the last run ended that compared all accounts and left nothing unexplained.
///
/// # Errors
/// Why Postgres could not be asked.
pub async fn last_good_run(connection: &mut PgConnection) -> Result<Option<OffsetDateTime>, Failure> {
    sqlx::query_scalar(
        "select max(window_to) from recoup.reconciliations
         where scope = 'balance' and status = 'completed' and not dry_run and not narrowed and failed = 0",
    )
    .fetch_one(connection)
    .await
    .map_err(database)
}

fn database(error: sqlx::Error) -> Failure {
    let missing =
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P01");
    if missing {
        return Failure::new(
            "SchemaMissing",
            "compare the balance: the tables are of an older version; apply the migrations",
        );
    }
    Failure::new("DatabaseUnavailable", "compare the balance: Postgres cannot be used now; run it again")
        .with_source(error)
}
