//! Buckets with versions and Object Lock.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode,
};
use serde_json::{Value, json};
use stack::Stack;
use stack::lambda::FunctionConfig;
use stack::versions::VersionedBucket;

use super::old_backups::{full, ids, plant, rules_of};
use crate::archive_stack::{archive_stack, succeed};

fn prune() -> Value {
    json!({"action": "prune", "dry_run": false, "actor": "schedule", "reason": "daily", "more_than_half": true})
}

async fn versioned(window_days: &str) -> (Stack, VersionedBucket) {
    let stack = archive_stack().env("backup", "BACKUP_PITR_DAYS", window_days).start().await.unwrap();
    let bucket = VersionedBucket::create(&stack).await.unwrap();
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), bucket.endpoint().to_owned());
        config.environment.insert("BACKUP_BUCKET".to_owned(), bucket.name().to_owned());
    };
    stack.lambda.configure("backup", change).unwrap();
    (stack, bucket)
}

async fn retain(bucket: &VersionedBucket, key: &str, seconds: i64) {
    let until = DateTime::from_secs(time::OffsetDateTime::now_utc().unix_timestamp() + seconds);
    let retention = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .retain_until_date(until)
        .build();
    let put = bucket.client().put_object_retention().bucket(bucket.name()).key(key).retention(retention);
    put.send().await.unwrap();
}

async fn hold(bucket: &VersionedBucket, key: &str) {
    let on = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
    bucket
        .client()
        .put_object_legal_hold()
        .bucket(bucket.name())
        .key(key)
        .legal_hold(on)
        .send()
        .await
        .unwrap();
}

/// Objects that a listing shows, and versions that there are behind it.
async fn objects_and_versions(bucket: &VersionedBucket, id: &str) -> (usize, usize) {
    let prefix = format!("v1/backups/{id}/");
    let listed =
        bucket.client().list_objects_v2().bucket(bucket.name()).prefix(&prefix).send().await.unwrap();
    let versions =
        bucket.client().list_object_versions().bucket(bucket.name()).prefix(&prefix).send().await.unwrap();
    (listed.contents().len(), versions.versions().len())
}

#[tokio::test]
async fn what_s3_holds_stays_and_is_reported() {
    let (stack, bucket) = versioned("35").await;
    let mut planted = Vec::new();
    for days in [500, 400, 300, 200, 100, 1] {
        planted.push(plant(bucket.client(), bucket.name(), full(days, 30)).await);
    }
    let [by_manifest, by_part, over, free, base, _] = planted.try_into().unwrap();
    retain(&bucket, &format!("v1/backups/{by_manifest}/manifest.json"), 86_400).await;
    hold(&bucket, &format!("v1/backups/{by_part}/data/shop.orders/00001.copy.zst.age")).await;
    retain(&bucket, &format!("v1/backups/{over}/manifest.json"), -60).await;

    let done = succeed(&stack, "backup", prune()).await;

    assert_eq!(ids(&done, "removed"), [over.clone(), free.clone()].into());
    assert_eq!(rules_of(&done, &by_manifest), ["object_lock"]);
    assert_eq!(rules_of(&done, &by_part), ["legal_hold"]);
    assert_eq!(rules_of(&done, &base), ["point_in_time_window"]);
    let kept = done["kept"].as_array().unwrap();
    assert_eq!(kept[0]["rules"][0]["mode"], "GOVERNANCE", "{done}");
    assert!(kept[0]["rules"][0]["until"].is_string(), "{done}");
    for id in [&by_manifest, &by_part] {
        assert_eq!(objects_and_versions(&bucket, id).await, (4, 4), "{id}");
    }
    // A mistaken prune can be taken back: every version is there behind its marker.
    assert_eq!(done["versions_kept"], true);
    for id in [&over, &free] {
        assert_eq!(objects_and_versions(&bucket, id).await, (0, 4), "{id}");
    }
    let again = succeed(&stack, "backup", prune()).await;
    assert_eq!(again["removed"], json!([]));
}

/// Puts a segment of `days` ago into the bucket; gives its manifest's key.
async fn plant_segment(bucket: &VersionedBucket, days: i64) -> String {
    let at =
        recoup::archive::names::key_timestamp(time::OffsetDateTime::now_utc() - time::Duration::days(days));
    let key = format!("v1/changes/20200101T000000Z-00000000/{:010}-{at}-00000001/manifest.json", 1000 - days);
    let put = bucket.client().put_object().bucket(bucket.name()).key(&key).body(b"x".to_vec().into());
    put.send().await.unwrap();
    key
}

#[tokio::test]
async fn changes_that_s3_holds_stay_and_the_others_go() {
    let (stack, bucket) = versioned("1").await;
    // The window needs what comes after it.
    plant(bucket.client(), bucket.name(), full(5, 20)).await;
    let mut segments = Vec::new();
    for days in [99, 98, 97, 0] {
        segments.push(plant_segment(&bucket, days).await);
    }
    retain(&bucket, &segments[0], 86_400).await;
    hold(&bucket, &segments[1]).await;

    let done = succeed(&stack, "backup", prune()).await;

    assert_eq!((&done["changes"]["removed"], &done["changes"]["kept"]), (&json!(1), &json!(3)), "{done}");
    let listed =
        bucket.client().list_objects_v2().bucket(bucket.name()).prefix("v1/changes/").send().await.unwrap();
    let left: Vec<_> = listed.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!(left, [&segments[0], &segments[1], &segments[3]]);
}

#[tokio::test]
async fn uploads_that_nobody_ended_are_given_up() {
    let (stack, bucket) = versioned("35").await;
    let begin =
        |key: &'static str| bucket.client().create_multipart_upload().bucket(bucket.name()).key(key).send();
    // moto says of every upload that it was begun in 2010.
    let ours = "v1/backups/20200101T000000Z-full-00000001/data/shop.orders/00000.copy.zst.age";
    let of_changes = "v1/changes/20200101T000000Z-00000000/0000000001-20200101T000000Z-00000001/changes/00000.copy.zst.age";
    begin(ours).await.unwrap();
    begin(of_changes).await.unwrap();
    begin("somebody/elses").await.unwrap();

    let shown = succeed(&stack, "backup", json!({"action": "prune"})).await;
    let done = succeed(&stack, "backup", prune()).await;

    assert_eq!(shown["uploads_aborted"], done["uploads_aborted"]);
    let aborted =
        done["uploads_aborted"].as_array().unwrap().iter().map(|upload| upload["object"].as_str().unwrap());
    assert_eq!(aborted.collect::<Vec<_>>(), [ours, of_changes], "{done}");
    let left = bucket.client().list_multipart_uploads().bucket(bucket.name()).send().await.unwrap();
    let left: Vec<_> = left.uploads().iter().filter_map(|upload| upload.key()).collect();
    assert_eq!(left, ["somebody/elses"]);
}
