//! Writing an event: its row, its effects and its status, in one statement.

use std::time::Duration;

use rand::Rng;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, Row};
use time::OffsetDateTime;

use super::effect::Effect;
use super::envelope::{Event, Payload};
use super::field::Text;
use super::statement::Statement;
use crate::db::{SETTINGS, Statements};
use crate::failure::Failure;

/// How often a statement is repeated that met another one of the same sale.
pub const CONFLICT_ATTEMPTS_MAX: u32 = 10;

/// Which door an event came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Stripe called the webhook.
    Webhook,
    /// Stripe sent it through Amazon EventBridge.
    EventBridge,
    /// `reconcile` found it missing, or tried it again.
    Reconcile,
    /// A person had it tried again.
    Operator,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::EventBridge => "eventbridge",
            Self::Reconcile => "reconcile",
            Self::Operator => "operator",
        }
    }
}

/// The settings that events rely on, whoever connects: see [`record_applied`]. The limits end a statement
/// before Lambda's gateway ends the request.
///
/// Every statement here finds its rows by key. So it is planned once a connection, and never from what the tables
/// happened to hold then: a plan made for empty tables would read them whole ever after, and planning each time
/// costs more than running (PostgreSQL documentation, "Query Planning").
pub fn session_options(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("default_transaction_isolation", "repeatable read")]).options(SETTINGS)
}

/// Why an event could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The rows refuse this event: trying again will not help, so it is kept as failed.
    #[error("{0}")]
    Rejected(String),
    /// Postgres cannot be used now; nothing was written, and the event must be sent again.
    #[error("write event: Postgres cannot be used now; nothing was written, send the event again")]
    Unavailable(#[source] sqlx::Error),
    /// The tables are not there.
    #[error(
        "write event: the tables of schema recoup are missing or of another version; apply the migrations"
    )]
    SchemaMissing(#[source] sqlx::Error),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let error_type = match &error {
            WriteError::Rejected(_) => "EventRejected",
            WriteError::Unavailable(_) => "DatabaseUnavailable",
            WriteError::SchemaMissing(_) => "SchemaMissing",
        };
        Self::new(error_type, error.to_string()).with_source(error)
    }
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error().map(|error| error.downcast_ref::<PgDatabaseError>())
        else {
            return Self::Unavailable(error);
        };
        // PostgreSQL documentation, appendix A: class 22 is data that does not fit, class 23 a constraint,
        // class 54 a limit, such as that of an index entry.
        match database.code() {
            code if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
                Self::Rejected(match database.constraint() {
                    Some(constraint) => format!("the rows refuse it: constraint {constraint}"),
                    None => format!("the rows refuse it: {} ({code})", database.table().unwrap_or("a value")),
                })
            }
            "3F000" | "42P01" | "42703" | "42704" => Self::SchemaMissing(error),
            _ => Self::Unavailable(error),
        }
    }
}

/// What became of an event that has effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Whether it is applied now; else it had been settled before, and nothing was written.
    pub applied: bool,
    /// Whether the order of its object's events is open: see [`super::tie`].
    pub tied: bool,
}

/// Records an event with its effects.
///
/// The connection must have [`session_options`]: at isolation level repeatable read, and because all that settle one
/// sale write its row in `payment_orders`, of two that run at once one fails instead of acting on a state that
/// lacks the other. It is repeated here.
///
/// # Errors
/// See [`WriteError`].
pub async fn record_applied(
    connection: &mut impl Statements,
    event: &Event<'_>,
    effect: &Effect,
    source: Source,
) -> Result<Recorded, WriteError> {
    let mut short = effect.short_statement();
    let mut attempt = 1;
    loop {
        let text = short.unwrap_or(effect.statement());
        let statement = bound(sqlx::query(text), event, effect, source, effect.rank());
        match connection.fetch_one(statement).await {
            Ok(row) if short.is_some() && !row.try_get("ready")? => short = None,
            Ok(row) => {
                return Ok(Recorded {
                    applied: row.try_get("recorded")?,
                    tied: effect.mirrors().is_some() && row.try_get("tied")?,
                });
            }
            Err(error) if attempt < CONFLICT_ATTEMPTS_MAX && met_another(&error) => {
                pause(attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes an effect's object once more, from `event`, whose key its row has; `rank` is that key's.
///
/// # Errors
/// Postgres' own.
pub(super) async fn write_again(
    connection: &mut PgConnection,
    event: &Event<'_>,
    effect: &Effect,
    rank: i64,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(AssertSqlSafe(effects_alone(effect)));
    bound(query, event, effect, Source::Webhook, rank).persistent(false).execute(connection).await?;
    Ok(())
}

/// The family's statement for an object that no event brought just now: it records none.
pub(super) fn effects_alone(effect: &Effect) -> String {
    let effects = effect
        .statement()
        .strip_prefix(concat!(include_str!("sql/ready.sql"), include_str!("sql/record_applied.sql")))
        .expect("every family's statement begins by recording the event");
    format!("{}{effects}", include_str!("sql/write_again.sql"))
}

/// Waits a little before a statement is repeated that met another one: not the first time, for the other one has
/// committed when this one fails.
pub async fn pause(attempt: u32) {
    if attempt > 1 {
        let pause = rand::rng().random_range(0..1_u64 << attempt.min(6));
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// Serialization failure, deadlock.
pub fn met_another(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "40001" || code == "40P01")
}

/// Records an event that has no effect, with the reason. `false` where it was there already.
///
/// # Errors
/// See [`WriteError`].
pub async fn record_ignored(
    connection: &mut impl Statements,
    event: &Event<'_>,
    source: Source,
    reason: &str,
) -> Result<bool, WriteError> {
    let statement = own_values(sqlx::query(include_str!("sql/record_ignored.sql")), event, source)
        .bind(reason)
        .bind(held_for_us(event));
    Ok(connection.execute(statement).await?.rows_affected() == 1)
}

/// Records an event that could not be applied, with the reason, for another try. `None` where it had been
/// settled before, else whether it is dead now: all tries are used up.
///
/// # Errors
/// See [`WriteError`].
pub async fn record_failed(
    connection: &mut impl Statements,
    event: &Event<'_>,
    livemode: bool,
    source: Source,
    reason: &str,
) -> Result<Option<bool>, WriteError> {
    let (text, raw) = match event.payload() {
        Payload::Text(text) => (Some(text), None),
        Payload::Raw(bytes) => (None, Some(bytes)),
    };
    let statement = sqlx::query(include_str!("sql/record_failed.sql"))
        .bind(&event.id)
        .bind(&event.kind)
        .bind(event.api_version.as_ref().map(Text::as_str))
        .bind(event.account.as_ref().map(Text::as_str))
        .bind(event.livemode.unwrap_or(livemode))
        .bind(event.created.unwrap_or_else(OffsetDateTime::now_utc))
        .bind(text)
        .bind(raw)
        .bind(source.name())
        .bind(reason)
        .bind(held_for_us(event));
    Ok(match connection.fetch_optional(statement).await? {
        Some(row) => Some(row.try_get::<String, _>("status")? == "dead"),
        None => None,
    })
}

/// Binds an event and its effect to the family's statement.
pub(super) fn bound<'q>(
    statement: Statement<'q>,
    event: &'q Event<'_>,
    effect: &'q Effect,
    source: Source,
    rank: i64,
) -> Statement<'q> {
    effect.bind(own_values(statement, event, source).bind([rank, held_for_us(event)]))
}

/// For how many microseconds we have had the event.
fn held_for_us(event: &Event<'_>) -> i64 {
    i64::try_from(event.received.elapsed().as_micros()).unwrap_or(i64::MAX)
}

/// Binds $1 to $8. An event whose envelope lacks one of these never comes here: it is recorded as failed.
fn own_values<'q>(statement: Statement<'q>, event: &'q Event<'_>, source: Source) -> Statement<'q> {
    let text = match event.payload() {
        Payload::Text(text) => Some(text),
        Payload::Raw(_) => None,
    };
    statement
        .bind(&event.id)
        .bind(&event.kind)
        .bind(event.api_version.as_ref().map(Text::as_str))
        .bind(event.account.as_ref().map(Text::as_str))
        .bind(event.livemode)
        .bind(event.created)
        .bind(text)
        .bind(source.name())
}
