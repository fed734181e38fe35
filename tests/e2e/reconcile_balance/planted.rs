//! One wrong cent, wherever it is, is found, and its transaction is named.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use stack::Stack;

use super::books::{ask, balanced, builder, everything, history, ledger};
use crate::support::{count, failed};

/// One value from the database.
async fn one(stack: &Stack, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(&stack.pool).await.expect("a row")
}

async fn change(stack: &Stack, statement: &str) {
    let changed =
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&stack.pool).await.expect("changed");
    assert_eq!(changed.rows_affected(), 1, "{statement}");
}

/// A run that finds money without an explanation; gives its message and findings.
async fn unexplained(stack: &Stack) -> (String, Vec<Value>) {
    let reply = ask(stack, everything(false)).await;
    assert_eq!(failed(&reply), "UnexplainedMoney");
    let message = reply.payload["errorMessage"].as_str().expect("a message").to_owned();
    let (_, findings) = message.split_once(" Findings: ").expect("findings");
    let reply: Value = serde_json::from_str(findings).expect("JSON");
    assert_eq!(reply["drift"], true);
    let findings = reply["findings"].as_array().expect("findings").clone();
    (message, findings)
}

#[tokio::test]
async fn a_planted_cent_is_found_and_its_transaction_is_named() {
    let stack = builder().start().await.expect("a stack");
    history(&stack, 11, 60).await;
    let entry = "from recoup.ledger_entries where kind = 'charge' and currency = 'eur'";
    let charge = one(
        &stack,
        "select min(source_id) from recoup.ledger_entries where kind = 'charge' and currency = 'eur'",
    )
    .await;
    let transaction = one(
        &stack,
        "select balance_transaction from recoup.charges
         where id = (select min(source_id) from recoup.ledger_entries where kind = 'charge' and currency = 'eur')",
    )
    .await;
    assert_eq!(count(&stack, "select count(*) from recoup.ledger_entries where kind = 'fee'").await, 0);
    change(
        &stack,
        &format!("update recoup.ledger_entries set amount = amount + 1 where (source_id, kind) = ('{charge}', 'charge')"),
    )
    .await;

    let (message, findings) = unexplained(&stack).await;
    assert!(message.contains(&transaction) && message.contains(&charge), "{entry}: {message}");
    assert!(message.contains("1 movements of money are not explained"), "{message}");
    let found = &findings[0];
    assert_eq!((&found["kind"], &found["field"]), (&json!("different"), &json!("amount")), "{found}");
    assert_eq!(found["ours"].as_i64().unwrap() - found["stripe"].as_i64().unwrap(), 1, "{found}");
    // All else was done and recorded all the same.
    assert!(count(&stack, "select count(*) from recoup.ledger_entries where kind = 'fee'").await > 10);
    let recorded = "select count(*) from recoup.reconciliations where scope = 'balance' and status = 'completed' and failed = 1";
    assert_eq!(count(&stack, recorded).await, 1);
    let page =
        message.split("the report is s3://").nth(1).expect("a report").split(';').next().expect("a key");
    let (_, key) = page.split_once('/').expect("a bucket and a key");
    let page = String::from_utf8(stack.s3.read(key).await.expect("the report").to_vec()).expect("text");
    assert!(page.contains(&transaction), "the report names it");

    change(
        &stack,
        &format!("update recoup.ledger_entries set amount = amount - 1 where (source_id, kind) = ('{charge}', 'charge')"),
    )
    .await;
    balanced(&stack, false).await;
}

#[tokio::test]
async fn whatever_else_is_wrong_with_the_ledger_is_named_and_left_as_it_is() {
    let stack = builder().start().await.expect("a stack");
    history(&stack, 12, 90).await;
    balanced(&stack, false).await;
    let well = ledger(&stack).await;
    // What is planted in one entry of a kind, and how it is found.
    let plants = [
        ("charge", "amount = amount - 1", "different balance_transaction amount"),
        ("charge", "currency = 'chf'", "different balance_transaction currency"),
        ("refund", "amount = amount * 2", "different balance_transaction amount"),
        ("dispute", "amount = amount + 1", "different balance_transaction amount"),
        ("dispute_fee", "amount = 1", "different balance_transaction fee"),
        (
            "payout",
            "debit_account = 'stripe_balance', credit_account = 'bank'",
            "different balance_transaction amount",
        ),
        ("fee", "amount = amount + 1", "different balance_transaction fee"),
        ("charge", "", "missing_here balance_transaction amount"),
    ];
    for (kind, planted, expected) in plants {
        let chosen = format!(
            "(source_id, kind) = (select source_id, kind from recoup.ledger_entries where kind = '{kind}'
             order by source_id limit 1)"
        );
        let statement = match planted {
            "" => format!("delete from recoup.ledger_entries where {chosen}"),
            _ => format!("update recoup.ledger_entries set {planted} where {chosen}"),
        };
        sqlx::query("create table kept as table recoup.ledger_entries")
            .execute(&stack.pool)
            .await
            .expect("kept");
        change(&stack, &statement).await;
        let wrong = ledger(&stack).await;
        let (message, findings) = unexplained(&stack).await;
        let found: Vec<String> = findings
            .iter()
            .map(|one| {
                let word = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
                format!("{} {} {}", word("kind"), word("object"), word("field"))
            })
            .collect();
        assert_eq!(found, [expected], "{kind} {planted}: {message}");
        assert!(message.contains("txn_"), "{message}");
        assert_eq!(ledger(&stack).await, wrong, "what an event or a person wrote stays as it is");
        for statement in [
            "delete from recoup.ledger_entries",
            "insert into recoup.ledger_entries select * from kept",
            "drop table kept",
        ] {
            sqlx::query(statement).execute(&stack.pool).await.expect("back");
        }
    }
    assert_eq!(ledger(&stack).await, well);

    // Entries that Stripe knows nothing of.
    for (kind, source) in
        [("charge", "ch_never"), ("refund", "re_never"), ("dispute", "txn_never"), ("payout", "po_never")]
    {
        change(
            &stack,
            &format!(
                "insert into recoup.ledger_entries values
                 ('{source}', '{kind}', null, 'stripe_balance', 'somewhere', 1, 'kwd', now() - interval '1 day')"
            ),
        )
        .await;
        let (message, findings) = unexplained(&stack).await;
        assert_eq!(findings.len(), 1, "{message}");
        let expected = (json!("missing_there"), json!("ledger_entry"), json!(format!("{source} {kind}")));
        let found = &findings[0];
        assert_eq!((found["kind"].clone(), found["object"].clone(), found["id"].clone()), expected);
        assert!(message.contains("0.001 KWD"), "{message}");
        change(&stack, &format!("delete from recoup.ledger_entries where source_id = '{source}'")).await;
    }
    balanced(&stack, false).await;
}

#[tokio::test]
async fn what_stripe_itself_says_oddly_is_named_and_the_rest_goes_on() {
    let stack = builder().start().await.expect("a stack");
    history(&stack, 13, 40).await;
    let listed =
        stack.stripe.request("GET", "/v1/balance_transactions", "limit=3&type=charge").expect("three");
    let listed = listed["data"].as_array().expect("data");
    let (mut net, mut odd) = (listed[0].clone(), listed[1].clone());
    net["net"] = json!(net["net"].as_i64().unwrap() + 1);
    odd["amount"] = json!("forty-nine");
    stack.stripe.put(&net);
    stack.stripe.put(&odd);
    let (message, findings) = unexplained(&stack).await;
    for id in [&net["id"], &odd["id"]] {
        assert!(message.contains(id.as_str().unwrap()), "{message}");
    }
    assert!(message.contains("balance_transaction.amount") && !message.contains("forty-nine"), "{message}");
    assert!(findings.iter().any(|one| one["field"] == "net"), "{findings:?}");
    assert!(count(&stack, "select count(*) from recoup.ledger_entries where kind = 'fee'").await > 5);
}
