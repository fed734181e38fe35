//! What can go wrong while a definition is read.

/// Reading a database's definition failed; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A catalog query failed: connection, privileges, or an object that vanished between two reads.
    #[error("read schema: {what}: {source}; run it in a REPEATABLE READ transaction and try again")]
    Catalog {
        /// Which class of objects was being read.
        what: &'static str,
        /// What Postgres or the connection said.
        source: sqlx::Error,
    },
    /// A schema of the selection is not in the database.
    #[error("read schema: schema {0} does not exist; correct the list of schemas")]
    UnknownSchema(String),
}
