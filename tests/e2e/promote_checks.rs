//! What is looked at before databases change their names: each thing that is in the way is named with its remedy, and
//! nothing has happened then.

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::postgres::{Postgres, PostgresOptions};
use stack::{DatabaseChoice, StackBuilder};

use crate::archive_stack::{archive_stack, execute, fail, full_backup, succeed, target};
use crate::promote_stack::{copy_of, on_server, production_of, promote, signed, text, tidy_up, which};

/// A shop with a copy, told apart by a row.
async fn shop_and_copy(builder: StackBuilder, copy: &str) -> Stack {
    let stack = builder.start().await.unwrap();
    execute(&stack.database_url, "CREATE TABLE public.which AS SELECT 'backup' AS name").await;
    full_backup(&stack).await;
    execute(&stack.database_url, "UPDATE public.which SET name = 'production'").await;
    copy_of(&stack, copy).await;
    stack
}

/// The swap is refused with this, planned or meant, and nobody's session ends.
async fn is_refused(stack: &Stack, copy: &str, told: &str) {
    let user = PgConnection::connect(&stack.database_url).await.unwrap();
    for request in [promote("swap", copy), signed(promote("swap", copy))] {
        let (error_type, message) = fail(stack, "restore", request).await;
        assert_eq!(error_type, "PromoteRefused", "{message}");
        assert!(message.contains(told), "{told}: {message}");
    }
    user.close().await.unwrap();
    assert_eq!(which(stack).await, "production");
}

fn warnings(reply: &Value) -> String {
    reply["warnings"].to_string()
}

#[tokio::test]
async fn what_cannot_be_renamed_is_refused_with_what_to_do() {
    let settings = vec![
        ("max_prepared_transactions".to_owned(), "5".to_owned()),
        ("wal_level".to_owned(), "logical".to_owned()),
    ];
    let server = Postgres::start(PostgresOptions { settings, ..PostgresOptions::default() }).await.unwrap();
    execute(server.url(), "CREATE DATABASE shop").await;
    let copy = target("checked");
    let given = DatabaseChoice::Given(server.url_of("shop"));
    let stack = shop_and_copy(archive_stack().database(given), &copy).await;
    let of_copy = stack.postgres.url_of(&copy);

    execute(&of_copy, "BEGIN; INSERT INTO public.which VALUES ('x'); PREPARE TRANSACTION 'open'").await;
    is_refused(&stack, &copy, "1 prepared transactions; end them with COMMIT PREPARED").await;
    execute(&of_copy, "ROLLBACK PREPARED 'open'").await;
    on_server(&stack, &format!("ALTER DATABASE {copy} ALLOW_CONNECTIONS false")).await;
    is_refused(&stack, &copy, "takes no connections; ALTER DATABASE").await;
    on_server(&stack, &format!("ALTER DATABASE {copy} ALLOW_CONNECTIONS true")).await;

    // What only has to be known is told.
    execute(&stack.database_url, "SELECT pg_create_logical_replication_slot('to_the_warehouse', 'pgoutput')")
        .await;
    execute(&of_copy, "DELETE FROM recoup._sqlx_migrations WHERE version = (SELECT max(version) FROM recoup._sqlx_migrations)").await;
    let planned = succeed(&stack, "restore", promote("swap", &copy)).await;
    let told = warnings(&planned);
    assert!(told.contains("to_the_warehouse") && told.contains("the newest migration is"), "{told}");
    execute(&stack.database_url, "SELECT pg_drop_replication_slot('to_the_warehouse')").await;
    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;
    assert!(warnings(&swapped).contains("apply what is missing once it is live"), "{swapped}");
    assert_eq!(which(&stack).await, "backup");
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn who_may_not_rename_is_told_which_right_lacks() {
    let copy = target("rights");
    let stack = shop_and_copy(archive_stack(), &copy).await;
    let (production, role) = (production_of(&stack), target("renamer"));
    on_server(
        &stack,
        &format!("CREATE ROLE {role} LOGIN PASSWORD 'renamer'; GRANT pg_read_all_data TO {role}"),
    )
    .await;
    let superuser = stack.database_url.clone();
    let (_, rest) = superuser.split_once('@').unwrap();
    let secret = serde_json::json!({"url": format!("postgres://{role}:renamer@{rest}")});
    stack.secrets.put("database", &secret).await.unwrap();

    is_refused(&stack, &copy, "grant it CREATEDB").await;
    on_server(&stack, &format!("ALTER ROLE {role} CREATEDB; ALTER DATABASE {production} OWNER TO {role}"))
        .await;
    is_refused(&stack, &copy, &format!("database {copy} belongs to role")).await;
    let own =
        format!("ALTER DATABASE {copy} OWNER TO {role}; ALTER DATABASE {production} OWNER TO CURRENT_USER");
    on_server(&stack, &own).await;
    is_refused(&stack, &copy, &format!("database {production} belongs to role")).await;

    // What it may not carry over is a statement for somebody who may.
    let set = format!(
        "ALTER DATABASE {production} OWNER TO {role}; ALTER ROLE CURRENT_USER IN DATABASE {production} SET work_mem = '7MB'"
    );
    on_server(&stack, &set).await;
    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;
    let told = warnings(&swapped);
    assert!(told.contains("not carried over, run it as a role that may: ALTER ROLE"), "{told}");
    on_server(&stack, &format!("REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}")).await;
    tidy_up(&stack, &[&copy]).await;
    on_server(&stack, &format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn what_only_the_copy_has_ends_with_its_name() {
    let copy = target("opened");
    let stack = shop_and_copy(archive_stack(), &copy).await;
    let (production, anybody) = (production_of(&stack), target("anybody"));
    let opened = format!(
        "CREATE ROLE {anybody}; REVOKE CONNECT ON DATABASE {copy} FROM PUBLIC; GRANT CREATE ON DATABASE {copy} TO pg_monitor;
        ALTER DATABASE {copy} CONNECTION LIMIT 50; ALTER DATABASE {copy} SET work_mem = '1MB'"
    );
    on_server(&stack, &opened).await;

    let swapped = succeed(&stack, "restore", signed(promote("swap", &copy))).await;

    assert_eq!((which(&stack).await.as_str(), warnings(&swapped).as_str()), ("backup", "[]"));
    // Production had nothing but what Postgres gives.
    let traits = format!(
        "SELECT concat_ws(' ', has_database_privilege('{anybody}', oid, 'CONNECT'),
            has_database_privilege('{anybody}', oid, 'TEMPORARY'), has_database_privilege('pg_monitor', oid, 'CREATE'),
            datconnlimit, (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = oid))
        FROM pg_database WHERE datname = '{production}'"
    );
    assert_eq!(text(stack.postgres.url(), &traits).await.as_deref(), Some("t t f -1 0"));
    tidy_up(&stack, &[&copy]).await;
    on_server(&stack, &format!("DROP ROLE {anybody}")).await;
}
