//! Every major version of Postgres: what the other tests show on the machine's own server, here in short on each.

mod archive;
mod functions;
mod older_server;
mod schemas;

use serde_json::{Value, json};
use stack::Stack;
use stack::postgres::{Major, Postgres};

use crate::archive_stack::{assert_same_dump, dump, execute, succeed, target, texts};

/// Points the functions at another server, which has nothing of the shop.
async fn move_to(stack: &Stack, major: Major) -> Postgres {
    let server = Postgres::of(major).await.unwrap();
    stack.secrets.put("database", &json!({"url": server.url_of("recoup_is_not_here")})).await.unwrap();
    server
}

/// Restores a backup on the server of another version; gives the reply, and what `pg_dump` says of the copy.
async fn restored_on(stack: &Stack, major: Major, backup_id: &str) -> (Value, String) {
    let server = move_to(stack, major).await;
    let copy = target("moved");
    let request = json!({"action": "backup_restore", "backup_id": backup_id, "target_database": copy});
    let restored = succeed(stack, "restore", request).await;
    let dump = dump(stack, &server.url_of(&copy)).await;
    execute(server.url(), &format!("DROP DATABASE {copy} WITH (FORCE)")).await;
    (restored, dump)
}

/// All that honestly differs between the dumps is the line that says which server was asked.
fn assert_same_but_for_the_server(before: &str, after: &str) {
    let asked = |line: &&str| line.starts_with("-- Dumped from database version");
    assert_ne!(before.lines().find(asked), after.lines().find(asked));
    let without = |dump: &str| dump.lines().filter(|line| !asked(line)).collect::<Vec<_>>().join("\n");
    assert_same_dump(&without(before), &without(after));
}

#[tokio::test]
async fn every_version_that_can_be_had_is_there_and_is_what_it_is_called() {
    for major in Major::EVERY.into_iter().filter(|major| major.can_be_had()) {
        let server = Postgres::of(major).await.unwrap_or_else(|error| panic!("{error}"));
        let said = texts(server.url(), "SELECT current_setting('server_version_num')").await.remove(0);
        assert_eq!(said.parse::<u32>().unwrap() / 10_000, major.number());
    }
}
