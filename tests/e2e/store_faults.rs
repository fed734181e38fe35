//! The store fails at each kind of request: once, and the work is whole all the same; always, and it ends with an
//! error that names operation and object.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use recoup::archive::store::{ObjectStore, S3Store, StoreError, read_whole};
use recoup::config::Env;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stack::Stack;
use stack::lambda::FunctionConfig;
use stack::store_gate::{Fault, StoreGate, operation};

use crate::archive_stack::{archive_stack, execute, fail, full_backup, id_of, succeed};
use crate::backup_cuts::TABLES;

/// The operations of the archive's store, as the Amazon S3 API Reference calls them.
const OPERATIONS: [&str; 10] = [
    "PutObject",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "HeadObject",
    "GetObject",
    "ListObjectsV2",
    "DeleteObject",
    "DeleteObjects",
];

const INTERNAL: Fault = Fault::Refused(500, "InternalError");
const SLOW_DOWN: Fault = Fault::Refused(503, "SlowDown");
const BAD_DIGEST: Fault = Fault::Refused(400, "BadDigest");

/// What an operation of each kind can come to.
fn faults_of(operation: &str) -> Vec<Fault> {
    let mut faults = vec![INTERNAL, SLOW_DOWN, Fault::Reset, Fault::Silence, Fault::AnswerLost];
    match operation {
        "PutObject" | "UploadPart" => faults.push(BAD_DIGEST),
        "GetObject" => faults.extend([Fault::CutShort, Fault::Crawl]),
        "ListObjectsV2" => faults.push(Fault::CutShort),
        _ => {}
    }
    faults
}

/// A bucket of its own, reached through the gate by the client that the functions have.
async fn store(stack: &Stack, gate: &StoreGate, bucket: &str) -> S3Store {
    stack.s3.client().create_bucket().bucket(bucket).send().await.unwrap();
    let key = &stack.access_key;
    let credentials =
        aws_sdk_s3::config::Credentials::new(&key.id, &key.secret, None, None, "a test of the store");
    let aws = aws_config::defaults(aws_config::BehaviorVersion::latest())
        // What the SDK allows itself of repetitions is one allowance a process for a service and region: the cases
        // that always fail would use up that of the others.
        .region(aws_sdk_s3::config::Region::new(bucket.to_owned()))
        .credentials_provider(credentials)
        .endpoint_url(gate.endpoint())
        .load()
        .await;
    let variables = [("BACKUP_BUCKET", bucket), ("S3_FORCE_PATH_STYLE", "true"), ("S3_ANSWER_SECONDS", "1")];
    let mut env = Env::from_variables(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    S3Store::from_env(&mut env, &aws)
}

/// More than one answer's patience can bring byte by byte.
fn body() -> Bytes {
    Bytes::from(vec![7; 10_000])
}

/// Does what `operation` is there for, on a key of that name; `prepared` before the store began to fail.
async fn act(store: &S3Store, operation: &str, upload_id: &str) -> Result<(), StoreError> {
    let body = body();
    match operation {
        "PutObject" => store.put_new(operation, body.clone(), Sha256::digest(&body).into()).await,
        "CreateMultipartUpload" => store.begin_upload(operation).await.map(drop),
        "UploadPart" => store.put_piece(operation, upload_id, 1, body).await.map(drop),
        "CompleteMultipartUpload" => {
            let piece = store.put_piece(operation, upload_id, 1, body).await?;
            store.complete_upload(operation, upload_id, &[piece]).await.map(drop)
        }
        "AbortMultipartUpload" => store.abort_upload(operation, upload_id).await,
        "HeadObject" => store.checksum("there").await.map(drop),
        "GetObject" => read_whole(store, "there", 20_000).await.map(|read| assert_eq!(read, body)),
        "ListObjectsV2" => {
            let mut keys = Vec::new();
            store.list("there", |object| keys.push(object.key)).await?;
            assert_eq!(keys, ["there"]);
            Ok(())
        }
        "DeleteObject" => store.delete("there").await.map(drop),
        "DeleteObjects" => store.delete_all(&["there".to_owned()]).await,
        other => panic!("{other} is no operation of the store"),
    }
}

/// A store whose `name` fails `times` times, and what came of it. `None` where it cannot be asked for here.
async fn case(
    stack: &Stack,
    gate: &StoreGate,
    (number, name, fault): (usize, &'static str, Fault),
    times: usize,
) -> (String, Result<(), StoreError>, Duration) {
    let bucket = format!("faults-{times}-{number}");
    let store = store(stack, gate, &bucket).await;
    store.put_new("there", body(), Sha256::digest(body()).into()).await.unwrap();
    let upload_id = store.begin_upload(name).await.unwrap();
    let path = format!("/{bucket}");
    gate.fail(
        move |method, uri| {
            operation(method, uri) == name
                && uri.path().trim_end_matches('/').starts_with(&path)
                && !uri.path()[path.len()..].starts_with(|next: char| next.is_ascii_digit())
        },
        fault,
        times,
    );
    let began = Instant::now();
    let done = act(&store, name, &upload_id).await;
    if done.is_ok() && ["PutObject", "CompleteMultipartUpload"].contains(&name) {
        assert_eq!(read_whole(&store, name, 20_000).await.unwrap(), body(), "{name} {fault:?}");
    }
    (format!("{name} {fault:?}"), done, began.elapsed())
}

fn cases() -> impl Iterator<Item = (usize, &'static str, Fault)> {
    let all = OPERATIONS.iter().flat_map(|name| faults_of(name).into_iter().map(move |fault| (*name, fault)));
    all.enumerate().map(|(number, (name, fault))| (number, name, fault))
}

#[tokio::test]
async fn what_fails_once_is_done_all_the_same() {
    let stack = archive_stack().functions([]).start().await.unwrap();
    let gate = StoreGate::before(stack.s3.endpoint()).unwrap();
    // Told to give an upload up that is gone, `s3s-fs` denies it; S3 says NoSuchUpload, which is as good as done.
    let known = |(_, name, fault): &(usize, &str, Fault)| {
        (*name, *fault) != ("AbortMultipartUpload", Fault::AnswerLost)
    };
    let done = join_all(cases().filter(known).map(|one| case(&stack, &gate, one, 1))).await;
    assert_eq!(gate.heal(), 0, "each fault came");
    for (name, done, _) in done {
        assert!(done.is_ok(), "{name}: {}", done.unwrap_err());
    }
}

#[tokio::test]
async fn what_always_fails_ends_in_time_and_names_operation_and_object() {
    let stack = archive_stack().functions([]).start().await.unwrap();
    let gate = StoreGate::before(stack.s3.endpoint()).unwrap();
    // An answer that is lost for ever tells nobody that the work was done.
    let failing = cases().filter(|(_, _, fault)| *fault != Fault::AnswerLost);
    let done = join_all(failing.map(|one| case(&stack, &gate, one, usize::MAX))).await;
    for (name, done, took) in done {
        let Err(error) = done else { panic!("{name}: done") };
        let expected = if name.contains("BadDigest") { "StoreChecksumMismatch" } else { "StoreUnavailable" };
        let message = error.to_string();
        assert_eq!(error.error_type(), expected, "{name}: {message}");
        let verb = match name.split_once(' ').unwrap().0 {
            "PutObject" => "store s3://",
            "CreateMultipartUpload" => "begin to store s3://",
            "UploadPart" => "store a piece of s3://",
            "CompleteMultipartUpload" => "finish storing s3://",
            "AbortMultipartUpload" => "give up storing s3://",
            "HeadObject" => "ask for the checksum of s3://",
            "GetObject" => "read",
            "ListObjectsV2" => "list s3://",
            _ => "delete s3://",
        };
        assert!(message.starts_with(verb) && message.contains("run again"), "{name}: {message}");
        let object = if verb.contains("stor") { name.split(' ').next().unwrap() } else { "there" };
        assert!(message.contains(&format!("/{object}:")), "{name}: {message}");
        // Five times half read, of an answer in a second each; the SDK asks three times for each.
        assert!(took < Duration::from_secs(30), "{name}: {took:?}");
    }
}

/// The functions behind a gate to their store.
async fn gated() -> (Stack, StoreGate) {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, TABLES).await;
    let gate = StoreGate::before(stack.s3.endpoint()).unwrap();
    for function in ["backup", "verify", "restore"] {
        let change = |config: &mut FunctionConfig| {
            config.environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), gate.endpoint().to_owned());
        };
        stack.lambda.configure(function, change).unwrap();
    }
    (stack, gate)
}

/// The backups that a listing shows, and what is left of uploads.
async fn standing(stack: &Stack) -> (Vec<String>, Vec<String>) {
    let list = succeed(stack, "backup", json!({"action": "list"})).await;
    let ids = list["backups"].as_array().unwrap().iter().map(id_of).collect();
    (ids, stack.s3.unfinished_uploads().unwrap())
}

#[tokio::test]
async fn a_store_that_fails_once_at_everything_costs_no_backup() {
    let (stack, gate) = gated().await;
    for fault in [INTERNAL, SLOW_DOWN, Fault::Reset, Fault::AnswerLost] {
        let writes = ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"];
        for name in writes {
            gate.fail(move |method, uri| operation(method, uri) == name, fault, 1);
        }
        gate.fail(
            |method, uri| operation(method, uri) == "PutObject" && uri.path().ends_with("/manifest.json"),
            fault,
            1,
        );
        let backup_id = id_of(&full_backup(&stack).await);
        assert_eq!(gate.heal(), 0, "{fault:?} came to each kind of request");

        for name in ["ListObjectsV2", "GetObject", "HeadObject"] {
            gate.fail(move |method, uri| operation(method, uri) == name, fault, 1);
        }
        gate.fail(|method, uri| operation(method, uri) == "GetObject", Fault::CutShort, 2);
        succeed(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
        succeed(&stack, "verify", json!({"action": "quick", "backup_id": backup_id})).await;
        assert_eq!(gate.heal(), 0, "{fault:?} came to each kind of request");
    }
    let (backups, uploads) = standing(&stack).await;
    assert_eq!(backups.len(), 4);
    // One upload was begun twice, because its first id never arrived: prune, or the bucket's lifecycle, ends it.
    assert_eq!(uploads.len(), 1, "{uploads:?}");
}

#[tokio::test]
async fn a_store_that_always_fails_at_something_shows_no_backup() {
    let (stack, gate) = gated().await;
    let cases = [
        ("CreateMultipartUpload", SLOW_DOWN, "data/public.large/00000", "StoreUnavailable"),
        ("UploadPart", Fault::Reset, "data/public.large/00000", "StoreUnavailable"),
        ("UploadPart", BAD_DIGEST, "data/public.large/00000", "StoreChecksumMismatch"),
        ("CompleteMultipartUpload", INTERNAL, "data/public.large/00000", "StoreUnavailable"),
        ("PutObject", INTERNAL, "", "StoreUnavailable"),
    ];
    for (name, fault, object, expected) in cases {
        gate.fail(move |method, uri| operation(method, uri) == name, fault, usize::MAX);
        let (error_type, message) = fail(&stack, "backup", json!({"backup_type": "full"})).await;
        gate.heal();
        assert_eq!(error_type, expected, "{name} {fault:?}: {message}");
        assert!(
            message.contains(object) && message.contains("has no manifest"),
            "{name} {fault:?}: {message}"
        );
        assert_eq!(standing(&stack).await, (Vec::new(), Vec::new()), "{name} {fault:?}");
    }
    // All of it is there but what would make it a backup.
    let is_manifest = |uri: &http::Uri| uri.path().ends_with("/manifest.json");
    gate.fail(
        move |method, uri| operation(method, uri) == "PutObject" && is_manifest(uri),
        INTERNAL,
        usize::MAX,
    );
    let (error_type, message) = fail(&stack, "backup", json!({"backup_type": "full"})).await;
    gate.heal();
    assert_eq!(error_type, "StoreUnavailable", "{message}");
    assert!(message.contains("/manifest.json"), "{message}");
    assert_eq!(standing(&stack).await, (Vec::new(), Vec::new()));

    let backup_id = id_of(&full_backup(&stack).await);
    let checks: BTreeMap<&str, Value> = BTreeMap::from([
        ("HeadObject", json!({"action": "quick", "backup_id": backup_id})),
        ("GetObject", json!({"action": "full", "backup_id": backup_id})),
        ("ListObjectsV2", json!({"action": "full", "backup_id": "latest"})),
    ]);
    for (name, request) in checks {
        gate.fail(move |method, uri| operation(method, uri) == name, SLOW_DOWN, usize::MAX);
        let (error_type, message) = fail(&stack, "verify", request).await;
        gate.heal();
        assert_eq!(error_type, "StoreUnavailable", "{name}: {message}");
        // The answer to HeadObject has no body that could tell the code.
        let said = if name == "HeadObject" { "HTTP 503" } else { "SlowDown" };
        assert!(message.contains(said) && message.contains("s3://"), "{name}: {message}");
    }
    succeed(&stack, "verify", json!({"action": "full", "backup_id": backup_id})).await;
}

#[tokio::test]
async fn a_backup_that_fails_waits_for_what_it_has_under_way() {
    let (stack, gate) = gated().await;
    // One connection's piece is on its way when the other's object is refused.
    for on_its_way in ["CreateMultipartUpload", "UploadPart"] {
        gate.fail(move |method, uri| operation(method, uri) == on_its_way, Fault::Late, usize::MAX);
        let denied = Fault::Refused(403, "AccessDenied");
        gate.fail(|method, uri| operation(method, uri) == "PutObject", denied, usize::MAX);
        gate.hold(|method, uri| operation(method, uri) == "PutObject");
        let refuse = async {
            gate.until_under_way(on_its_way).await;
            gate.open();
        };

        let ((error_type, message), ()) =
            tokio::join!(fail(&stack, "backup", json!({"backup_type": "full"})), refuse);

        gate.heal();
        assert_eq!(error_type, "StoreDenied", "{message}");
        assert_eq!(gate.abandoned(), Vec::<&str>::new(), "{on_its_way}");
        assert_eq!(standing(&stack).await, (Vec::new(), Vec::new()), "{on_its_way}");
    }
}
