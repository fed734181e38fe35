//! The tables against the migrations: what was added, dropped or altered by hand is named.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use stack::Stack;

use crate::support::{failed, succeeded};

async fn schema(stack: &Stack) -> stack::lambda::Reply {
    stack.invoke("verify", json!({"action": "schema"})).await.unwrap()
}

async fn execute(stack: &Stack, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&stack.pool).await.unwrap();
}

/// The findings of an answer that must be `SchemaDrift`.
async fn drift(stack: &Stack) -> Value {
    let reply = schema(stack).await;
    assert_eq!(failed(&reply), "SchemaDrift", "{}", reply.payload);
    let message = reply.payload["errorMessage"].as_str().unwrap();
    serde_json::from_str(message.split_once(" Findings: ").expect("findings").1).expect("JSON")
}

/// The objects of findings, one text each.
fn objects(findings: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let named = findings["objects"].as_array().unwrap().iter().map(|object| {
        let parts: Vec<String> = object["parts"].as_array().into_iter().flatten().map(text).collect();
        let words = [text(&object["kind"]), text(&object["name"]), text(&object["change"]), parts.join(" ")];
        words.join(" ").trim_end().to_owned()
    });
    named.collect()
}

#[tokio::test]
async fn each_object_that_was_changed_by_hand_is_named() {
    let stack = Stack::builder().functions(["verify"]).start().await.unwrap();
    let reply = succeeded(schema(&stack).await);
    assert_eq!((reply["status"].as_str(), &reply["warnings"]), (Some("as migrated"), &json!([])));
    assert!(reply["objects"].as_u64().unwrap() > 50, "{reply}");

    let changes = [
        ("alter table recoup.orders add column note text", "table orders altered note"),
        (
            "alter table recoup.orders drop column note; alter table recoup.orders alter column client_reference_id type varchar(3)",
            "table orders altered client_reference_id",
        ),
        (
            "alter table recoup.orders alter column client_reference_id type text; drop index recoup.orders_payment_id",
            "index orders.orders_payment_id dropped",
        ),
        (
            "create index orders_payment_id on recoup.orders (payment_id);
          alter table recoup.tickets drop constraint tickets_seat_bound",
            "table tickets altered tickets_seat_bound",
        ),
        (
            "alter table recoup.tickets add constraint tickets_seat_bound check (seat between 1 and 10000);
          alter table recoup.order_items drop constraint order_items_order",
            "foreign_key order_items.order_items_order dropped",
        ),
        (
            "alter table recoup.order_items add constraint order_items_order
            foreign key (order_id) references recoup.orders (id);
          create function recoup.mine() returns int language sql as 'select 1'",
            "routine mine added",
        ),
        (
            "drop function recoup.mine(); create or replace view recoup.credit_balances as
            select customer_id, sum(amount)::bigint as balance, 0::bigint as shortfall
            from recoup.credit_entries group by customer_id",
            "view credit_balances altered",
        ),
    ];
    for (change, expected) in changes {
        execute(&stack, change).await;
        let found = drift(&stack).await;
        assert_eq!(objects(&found), [expected], "{change}: {found}");
        assert_eq!(found["migrations"], json!([]));
    }
}

#[tokio::test]
async fn migrations_that_are_missing_extra_or_changed_are_named() {
    let stack = Stack::builder().functions(["verify"]).start().await.unwrap();
    let found = |findings: &Value| -> Vec<String> {
        let migrations = findings["migrations"].as_array().unwrap().iter();
        migrations.map(|migration| format!("{} {}", migration["version"], migration["finding"])).collect()
    };
    execute(
        &stack,
        "update recoup._sqlx_migrations set checksum = '\\x00' where version = 2;
         insert into recoup._sqlx_migrations (version, description, success, checksum, execution_time)
         values (999999, 'from tomorrow', true, '\\x00', 0)",
    )
    .await;
    assert_eq!(found(&drift(&stack).await), ["2 \"changed\"", "999999 \"extra\""]);

    // What a migration that is missing would make is not named as dropped besides.
    execute(
        &stack,
        "delete from recoup._sqlx_migrations where version in (16, 999999);
         alter table recoup.webhook_events alter column payload set compression default",
    )
    .await;
    let findings = drift(&stack).await;
    assert_eq!(found(&findings), ["2 \"changed\"", "16 \"missing\""]);
    assert_eq!(objects(&findings), Vec::<String>::new());
}
