//! `{"action":"compare"}`: a copy against production, row by row where they differ.

use std::collections::BTreeSet;
use std::time::SystemTime;

use recoup::archive::selection::TableName;
use recoup::comparison::{Comparison, compare};
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};

use crate::Restore;

/// A copy that is to be compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareRequest {
    target_database: String,
    target_secret: Option<String>,
    tables: Option<Vec<String>>,
}

/// What the function answers.
#[derive(Debug, Serialize)]
pub struct CompareReply {
    /// Production.
    database: String,
    /// The copy.
    target_database: String,
    #[serde(flatten)]
    comparison: Comparison,
}

impl<S: SecretStore + Sync> Restore<S> {
    /// Compares; production and the copy are only read.
    pub(crate) async fn compare(
        &self,
        request: CompareRequest,
        deadline: SystemTime,
    ) -> Result<CompareReply, Failure> {
        let wanted = request.tables.as_deref().map(named).transpose()?;
        let production = self.production().await?;
        let elsewhere = self.elsewhere(request.target_secret.as_deref()).await?;
        let copy = elsewhere.unwrap_or_else(|| production.clone()).database(&request.target_database);
        let comparison = Box::pin(compare(&production, &copy, wanted.as_ref(), deadline)).await?;
        Ok(CompareReply {
            database: production.get_database().unwrap_or("postgres").to_owned(),
            target_database: request.target_database,
            comparison,
        })
    }
}

/// Reads names as a request writes them.
pub(crate) fn named(tables: &[String]) -> Result<BTreeSet<TableName>, Failure> {
    if tables.is_empty() {
        return Err(Failure::invalid_request(
            "tables is empty: name at least one table, or leave it out for all",
        ));
    }
    tables.iter().map(|name| name.parse().map_err(Failure::invalid_request)).collect()
}
