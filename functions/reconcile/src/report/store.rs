//! Reports in the bucket. The function may put them there, and can neither read nor overwrite one.

use bytes::Bytes;
use rand::Rng;
use recoup::archive::store::{ObjectStore, S3Store, StoreError, StoreErrorKind};
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::macros::format_description;

use super::{Report, page};

/// Where a report is.
#[derive(Debug, Clone, Serialize)]
pub struct Location {
    /// For scripts: `s3://…/v1/reports/….json`.
    pub json: String,
    /// For people: `s3://…/v1/reports/….html`.
    pub page: String,
}

/// The place of all reports.
pub struct Reports {
    store: S3Store,
}

impl Reports {
    /// Within a bucket.
    pub fn new(store: S3Store) -> Self {
        Self { store }
    }

    /// Stores both forms.
    ///
    /// # Errors
    /// What the store says.
    pub async fn put(&self, report: &Report) -> Result<Location, StoreError> {
        let at = report
            .started_at
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("every instant has these parts");
        let unique: u32 = rand::rng().random();
        let name = format!("v1/reports/{at}-{}-{unique:08x}", report.action);
        let json = serde_json::to_vec_pretty(report).expect("texts and numbers are JSON");
        let html = page::page(report).into_string();
        Ok(Location {
            json: self.put_one(format!("{name}.json"), json.into()).await?,
            page: self.put_one(format!("{name}.html"), html.into()).await?,
        })
    }

    async fn put_one(&self, key: String, body: Bytes) -> Result<String, StoreError> {
        let sha256 = Sha256::digest(&body).into();
        match self.store.put_new(&key, body, sha256).await {
            Ok(()) => {}
            // Nobody else makes this name: the answer to the first try was lost.
            Err(error) if error.kind == StoreErrorKind::Taken => {}
            Err(error) => return Err(error),
        }
        Ok(self.store.uri(&key))
    }
}
