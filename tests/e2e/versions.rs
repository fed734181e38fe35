//! Every major version of Postgres: what the other tests show on the machine's own server, here in short on each.

mod archive;
mod functions;
mod older_server;
mod schemas;

use serde_json::{Value, json};
use stack::Stack;
use stack::postgres::{Major, Postgres};

use crate::archive_stack::{assert_same_dump, dump, execute, succeed, target, texts};
use crate::schema_judge::Server;

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

/// The outside judge of a move: what `pg_dump` writes, read by `psql` on the server of another version, as `pg_dump` then
/// sees it there. Versions write some definitions in other words, so that the original is not what to compare with.
async fn moved_by_pg_dump(stack: &Stack, major: Major) -> String {
    let text = stack.postgres.pg_dump(&stack.database_url, &[]).await.unwrap();
    // A setting for the load itself, which servers before 17 do not know.
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("SET transaction_timeout")).collect();
    let server = Postgres::of(major).await.unwrap();
    let (name, judge) = (target("by_pg_dump"), Server::on(server.clone()));
    judge.create(&name).await;
    judge.psql(&name, &(text.join("\n") + "\n"));
    let dump = dump(stack, &server.url_of(&name)).await;
    execute(server.url(), &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    dump
}

/// Compares all but the owner and the rights of the schema `public`: since 15 a new database has others, and who moves gets
/// those of the new server (decision 29).
fn assert_same_but_for_public(by_pg_dump: &str, restored: &str) {
    let without = |dump: &str| {
        let sections = dump.split("\n--\n-- Name: ");
        let of_public = |section: &&str| {
            section.starts_with("public; Type: SCHEMA;") || section.starts_with("SCHEMA public; ")
        };
        sections.filter(|section| !of_public(section)).collect::<Vec<_>>().join("\n--\n-- Name: ")
    };
    assert_same_dump(&without(by_pg_dump), &without(restored));
}

#[tokio::test]
async fn every_version_that_can_be_had_is_there_and_is_what_it_is_called() {
    for major in Major::EVERY.into_iter().filter(|major| major.can_be_had()) {
        let server = Postgres::of(major).await.unwrap_or_else(|error| panic!("{error}"));
        let said = texts(server.url(), "SELECT current_setting('server_version_num')").await.remove(0);
        assert_eq!(said.parse::<u32>().unwrap() / 10_000, major.number());
    }
}
