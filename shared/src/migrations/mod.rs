//! The migrations that this bundle was built with, against those that a database says it has.

mod drift;

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::migrate::Migrator;
use sqlx::{FromRow, PgConnection};

pub use drift::{Change, Drift, differences};

use crate::archive::ArchiveError;

/// The schema that the migrations make.
pub const SCHEMA: &str = "recoup";

/// Where what was applied is noted, as `sqlx.toml` says: never in an application's `public`.
const APPLIED: &str = "recoup._sqlx_migrations";

/// The migrations of this bundle.
pub fn bundled() -> Migrator {
    sqlx::migrate!("../migrations")
}

/// A migration that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationFinding {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub description: String,
    /// What is wrong with it.
    pub finding: Finding,
}

/// How a migration of the bundle and of the database differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The bundle has it, the database has not.
    Missing,
    /// The database has it, the bundle has not: a later version was here.
    Extra,
    /// What the database was given is not what the bundle has.
    Changed,
    /// It was begun and did not end well.
    Failed,
}

/// A migration that a database says it has.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Applied {
    version: i64,
    description: String,
    success: bool,
    checksum: Vec<u8>,
}

/// Reads what was applied; nothing where the table is not there.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, ArchiveError> {
    let failed = |error: sqlx::Error| ArchiveError::database("read the applied migrations", &error);
    let there: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(APPLIED)
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !there {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "select version, description, success, checksum from recoup._sqlx_migrations order by version",
    )
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(failed)
}

/// Compares what was applied with the bundle, by number, success and checksum.
pub fn compare(bundle: &Migrator, applied: &[Applied]) -> Vec<MigrationFinding> {
    let mut unseen: BTreeMap<i64, &Applied> = applied.iter().map(|known| (known.version, known)).collect();
    let mut findings = Vec::new();
    for migration in bundle.iter() {
        let finding = match unseen.remove(&migration.version) {
            None => Some(Finding::Missing),
            Some(known) if !known.success => Some(Finding::Failed),
            Some(known) if known.checksum != *migration.checksum => Some(Finding::Changed),
            Some(_) => None,
        };
        findings.extend(finding.map(|finding| MigrationFinding {
            version: migration.version,
            description: migration.description.to_string(),
            finding,
        }));
    }
    findings.extend(unseen.into_values().map(|known| MigrationFinding {
        version: known.version,
        description: known.description.clone(),
        finding: Finding::Extra,
    }));
    findings.sort_by_key(|finding| finding.version);
    findings
}

/// The bundle's migrations that a database has, so that what it lacks is named once and not object by object.
pub fn bundled_of(applied: &[Applied]) -> Migrator {
    let mut migrator = bundled();
    let has = |version: i64| applied.iter().any(|known| known.version == version);
    migrator.migrations.to_mut().retain(|migration| has(migration.version));
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_extra_changed_or_half_done_is_named() {
        let bundle = bundled();
        let mut database: Vec<Applied> = bundle
            .iter()
            .map(|migration| Applied {
                version: migration.version,
                description: migration.description.to_string(),
                success: true,
                checksum: migration.checksum.to_vec(),
            })
            .collect();
        assert_eq!(compare(&bundle, &database), []);
        database[1].checksum[0] ^= 1;
        database[2].success = false;
        let gone = database.remove(0);
        database.push(Applied { version: 999_999, description: "from tomorrow".to_owned(), ..gone });
        let found: Vec<(i64, Finding)> =
            compare(&bundle, &database).iter().map(|finding| (finding.version, finding.finding)).collect();
        let expected =
            [(1, Finding::Missing), (2, Finding::Changed), (3, Finding::Failed), (999_999, Finding::Extra)];
        assert_eq!(found, expected);
        assert_eq!(bundled_of(&database).iter().count(), bundle.iter().count() - 1);
    }
}
