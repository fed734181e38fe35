//! A replay as simple as it can be: each change by itself, on a copy that the restore function made of a full backup.

use std::collections::BTreeMap;
use std::sync::Arc;

use recoup::archive::encryption::Identities;
use recoup::archive::reading::Backup;
use recoup::archive::session::{TEXT_SETTINGS, quote_ident, quote_qualified};
use recoup::archive::store::S3Store;
use recoup::changes::change::TableName;
use recoup::changes::{Action, CapturedTable, Change, ChangesError, Replay};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::{Stack, StackBuilder};
use time::OffsetDateTime;

use crate::archive_stack::{archive_stack, drop_copy, execute, full_backup, id_of, restore_copy, succeed};

/// A stack whose changes are exported when a test says so.
pub fn changes_stack() -> StackBuilder {
    archive_stack().env("backup", "BACKUP_CHANGES_KEEP_HOURS", "0")
}

/// Makes the smallest table there is, and captures it.
pub async fn captured_orders(stack: &Stack) {
    let sql = "CREATE TABLE public.orders (id int PRIMARY KEY); SELECT recoup.capture_table('public.orders')";
    execute(&stack.database_url, sql).await;
}

/// Exports what changed.
pub async fn export(stack: &Stack) -> Value {
    succeed(stack, "backup", json!({"backup_type": "changes"})).await
}

/// Begins a chain and takes the full backup that replays start from.
pub async fn base(stack: &Stack) -> String {
    let first = export(stack).await;
    assert!(first["chain_began"].is_string(), "{first}");
    id_of(&full_backup(stack).await)
}

/// The server's time.
pub async fn now(stack: &Stack) -> OffsetDateTime {
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&stack.pool).await.unwrap()
}

/// The bucket as the library sees it.
pub fn store(stack: &Stack) -> Arc<S3Store> {
    Arc::new(S3Store::new(stack.s3.client().clone(), stack.bucket.clone()))
}

/// The key that opens everything.
pub fn identities(stack: &Stack) -> Identities {
    Identities::parse(&[SecretString::from(stack.age_identity.clone())]).unwrap()
}

/// What leads from a full backup to an instant.
pub async fn plan(stack: &Stack, full: &str, target: OffsetDateTime) -> Result<Replay, ChangesError> {
    let backup = Backup::open(store(stack), full.parse().unwrap()).await.unwrap();
    Replay::plan(&store(stack), &backup.manifest, target).await
}

/// All changes of a replay.
pub async fn changes_of(stack: &Stack, replay: &Replay) -> Result<Vec<Change>, ChangesError> {
    let mut stream = replay.stream(store(stack), &identities(stack))?;
    let mut changes = Vec::new();
    while let Some(batch) = stream.next_batch().await? {
        changes.extend(batch);
    }
    Ok(changes)
}

/// The rows of every captured table at an instant.
pub async fn state_at(stack: &Stack, full: &str, target: OffsetDateTime) -> State {
    let replay = plan(stack, full, target).await.unwrap();
    let changes = changes_of(stack, &replay).await.unwrap();
    let (restored, copy) = restore_copy(stack, full).await;
    let mut connection = PgConnection::connect(&copy).await.unwrap();
    let settings = TEXT_SETTINGS.replace("SET LOCAL", "SET");
    run(&mut connection, &format!("{settings} SET session_replication_role = replica")).await;
    let mut applier = Applier { tables: BTreeMap::new(), captured: &replay.captured };
    for change in &changes {
        applier.apply(&mut connection, change).await;
    }
    let state = state_of(&mut connection).await;
    connection.close().await.unwrap();
    drop_copy(stack, &restored).await;
    state
}

/// The rows of each captured table, as text, sorted.
pub type State = BTreeMap<String, Vec<String>>;

/// The rows of every captured table of the stack's database, now.
pub async fn state_now(stack: &Stack) -> State {
    let mut connection = PgConnection::connect(&stack.database_url).await.unwrap();
    run(&mut connection, &TEXT_SETTINGS.replace("SET LOCAL", "SET")).await;
    let state = state_of(&mut connection).await;
    connection.close().await.unwrap();
    state
}

async fn state_of(connection: &mut PgConnection) -> State {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relation::regclass::text FROM recoup.captured AS c
        JOIN pg_catalog.pg_class AS r ON r.oid = c.relation WHERE r.relkind = 'r'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let mut state = State::new();
    for table in tables {
        let sql = format!("SELECT (one.*)::text FROM ONLY {table} AS one");
        let mut rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *connection).await.unwrap();
        rows.sort_unstable();
        state.insert(table, rows);
    }
    state
}

/// Shows the first table that differs.
pub fn assert_same(expected: &State, found: &State) {
    assert!(expected.keys().eq(found.keys()), "{:?} {:?}", expected.keys(), found.keys());
    for (table, rows) in expected {
        let cut = |rows: &[String]| rows.iter().take(20).cloned().collect::<Vec<_>>();
        let only = |one: &[String], other: &[String]| {
            cut(&one.iter().filter(|row| !other.contains(row)).cloned().collect::<Vec<_>>())
        };
        let theirs = &found[table];
        assert!(
            rows == theirs,
            "{table} has {} rows and not {}; missing {:#?}; too many {:#?}",
            theirs.len(),
            rows.len(),
            only(rows, theirs),
            only(theirs, rows),
        );
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

struct Statements {
    take: String,
    put: String,
    delete: String,
    truncate: String,
}

struct Applier<'a> {
    tables: BTreeMap<TableName, Statements>,
    captured: &'a [CapturedTable],
}

impl Applier<'_> {
    async fn apply(&mut self, connection: &mut PgConnection, change: &Change) {
        if !self.tables.contains_key(&change.table) {
            let statements = self.statements(connection, &change.table).await;
            self.tables.insert(change.table.clone(), statements);
        }
        let sql = &self.tables[&change.table];
        let steps: &[(&String, Option<&String>)] = match &change.action {
            Action::Put { row } => &[(&sql.take, Some(row)), (&sql.put, Some(row))],
            Action::Delete { key } => &[(&sql.delete, Some(key))],
            Action::Truncate => &[(&sql.truncate, None)],
        };
        for (sql, text) in steps {
            let query = sqlx::query(AssertSqlSafe((*sql).clone()));
            let query = match text {
                Some(text) => query.bind(*text),
                None => query,
            };
            query.execute(&mut *connection).await.unwrap_or_else(|error| panic!("{change:?}: {error}"));
        }
    }

    async fn statements(&self, connection: &mut PgConnection, name: &TableName) -> Statements {
        let table = quote_qualified(&name.schema, &name.name);
        let is_it = |table: &&CapturedTable| table.schema == *name.schema && table.name == *name.name;
        let key = &self.captured.iter().find(is_it).unwrap().key;
        // A restore makes triggers when all rows are there.
        run(connection, &format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await;
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_catalog.pg_attribute
            WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
            ORDER BY attnum",
        )
        .bind(&table)
        .fetch_all(connection)
        .await
        .unwrap();
        let list = |names: &[String], before: &str| {
            names.iter().map(|name| format!("{before}{}", quote_ident(name))).collect::<Vec<_>>().join(", ")
        };
        let row = format!("(SELECT $1::text::{table} AS row OFFSET 0) AS new");
        Statements {
            take: format!(
                "DELETE FROM {table} AS old USING {row} WHERE ROW({})::text = ROW({})::text",
                list(key, "old."),
                list(key, "(new.row)."),
            ),
            put: format!(
                "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {row}",
                list(&columns, ""),
                list(&columns, "(new.row)."),
            ),
            delete: format!("DELETE FROM {table} AS old WHERE ROW({})::text = $1", list(key, "old.")),
            truncate: format!("DELETE FROM {table}"),
        }
    }
}
