//! A copy takes production's place, and gives it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::shop::Shop;

use crate::archive_stack::{archive_stack, dump_with, execute, fail, full_backup, succeed, target, texts};
use crate::promote_stack::{
    comment, copy_of, exists, on_server, production_of, promote, signed, text, tidy_up,
};
use crate::support::{eager, sell, settle};

/// A row that tells the copy from production.
async fn told_apart(stack: &Stack) {
    execute(
        &stack.database_url,
        "CREATE TABLE public.which (name text); INSERT INTO public.which VALUES ('backup')",
    )
    .await;
    full_backup(stack).await;
    execute(&stack.database_url, "UPDATE public.which SET name = 'production'").await;
}

async fn which(stack: &Stack) -> String {
    text(&stack.database_url, "SELECT name FROM public.which").await.unwrap()
}

#[tokio::test]
async fn a_swap_is_dry_unless_it_is_asked_for_and_then_swaps_and_is_undone() {
    let stack = archive_stack().start().await.unwrap();
    told_apart(&stack).await;
    let (production, copy) = (production_of(&stack), target("swap"));
    on_server(&stack, &format!("COMMENT ON DATABASE {production} IS 'it''s the shop'")).await;
    copy_of(&stack, &copy).await;

    let planned = succeed(&stack, "restore", promote("swap", &copy)).await;
    assert_eq!((&planned["status"], &planned["dry_run"]), (&json!("planned"), &json!(true)));
    let of_which =
        planned["tables"].as_array().unwrap().iter().find(|table| table["table"] == "public.which");
    assert_eq!(of_which.unwrap()["production_rows"], 1);
    assert_eq!(which(&stack).await, "production");
    assert!(exists(&stack, &copy).await && !exists(&stack, planned["kept_database"].as_str().unwrap()).await);

    let (error_type, message) = fail(
        &stack,
        "restore",
        json!({"action": "promote", "mode": "swap", "target_database": copy, "dry_run": false}),
    )
    .await;
    assert!(error_type == "InvalidRequest" && message.contains("actor"), "{message}");
    assert_eq!(which(&stack).await, "production");

    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;
    assert_eq!((&swapped["status"], &swapped["warnings"]), (&json!("promoted"), &json!([])));
    assert!(swapped["locked_out_seconds"].as_f64().unwrap() < 5.0, "{swapped}");
    let kept = swapped["kept_database"].as_str().unwrap();
    assert_eq!(which(&stack).await, "backup");
    assert_eq!(comment(&stack, &production).await.as_deref(), Some("it's the shop"));
    assert!(exists(&stack, kept).await && !exists(&stack, &copy).await);
    let log = "SELECT actor || ' ' || action || ' ' || reason FROM recoup.audit_log ORDER BY id";
    assert_eq!(texts(&stack.database_url, log).await, ["ada promote swap a test"]);
    let again = succeed(&stack, "restore", signed(promote("swap", &copy))).await;
    assert_eq!(
        (&again["status"], &again["promote_id"]),
        (&json!("already promoted"), &swapped["promote_id"])
    );

    let planned = succeed(&stack, "restore", json!({"action": "undo"})).await;
    assert_eq!((&planned["status"], &planned["target_database"]), (&json!("planned"), &json!(kept)));
    assert_eq!(which(&stack).await, "backup");
    let undone = succeed(&stack, "restore", signed(json!({"action": "undo"}))).await;
    assert_eq!((&undone["status"], &undone["kept_database"]), (&json!("undone"), &json!(copy)));
    assert_eq!(which(&stack).await, "production");
    assert_eq!(comment(&stack, &production).await.as_deref(), Some("it's the shop"));
    assert_eq!(texts(&stack.database_url, log).await, ["ada undo promote swap a test"]);
    let again = succeed(&stack, "restore", signed(json!({"action": "undo"}))).await;
    assert_eq!(again["status"], "already undone");
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn what_belongs_to_the_database_goes_with_its_name() {
    let stack = archive_stack().start().await.unwrap();
    told_apart(&stack).await;
    let (production, copy, role) = (production_of(&stack), target("traits"), target("role"));
    on_server(
        &stack,
        &format!(
            r#"CREATE ROLE {role} CREATEDB; ALTER DATABASE {production} OWNER TO {role};
            REVOKE CONNECT ON DATABASE {production} FROM PUBLIC; GRANT CREATE ON DATABASE {production} TO {role} WITH GRANT OPTION;
            GRANT CONNECT ON DATABASE {production} TO pg_monitor;
            ALTER DATABASE {production} CONNECTION LIMIT 77;
            ALTER DATABASE {production} SET search_path = "$user", public, "My ""odd"", one";
            ALTER DATABASE {production} SET my.setting = 'it''s, so';
            ALTER ROLE {role} IN DATABASE {production} SET work_mem = '7MB'"#
        ),
    )
    .await;
    copy_of(&stack, &copy).await;
    let traits = format!(
        "SELECT concat_ws(' | ', pg_get_userbyid(d.datdba), d.datconnlimit,
            (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(d.datacl) AS a),
            (SELECT string_agg(s.setrole::regrole::text || s.setconfig::text, ' ' ORDER BY s.setrole)
             FROM pg_db_role_setting AS s WHERE s.setdatabase = d.oid))
        FROM pg_database AS d WHERE d.datname = '{production}'"
    );
    let before = text(stack.postgres.url(), &traits).await;

    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;

    assert_eq!(swapped["warnings"], json!([]), "{swapped}");
    assert_eq!(which(&stack).await, "backup");
    assert_eq!(text(stack.postgres.url(), &traits).await, before);
    assert!(before.unwrap().contains("7MB"));
    succeed(&stack, "restore", signed(json!({"action": "undo"}))).await;
    on_server(
        &stack,
        &format!(
            "ALTER DATABASE {production} OWNER TO CURRENT_USER; ALTER DATABASE {copy} OWNER TO CURRENT_USER"
        ),
    )
    .await;
    tidy_up(&stack, &[&copy]).await;
    on_server(
        &stack,
        &format!("REVOKE ALL ON DATABASE {production} FROM {role}; DROP OWNED BY {role}; DROP ROLE {role}"),
    )
    .await;
}

#[tokio::test]
async fn where_production_is_gone_the_copy_takes_its_name() {
    let stack = archive_stack().start().await.unwrap();
    told_apart(&stack).await;
    let (production, copy) = (production_of(&stack), target("gone"));
    stack.pool.close().await;
    on_server(&stack, &format!("DROP DATABASE {production} WITH (FORCE)")).await;
    copy_of(&stack, &copy).await;

    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;

    assert_eq!((&swapped["status"], &swapped["kept_database"]), (&json!("promoted"), &Value::Null));
    assert_eq!(which(&stack).await, "backup");
    assert_eq!(comment(&stack, &production).await, None);
    let (error_type, message) = fail(&stack, "restore", json!({"action": "undo"})).await;
    assert_eq!(error_type, "PromoteRefused", "{message}");
}

#[tokio::test]
async fn what_was_not_proven_whole_goes_live_only_by_its_name() {
    let stack = archive_stack().start().await.unwrap();
    told_apart(&stack).await;
    let (production, part, foreign) = (production_of(&stack), target("part"), target("foreign"));
    succeed(&stack, "backup", json!({"backup_type": "tables", "tables": ["public.which"]})).await;
    let request = json!({"action": "backup_restore", "backup_id": "latest-tables", "target_database": part});
    succeed(&stack, "restore", request).await;
    on_server(&stack, &format!("CREATE DATABASE {foreign}")).await;

    for copy in [&part, &foreign] {
        for request in [promote("swap", copy), signed(promote("swap", copy))] {
            let (error_type, message) = fail(&stack, "restore", request).await;
            assert!(error_type == "PromoteRefused" && message.contains("\"force\""), "{message}");
        }
        let mut other = signed(promote("swap", copy));
        other["force"] = json!(production);
        assert_eq!(fail(&stack, "restore", other).await.0, "PromoteRefused");
    }
    for (copy, expected) in [(&production, "PromoteRefused"), (&target("none"), "DatabaseMissing")] {
        assert_eq!(fail(&stack, "restore", promote("swap", copy)).await.0, expected);
    }
    assert_eq!(which(&stack).await, "production");
    let mut forced = signed(promote("swap", &part));
    forced["force"] = json!(part);
    assert_eq!(succeed(&stack, "restore", forced).await["status"], "promoted");
    assert_eq!(which(&stack).await, "production");
    tidy_up(&stack, &[&part, &foreign]).await;
}

#[tokio::test]
async fn only_what_recoup_made_and_nobody_uses_is_discarded() {
    let stack = archive_stack().start().await.unwrap();
    told_apart(&stack).await;
    let (production, copy, foreign) = (production_of(&stack), target("discard"), target("foreign"));
    copy_of(&stack, &copy).await;
    on_server(&stack, &format!("CREATE DATABASE {foreign}")).await;
    let discard = |name: &str| json!({"action": "discard", "target_database": name});
    let forced = |name: &str| json!({"action": "discard", "target_database": name, "force": name});

    for name in [&production, &foreign] {
        assert_eq!(fail(&stack, "restore", signed(forced(name))).await.0, "PromoteRefused");
    }
    let user = PgConnection::connect(&stack.postgres.url_of(&copy)).await.unwrap();
    let (error_type, message) = fail(&stack, "restore", signed(discard(&copy))).await;
    assert!(error_type == "PromoteRefused" && message.contains("in use"), "{message}");
    user.close().await.unwrap();
    assert_eq!(succeed(&stack, "restore", discard(&copy)).await["status"], "planned");
    assert!(exists(&stack, &copy).await);
    assert_eq!(succeed(&stack, "restore", signed(discard(&copy))).await["status"], "discarded");
    assert!(!exists(&stack, &copy).await && exists(&stack, &foreign).await);

    copy_of(&stack, &copy).await;
    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;
    let kept = swapped["kept_database"].as_str().unwrap();
    let (error_type, message) = fail(&stack, "restore", signed(discard(kept))).await;
    assert!(error_type == "PromoteRefused" && message.contains("force"), "{message}");
    assert!(exists(&stack, kept).await);
    assert_eq!(succeed(&stack, "restore", signed(forced(kept))).await["status"], "discarded");
    assert!(!exists(&stack, kept).await);
    tidy_up(&stack, &[&copy, &foreign]).await;
}

#[tokio::test]
async fn of_two_promotes_at_once_one_is_told_to_wait() {
    let stack = archive_stack().start().await.unwrap();
    told_apart(&stack).await;
    let copy = target("twice");
    copy_of(&stack, &copy).await;
    let mut other = PgConnection::connect(stack.postgres.url()).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(723541820, hashtext($1))")
        .bind(production_of(&stack))
        .execute(&mut other)
        .await
        .unwrap();
    for request in [
        signed(promote("swap", &copy)),
        signed(promote("merge_missing", &copy)),
        signed(json!({"action": "undo"})),
        signed(json!({"action": "discard", "target_database": copy})),
    ] {
        assert_eq!(fail(&stack, "restore", request).await.0, "PromoteRunning");
    }
    other.close().await.unwrap();

    let request = signed(promote("swap", &copy));
    let (one, other) =
        tokio::join!(stack.invoke("restore", request.clone()), stack.invoke("restore", request));
    let mut answers: Vec<String> = [one.unwrap(), other.unwrap()]
        .iter()
        .map(|reply| {
            let payload = &reply.payload;
            payload["status"].as_str().or(payload["errorType"].as_str()).unwrap_or_default().to_owned()
        })
        .collect();
    answers.sort();
    assert!(
        answers == ["PromoteRunning", "promoted"] || answers == ["already promoted", "promoted"],
        "{answers:?}"
    );
    assert_eq!(which(&stack).await, "backup");
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn an_owner_who_is_no_superuser_swaps_and_is_told_whose_session_is_in_the_way() {
    let stack = archive_stack().start().await.unwrap();
    told_apart(&stack).await;
    let (production, copy, role) = (production_of(&stack), target("owned"), target("owner"));
    let make = format!(
        "CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'owner'; ALTER DATABASE {production} OWNER TO {role}"
    );
    on_server(&stack, &make).await;
    let (_, rest) = stack.database_url.split_once('@').unwrap();
    let owned = format!("postgres://{role}:owner@{rest}");
    stack.secrets.put("database", &json!({"url": owned})).await.unwrap();
    copy_of(&stack, &copy).await;

    let superuser = PgConnection::connect(&stack.database_url).await.unwrap();
    let planned = succeed(&stack, "restore", promote("swap", &copy)).await;
    assert!(
        planned["sessions"].as_array().unwrap().iter().any(|sessions| sessions["may_end"] == false),
        "{planned}"
    );
    let (error_type, message) = fail(&stack, "restore", signed(promote("swap", &copy))).await;
    assert!(error_type == "SessionsRemain" && message.contains("pid "), "{message}");
    assert_eq!(which(&stack).await, "production");
    superuser.close().await.unwrap();
    let owner = PgConnection::connect(&owned).await.unwrap();
    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;

    assert_eq!(swapped["status"], "promoted");
    assert_eq!(which(&stack).await, "backup");
    drop(owner);
    assert_eq!(succeed(&stack, "restore", signed(json!({"action": "undo"}))).await["status"], "undone");
    assert_eq!(which(&stack).await, "production");
    tidy_up(&stack, &[&copy]).await;
    on_server(&stack, &format!("ALTER DATABASE {production} OWNER TO CURRENT_USER; DROP ROLE {role}")).await;
}

/// An application that writes rows as fast as it can, and comes back whenever its session ends.
struct Application {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<i64>>,
}

impl Application {
    fn start(stack: &Stack, first: i64) -> Self {
        let (url, stop) = (stack.database_url.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut committed, mut next) = (Vec::new(), first);
            while !stopped.load(Ordering::Relaxed) {
                let Ok(mut connection) = PgConnection::connect(&url).await else {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                };
                while !stopped.load(Ordering::Relaxed) {
                    next += 1;
                    let written = sqlx::query("INSERT INTO public.writes VALUES ($1)").bind(next);
                    match written.execute(&mut connection).await {
                        Ok(_) => committed.push(next),
                        Err(_) => break,
                    }
                }
            }
            committed
        });
        Self { stop, task }
    }

    async fn end(self) -> Vec<i64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

async fn writes(url: &str) -> Vec<i64> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT id FROM public.writes ORDER BY id").fetch_all(&mut connection).await.unwrap()
}

async fn events(url: &str) -> Vec<String> {
    texts(url, "SELECT id FROM recoup.webhook_events").await
}

#[tokio::test]
async fn under_load_no_committed_write_is_lost_by_a_swap_nor_by_its_undoing() {
    let stack = eager().start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE public.writes (id bigint PRIMARY KEY)").await;
    let mut shop = Shop::open(&stack.stripe, 5).expect("a shop");
    sell(&stack, &mut shop, 5).await;
    full_backup(&stack).await;
    let copy = target("load");
    copy_of(&stack, &copy).await;

    let applications = [0, 1_000_000, 2_000_000].map(|first| Application::start(&stack, first));
    shop.sell(30).expect("sales");
    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;
    let kept = stack.postgres.url_of(swapped["kept_database"].as_str().unwrap());
    let after_swap = Application::start(&stack, 3_000_000);
    shop.sell(30).expect("sales");
    settle(&stack).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut acknowledged = Vec::new();
    for application in applications {
        acknowledged.extend(application.end().await);
    }
    let acknowledged_since = after_swap.end().await;

    let (before, since) = (writes(&kept).await, writes(&stack.database_url).await);
    assert!(before.len() > 100 && since.len() > 100, "{} and {}", before.len(), since.len());
    let lost: Vec<&i64> = acknowledged
        .iter()
        .filter(|id| before.binary_search(id).is_err() && since.binary_search(id).is_err())
        .collect();
    assert_eq!(lost, Vec::<&i64>::new(), "writes that were acknowledged and are nowhere");
    assert!(acknowledged_since.iter().all(|id| since.binary_search(id).is_ok()));
    assert!(applications_came_back(&since), "{since:?}");
    // Every event was answered with 2xx once it was committed: to what was production then.
    let mut kept_events = events(&kept).await;
    kept_events.extend(events(&stack.database_url).await);
    let sent: Vec<String> =
        stack.stripe.events().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert!(sent.len() > 100);
    let lost: Vec<&String> = sent.iter().filter(|id| !kept_events.contains(id)).collect();
    assert_eq!(lost, Vec::<&String>::new());
    // What the copy lacks comes from Stripe.
    succeed(&stack, "reconcile", json!({"action": "events", "dry_run": false})).await;
    let found = events(&stack.database_url).await;
    assert!(sent.iter().all(|id| found.contains(id)));

    let application = Application::start(&stack, 4_000_000);
    shop.sell(10).expect("sales");
    let undone = succeed(&stack, "restore", signed(json!({"action": "undo"}))).await;
    settle(&stack).await;
    let acknowledged = application.end().await;
    let aside = stack.postgres.url_of(undone["kept_database"].as_str().unwrap());
    let (back, aside) = (writes(&stack.database_url).await, writes(&aside).await);
    assert!(before.iter().all(|id| back.binary_search(id).is_ok()), "what was kept is back");
    assert!(acknowledged.iter().all(|id| back.binary_search(id).is_ok() || aside.binary_search(id).is_ok()));
    for reply in [&swapped, &undone] {
        let seconds = reply["locked_out_seconds"].as_f64().unwrap();
        eprintln!("locked out for {seconds:.3} s");
        assert!(seconds < 5.0, "{reply}");
    }
    tidy_up(&stack, &[&copy]).await;
}

/// Each of the three that wrote before the swap wrote after it too.
fn applications_came_back(since: &[i64]) -> bool {
    [0, 1_000_000, 2_000_000]
        .iter()
        .all(|first| since.iter().any(|id| (first + 1..first + 1_000_000).contains(id)))
}

#[tokio::test]
async fn a_dump_of_what_went_live_is_that_of_the_copy() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, include_str!("schemas/awkward.sql")).await;
    full_backup(&stack).await;
    let copy = target("dump");
    copy_of(&stack, &copy).await;
    // Changes of the log are captured too.
    let without = ["--exclude-table-data=recoup.row_changes_id_seq"];
    let before = dump_with(&stack, &stack.postgres.url_of(&copy), &without).await;

    let mut request = signed(promote("swap", &copy));
    request["reason"] = json!("x");
    succeed(&stack, "restore", request).await;

    execute(
        &stack.database_url,
        "DELETE FROM recoup.audit_log; ALTER SEQUENCE recoup.audit_log_id_seq RESTART",
    )
    .await;
    let after = dump_with(&stack, &stack.database_url, &without).await;
    crate::archive_stack::assert_same_dump(&before, &after);
    tidy_up(&stack, &[&copy]).await;
}
