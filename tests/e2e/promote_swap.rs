//! A copy takes production's place, and gives it back.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::Stack;

use crate::archive_stack::{archive_stack, dump_with, execute, fail, full_backup, succeed, target, texts};
use crate::promote_stack::{
    comment, copy_of, exists, on_server, production_of, promote, signed, text, tidy_up, which,
};

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
