//! The report of a run: JSON and a page, in the bucket, which a browser shows whatever Stripe sent.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use stack::shop::Shop;
use stack::store_gate::{Fault, StoreGate};
use stack::stripe::Faults;
use stack::{Stack, place};
use tokio::process::Command;

use crate::http::unix_now;
use crate::reconcile_balance::books::{ask, balanced, builder, everything, history, transaction};
use crate::support::{failed, settle, succeeded};

/// What would be markup, and what would be a person, if it were let through.
const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"></td><script>document.title='owned'</script>\
                       &quot;ada.lovelace@example.com";

/// Runs a browser on a page of the disk.
async fn chromium(profile: &Path, page: &Path, options: &[&str]) -> Output {
    let program = place::program("chromium").expect("a browser: run `tests/setup`");
    Command::new(program)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
        ])
        .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--virtual-time-budget=2000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(options)
        .arg(format!("file://{}", page.display()))
        .kill_on_drop(true)
        .output()
        .await
        .expect("a browser runs")
}

/// A report out of the bucket: the JSON and the page.
async fn report(stack: &Stack, location: &Value) -> (Value, String) {
    let mut texts = Vec::new();
    for form in ["json", "page"] {
        let uri = location[form].as_str().expect("a place");
        let key = uri.strip_prefix(&format!("s3://{}/", stack.bucket)).expect("in the bucket");
        assert!(key.starts_with("v1/reports/"), "{key}");
        texts.push(String::from_utf8(stack.s3.read(key).await.expect("stored").to_vec()).expect("text"));
    }
    let page = texts.pop().expect("a page");
    (serde_json::from_str(&texts[0]).expect("JSON"), page)
}

/// The reply of a run that found money without an explanation.
fn unexplained(payload: &Value) -> Value {
    let message = payload["errorMessage"].as_str().expect("a message");
    let (_, findings) = message.split_once(" Findings: ").expect("findings");
    serde_json::from_str(findings).expect("JSON")
}

#[tokio::test]
async fn a_browser_shows_the_report_and_nothing_that_stripe_sent_is_markup_or_a_person() {
    let stack = builder().start().await.expect("a stack");
    history(&stack, 21, 60).await;
    stack.stripe.put(&transaction("txn_hostile", HOSTILE, -4_242, 0, "eur", unix_now() - 3_600));
    stack.stripe.put(&transaction("txn_<b>bold</b>", "fee", -1, 0, "eur", unix_now() - 3_600));
    sqlx::query(
        "update recoup.ledger_entries set amount = amount + 1 where kind = 'charge' and currency = 'jpy'",
    )
    .execute(&stack.pool)
    .await
    .expect("planted");
    let reply = ask(&stack, everything(false)).await;
    assert_eq!(failed(&reply), "UnexplainedMoney");
    let said = unexplained(&reply.payload);
    let (json, page) = report(&stack, &said["report"]).await;

    assert_eq!(
        (&json["action"], &json["drift"], &json["dry_run"]),
        (&json!("balance"), &json!(true), &json!(false))
    );
    assert_eq!(
        json["findings"].as_array().map(Vec::len),
        said["differences"].as_u64().map(|count| count as usize)
    );
    let money = json["money"].as_array().expect("money");
    let net: i64 =
        money.iter().filter(|line| line["currency"] == "kwd").filter_map(|line| line["net"].as_i64()).sum();
    let total = said["money"].as_array().expect("totals").iter().find(|total| total["currency"] == "kwd");
    assert_eq!(total.expect("dinars")["net"], net, "days add up to what the reply says");
    for text in [&json.to_string(), &page, &reply.payload.to_string()] {
        assert!(!text.contains("ada.lovelace"), "{text}");
    }
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>bold"), "{page}");
    for outside in ["http://", "https://", "@import", "url("] {
        assert!(!page.contains(outside), "nothing comes from outside: {outside}");
    }

    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("report.html");
    std::fs::write(&file, &page).expect("written");
    let shown = chromium(scratch.path(), &file, &["--dump-dom"]).await;
    let dom = String::from_utf8_lossy(&shown.stdout);
    assert!(
        dom.contains("differences need a person</title>"),
        "{dom}\n{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    assert!(!dom.contains("<img") && !dom.contains("<script") && !dom.contains("owned</title>"), "{dom}");
    assert!(dom.contains("txn_&lt;b&gt;bold&lt;/b&gt;") || !dom.contains("bold"), "text stays text");
    for part in
        ["<h1>", "What needs a person", "txn_hostile", "-42.42 EUR", "Money by day", "<svg", "JPY", "KWD"]
    {
        assert!(dom.contains(part), "{part} is on the page: {dom}");
    }
    // As a phone shows it; the picture is whole and of that width.
    let picture = scratch.path().join("phone.png");
    let shot = format!("--screenshot={}", picture.display());
    chromium(scratch.path(), &file, &["--window-size=390,1600", &shot]).await;
    let picture = std::fs::read(&picture).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
    assert_eq!(picture[16..20], 390_u32.to_be_bytes());
}

#[tokio::test]
async fn every_run_leaves_a_report_of_its_own() {
    let stack = builder().start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 5).expect("a shop");
    shop.sell(4).expect("sales");
    settle(&stack).await;
    stack.stripe.faults(Faults { drop: 1.0, ..Faults::default() });
    shop.sell(3).expect("sales");
    settle(&stack).await;
    for (request, title) in [
        (json!({"action": "events"}), "differences need a person"),
        (json!({"action": "events", "dry_run": false}), "differences, all repaired"),
        (json!({"action": "objects"}), "Everything agrees"),
        (json!({"action": "endpoint"}), "Everything agrees"),
    ] {
        let reply = succeeded(ask(&stack, request.clone()).await);
        let (json, page) = report(&stack, &reply["report"]).await;
        assert_eq!((&json["action"], &json["drift"]), (&request["action"], &reply["drift"]), "{json}");
        assert!(page.contains(&format!("{title}</title>")), "{request}: {page}");
        if let Some(missing) = reply["missing"].as_u64() {
            let found = json["differences"]
                .as_array()
                .expect("kinds")
                .iter()
                .filter_map(|kind| kind["found"].as_u64());
            assert_eq!(found.sum::<u64>(), missing, "{json}");
        }
    }
    balanced(&stack, false).await;
    let stored = stack.s3.list("v1/reports/").await.expect("a list");
    assert_eq!(stored.len(), 10, "two forms of five reports");
}

#[tokio::test]
async fn a_report_that_cannot_be_stored_costs_the_run_nothing() {
    let stack = builder().start().await.expect("a stack");
    let gate = StoreGate::before(stack.s3.endpoint()).expect("a gate");
    stack
        .lambda
        .configure("reconcile", |config| {
            config.environment.insert("AWS_ENDPOINT_URL_S3".to_owned(), gate.endpoint().to_owned());
        })
        .expect("another way to the store");
    gate.fail(|_, _| true, Fault::Refused(403, "AccessDenied"), 100);
    stack.stripe.put(&transaction("txn_1", "topup", 100, 0, "eur", unix_now() - 60));
    let reply = succeeded(ask(&stack, everything(false)).await);
    assert_eq!((&reply["posted"], &reply["report"]), (&json!(1), &Value::Null), "{reply}");
    assert!(reply["warnings"][0].as_str().is_some_and(|why| why.contains("could not be stored")), "{reply}");
    gate.heal();
    assert!(balanced(&stack, false).await["report"]["page"].is_string());
}
