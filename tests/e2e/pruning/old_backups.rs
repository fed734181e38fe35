//! Backups of long ago, put into a bucket by name, size and time: prune looks at nothing else.

use std::collections::BTreeSet;

use aws_sdk_s3::Client;
use recoup::archive::names::BackupId;
use recoup::archive::summary::Summary;
use serde_json::Value;
use stack::Stack;
use time::{Duration, OffsetDateTime};

/// How a planted backup is to look.
#[derive(Debug, Clone, Copy)]
pub struct Old {
    /// Its type.
    pub kind: &'static str,
    /// Its age.
    pub days: i64,
    /// How long it is kept.
    pub kept_days: i64,
}

/// A full backup of `days` ago that has been kept for `kept_days`.
pub fn full(days: i64, kept_days: i64) -> Old {
    Old { kind: "full", days, kept_days }
}

/// Puts it there: two parts, a summary, the manifest.
pub async fn plant(client: &Client, bucket: &str, old: Old) -> String {
    let created_at = OffsetDateTime::now_utc() - Duration::days(old.days);
    let id = BackupId::new(created_at, old.kind, rand::random());
    let summary = Summary {
        rows: 2,
        expires_at: created_at + Duration::days(old.kept_days),
        partial: false,
        label: None,
    };
    let objects = ["data/shop.orders/00000.copy.zst.age", "data/shop.orders/00001.copy.zst.age"]
        .map(str::to_owned)
        .into_iter()
        .chain([summary.key(), "manifest.json".to_owned()]);
    for object in objects {
        let put = client.put_object().bucket(bucket).key(id.key(&object)).body(b"0123456789".to_vec().into());
        put.send().await.unwrap();
    }
    id.to_string()
}

/// Puts one there in the stack's own bucket.
pub async fn plant_in(stack: &Stack, old: Old) -> String {
    plant(stack.s3.client(), &stack.bucket, old).await
}

/// The ids in a list of a reply.
pub fn ids(reply: &Value, list: &str) -> BTreeSet<String> {
    let entries = reply[list].as_array().unwrap_or_else(|| panic!("{list} in {reply}"));
    entries.iter().map(|entry| entry["backup_id"].as_str().unwrap().to_owned()).collect()
}

/// The names of the rules that keep a backup.
pub fn rules_of<'r>(reply: &'r Value, id: &str) -> Vec<&'r str> {
    let kept = reply["kept"].as_array().unwrap();
    let entry = kept.iter().find(|entry| entry["backup_id"] == id);
    let rules = entry.unwrap_or_else(|| panic!("{id} is not kept: {reply}"))["rules"].as_array().unwrap();
    rules.iter().map(|rule| rule["rule"].as_str().unwrap()).collect()
}
