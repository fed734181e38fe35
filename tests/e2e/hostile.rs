//! Bad input, in process and on the real database: whatever is in a body that was signed, the answer is 200, the
//! body is kept to the byte, its effects are there once or not at all, and no log line repeats any of it.

mod receiver;

use std::collections::BTreeMap;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;

use self::receiver::Receiver;
use crate::families::history::fixture;

/// Stands in every hostile text; no log may show it.
const MARKER: &str = "PLANTED me@example.com";
const CASES: u32 = 400;
/// The receiver's own limit.
const BODY_BYTES_MAX: usize = 1024 * 1024;

fn nested(depth: usize) -> Value {
    (0..depth)
        .fold(json!(MARKER), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

/// What no field expects.
fn hostile_values() -> Vec<Value> {
    let texts = [
        "",
        MARKER,
        "\u{0}PLANTED\u{0}",
        "PLANTED\u{202e}\u{feff}🧾",
        "'; drop schema recoup; --PLANTED",
        "-1",
    ];
    let mut values: Vec<Value> = texts.into_iter().map(Value::from).collect();
    values.extend([
        Value::Null,
        json!(true),
        json!([]),
        json!({}),
        json!([MARKER, 1, null]),
        json!({"id": MARKER}),
    ]);
    values.extend([
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.5),
        json!(1e308),
    ]);
    values.extend([json!(253_402_300_800_i64), json!(-62_135_596_801_i64), json!(2_147_483_648_i64)]);
    values.extend([json!(MARKER.repeat(5_000)), json!("x".repeat(256)), nested(100)]);
    values
}

/// Every place in a document, outermost first.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                found.push(path.clone());
                places(inner, &path, found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                let path = format!("{path}/{index}");
                found.push(path.clone());
                places(inner, &path, found);
            }
        }
        _ => {}
    }
}

/// One event of each type that a shop's day brings, and of each other family; personal data planted in them.
fn ordinary_events(stack: &Stack) -> Vec<Value> {
    let mut shop = Shop::open(&stack.stripe, 5).expect("a shop");
    shop.sell(60).expect("sales");
    let mut by_type = BTreeMap::new();
    let families = ["account", "dispute-lost", "dispute-won", "invoice", "payout", "subscription"];
    let others = families.into_iter().flat_map(|family| fixture(family, "2026"));
    for mut event in stack.stripe.events().into_iter().chain(others) {
        if let Some(details) = event.pointer_mut("/data/object/customer_details") {
            details["email"] = json!(MARKER);
        }
        if event.pointer("/data/object/object") == Some(&json!("customer")) {
            event["data"]["object"]["name"] = json!(MARKER);
        }
        if event["type"] == "checkout.session.completed" {
            event["data"]["object"]["metadata"]["recoup_items"] =
                json!(r#"[{"kind":"ticket","ref":"PLANTED","quantity":2,"amount":100}]"#);
        }
        by_type.insert(event["type"].as_str().unwrap_or_default().to_owned(), event);
    }
    by_type.into_values().collect()
}

#[derive(Debug, Clone)]
enum Change {
    Replace { place: prop::sample::Index, value: prop::sample::Index },
    Remove { place: prop::sample::Index },
    Cut { at: prop::sample::Index },
    Byte { at: prop::sample::Index, byte: u8 },
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (index(), index()).prop_map(|(place, value)| Change::Replace { place, value }),
        2 => index().prop_map(|place| Change::Remove { place }),
        1 => index().prop_map(|at| Change::Cut { at }),
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Byte { at, byte }),
    ]
}

fn changed(event: &Value, changes: &[Change], number: u32) -> Vec<u8> {
    let mut event = event.clone();
    event["id"] = json!(format!("evt_hostile_{number}"));
    let values = hostile_values();
    let mut body = None;
    for change in changes {
        let mut found = Vec::new();
        places(&event, "", &mut found);
        match change {
            Change::Replace { place, value } => {
                if let Some(target) = event.pointer_mut(place.get::<String>(&found)) {
                    *target = value.get(&values).clone();
                }
            }
            Change::Remove { place } => {
                let (parent, name) = place.get::<String>(&found).rsplit_once('/').expect("a path");
                if let Some(Value::Object(fields)) = event.pointer_mut(parent) {
                    fields.remove(name);
                }
            }
            Change::Cut { at } => {
                let text = event.to_string().into_bytes();
                body = Some(text[..at.index(text.len())].to_vec());
            }
            Change::Byte { at, byte } => {
                let mut text = event.to_string().into_bytes();
                let at = at.index(text.len());
                text[at] = *byte;
                body = Some(text);
            }
        }
    }
    body.unwrap_or_else(|| event.to_string().into_bytes())
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() })
}

/// On one thread: the log of a thread is what is looked at.
fn on_one_thread<T>(future: impl Future<Output = T>) -> (T, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    (runtime.block_on(future), runtime)
}

#[test]
fn any_change_to_an_event_is_kept_and_applied_at_most_once() {
    let (receiver, runtime) = on_one_thread(Receiver::start());
    let events = ordinary_events(&receiver.stack);
    let number = std::cell::Cell::new(0);
    let strategy = (any::<prop::sample::Index>(), vec(change(), 0..4));
    let run = runner().run(&strategy, |(event, changes)| {
        number.set(number.get() + 1);
        let body = changed(event.get(&events), &changes, number.get());
        runtime.block_on(receiver.check(&body));
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    receiver.no_marker_in_the_log();
}

#[test]
fn any_bytes_that_were_signed_are_kept() {
    let (receiver, runtime) = on_one_thread(Receiver::start());
    let strategy = prop_oneof![vec(any::<u8>(), 0..200), "\\PC{0,80}".prop_map(String::into_bytes)];
    let run = runner().run(&strategy, |body| {
        let answer = runtime.block_on(receiver.check(&body));
        prop_assert!(answer.event.starts_with("unreadable_"), "{}", answer.event);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn no_header_but_a_true_one_opens_the_door() {
    let (receiver, runtime) = on_one_thread(Receiver::start());
    let body = br#"{"id":"evt_forged"}"#;
    let pieces = ["t=", "v1=", "v0=", ",", "=", " ", "1795244400", "00", "ff", "-1", "99999999999999999999"];
    let strategy = prop_oneof![
        vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat()),
        "[ -~]{0,200}"
    ];
    let run = runner().run(&strategy, |header| {
        let (status, answer) = runtime.block_on(receiver.post(Some(&header), body));
        prop_assert_eq!(status, 400, "{}", answer);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(runtime.block_on(receiver.kept()), 0);
}

/// What each file of a folder of `hostile/corpus` must end in is the folder's name.
#[test]
fn the_corpus_is_kept() {
    let (receiver, runtime) = on_one_thread(Receiver::start());
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/hostile/corpus");
    let (mut files, mut surprises) = (0, Vec::new());
    for expected in ["applied", "failed", "ignored"] {
        let mut paths: Vec<_> = std::fs::read_dir(corpus.join(expected))
            .expect("the corpus")
            .map(|entry| entry.expect("a file").path())
            .collect();
        paths.sort();
        files += paths.len();
        for path in paths {
            let body = std::fs::read(&path).expect("a body");
            let answer = runtime.block_on(receiver.check(&body));
            if answer.outcome != expected {
                let reason = runtime.block_on(receiver.reason(&answer.event));
                surprises.push(format!("{}: {} {reason:?}", path.display(), answer.outcome));
            }
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
    assert!(files > 90, "{files} files");
    receiver.no_marker_in_the_log();
}

/// What is too large or too plain for a file.
#[test]
fn the_large_and_the_deep_are_kept() {
    let (receiver, runtime) = on_one_thread(Receiver::start());
    let event = |id: &str, kind: &str, object: &str| {
        format!(
            r#"{{"id":"{id}","type":"{kind}","created":1795244400,"livemode":false,"data":{{"object":{object}}}}}"#
        )
        .into_bytes()
    };
    let customer = r#"{"id":"cus_1","object":"customer","email":"PLANTED me@example.com"}"#;
    let large = format!(r#"{{"id":"cus_l","name":"{}"}}"#, "é".repeat(500_000));
    let deep = format!("{}1{}", "[".repeat(300_000), "]".repeat(300_000));
    let deeper = format!(r#"{{"id":"cus_d","a":{}1{}}}"#, r#"{"a":"#.repeat(90_000), "}".repeat(90_000));
    let mut largest = event("evt_largest", "customer.created", customer);
    largest.resize(BODY_BYTES_MAX, b' ');
    let cases: [(Vec<u8>, &str); 9] = [
        (b"".to_vec(), "failed"),
        (b"[[[[".to_vec(), "failed"),
        ("[".repeat(500_000).into_bytes(), "failed"),
        (event("evt_large", "customer.created", &large), "applied"),
        (event("evt_deep", "customer.updated", &deep), "failed"),
        (event("evt_deeper", "customer.updated", &deeper), "applied"),
        (event(&"e".repeat(256), "customer.created", customer), "failed"),
        (event("evt_kind", &"k".repeat(300), customer), "failed"),
        (largest.clone(), "applied"),
    ];
    for (body, outcome) in cases {
        let answer = runtime.block_on(receiver.check(&body));
        let start = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        assert_eq!(answer.outcome, outcome, "{start}");
    }
    largest.push(b' ');
    let signature = receiver.signature(&largest);
    let (status, answer) = runtime.block_on(receiver.post(Some(&signature), &largest));
    assert_eq!((status, answer["error"]["type"].as_str()), (413, Some("BodyTooLarge")));
    receiver.no_marker_in_the_log();
}

/// A header is read as far as Stripe's can be; nothing of it is repeated.
#[test]
fn a_header_of_a_thousand_signatures_is_refused_and_one_of_sixteen_is_read() {
    let (receiver, runtime) = on_one_thread(Receiver::start());
    let body = br#"{"id":"evt_header","type":"sun.rose","created":1,"livemode":false,"data":{"object":{}}}"#;
    let good = receiver.signature(body);
    let (timestamp, signature) = good.split_once(',').expect("t and v1");
    let other = format!("v1={}", "0".repeat(64));
    let with = |others: usize| format!("{timestamp}{},{signature}", format!(",{other}").repeat(others));
    let refused = [
        with(16),
        with(999),
        format!("{timestamp},{signature}{}", format!(",{other}").repeat(999)),
        format!("{good},{good}"),
        format!("{timestamp},v1={}", "0".repeat(100_000)),
        format!("{timestamp},{}", ",".repeat(10_000)),
        format!("{timestamp}\u{e9},{signature}"),
        format!("{timestamp},{signature}\u{e9}"),
        format!("t= {},{signature}", &timestamp[2..]),
        "PLANTED me@example.com".repeat(1_000),
        String::new(),
    ];
    for header in refused {
        let (status, answer) = runtime.block_on(receiver.post(Some(&header), body));
        assert_eq!(status, 400, "{answer} for {}", &header[..header.len().min(100)]);
        assert!(!answer.to_string().contains("PLANTED"), "{answer}");
    }
    assert_eq!(runtime.block_on(receiver.kept()), 0);
    assert_eq!(runtime.block_on(receiver.post(Some(&with(15)), body)).0, 200);
    assert_eq!(runtime.block_on(receiver.kept()), 1);
    receiver.no_marker_in_the_log();
}
