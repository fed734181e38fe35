//! The database's password, with a server that asks for it.

use serde_json::json;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use stack::Stack;
use stack::postgres::Major;
use stack::shop::Shop;

use super::arena::{Guarded, act, assert_unlogged, login, refused, rotate_twice_each, stepped, token};
use crate::http::Http;
use crate::support::{sell, succeeded};

async fn may_log_in(guarded: &Guarded, user: &str, password: &str) -> bool {
    match PgConnection::connect(&guarded.url(user, password)).await {
        Ok(connection) => connection.close().await.is_ok(),
        Err(_) => false,
    }
}

async fn every_function_works(stack: &Stack) {
    for (function, payload) in [
        ("backup", json!({"backup_type": "full"})),
        ("backup", json!({"backup_type": "changes"})),
        ("verify", json!({"action": "drill"})),
        ("verify", json!({"action": "database"})),
        ("reconcile", json!({"action": "events", "dry_run": false})),
    ] {
        succeeded(stack.invoke(function, payload).await.expect("invoked"));
    }
    let health = Http::new().send(http::Method::GET, &stack.health_url(), &[], b"").await;
    assert_eq!(health.0, 200, "{}", health.1);
}

#[tokio::test]
async fn two_users_take_turns_with_the_same_rights_and_no_password_is_written_down() {
    let guarded = Guarded::start(None, "superuser connection limit 50").await;
    guarded.run("alter role shop set search_path = \"Odd, name\", public").await;
    guarded.run("alter role shop set application_name = 'it''s the shop'").await;
    let stack = guarded.stack().start().await.expect("a stack");
    let mut shop = Shop::open(&stack.stripe, 1).expect("a shop");
    sell(&stack, &mut shop, 3).await;

    rotate_twice_each(&stack, "database").await;
    let (user, second) = login(&stack, "database").await;
    assert_eq!(user, "shop_alternate");
    assert!(may_log_in(&guarded, &user, &second).await && may_log_in(&guarded, "shop", "first").await);
    assert!(!may_log_in(&guarded, &user, "first").await);
    every_function_works(&stack).await;
    sell(&stack, &mut shop, 3).await;

    // What it makes belongs to the same owner, and its settings are the same.
    let mut connection = PgConnection::connect(&guarded.url(&user, &second)).await.expect("connected");
    sqlx::raw_sql("create table public.made_by_the_second (id int)")
        .execute(&mut connection)
        .await
        .expect("made");
    let shown: (String, String, String) = sqlx::query_as(
        "select current_user::text, current_setting('search_path'), current_setting('application_name')",
    )
    .fetch_one(&mut connection)
    .await
    .expect("settings");
    assert_eq!(shown, ("shop".to_owned(), "\"Odd, name\", public".to_owned(), "it's the shop".to_owned()));
    let owner = "select tableowner::text from pg_tables where tablename = 'made_by_the_second'";
    assert_eq!(guarded.text(owner).await.as_deref(), Some("shop"));
    let limit = "select rolconnlimit::text from pg_roles where rolname = 'shop_alternate'";
    assert_eq!(guarded.text(limit).await.as_deref(), Some("50"));

    // The next one gives the first its turn, and a new password.
    rotate_twice_each(&stack, "database").await;
    let (user, third) = login(&stack, "database").await;
    assert_eq!(user, "shop");
    assert!(
        may_log_in(&guarded, "shop", &third).await && may_log_in(&guarded, "shop_alternate", &second).await
    );
    assert!(!may_log_in(&guarded, "shop", "first").await, "the old password is of no use any more");
    every_function_works(&stack).await;
    sell(&stack, &mut shop, 3).await;

    // And so on; whoever lost both passwords is safe after two.
    act(&stack, json!({"action": "rotate", "secret": "database"})).await;
    let (user, fourth) = login(&stack, "database").await;
    assert_eq!(user, "shop_alternate");
    assert!(!may_log_in(&guarded, "shop_alternate", &second).await);
    assert!(may_log_in(&guarded, "shop_alternate", &fourth).await);

    let log = guarded.log().await;
    assert!(log.contains("SCRAM-SHA-256$4096:"), "statements are in the log");
    for password in [&second, &third, &fourth] {
        assert!(!log.contains(password.as_str()));
    }
    assert_unlogged(&stack, &[&second, &third, &fourth]);
}

#[tokio::test]
async fn before_postgres_16_a_user_with_createrole_makes_the_second_by_itself() {
    let guarded = Guarded::start(Some(Major::V15), "createdb createrole").await;
    let stack = guarded.stack().functions(["webhook", "rotate"]).start().await.expect("a stack");
    for user in ["shop_alternate", "shop", "shop_alternate"] {
        rotate_twice_each(&stack, "database").await;
        assert_eq!(login(&stack, "database").await.0, user);
    }
}

#[tokio::test]
async fn a_user_that_may_not_make_roles_is_told_so_and_an_administrator_can_do_it() {
    for (major, rights) in [(Major::V15, "createdb"), (Major::V18, "createdb createrole")] {
        let guarded = Guarded::start(Some(major), "").await;
        // Its maker may grant it: before 16 by createrole alone, since then as its maker.
        guarded
            .run(&format!("alter database {} owner to postgres; drop role shop", guarded.database.name()))
            .await;
        guarded.run("create role chief login createrole createdb password 'chief'").await;
        let mut chief = PgConnection::connect(&guarded.url("chief", "chief")).await.expect("connected");
        let made = format!("create role shop login {rights} password 'first'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(made)).execute(&mut chief).await.expect("made");
        chief.close().await.expect("closed");
        guarded.run(&format!("alter database {} owner to shop", guarded.database.name())).await;

        let stack = guarded.stack().functions(["webhook", "rotate"]).start().await.expect("a stack");
        let token = token();
        assert_eq!(stepped(&stack, "database", "createSecret", &token).await, "done");
        let (kind, message) = refused(&stack, "database", "setSecret", &token).await;
        assert_eq!(kind, "DatabaseUserCannotCreateRoles", "{message}");
        assert!(message.contains("DatabaseAdminSecretArn") && message.contains("CREATEROLE"), "{message}");
        let roles = "select count(*)::text from pg_roles where rolname = 'shop_alternate'";
        assert_eq!(guarded.text(roles).await.as_deref(), Some("0"), "nothing is half made");
        assert!(may_log_in(&guarded, "shop", "first").await);

        let admin = json!({"url": guarded.url("chief", "chief")});
        let id = stack.secrets.put("database-admin", &admin).await.expect("put");
        let named = |config: &mut stack::lambda::FunctionConfig| {
            config.environment.insert("DATABASE_ADMIN_SECRET_ID".to_owned(), id.clone());
        };
        stack.lambda.configure("rotate", named).expect("configured");
        let reply = act(&stack, json!({"action": "rotate", "secret": "database"})).await;
        assert_eq!((&reply["version"], &reply["resumed"]), (&json!(token), &json!(true)));
        assert_eq!(login(&stack, "database").await.0, "shop_alternate");
        act(&stack, json!({"action": "rotate", "secret": "database"})).await;
        assert_eq!(login(&stack, "database").await.0, "shop");
    }
}

#[tokio::test]
async fn a_strangers_role_is_left_alone() {
    let guarded = Guarded::start(None, "superuser").await;
    guarded.run("create role shop_alternate login password 'mine'").await;
    let stack = guarded.stack().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let token = token();
    stepped(&stack, "database", "createSecret", &token).await;
    let (kind, message) = refused(&stack, "database", "setSecret", &token).await;
    assert_eq!(kind, "DatabaseUserTaken", "{message}");
    assert!(may_log_in(&guarded, "shop_alternate", "mine").await, "its password is as it was");
}

#[tokio::test]
async fn a_pooler_that_knows_the_same_user_gets_the_new_login_first() {
    let guarded = Guarded::start(None, "superuser").await;
    let stack = guarded.stack().functions(["webhook", "rotate"]).start().await.expect("a stack");
    let pooler = json!({"url": format!("{}?application_name=pooled", guarded.url("shop", "first"))});
    let id = stack.secrets.put("pooler", &pooler).await.expect("put");
    let named = |config: &mut stack::lambda::FunctionConfig| {
        config.environment.insert("DATABASE_POOLER_SECRET_ID".to_owned(), id.clone());
    };
    stack.lambda.configure("rotate", named).expect("configured");
    for user in ["shop_alternate", "shop"] {
        rotate_twice_each(&stack, "database").await;
        let (pooled, direct) = (login(&stack, "pooler").await, login(&stack, "database").await);
        assert_eq!((pooled.0.as_str(), &pooled), (user, &direct));
        let url =
            stack.secrets.get("pooler").await.expect("a value")["url"].as_str().expect("a URL").to_owned();
        assert!(url.ends_with("?application_name=pooled"), "all else is as it was");
    }
    // One that has a user of its own is left alone, and said so.
    stack.secrets.put("pooler", &json!({"url": guarded.url("somebody", "else")})).await.expect("put");
    let reply = act(&stack, json!({"action": "rotate", "secret": "database"})).await;
    assert!(reply["warnings"][0].as_str().expect("a warning").contains("left alone"), "{reply}");
}
