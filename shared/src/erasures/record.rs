//! The records in the bucket: `v1/erasures/<erasure id>.json.age`, one line of JSON each.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use sha2::{Digest, Sha256};

use super::Erasure;
use crate::archive::ArchiveError;
use crate::archive::encode::encrypt_document;
use crate::archive::encryption::{Encryption, Identities};
use crate::archive::store::{ObjectStore, StoreErrorKind, read_whole};

/// Where they lie.
pub const ERASURES_PREFIX: &str = "v1/erasures/";

/// A person has some thousand objects at most.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// So many are read at a time.
const READ_AT_ONCE: usize = 16;

/// What the bucket has.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// In the order of their names, which is that of their times.
    pub erasures: Vec<Erasure>,
    /// Records that cannot be read, and why.
    pub unreadable: Vec<String>,
}

/// Stores a record, once and for all.
///
/// # Errors
/// [`ArchiveError::Store`], [`ArchiveError::Encryption`].
pub async fn keep(
    store: &impl ObjectStore,
    encryption: &Encryption,
    erasure: &Erasure,
) -> Result<(), ArchiveError> {
    let key = format!("{ERASURES_PREFIX}{}.json{}", erasure.erasure_id, encryption.suffix());
    let mut line = serde_json::to_vec(erasure).expect("texts and JSON values become JSON");
    line.push(b'\n');
    let stored = encrypt_document(&line, encryption)?;
    let sha256 = Sha256::digest(&stored).into();
    Ok(store.put_new(&key, Bytes::from(stored), sha256).await?)
}

/// The keys of all records.
///
/// # Errors
/// [`ArchiveError::Store`].
pub async fn list(store: &impl ObjectStore) -> Result<Vec<String>, ArchiveError> {
    let mut keys = Vec::new();
    store.list(ERASURES_PREFIX, |object| keys.push(object.key)).await?;
    Ok(keys)
}

/// Reads records. One that is damaged, or that no identity opens, is named and stops nothing: a database that is lost is to
/// come back all the same.
///
/// # Errors
/// [`ArchiveError::Store`] where the store fails.
pub async fn open(
    store: &impl ObjectStore,
    keys: Vec<String>,
    identities: &Identities,
) -> Result<Records, ArchiveError> {
    let mut read = stream::iter(keys)
        .map(|key| async move {
            let stored = read_whole(store, &key, RECORD_BYTES_MAX).await;
            (key, stored)
        })
        .buffered(READ_AT_ONCE);
    let mut records = Records::default();
    while let Some((key, stored)) = read.next().await {
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) if matches!(error.kind, StoreErrorKind::TooLarge | StoreErrorKind::NotFound) => {
                records.unreadable.push(format!("{key}: {error}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match understood(&key, &stored, identities) {
            Ok(erasure) => records.erasures.push(erasure),
            Err(reason) => records.unreadable.push(format!("{key}: {reason}")),
        }
    }
    Ok(records)
}

/// What a record says; an error never quotes it.
fn understood(key: &str, stored: &[u8], identities: &Identities) -> Result<Erasure, &'static str> {
    let line = if key.ends_with(".age") {
        identities
            .open_document(stored)
            .ok_or("no identity of the backup key's secret opens it, or it is damaged")?
    } else {
        stored.to_vec()
    };
    serde_json::from_slice(&line).map_err(|_| "it is no record of an erasure")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use time::macros::datetime;

    #[test]
    fn a_record_is_read_back_by_who_has_the_key_and_by_nobody_else() {
        let mine = Identities::parse(&[Identities::generate()]).expect("an identity");
        let other = Identities::parse(&[Identities::generate()]).expect("an identity");
        let recipient = mine.recipients()[0].parse().expect("a recipient");
        let customers = BTreeSet::from(["cus_1".to_owned()]);
        let erasure =
            Erasure::new(datetime!(2026-11-30 10:00 UTC), 7, customers, BTreeSet::new(), Vec::new());
        assert_eq!(erasure.erasure_id, "20261130T100000Z-erasure-00000007");
        let line = serde_json::to_vec(&erasure).expect("JSON");
        let sealed = encrypt_document(&line, &Encryption::Age(vec![recipient])).expect("sealed");

        assert_eq!(understood("x.json.age", &sealed, &mine), Ok(erasure.clone()));
        assert_eq!(understood("x.json", &line, &other), Ok(erasure));
        assert!(understood("x.json.age", &sealed, &other).is_err());
        assert!(understood("x.json.age", &sealed[1..], &mine).is_err());
        assert!(understood("x.json", &line[1..], &mine).is_err());
    }
}
