//! The statement that records an event and writes its effects.

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

/// A query whose first nine values are the event's own; its family binds those behind them.
pub type Statement<'q> = Query<'q, Postgres, PgArguments>;
