//! README.md and RUNBOOK.md, run as they stand: every `sh` block is a command that an operator copies, and every
//! `json` block behind one is what it answers.

use std::collections::VecDeque;
use std::path::Path;

use serde_json::{Value, json};
use stack::place;
use stack::shop::Shop;
use tokio::process::Command;

use crate::http::Http;
use crate::support::{eager, sell, succeeded};

/// A fenced block: its language and text.
struct Block {
    language: String,
    text: String,
}

fn blocks(document: &str) -> VecDeque<Block> {
    let mut blocks = VecDeque::new();
    let mut open: Option<Block> = None;
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    blocks
}

/// Every field that `shown` has must be in `real`, of the same kind; a list's first entry stands for all.
fn assert_shaped(shown: &Value, real: &Value, at: &str) {
    match (shown, real) {
        (Value::Object(shown), Value::Object(real)) => {
            for (name, value) in shown {
                let found =
                    real.get(name).unwrap_or_else(|| panic!("{at}: the reply has no {name}: {real:?}"));
                assert_shaped(value, found, &format!("{at}.{name}"));
            }
        }
        (Value::Array(shown), Value::Array(real)) => {
            if let Some(first) = shown.first() {
                assert_shaped(
                    first,
                    real.first().unwrap_or_else(|| panic!("{at} is empty")),
                    &format!("{at}[0]"),
                );
            }
        }
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_)) => {}
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, _) => {}
        _ => panic!("{at}: shown as {shown}, answered {real}"),
    }
}

#[tokio::test]
async fn every_command_of_readme_and_runbook_works_and_answers_as_shown() {
    for (document, commands_expected) in [("README.md", 8), ("RUNBOOK.md", 52)] {
        let stack = eager().start().await.expect("a stack");
        let mut shop = Shop::open(&stack.stripe, 3).expect("a shop");
        sell(&stack, &mut shop, 15).await;
        // As on any other night there is a backup already.
        for kind in ["changes", "full"] {
            succeeded(stack.invoke("backup", json!({"backup_type": kind})).await.expect("invoked"));
        }
        // The event that the page tries again: a refund without an amount.
        let broken = json!({"id": "evt_1", "type": "refund.created", "created": 1_795_244_400, "livemode": false,
            "data": {"object": {"id": "re_1"}}});
        let (status, _) = Http::new().deliver(&stack, broken.to_string().as_bytes()).await;
        assert_eq!(status, 200);
        let directory = tempfile::tempdir().expect("a directory");
        let text = std::fs::read_to_string(place::repository().join(document)).expect("the document");
        let mut blocks = blocks(&text);
        let mut commands = 0;
        while let Some(block) = blocks.pop_front() {
            // `make demo` and `make test` run other things than the stack that is up here.
            if block.language != "sh" || block.text.starts_with("make ") {
                continue;
            }
            commands += 1;
            let reply = run(&stack, directory.path(), &block.text).await;
            assert!(reply.get("errorType").is_none(), "{document}: {}\n{reply}", block.text);
            if blocks.front().is_some_and(|next| next.language == "json") {
                let shown = blocks.pop_front().expect("it was there").text;
                let shown = serde_json::from_str(&shown).expect("an example in JSON");
                assert_shaped(&shown, &reply, &block.text);
            }
        }
        assert_eq!(commands, commands_expected, "{document}: commands that were run");
        let admin = sqlx::PgPool::connect(stack.postgres.url()).await.expect("the server");
        for name in [
            "recoup_restore_1",
            "recoup_rehearsal_1",
            "recoup_orders_1",
            "recoup_rehearsal_2",
            "recoup_rows_1",
            "recoup_instant_1",
        ] {
            let statement = format!("drop database if exists {name} with (force)");
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&admin).await.expect("tidied up");
        }
    }
}

/// Runs a command as a shell would; gives what it wrote to `reply.json`, else what it printed: as JSON, or the text
/// where it is not.
async fn run(stack: &stack::Stack, directory: &Path, command: &str) -> Value {
    let reply = directory.join("reply.json");
    // A command that writes no reply must not be judged by the last one's.
    let _ = std::fs::remove_file(&reply);
    let programs = place::venv_program("aws").expect("set up");
    let programs = programs.parent().expect("a directory").to_owned();
    let path = std::env::join_paths(
        std::iter::once(programs).chain(std::env::split_paths(&std::env::var_os("PATH").expect("a PATH"))),
    );
    let output = Command::new("sh")
        .args(["-e", "-c", command])
        .current_dir(directory)
        // What `make up` writes into target/stack/env, and nothing else.
        .env_clear()
        .envs(stack.environment())
        .env("PATH", path.expect("a PATH"))
        .output()
        .await
        .expect("a shell");
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    let said = std::fs::read(reply).unwrap_or(output.stdout);
    serde_json::from_slice(&said).unwrap_or_else(|_| json!(String::from_utf8_lossy(&said)))
}
