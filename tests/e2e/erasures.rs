//! Persons who asked to be forgotten: gone from the rows, and from every copy that is made of what was kept before.

mod refused;

use serde_json::{Value, json};
use stack::Stack;
use stack::shop::Shop;
use stack::stripe::{Buyer, Outcome};

use crate::archive_stack::{
    drop_copy, drop_database, dump_with, execute, fail, full_backup, gate_before_database, id_of, killed_at,
    restore_of, succeed, target, texts,
};
use crate::promote_stack::comment;
use crate::restore_by_hand;
use crate::restore_point_in_time::now;
use crate::support::{count, eager, sell, settle};

const EMAIL: &str = "zoe@forgotten.example";
const NAME: &str = "Zoe Unverwechselbar";

/// What of a person a database still says, in whatever table. Changes wait for their export and then go by themselves.
async fn found(stack: &Stack, url: &str) -> Vec<String> {
    let options = ["--data-only", "--exclude-table-data=recoup.row_changes"];
    let dump = dump_with(stack, url, &options).await.to_lowercase();
    let about = [EMAIL.to_lowercase(), NAME.to_lowercase()];
    dump.lines().filter(|line| about.iter().any(|text| line.contains(text))).map(str::to_owned).collect()
}

/// Rows of everything that is about money and what it bought: nothing of it goes.
async fn kept(stack: &Stack, url: &str) -> String {
    let tables = [
        "orders",
        "order_items",
        "payments",
        "charges",
        "refunds",
        "enrollments",
        "tickets",
        "credit_entries",
    ];
    let options: Vec<String> = tables.iter().map(|name| format!("--table=recoup.{name}")).collect();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.push("--data-only");
    let dump = dump_with(stack, url, &options).await;
    let mut rows: Vec<&str> = dump.lines().collect();
    rows.sort_unstable();
    rows.join("\n")
}

/// Sells to others, then twice to a person: as a customer of Stripe's, and as a guest. Gives the customer.
async fn sell_to_her(stack: &Stack) -> String {
    let mut shop = Shop::open(&stack.stripe, 5).unwrap();
    sell(stack, &mut shop, 12).await;
    let customer = request(stack, "POST", "/v1/customers", &format!("name={NAME}&email={EMAIL}"));
    let buyer = Buyer { name: Some(NAME.to_owned()), email: Some(EMAIL.to_owned()), ..Buyer::default() };
    let price = texts(
        &stack.database_url,
        "select id from recoup.catalog_items where object = 'price' and currency = 'eur' order by id limit 1",
    )
    .await
    .remove(0);
    for of_customer in [format!("&customer={customer}"), String::new()] {
        let form = format!(
            "mode=payment&success_url=https://shop.example&line_items[0][price]={price}&line_items[0][quantity]=1{of_customer}"
        );
        let session = request(stack, "POST", "/v1/checkout/sessions", &form);
        let session = stack.stripe.complete_checkout_as(&session, Outcome::Paid, &buyer).unwrap();
        if !of_customer.is_empty() {
            let payment = session["payment_intent"].as_str().unwrap();
            request(stack, "POST", "/v1/refunds", &format!("payment_intent={payment}&amount=100"));
        }
    }
    settle(stack).await;
    assert!(found(stack, &stack.database_url).await.len() > 4, "she is in customers and in events");
    customer
}

fn request(stack: &Stack, method: &str, path: &str, form: &str) -> String {
    let form = form.replace(' ', "%20").replace('@', "%40");
    stack.stripe.request(method, path, &form).unwrap()["id"].as_str().unwrap().to_owned()
}

async fn delete_at_stripe(stack: &Stack, customer: &str) {
    request(stack, "DELETE", &format!("/v1/customers/{customer}"), "");
    settle(stack).await;
}

fn erase(more: Value) -> Value {
    let mut payload = json!({
        "action": "erase_customer", "email": EMAIL, "dry_run": false, "actor": "ada", "reason": "asked for it",
    });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    payload
}

fn replay(dry_run: bool) -> Value {
    json!({"action": "replay_erasures", "dry_run": dry_run, "actor": "ada", "reason": "after a restore"})
}

/// Restores, and says what the copy has of her; drops it.
async fn found_in_copy(stack: &Stack, mut request: Value) -> (Value, Vec<String>) {
    // Other tests restore on the same server, and a name of the function's own is one of a second.
    if request["action"] != "resume" {
        request["target_database"] = target("erased").into();
    }
    let restored = succeed(stack, "restore", request).await;
    assert_eq!(restored["status"], "completed", "{restored}");
    let url = stack.postgres.url_of(restored["target_database"].as_str().unwrap());
    let found = found(stack, &url).await;
    drop_copy(stack, &restored).await;
    (restored, found)
}

async fn records(stack: &Stack) -> Vec<String> {
    stack.s3.list("v1/erasures/").await.unwrap().into_iter().map(|object| object.key).collect()
}

#[tokio::test]
async fn who_was_erased_comes_back_by_no_restore() {
    let stack = eager().start().await.unwrap();
    succeed(&stack, "backup", json!({"backup_type": "changes"})).await;
    let empty = id_of(&full_backup(&stack).await);
    let customer = sell_to_her(&stack).await;
    let backup = id_of(&full_backup(&stack).await);
    let orders = id_of(&succeed(&stack, "backup", json!({"backup_type": "orders"})).await);
    let instant = now(&stack).await;
    delete_at_stripe(&stack, &customer).await;
    let before = kept(&stack, &stack.database_url).await;

    let dry =
        succeed(&stack, "operate", json!({"action": "erase_customer", "email": EMAIL.to_uppercase()})).await;
    assert_eq!((&dry["status"], &dry["dry_run"]), (&json!("possible"), &json!(true)), "{dry}");
    assert_eq!(dry["customers"].as_array().unwrap().len(), 2, "{dry}");
    assert!(!found(&stack, &stack.database_url).await.is_empty() && records(&stack).await.is_empty());
    let erased = succeed(&stack, "operate", erase(json!({}))).await;

    assert_eq!((&erased["status"], &erased["erased"]), (&json!("erased"), &dry["erased"]), "{erased}");
    assert!(erased["erased"]["events"].as_u64() > Some(6), "{erased}");
    assert_eq!(found(&stack, &stack.database_url).await, Vec::<String>::new());
    assert_eq!(kept(&stack, &stack.database_url).await, before, "what was bought and paid stays");
    let audited = texts(
        &stack.database_url,
        "select actor || ': ' || reason from recoup.audit_log where action = 'erase customer'",
    );
    assert_eq!(audited.await, ["ada: asked for it"]);
    let others = "select count(*) from recoup.customers where email is null and erased_at is null";
    assert_eq!(count(&stack, others).await, 0);
    succeed(&stack, "backup", json!({"backup_type": "changes"})).await;

    // As it was before, and at an instant before, by a chain that has her; whole and in part.
    let whole = json!({"action": "backup_restore", "backup_id": backup});
    let (restored, left) = found_in_copy(&stack, whole).await;
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(restored["erased"]["erasures"], 1, "{restored}");
    assert_eq!(restored["erased"]["customers"], 2, "{restored}");
    assert!(
        restored["tables"].as_array().unwrap().iter().all(|table| table["digest_equal"] == true),
        "{restored}"
    );
    // What was erased here and there is equal, though the backup has another row.
    let (restored, _) =
        found_in_copy(&stack, json!({"action": "point_in_time", "target_time": "latest"})).await;
    let compared = restored["difference_to_production"]["tables"].as_array().unwrap();
    for table in ["recoup.customers", "recoup.webhook_events", "recoup.orders"] {
        let of_table = compared.iter().find(|compared| compared["table"] == table).unwrap();
        assert_eq!(of_table["result"], "equal", "{of_table}");
    }
    for at in [instant, "latest".to_owned()] {
        let (restored, left) =
            found_in_copy(&stack, json!({"action": "point_in_time", "target_time": at})).await;
        assert_eq!((left, &restored["erased"]["erasures"]), (vec![], &json!(1)), "{restored}");
    }
    let part = json!({"action": "backup_restore", "backup_id": backup, "tables": ["recoup.customers"]});
    assert_eq!(found_in_copy(&stack, part).await.1, Vec::<String>::new());
    // A set has nothing that takes changes, and its tables still have the triggers that write them.
    let copy = target("by_hand_orders");
    restore_by_hand::assert_followed(&stack, &orders, &copy).await;
    assert_eq!(found(&stack, &stack.postgres.url_of(&copy)).await, Vec::<String>::new());
    drop_database(&stack, &copy).await;
    let (restored, left) =
        found_in_copy(&stack, json!({"action": "backup_restore", "backup_id": orders})).await;
    assert_eq!((left, restored["erased"]["customers"].as_u64() > Some(0)), (vec![], true), "{restored}");
    let (restored, _) = found_in_copy(&stack, json!({"action": "backup_restore", "backup_id": empty})).await;
    assert_eq!(restored["erased"]["customers"], 0, "{restored}");

    // By hand, with nothing of ours.
    let copy = target("by_hand_erased");
    restore_by_hand::assert_followed(&stack, &backup, &copy).await;
    let url = stack.postgres.url_of(&copy);
    assert_eq!(found(&stack, &url).await, Vec::<String>::new());
    let stays = "select count(*)::text from recoup.webhook_events where payload like '%erased%'";
    assert!(texts(&url, stays).await[0] != "0");
    drop_database(&stack, &copy).await;
}

#[tokio::test]
async fn what_comes_later_brings_nobody_back() {
    let stack = eager().start().await.unwrap();
    let customer = sell_to_her(&stack).await;
    let backup = id_of(&full_backup(&stack).await);
    delete_at_stripe(&stack, &customer).await;
    succeed(&stack, "operate", erase(json!({}))).await;

    // Whoever writes her row again: her name and address do not come with it.
    let written =
        format!("UPDATE recoup.customers SET email = '{EMAIL}', name = '{NAME}' WHERE id = '{customer}'");
    execute(&stack.database_url, &written).await;
    assert_eq!(found(&stack, &stack.database_url).await, Vec::<String>::new());

    // A later event about what she paid says her name again.
    let payment = "select p.id from recoup.payments as p join recoup.orders as o on o.payment_id = p.id
        where starts_with(o.customer_id, 'guest_') and o.customer_id in (select id from recoup.customers where erased_at is not null)";
    let payment = texts(&stack.database_url, payment).await.remove(0);
    request(&stack, "POST", "/v1/refunds", &format!("payment_intent={payment}"));
    settle(&stack).await;
    let again = found(&stack, &stack.database_url).await.len();
    assert!(again > 0, "a refund's charge has the name of who paid");
    let dry = succeed(&stack, "operate", replay(true)).await;
    assert_eq!((&dry["status"], &dry["erasures"]), (&json!("completed"), &json!(1)), "{dry}");
    assert_eq!(found(&stack, &stack.database_url).await.len(), again);
    let replayed = succeed(&stack, "operate", replay(false)).await;
    assert_eq!(replayed["events"], dry["events"], "{replayed}");
    assert_eq!(found(&stack, &stack.database_url).await, Vec::<String>::new());
    assert_eq!(succeed(&stack, "operate", replay(false)).await["events"], 0);
    let audited = "select count(*) from recoup.audit_log where action = 'replay erasures'";
    assert_eq!(count(&stack, audited).await, 1, "a run that found nobody says nothing");

    // The database is lost; what is restored is from before, and Stripe's events bring her back until the next replay.
    let name = stack.drop_database().await.unwrap();
    let request = json!({"action": "backup_restore", "backup_id": backup, "target_database": name});
    let restored = succeed(&stack, "restore", request).await;
    assert_eq!(restored["erased"]["customers"], 2, "{restored}");
    assert_eq!(found(&stack, &stack.database_url).await, Vec::<String>::new());
    succeed(&stack, "reconcile", json!({"action": "events", "dry_run": false})).await;
    assert!(!found(&stack, &stack.database_url).await.is_empty());
    succeed(&stack, "operate", replay(false)).await;
    assert_eq!(found(&stack, &stack.database_url).await, Vec::<String>::new());
    for scope in ["objects", "events"] {
        succeed(&stack, "reconcile", json!({"action": scope, "dry_run": false})).await;
        assert_eq!(found(&stack, &stack.database_url).await, Vec::<String>::new(), "{scope}");
    }
}

#[tokio::test]
async fn rows_of_the_applications_tables_are_erased_with_her() {
    let stack = eager().start().await.unwrap();
    let customer = sell_to_her(&stack).await;
    delete_at_stripe(&stack, &customer).await;
    let people = format!(
        "CREATE TABLE public.people (id bigint PRIMARY KEY, \"E-Mail\" text, name text NOT NULL, born date, tags text[]);
        INSERT INTO public.people VALUES (7, '{EMAIL}', '{NAME}', '1990-01-02', '{{vip}}'), (8, 'bob@example.com', 'Bob', NULL, NULL);"
    );
    execute(&stack.database_url, &people).await;
    let before = id_of(&full_backup(&stack).await);
    execute(&stack.database_url, "ALTER TABLE public.people ADD COLUMN nick text").await;
    let later = id_of(&full_backup(&stack).await);

    let row =
        |set: Value| json!({"application_rows": [{"table": "public.people", "key": {"id": 7}, "set": set}]});
    let refused = erase(row(json!({"name": null})));
    let (error_type, message) = fail(&stack, "operate", refused).await;
    assert_eq!(error_type, "ApplicationRowRefused");
    assert!(message.contains("public.people") && !message.contains("Zoe"), "{message}");
    assert!(records(&stack).await.is_empty() && !found(&stack, &stack.database_url).await.is_empty());

    let set = json!({"E-Mail": null, "name": "erased", "born": null, "tags": [], "nick": null});
    let erased = succeed(&stack, "operate", erase(row(set))).await;
    assert_eq!(erased["erased"]["application_rows"], 1, "{erased}");
    assert_eq!(found(&stack, &stack.database_url).await, Vec::<String>::new());
    let of_bob = "SELECT name FROM public.people WHERE \"E-Mail\" = 'bob@example.com'";
    assert_eq!(texts(&stack.database_url, of_bob).await, ["Bob"]);

    let (restored, left) =
        found_in_copy(&stack, json!({"action": "backup_restore", "backup_id": later})).await;
    assert_eq!((left, &restored["erased"]["application_rows"]), (vec![], &json!(1)), "{restored}");
    let copy = target("by_hand_people");
    restore_by_hand::assert_followed(&stack, &later, &copy).await;
    assert_eq!(found(&stack, &stack.postgres.url_of(&copy)).await, Vec::<String>::new());
    drop_database(&stack, &copy).await;

    // An older table cannot take it: the copy is made all the same, and says what is left to do.
    let (restored, left) =
        found_in_copy(&stack, json!({"action": "backup_restore", "backup_id": before})).await;
    assert_eq!(left.len(), 1, "the row of the application: {left:?}");
    let not_applied = restored["erased"]["not_applied"][0].as_str().unwrap();
    assert!(not_applied.contains("public.people") && not_applied.contains("nick"), "{restored}");
    assert!(restored["warnings"].to_string().contains("apply them by hand"), "{restored}");
    // And an older erasure that has no place any more stops no new one.
    execute(&stack.database_url, "DROP TABLE public.people").await;
    let replayed = succeed(&stack, "operate", replay(false)).await;
    assert_eq!(replayed["not_applied"].as_array().unwrap().len(), 1, "{replayed}");
}

#[tokio::test]
async fn a_copy_is_never_complete_with_her_in_it() {
    let stack = eager().start().await.unwrap();
    let customer = sell_to_her(&stack).await;
    delete_at_stripe(&stack, &customer).await;
    let people = "CREATE TABLE public.people (id bigint PRIMARY KEY, name text);
        INSERT INTO public.people VALUES (7, 'Zoe Unverwechselbar')";
    execute(&stack.database_url, people).await;
    let (backup, row) = (
        id_of(&full_backup(&stack).await),
        json!({"application_rows": [{"table": "public.people", "key": {"id": 7}, "set": {"name": null}}]}),
    );
    succeed(&stack, "operate", erase(row)).await;

    // Killed at what the erasure writes last.
    let copy = target("killed_erasing");
    let gate = gate_before_database(&stack).await;
    let request = json!({"action": "backup_restore", "backup_id": backup, "target_database": copy});
    killed_at(&stack, &gate, "restore", &request, "from jsonb_populate_record").await;
    let comment = comment(&stack, &copy).await.unwrap();
    assert!(comment.contains("incomplete"), "{comment}");
    let restore_id = restore_of(&stack, &copy).await;
    let (restored, left) = found_in_copy(&stack, json!({"action": "resume", "restore_id": restore_id})).await;
    assert_eq!((left, &restored["erased"]["application_rows"]), (vec![], &json!(1)), "{restored}");
}
