//! `schema`: the database's tables against the migrations of this version.
//!
//! What the migrations make is not kept in a file: a scratch database on the same server gets them, and both are read
//! by the same reader. So the comparison is right on every version of Postgres, and cannot be out of date.

use recoup::archive::ArchiveError;
use recoup::archive::names::key_timestamp;
use recoup::archive::restore::{Staging, drop_leftovers};
use recoup::archive::schema::{SchemaDump, SchemaSelection, read_schema};
use recoup::archive::session::{open_reading, run};
use recoup::db;
use recoup::failure::Failure;
use recoup::migrations::{
    Applied, Drift, MigrationFinding, SCHEMA, applied, bundled, bundled_of, compare, differences,
};
use serde::Serialize;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

/// What the scratch databases' names begin with.
const PREFIX: &str = "recoup_schema_check_";

/// Objects that are named; the others are counted.
const OBJECTS_NAMED_MAX: usize = 50;

/// What `schema` answers where all is as the migrations make it.
#[derive(Debug, Serialize)]
pub struct SchemaReply {
    action: &'static str,
    status: &'static str,
    /// Migrations that the database has.
    migrations: usize,
    /// The last of them.
    version: Option<i64>,
    /// Definitions that were compared.
    objects: usize,
}

pub(crate) async fn schema(production: &PgConnectOptions) -> Result<SchemaReply, Failure> {
    let mut connection = open_reading(production, None).await?;
    let known = applied(&mut connection).await?;
    let bundle = bundled();
    let migrations = compare(&bundle, &known);
    // Without any migration there is no schema to read, and nothing to learn from its absence.
    if known.is_empty() {
        return Err(drifted(&migrations, &[]));
    }
    let found = read(&mut connection).await?;
    let expected = expected(production, &known).await?;
    let drift = differences(&expected, &found);
    if !migrations.is_empty() || !drift.is_empty() {
        return Err(drifted(&migrations, &drift));
    }
    Ok(SchemaReply {
        action: "schema",
        status: "as migrated",
        migrations: known.len(),
        version: bundle.iter().map(|migration| migration.version).max(),
        objects: found.pre_data.len() + found.post_data.len(),
    })
}

async fn read(connection: &mut sqlx::PgConnection) -> Result<SchemaDump, Failure> {
    let ours = SchemaSelection::Only(vec![SCHEMA.to_owned()]);
    Ok(read_schema(connection, &ours).await.map_err(ArchiveError::from)?)
}

/// What the applied migrations make, in a database of their own that is dropped again.
async fn expected(production: &PgConnectOptions, known: &[Applied]) -> Result<SchemaDump, Failure> {
    drop_leftovers(production, PREFIX).await?;
    let time = key_timestamp(OffsetDateTime::now_utc()).to_ascii_lowercase();
    let scratch =
        Staging::create_empty(production, &format!("{PREFIX}{time}_{:08x}", rand::random::<u32>())).await?;
    let made = make(&scratch.options, known).await;
    let dropped = scratch.drop_database().await;
    let made = made?;
    dropped?;
    Ok(made)
}

async fn make(options: &PgConnectOptions, known: &[Applied]) -> Result<SchemaDump, Failure> {
    let mut connection = db::connect(options).await?;
    for migration in bundled_of(known).iter() {
        let operation = format!("apply migration {} to a scratch database", migration.version);
        run(&mut connection, &operation, migration.sql.as_str()).await?;
    }
    drop(connection);
    read(&mut open_reading(options, None).await?).await
}

fn drifted(migrations: &[MigrationFinding], drift: &[Drift]) -> Failure {
    let named: Vec<String> =
        migrations
            .iter()
            .map(|finding| format!("migration {} {:?}", finding.version, finding.finding).to_lowercase())
            .chain(drift.iter().map(|object| {
                format!("{:?} {} {:?}", object.kind, object.name, object.change).to_lowercase()
            }))
            .take(OBJECTS_NAMED_MAX)
            .collect();
    let count = migrations.len() + drift.len();
    let message = format!(
        "compare schema {SCHEMA} with the migrations of this version: {count} differences: {}; apply what is missing, deploy the version that knows what is extra, put back what was changed by hand or write a migration for it.",
        named.join(", ")
    );
    Failure::new("SchemaDrift", message).with_findings(&json!({
        "migrations": migrations,
        "objects_differing": drift.len(),
        "objects": &drift[..drift.len().min(OBJECTS_NAMED_MAX)],
    }))
}
