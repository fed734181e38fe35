//! The contract between infra/template.yaml, the real binaries and the pages: the variables that are set are those that
//! are read, what schedules send is accepted, and so is what the pages tell an operator to send.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stack::deployment::{Deployment, Schedule};
use stack::{Stack, place};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::succeeded;

/// Variables that a function reads and that the template does not set: why.
const NOT_IN_THE_TEMPLATE: [(&str, &str); 4] = [
    ("STRIPE_API_BASE", "Stripe's address, for the local stack; unset it is Stripe itself"),
    ("S3_FORCE_PATH_STYLE", "for stores without a host name for each bucket"),
    ("S3_ANSWER_SECONDS", "the default is right for S3"),
    ("BACKUP_ENCRYPTION", "switches encryption off, which nobody is to do by a parameter of a deployment"),
];

async fn as_deployed(deployment: &Deployment, log: &str) -> Stack {
    let functions = deployment.functions.keys().map(String::as_str);
    let builder = Stack::builder().functions(functions.clone()).as_deployed();
    functions.fold(builder, |builder, function| builder.env(function, "RUST_LOG", log)).start().await.unwrap()
}

/// The variables that a function said it reads.
async fn read_by(stack: &Stack, function: &str) -> BTreeSet<String> {
    // Whatever it answers, it has started.
    stack.invoke(function, json!({})).await.unwrap();
    let lines = stack.lambda.logs(function).unwrap();
    let said = lines.iter().filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let said = said
        .filter(|line| line["message"] == "environment read")
        .map(|line| line["variables"].clone())
        .next();
    let said = said.unwrap_or_else(|| panic!("{function} does not say what it reads: {lines:?}"));
    said.as_str().unwrap().split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn the_template_sets_what_each_function_reads_and_nothing_else() {
    let deployment = Deployment::read().await.unwrap();
    let stack = as_deployed(&deployment, "recoup=debug").await;
    let mut spare: BTreeSet<&str> = NOT_IN_THE_TEMPLATE.iter().map(|(name, _)| *name).collect();
    for (name, function) in &deployment.functions {
        let mut read = read_by(&stack, name).await;
        // By telemetry, before anything else.
        read.insert("RUST_LOG".to_owned());
        for (variable, why) in NOT_IN_THE_TEMPLATE {
            if read.remove(variable) {
                spare.remove(variable);
            }
            assert!(!function.environment.contains_key(variable), "{name} has {variable}: {why}");
        }
        let set: BTreeSet<String> = function.environment.keys().cloned().collect();
        assert_eq!(set, read, "set by the template (left) and read (right) by {name}");
    }
    assert_eq!(spare, BTreeSet::new(), "which no function reads");
}

/// Backups before what looks at them, and the look at everything last.
fn order(schedule: &Schedule) -> (bool, &str, bool, &str) {
    let is_health = schedule.input.contains("health");
    (is_health, &schedule.function, schedule.input.contains("prune"), &schedule.name)
}

#[tokio::test]
async fn every_schedule_sends_what_its_function_does() {
    let deployment = Deployment::read().await.unwrap();
    let stack = as_deployed(&deployment, "info").await;
    let mut schedules: Vec<&Schedule> = deployment.schedules.iter().collect();
    schedules.sort_by_key(|schedule| order(schedule));
    assert!(schedules.len() > 10, "{schedules:?}");
    // EventBridge Scheduler puts in the time that it meant.
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    for schedule in schedules {
        let input = schedule.input.replace("<aws.scheduler.scheduled-time>", &now);
        let payload: Value = serde_json::from_str(&input).unwrap();
        let reply = stack.invoke(&schedule.function, payload).await.unwrap();
        assert_eq!(reply.function_error, None, "{}: {}", schedule.name, reply.payload);
    }
    // After one round of them nothing is broken.
    let health = succeeded(stack.invoke("verify", json!({"action": "health"})).await.unwrap());
    for part in ["backups", "changes", "drill", "checks", "reconcile", "encryption", "secrets"] {
        assert_eq!(health["parts"][part]["status"], "ok", "{part}: {health}");
    }
}

/// What a page tells to send: to which function, and what.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("--payload '") {
        let (payload, after) = after.split_once('\'').unwrap();
        let (_, named) = before.rsplit_once("--function-name ").unwrap_or(("", before));
        let name = named.trim_start_matches(['"', '\'']).trim_start_matches("${RECOUP_PREFIX}");
        let name = name.trim_start_matches("${").to_lowercase();
        let name: String = name.chars().take_while(char::is_ascii_lowercase).collect();
        found.push((name, payload.to_owned()));
        rest = after;
    }
    found
}

#[tokio::test]
async fn every_payload_on_a_page_is_one_that_its_function_takes() {
    let stack = Stack::start().await.unwrap();
    // Nothing is to happen: whoever takes the request finds no database.
    stack.secrets.put("database", &json!({"url": "postgres://nobody@127.0.0.1:1/nowhere"})).await.unwrap();
    let mut taken = 0;
    for page in ["README.md", "RUNBOOK.md", "infra/template.yaml"] {
        let text = std::fs::read_to_string(place::repository().join(page)).unwrap();
        for (function, payload) in examples(&text) {
            let request =
                serde_json::from_str(&payload).unwrap_or_else(|error| panic!("{page}: {payload}: {error}"));
            if !stack.lambda.names().any(|name| name == function) {
                continue;
            }
            let reply = stack.invoke(&function, request).await.unwrap();
            let error = &reply.payload["errorType"];
            assert_ne!(error, "InvalidRequest", "{page}: {function} {payload}: {}", reply.payload);
            taken += 1;
        }
    }
    assert!(taken > 45, "{taken} payloads");
}
