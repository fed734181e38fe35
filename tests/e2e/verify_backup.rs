//! A backup without reading it, and a backup that is restored to see that it comes back.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::lambda::FunctionConfig;
use stack::versions::VersionedBucket;

use crate::archive_stack::{
    archive_stack, databases_like, execute, fail, full_backup, gate_before_store_of, id_of, succeed,
};

/// What a message says as JSON.
fn findings(message: &str) -> Value {
    let (_, findings) = message.split_once(" Findings: ").unwrap_or_else(|| panic!("no findings: {message}"));
    serde_json::from_str(findings).expect("JSON")
}

async fn table(stack: &Stack, rows: u32) {
    let sql = format!(
        "CREATE TABLE public.one AS SELECT i AS a, md5(i::text) AS b FROM generate_series(1, {rows}) AS i"
    );
    execute(&stack.database_url, &sql).await;
}

#[tokio::test]
async fn quick_says_what_the_store_vouches_for_and_names_what_was_replaced() {
    let stack = archive_stack().start().await.unwrap();
    table(&stack, 2000).await;
    let backup_id = id_of(&full_backup(&stack).await);
    let quick = json!({"action": "quick", "backup_id": backup_id});
    let reply = succeed(&stack, "verify", quick.clone()).await;
    assert_eq!(reply["status"], "plausible");
    assert_eq!(reply["objects_by_sha256"], reply["objects_listed"], "{reply}");
    assert_eq!(reply["bytes_by_size_only"], 0, "{reply}");

    // Another content of the same size: the listing is the same, and the store's checksum is not.
    let object = "data/public.one/00000.copy.zst.age";
    let key = format!("v1/backups/{backup_id}/{object}");
    let whole = stack.s3.read(&key).await.unwrap();
    let put = |body: Vec<u8>, algorithm| {
        let request = stack.s3.client().put_object().bucket(stack.s3.bucket()).key(&key);
        request.checksum_algorithm(algorithm).body(ByteStream::from(body)).send()
    };
    let mut other = whole.to_vec();
    other[10] ^= 1;
    put(other.clone(), ChecksumAlgorithm::Sha256).await.unwrap();
    let (error_type, message) = fail(&stack, "verify", quick.clone()).await;
    assert_eq!(error_type, "BackupDamaged");
    assert_eq!(findings(&message)["objects"][0]["object"], object, "{message}");

    // Where the store has another checksum only, the reply says that the size is all that was compared.
    put(other, ChecksumAlgorithm::Crc32).await.unwrap();
    let reply = succeed(&stack, "verify", quick).await;
    assert_eq!(reply["objects_without_checksum"], 1, "{reply}");
    assert_eq!(reply["bytes_by_size_only"], whole.len(), "{reply}");
    let (error_type, _) = fail(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
    assert_eq!(error_type, "BackupDamaged");
    let recorded: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', action, status, backup_id) from recoup.verifications order by id",
    )
    .fetch_all(&stack.pool)
    .await
    .unwrap();
    let expected = ["quick passed", "quick failed", "quick passed", "full failed"];
    assert_eq!(recorded, expected.map(|check| format!("{check} {backup_id}")));
}

/// Stores an object in two pieces, as the AWS CLI does where it is asked for SHA-256.
async fn put_in_pieces(bucket: &VersionedBucket, key: &str, pieces: [&[u8]; 2]) {
    let (client, name) = (bucket.client(), bucket.name());
    let algorithm = ChecksumAlgorithm::Sha256;
    let begun = client.create_multipart_upload().bucket(name).key(key).checksum_algorithm(algorithm.clone());
    let upload_id = begun.send().await.unwrap().upload_id.unwrap();
    let mut parts = Vec::new();
    for (number, piece) in (1..).zip(pieces) {
        let put = client.upload_part().bucket(name).key(key).upload_id(&upload_id).part_number(number);
        let body = ByteStream::from(piece.to_vec());
        let put = put.checksum_algorithm(algorithm.clone()).body(body).send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(put.e_tag).build());
    }
    let upload = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = client.complete_multipart_upload().bucket(name).key(key).upload_id(&upload_id);
    complete.multipart_upload(upload).send().await.unwrap();
}

#[tokio::test]
async fn quick_names_an_object_of_many_pieces_that_was_replaced_by_one_of_its_size() {
    let stack = archive_stack().start().await.unwrap();
    let bucket = VersionedBucket::create(&stack).await.unwrap();
    for function in ["backup", "verify"] {
        let change = |config: &mut FunctionConfig| {
            config.environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), bucket.endpoint().to_owned());
            config.environment.insert("BACKUP_BUCKET".to_owned(), bucket.name().to_owned());
        };
        stack.lambda.configure(function, change).unwrap();
    }
    // Digits of hashes compress to half.
    execute(
        &stack.database_url,
        "CREATE TABLE public.large AS
         SELECT (SELECT string_agg(md5(i || '.' || j), '') FROM generate_series(1, 64) AS j) AS text
         FROM generate_series(1, 6000) AS i",
    )
    .await;
    let backup_id = id_of(&full_backup(&stack).await);
    let object = "data/public.large/00000.copy.zst.age";
    let key = format!("v1/backups/{backup_id}/{object}");
    let quick = json!({"action": "quick", "backup_id": backup_id});

    let reply = succeed(&stack, "verify", quick.clone()).await;
    assert_eq!(reply["objects_by_composite_sha256"], 1, "{reply}");
    assert_eq!(reply["objects_without_checksum"], 0, "{reply}");
    assert_eq!(reply["bytes_by_size_only"], 0, "{reply}");
    let bytes = bucket.client().get_object().bucket(bucket.name()).key(&key).send().await.unwrap();
    let whole = bytes.body.collect().await.unwrap().to_vec();
    assert_eq!(reply["bytes_by_composite_sha256"], whole.len(), "{reply}");

    // As many pieces, of the same size as a whole, and another byte in one of them.
    let mut other = whole.clone();
    other[100] ^= 1;
    let (first, last) = other.split_at(5 * 1024 * 1024);
    put_in_pieces(&bucket, &key, [first, last]).await;
    let (error_type, message) = fail(&stack, "verify", quick.clone()).await;
    assert_eq!(error_type, "BackupDamaged");
    assert_eq!(findings(&message)["objects"][0]["object"], object, "{message}");
    assert!(message.contains("stored again after the backup"), "{message}");

    // In one piece its SHA-256 is the whole object's, and tells both ways.
    for (body, found) in [(other, true), (whole, false)] {
        let put = bucket.client().put_object().bucket(bucket.name()).key(&key);
        let put = put.checksum_algorithm(ChecksumAlgorithm::Sha256).body(ByteStream::from(body));
        put.send().await.unwrap();
        let reply = stack.invoke("verify", quick.clone()).await.unwrap();
        assert_eq!(reply.function_error.is_some(), found, "{}", reply.payload);
    }
}

#[tokio::test]
async fn a_drill_restores_proves_measures_and_leaves_nothing() {
    let stack = archive_stack().start().await.unwrap();
    table(&stack, 2000).await;
    let backup_id = id_of(&full_backup(&stack).await);
    // What came after the backup is not in the copy, and does not matter to the drill.
    execute(&stack.database_url, "DROP TABLE public.one").await;
    let reply = stack.invoke("verify", json!({"action": "drill"})).await.unwrap();
    assert_eq!(reply.function_error, None, "{}", reply.payload);
    assert!(reply.log_tail.contains(r#""percent":100.0"#), "{}", reply.log_tail);
    assert!(reply.log_tail.contains("DrillSeconds"), "{}", reply.log_tail);
    let reply = reply.payload;
    assert_eq!((reply["status"].as_str(), reply["invariants"].as_str()), (Some("recovered"), Some("hold")));
    assert_eq!(reply["backup_id"], backup_id);
    let (seconds, result): (f64, String) = sqlx::query_as(
        "select (details ->> 'recovery_seconds')::float8, status from recoup.verifications where action = 'drill'",
    )
    .fetch_one(&stack.pool)
    .await
    .unwrap();
    assert_eq!(result, "passed");
    // A number of JSON may be read as the neighbour of what it was.
    let replied = reply["recovery_seconds"].as_f64().unwrap();
    assert!(seconds > 0.0 && (replied - seconds).abs() < 1e-9, "{replied} {seconds}");
    assert_eq!(copies_of(&stack, &backup_id).await, Vec::<String>::new());

    // Rows that break a rule come back as they were, and the drill says so.
    execute(
        &stack.database_url,
        "INSERT INTO recoup.webhook_events (id, type, livemode, created, payload, source, status)
         VALUES ('evt_dead', 'charge.succeeded', false, now(), '{}', 'webhook', 'dead')",
    )
    .await;
    let backup_id = id_of(&full_backup(&stack).await);
    let (error_type, message) = fail(&stack, "verify", json!({"action": "drill"})).await;
    assert_eq!(error_type, "InvariantBroken");
    assert_eq!(findings(&message)["violations"][0]["rows"][0]["id"], "evt_dead", "{message}");
    assert_eq!(copies_of(&stack, &backup_id).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_backup_fails_its_drill_and_leaves_nothing() {
    let stack = archive_stack().start().await.unwrap();
    table(&stack, 2000).await;
    let backup_id = id_of(&full_backup(&stack).await);
    let object = "data/public.one/00000.copy.zst.age";
    stack.s3.flip_byte(&format!("v1/backups/{backup_id}/{object}"), 300).await.unwrap();
    let (error_type, message) = fail(&stack, "verify", json!({"action": "drill"})).await;
    assert_eq!(error_type, "BackupDamaged");
    assert_eq!(findings(&message)["objects"][0]["object"], object, "{message}");
    assert_eq!(copies_of(&stack, &backup_id).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_copy_of_a_drill_that_was_killed_goes_with_the_next() {
    let stack = archive_stack().start().await.unwrap();
    table(&stack, 1000).await;
    let backup_id = id_of(&full_backup(&stack).await);
    let gate = gate_before_store_of(&stack, "verify");
    gate.hold(|_, uri| uri.path().contains("/data/public.one/"));
    let kill = async {
        gate.until_waiting(1).await;
        let copy = copies_of(&stack, &backup_id).await.remove(0);
        // While it runs another drill leaves it alone.
        assert!(!leftovers_dropped(&stack).await.contains(&copy), "a running drill lost its copy");
        stack.lambda.kill("verify").unwrap();
        copy
    };
    let (reply, copy) = tokio::join!(stack.invoke("verify", json!({"action": "drill"})), kill);
    assert!(reply.unwrap().function_error.is_some());
    gate.open();

    // Postgres takes a moment to see that the session's other end is gone. The copy may go with another test's drill.
    let began = Instant::now();
    while !databases_like(&stack, &copy).await.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "{copy} is still there");
        leftovers_dropped(&stack).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let reply = succeed(&stack, "verify", json!({"action": "drill"})).await;
    assert_eq!(reply["status"], "recovered");
}

/// What a drill does first.
async fn leftovers_dropped(stack: &Stack) -> Vec<String> {
    let server = stack.database_url.parse().unwrap();
    recoup::archive::restore::drop_leftovers(&server, "recoup_drill_").await.unwrap()
}

/// The databases whose comment says that they are copies of this backup.
async fn copies_of(stack: &Stack, backup_id: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(stack.postgres.url()).await.unwrap();
    sqlx::query_scalar(
        "SELECT datname::text FROM pg_database WHERE datname LIKE 'recoup_drill_%'
            AND shobj_description(oid, 'pg_database') LIKE '%' || $1",
    )
    .bind(backup_id)
    .fetch_all(&mut connection)
    .await
    .unwrap()
}
