//! `reconcile {"action":"endpoint"}`: whether Stripe delivers, here, and everything that is applied.

use recoup::events::types::APPLIED;
use serde_json::{Value, json};
use stack::stripe::Faults;
use stack::{Stack, StackBuilder, place};

use crate::support::{count, eager, succeeded};

fn builder() -> StackBuilder {
    eager().functions(["webhook", "reconcile"])
}

async fn check(stack: &Stack) -> Value {
    succeeded(stack.invoke("reconcile", json!({"action": "endpoint"})).await.expect("invoked"))
}

/// The findings' objects and fields; each has to name its remedy.
fn found(reply: &Value) -> Vec<String> {
    let findings = reply["findings"].as_array().expect("findings");
    assert_eq!(reply["drift"], !findings.is_empty(), "{reply}");
    assert!(findings.iter().all(|one| one["reason"].as_str().is_some_and(|why| why.len() > 30)), "{reply}");
    let word = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    findings.iter().map(|one| format!("{} {}", word(one, "kind"), word(one, "field"))).collect()
}

/// The endpoints of the stack: the connected accounts' and the account's own.
fn endpoints(stack: &Stack) -> Vec<String> {
    let list = stack.stripe.request("GET", "/v1/webhook_endpoints", "").expect("endpoints");
    let list = list["data"].as_array().expect("data");
    list.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

fn change(stack: &Stack, endpoint: &str, form: &str) {
    stack.stripe.request("POST", &format!("/v1/webhook_endpoints/{endpoint}"), form).expect("changed");
}

#[tokio::test]
async fn an_endpoint_that_is_not_as_it_has_to_be_is_found_with_its_remedy() {
    let stack = builder().start().await.expect("a stack");
    let reply = check(&stack).await;
    assert_eq!(found(&reply), [""; 0], "{reply}");
    assert_eq!(reply["endpoints"].as_array().map(Vec::len), Some(2), "{reply}");
    assert!(reply["report"]["page"].as_str().is_some_and(|page| page.contains("/v1/reports/")), "{reply}");
    let [first, second] = &endpoints(&stack)[..] else { panic!("two endpoints") };

    change(&stack, first, "disabled=true");
    assert_eq!(found(&check(&stack).await), [""; 0], "the other does for the account itself");
    change(&stack, second, "disabled=true");
    assert_eq!(found(&check(&stack).await), ["different status"]);
    change(&stack, second, "disabled=false&enabled_events[]=charge.succeeded");
    let reply = check(&stack).await;
    assert_eq!(found(&reply), ["missing_there enabled_events"]);
    let lacking = reply["findings"][0]["ours"].as_array().expect("types").len();
    assert_eq!(lacking, APPLIED.len() - 1);
    let all: Vec<String> = APPLIED.iter().map(|kind| format!("enabled_events[]={kind}")).collect();
    change(&stack, second, &all.join("&"));
    assert_eq!(found(&check(&stack).await), [""; 0]);
    change(&stack, second, "url=https://old.example/webhooks/stripe");
    assert_eq!(found(&check(&stack).await), ["different status"], "the disabled one is what is left");
    stack.stripe.request("DELETE", &format!("/v1/webhook_endpoints/{first}"), "").expect("deleted");
    let reply = check(&stack).await;
    assert_eq!(found(&reply), ["missing_there "]);
    assert_eq!(reply["findings"][0]["id"], stack.webhook_url());
}

#[tokio::test]
async fn connected_accounts_need_an_endpoint_of_their_own_and_a_version_can_be_asked_for() {
    let stack = builder()
        .env("reconcile", "STRIPE_ACCOUNTS", "acct_1Art")
        .env("reconcile", "STRIPE_API_VERSION", "2026-09-30.endive")
        .start()
        .await
        .expect("a stack");
    stack.stripe.account("acct_1Art");
    assert_eq!(found(&check(&stack).await), ["different api_version"; 2], "none is pinned");
    let ids = endpoints(&stack);
    for id in &ids {
        let mut endpoint = stack.stripe.object(id).expect("an endpoint");
        endpoint["api_version"] = json!("2026-09-30.endive");
        stack.stripe.put(&endpoint);
    }
    assert_eq!(found(&check(&stack).await), [""; 0]);
    stack.stripe.request("DELETE", &format!("/v1/webhook_endpoints/{}", ids[0]), "").expect("deleted");
    let reply = check(&stack).await;
    assert_eq!(found(&reply), ["missing_there "]);
    assert!(reply["findings"][0]["reason"].as_str().unwrap().contains("connect=true"), "{reply}");
}

#[tokio::test]
async fn deliveries_that_did_not_come_are_counted_and_those_of_others_are_not() {
    let stack = builder().start().await.expect("a stack");
    // Somebody else's endpoint, which never answers.
    stack.stripe.add_endpoint("http://127.0.0.1:9/", "whsec_other", &["customer.created"]);
    let make = |name: &str| {
        stack.stripe.request("POST", "/v1/customers", &format!("name={name}")).expect("a customer");
    };
    stack.stripe.set_clock(crate::http::unix_now() - 3_600);
    for _ in 0..5 {
        make("ada");
    }
    // One delivery of each came, the other never will.
    while count(&stack, "select count(*) from recoup.webhook_events").await < 5 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let reply = check(&stack).await;
    assert_eq!(found(&reply), [""; 0]);
    let deliveries = &reply["deliveries"];
    assert_eq!((&deliveries["delivered"], &deliveries["elsewhere"]), (&json!(5), &json!(5)), "{reply}");
    assert_eq!((&deliveries["undelivered"], &deliveries["success_percent"]), (&json!(0), &json!(100.0)));

    stack.stripe.faults(Faults { drop: 1.0, ..Faults::default() });
    for _ in 0..3 {
        make("bob");
    }
    stack.stripe.set_clock(crate::http::unix_now());
    make("cyd");
    let reply = check(&stack).await;
    let deliveries = &reply["deliveries"];
    assert_eq!((&deliveries["undelivered"], &deliveries["under_way"]), (&json!(3), &json!(1)), "{reply}");
    assert_eq!(
        (&deliveries["success_percent"], &deliveries["brought"]),
        (&json!(62.5), &json!(0)),
        "{reply}"
    );
    let expected = ["missing_here ", "missing_here ", "missing_here ", "different success_percent"];
    assert_eq!(found(&reply), expected);

    succeeded(
        stack.invoke("reconcile", json!({"action": "events", "dry_run": false})).await.expect("invoked"),
    );
    let reply = check(&stack).await;
    assert_eq!(found(&reply), ["different success_percent"], "they are here, and did not come by themselves");
    assert_eq!(reply["deliveries"]["brought"], 3, "{reply}");
}

#[test]
fn readme_makes_the_endpoint_with_every_type_that_is_applied() {
    let readme = std::fs::read_to_string(place::repository().join("README.md")).expect("README.md");
    let (_, command) = readme.split_once("$(printf -- '-d enabled_events[]=%s ' ").expect("the command");
    let (types, _) = command.split_once(')').expect("its end");
    let types: Vec<&str> = types.split_whitespace().filter(|word| *word != "\\").collect();
    assert_eq!(types, APPLIED);
}
