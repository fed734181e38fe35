//! Bad input, in process and on the real database: whatever is in a body that was signed, the answer is 200, the
//! body is kept to the byte, its effects are there once or not at all, and no log line repeats any of it.

mod receiver;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;

use self::receiver::Receiver;

/// Stands in every hostile text; no log may show it.
const MARKER: &str = "PLANTED me@example.com";
const CASES: u32 = 300;

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

/// One event of each type that a shop's day brings, personal data planted in them.
fn ordinary_events(stack: &Stack) -> Vec<Value> {
    let mut shop = Shop::open(&stack.stripe, 5).expect("a shop");
    shop.sell(60).expect("sales");
    let mut by_type = BTreeMap::new();
    for mut event in stack.stripe.events() {
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
    let kept = "select count(*) from recoup.webhook_events";
    let kept: i64 =
        runtime.block_on(sqlx::query_scalar(kept).fetch_one(&receiver.stack.pool)).expect("a count");
    assert_eq!(kept, 0);
}

#[test]
fn the_corpus_is_kept() {
    let (receiver, runtime) = on_one_thread(Receiver::start());
    let event = |id: &str, kind: &str, more: &str| {
        format!(r#"{{"id":"{id}","type":"{kind}","created":1795244400,{more}}}"#).into_bytes()
    };
    let customer = r#""livemode":false,"data":{"object":{"id":"cus_1","object":"customer","email":"PLANTED me@example.com"}}"#;
    let large =
        format!(r#""livemode":false,"data":{{"object":{{"id":"cus_l","name":"{}"}}}}"#, "é".repeat(500_000));
    let deep =
        format!(r#""livemode":false,"data":{{"object":{}1{}}}"#, "[".repeat(300_000), "]".repeat(300_000));
    let deeper = format!(
        r#""livemode":false,"data":{{"object":{{"id":"cus_d","a":{}1{}}}}}"#,
        r#"{"a":"#.repeat(90_000),
        "}".repeat(90_000)
    );
    let charge = |amount: &str| {
        format!(
            r#""livemode":false,"data":{{"object":{{"id":"ch_1","object":"charge","amount":{amount},"currency":"eur","captured":true,"status":"succeeded","created":1}}}}"#
        )
    };
    let cases: [(Vec<u8>, &str); 20] = [
        (b"".to_vec(), "failed"),
        (b"null".to_vec(), "failed"),
        (b"[[[[".to_vec(), "failed"),
        (b"\xff\xfe\x00\x01".to_vec(), "failed"),
        ("[".repeat(500_000).into_bytes(), "failed"),
        (event("evt_large", "customer.created", &large), "applied"),
        (event("evt_deep", "customer.updated", &deep), "failed"),
        (event("evt_deeper", "customer.updated", &deeper), "applied"),
        (event(&"e".repeat(256), "customer.created", customer), "failed"),
        (event("evt_nul\\u0000", "customer.created", customer), "failed"),
        (event("evt_kind", &"k".repeat(300), customer), "failed"),
        (event("evt_huge", "charge.succeeded", &charge("99999999999999999999999")), "failed"),
        (event("evt_exponent", "charge.succeeded", &charge("1e400")), "failed"),
        (event("evt_fraction", "charge.succeeded", &charge("10.5")), "failed"),
        (event("evt_word", "charge.succeeded", &charge(r#""PLANTED me@example.com""#)), "failed"),
        (event("evt_new", "sun.rose", customer), "ignored"),
        (event("evt_live", "customer.created", &customer.replace("false", "true")), "ignored"),
        (
            event("evt_elsewhere", "customer.created", &format!(r#""account":"acct_unknown",{customer}"#)),
            "ignored",
        ),
        (
            br#"{"id":"evt_thin","object":"v2.core.event","type":"v2.core.account.updated","livemode":false,
                "created":"2026-11-21T07:00:00.000Z","related_object":{"id":"acct_1"}}"#
                .to_vec(),
            "ignored",
        ),
        (event("evt_twice", "customer.created", &format!("{customer},{customer}")), "failed"),
    ];
    for (body, outcome) in cases {
        let answer = runtime.block_on(receiver.check(&body));
        let start = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        assert_eq!(answer.outcome, outcome, "{start}");
    }
    receiver.no_marker_in_the_log();
}
