//! The stack's Postgres: private, cloned from a migrated template, dropped at the end.

use sqlx::{Connection, PgConnection};
use stack::postgres::{Postgres, PostgresOptions};

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database takes connections")
}

async fn scalar(url: &str, query: &'static str) -> String {
    let mut connection = connect(url).await;
    let value = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    value
}

async fn database_exists(postgres: &Postgres, name: &str) -> bool {
    let mut connection = connect(postgres.url()).await;
    let count: i64 = sqlx::query_scalar("select count(*) from pg_database where datname = $1")
        .bind(name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    count == 1
}

#[tokio::test]
async fn databases_are_clones_of_a_template_and_apart_from_each_other() {
    let migrations = tempfile::tempdir().unwrap();
    std::fs::write(
        migrations.path().join("0001_box.sql"),
        "create table box (content text); insert into box values ('from the migration');",
    )
    .unwrap();
    let postgres = Postgres::shared().await.unwrap();

    let (first, second) =
        tokio::join!(postgres.database_from(migrations.path()), postgres.database_from(migrations.path()),);
    let (first, second) = (first.unwrap(), second.unwrap());
    let mut connection = connect(first.url()).await;
    sqlx::query("update box set content = 'changed'").execute(&mut connection).await.unwrap();

    assert_ne!(first.name(), second.name());
    assert_eq!(scalar(first.url(), "select content from box").await, "changed");
    assert_eq!(scalar(second.url(), "select content from box").await, "from the migration");
}

#[tokio::test]
async fn a_dropped_database_is_gone_even_with_someone_connected() {
    let postgres = Postgres::shared().await.unwrap();
    let database = postgres.empty_database().await.unwrap();
    let name = database.name().to_owned();
    let _connection = connect(database.url()).await;
    assert!(database_exists(&postgres, &name).await);

    drop(database);

    assert!(!database_exists(&postgres, &name).await);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_no_template_and_says_which_directory() {
    let migrations = tempfile::tempdir().unwrap();
    std::fs::write(migrations.path().join("0001_bad.sql"), "create tabel typo ();").unwrap();
    let postgres = Postgres::shared().await.unwrap();

    let error = postgres.database_from(migrations.path()).await.unwrap_err().to_string();

    assert!(error.contains(migrations.path().to_str().unwrap()), "{error}");
    assert!(error.contains("tabel"), "{error}");
}

#[tokio::test]
async fn pg_dump_of_the_server_is_at_hand() {
    let postgres = Postgres::shared().await.unwrap();
    let database = postgres.empty_database().await.unwrap();
    let mut connection = connect(database.url()).await;
    sqlx::raw_sql("create table kept (id int primary key); insert into kept values (42)")
        .execute(&mut connection)
        .await
        .unwrap();

    let dump = postgres.pg_dump(database.url(), &["--data-only"]).await.unwrap();

    assert!(dump.contains("COPY public.kept (id) FROM stdin;\n42\n"), "{dump}");
}

#[tokio::test]
async fn a_server_of_ones_own_is_durable_when_asked_and_leaves_nothing_behind() {
    let options = PostgresOptions {
        durable: true,
        connections_max: 17,
        settings: vec![("work_mem".to_owned(), "5MB".to_owned())],
        ..PostgresOptions::default()
    };
    let postgres = Postgres::start(options).await.unwrap();
    let url = postgres.url().to_owned();
    let directory = scalar(&url, "select current_setting('data_directory')").await;

    assert_eq!(scalar(&url, "select current_setting('fsync')").await, "on");
    assert_eq!(scalar(&url, "select current_setting('max_connections')").await, "17");
    assert_eq!(scalar(&url, "select current_setting('work_mem')").await, "5MB");
    assert_eq!(scalar(&url, "select current_setting('listen_addresses')").await, "127.0.0.1");

    drop(postgres);

    assert!(PgConnection::connect(&url).await.is_err(), "the server still answers");
    assert!(!std::path::Path::new(&directory).exists(), "{directory} is left");
}
