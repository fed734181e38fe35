//! A promote that is killed anywhere: everything is as it was, or it is done, and the same request again says which.

use serde_json::json;
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::gate::{Count, Gate, Stop};

use crate::archive_stack::{archive_stack, execute, full_backup, succeed, target};
use crate::promote_stack::{comment, copy_of, production_of, promote, signed, text, tidy_up, which};

/// Messages at the end of a swap that are each killed at: the exchange, and what is written down after it.
const EVERY: u64 = 70;
/// Places before these.
const BEFORE: u64 = 8;

async fn behind_a_gate() -> (Stack, Gate, String) {
    let stack = archive_stack().instances("restore", 1).start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.which (name text PRIMARY KEY); INSERT INTO public.which VALUES ('backup')",
    )
    .await;
    full_backup(&stack).await;
    execute(&stack.database_url, "UPDATE public.which SET name = 'production'").await;
    let copy = target("killed");
    copy_of(&stack, &copy).await;
    let gate = Gate::start(&stack.database_url).await.unwrap();
    stack.secrets.put("database", &json!({"url": gate.url()})).await.unwrap();
    (stack, gate, copy)
}

#[tokio::test]
async fn a_swap_or_an_undo_that_is_killed_at_any_message_is_done_or_not_begun() {
    let (stack, gate, copy) = behind_a_gate().await;
    let production = production_of(&stack);
    let mut swap = signed(promote("swap", &copy));
    swap["force"] = json!(copy);
    let undo = signed(json!({"action": "undo"}));
    let mut done_at_once = 0;
    for (request, from, to, done) in
        [(&swap, "production", "backup", "promoted"), (&undo, "backup", "production", "undone")]
    {
        gate.arm(Count::FromConnecting, u64::MAX, Stop::Hold);
        let back = if done == "undone" { &swap } else { &undo };
        if done == "undone" {
            succeed(&stack, "restore", swap.clone()).await;
            gate.arm(Count::FromConnecting, u64::MAX, Stop::Hold);
        }
        succeed(&stack, "restore", request.clone()).await;
        let all = gate.seen();
        gate.disarm();
        succeed(&stack, "restore", back.clone()).await;
        assert!(all > EVERY + BEFORE, "{all}");
        let first = all - EVERY;
        // What an undo does is what a swap does: fewer places of it.
        let step = if done == "undone" { 4 } else { 1 };
        let places =
            (0..BEFORE).map(|place| 1 + place * first / BEFORE).chain((first..all + 10).step_by(step));
        for at in places {
            assert_eq!(which(&stack).await, from, "before {at} of {all}");
            gate.arm(Count::FromConnecting, at, Stop::Hold);
            let invoked = stack.invoke("restore", request.clone());
            tokio::pin!(invoked);
            let answered = tokio::select! {
                reply = &mut invoked => Some(reply.unwrap().payload),
                _ = gate.stopped() => {
                    stack.lambda.kill("restore").unwrap();
                    assert!(invoked.await.unwrap().function_error.is_some());
                    None
                }
            };
            gate.disarm();
            gate.empty().await;
            // Somebody connects by the name as ever, and finds the one or the other, whole.
            let found = which(&stack).await;
            assert!(found == from || found == to, "{found} after {at} of {all}");
            let between = text(stack.postgres.url(), "SELECT string_agg(datname, ',') FROM pg_database WHERE starts_with(datname, 'recoup_exchange_')").await;
            assert_eq!(between, None);
            let (reply, expected) = match answered {
                Some(reply) => (reply, done.to_owned()),
                None => {
                    done_at_once += i32::from(found == to);
                    let again = succeed(&stack, "restore", request.clone()).await;
                    (again, if found == to { format!("already {done}") } else { done.to_owned() })
                }
            };
            assert_eq!(reply["status"], json!(expected), "after {at} of {all}");
            assert_eq!(which(&stack).await, to);
            assert_eq!(comment(&stack, &production).await, None, "after {at} of {all}");
            let id = reply["promote_id"].as_str().unwrap();
            let action = if done == "undone" { "undo promote swap" } else { "promote swap" };
            let log = format!(
                "SELECT count(*)::text FROM recoup.audit_log WHERE after ->> 'promote_id' = '{id}' AND action = '{action}'"
            );
            let written = text(&stack.database_url, &log).await;
            assert_eq!(written.as_deref(), Some("1"), "after {at} of {all}");
            succeed(&stack, "restore", back.clone()).await;
        }
    }
    // Some were killed after the transaction had committed.
    assert!(done_at_once > 0);
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn a_merge_that_is_killed_changes_nothing_or_everything() {
    let (stack, gate, copy) = behind_a_gate().await;
    let setup = "CREATE TABLE public.parent (id int PRIMARY KEY); CREATE TABLE public.child (id int PRIMARY KEY, parent int REFERENCES public.parent)";
    for url in [&stack.database_url, &stack.postgres.url_of(&copy)] {
        execute(url, setup).await;
    }
    execute(&stack.postgres.url_of(&copy), "INSERT INTO public.parent SELECT generate_series(1, 500); INSERT INTO public.child SELECT id, id FROM public.parent").await;
    let mut merge = signed(promote("merge_missing", &copy));
    merge["tables"] = json!(["public.parent", "public.child"]);
    let rows = async || {
        let mut connection = PgConnection::connect(&stack.database_url).await.unwrap();
        let rows: (i64, i64, i64) = sqlx::query_as("SELECT (SELECT count(*) FROM public.parent), (SELECT count(*) FROM public.child), (SELECT count(*) FROM recoup.audit_log)")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        rows
    };
    let take_back = "TRUNCATE public.parent, public.child, recoup.audit_log";
    gate.arm(Count::FromConnecting, u64::MAX, Stop::Hold);
    succeed(&stack, "restore", merge.clone()).await;
    let all = gate.seen();
    let step = (all / 25).max(1);
    for at in (1..all).step_by(usize::try_from(step).unwrap()).chain(all.saturating_sub(8)..=all) {
        execute(&stack.database_url, take_back).await;
        gate.arm(Count::FromConnecting, at, Stop::Hold);
        let invoked = stack.invoke("restore", merge.clone());
        tokio::pin!(invoked);
        tokio::select! {
            _ = &mut invoked => {}
            _ = gate.stopped() => {
                stack.lambda.kill("restore").unwrap();
                assert!(invoked.await.unwrap().function_error.is_some());
            }
        }
        gate.disarm();
        gate.empty().await;
        let found = rows().await;
        assert!(found == (0, 0, 0) || found == (500, 500, 1), "{found:?} after {at} of {all}");
        succeed(&stack, "restore", merge.clone()).await;
        assert_eq!(rows().await, (500, 500, 1), "after {at} of {all}");
    }
    tidy_up(&stack, &[&copy]).await;
}
