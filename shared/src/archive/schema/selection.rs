//! Which schemas of a database are meant.

use sqlx::PgConnection;

use crate::config::Env;

use super::{SchemaError, catalog::rows};

/// The schemas whose definition and data are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SchemaSelection {
    /// Every schema but Postgres's own (`pg_*`, `information_schema`).
    #[default]
    All,
    /// These schemas, by name as in `pg_namespace` (no quotes).
    Only(Vec<String>),
}

impl SchemaSelection {
    /// Reads `BACKUP_SCHEMAS`, names parted by commas; all schemas where it is not set.
    pub fn from_env(env: &mut Env) -> Self {
        match env.optional("BACKUP_SCHEMAS") {
            None => Self::All,
            Some(list) => Self::Only(list.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }
}

/// Resolves a selection to the oids of its schemas.
///
/// # Errors
/// If one of them does not exist, or the catalog cannot be read.
pub async fn schema_oids(
    conn: &mut PgConnection,
    selection: &SchemaSelection,
) -> Result<Vec<i64>, SchemaError> {
    const SQL: &str = "
        SELECT n.oid::int8, n.nspname::text
        FROM pg_catalog.pg_namespace n
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND cardinality($1::int8[]) = 0
        ORDER BY n.nspname";
    let found: Vec<(i64, String)> = rows(conn, "schemas", SQL, &[]).await?;
    match selection {
        SchemaSelection::All => Ok(found.into_iter().map(|(oid, _)| oid).collect()),
        SchemaSelection::Only(names) => names
            .iter()
            .map(|name| {
                found
                    .iter()
                    .find(|(_, known)| known == name)
                    .map(|(oid, _)| *oid)
                    .ok_or_else(|| SchemaError::UnknownSchema(name.clone()))
            })
            .collect(),
    }
}
