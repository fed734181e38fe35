//! What of a restore is done, kept in the staging database itself.
//!
//! Each mark is committed with the work that it stands for, in one transaction: a part with its rows, a statement with
//! what it made. So whatever ends a restore, and whenever, the next one finds exactly what is there and does the rest.
//! The schema goes when the copy is proven, in the transaction that says that the copy is complete.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::order::Order;
use crate::archive::digest::TableDigest;
use crate::archive::error::ArchiveError;
use crate::archive::session::{quote_literal, run};

/// Where the ledger lies in the staging database.
pub const SCHEMA: &str = "recoup_staging";

/// A sort of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A statement of the definitions, by its position.
    Statement,
    /// The tables that are not wanted are gone.
    Subset,
    /// The rows of a part, by its key.
    Part,
    /// The changes of a segment are in the table of changes.
    Segment,
    /// All changes are, in order.
    Indexed,
    /// The changes of a table are applied to its rows.
    Applied,
    /// Sequences are behind what changes brought.
    Advanced,
    /// All sequences stand where they stood.
    Sequences,
    /// The planner has its statistics.
    Analyzed,
    /// The rows of a table were read and compared.
    Proven,
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Statement,
        Self::Subset,
        Self::Part,
        Self::Segment,
        Self::Indexed,
        Self::Applied,
        Self::Advanced,
        Self::Sequences,
        Self::Analyzed,
        Self::Proven,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Subset => "subset",
            Self::Part => "part",
            Self::Segment => "segment",
            Self::Indexed => "indexed",
            Self::Applied => "applied",
            Self::Advanced => "advanced",
            Self::Sequences => "sequences",
            Self::Analyzed => "analyzed",
            Self::Proven => "proven",
        }
    }
}

/// What is known of a piece of work that is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Why it could not be done, where it was left out.
    pub(super) note: Option<String>,
    /// The rows that came of it, where these are others than the backup's.
    pub(super) digest: Option<TableDigest>,
}

/// All that is done.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    done: BTreeMap<(Step, String), Entry>,
}

impl Ledger {
    /// Begins one in a new staging database.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn create(connection: &mut PgConnection, order: &Order) -> Result<(), ArchiveError> {
        let order = serde_json::to_string(order).expect("an order has only JSON's types");
        let sql = format!(
            "CREATE SCHEMA {SCHEMA};
            CREATE TABLE {SCHEMA}.orders (document jsonb NOT NULL);
            CREATE TABLE {SCHEMA}.done (
                step text NOT NULL,
                item text NOT NULL,
                note text,
                rows bigint,
                sum  text,
                at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
                CONSTRAINT done_key PRIMARY KEY (step, item)
            );
            INSERT INTO {SCHEMA}.orders VALUES ({});",
            quote_literal(&order)
        );
        run(connection, "begin the list of what is done", &sql).await
    }

    /// The order of the restore that fills this database; none where it ended before it wrote it down.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn order(connection: &mut PgConnection) -> Result<Option<Order>, ArchiveError> {
        let failed = |error: sqlx::Error| ArchiveError::database("read what the restore is to do", &error);
        let there: bool = sqlx::query_scalar("SELECT pg_catalog.to_regclass($1) IS NOT NULL")
            .bind(format!("{SCHEMA}.orders"))
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if !there {
            return Ok(None);
        }
        let document: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT document::text FROM {SCHEMA}.orders")))
                .persistent(false)
                .fetch_optional(connection)
                .await
                .map_err(failed)?;
        let Some(document) = document else { return Ok(None) };
        serde_json::from_str(&document).map(Some).map_err(|error| {
            ArchiveError::InvalidRequest(format!(
                "read what the restore is to do: another version of recoup began it ({error}); drop its database and restore again"
            ))
        })
    }

    /// Reads what is done.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, ArchiveError> {
        let sql = format!("SELECT step, item, note, rows, sum FROM {SCHEMA}.done");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(|error| ArchiveError::database("read what is done", &error))?;
        let mut ledger = Self::default();
        for row in rows {
            let step: String = row.get("step");
            let Some(step) = Step::ALL.into_iter().find(|known| known.as_str() == step) else { continue };
            let (rows, sum): (Option<i64>, Option<String>) = (row.get("rows"), row.get("sum"));
            let digest = rows.zip(sum).and_then(|(rows, sum)| {
                Some(TableDigest { rows: u64::try_from(rows).ok()?, sum: sum.parse().ok()? })
            });
            ledger.done.insert((step, row.get("item")), Entry { note: row.get("note"), digest });
        }
        Ok(ledger)
    }

    /// How much is done.
    pub(super) fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether it is done.
    pub(super) fn has(&self, step: Step, item: &str) -> bool {
        self.get(step, item).is_some()
    }

    /// What is known of it, where it is done.
    pub(super) fn get(&self, step: Step, item: &str) -> Option<&Entry> {
        self.done.get(&(step, item.to_owned()))
    }

    /// Everything of one sort.
    pub(super) fn of(&self, step: Step) -> impl Iterator<Item = (&str, &Entry)> {
        let of_step = self.done.iter().filter(move |((other, _), _)| *other == step);
        of_step.map(|((_, item), entry)| (item.as_str(), entry))
    }
}

/// The statement that marks a piece of work as done. It goes into the transaction of the work.
pub(super) fn mark(step: Step, item: &str) -> String {
    mark_as(step, item, &Entry::default())
}

/// The same with what is known of it.
pub(super) fn mark_as(step: Step, item: &str, entry: &Entry) -> String {
    let text = |value: Option<String>| value.map_or("NULL".to_owned(), |value| quote_literal(&value));
    format!(
        "INSERT INTO {SCHEMA}.done (step, item, note, rows, sum) VALUES ('{}', {}, {}, {}, {});",
        step.as_str(),
        quote_literal(item),
        text(entry.note.clone()),
        entry.digest.map_or("NULL".to_owned(), |digest| digest.rows.to_string()),
        text(entry.digest.map(|digest| digest.sum.to_string())),
    )
}
