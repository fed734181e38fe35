//! What a restore does not take for granted: that nobody touched the copy before it was proven, and that its server and its
//! store are there all the time.

use serde_json::{Value, json};
use stack::store_gate::{Fault, operation};

use crate::archive_stack::{
    archive_stack, databases_like, drop_copy, drop_database, execute, fail, full_backup,
    gate_before_database, gate_before_store_of, killed_at, restore_of, succeed, target,
};

const TABLES: &str = "
    CREATE TABLE public.kept (id int PRIMARY KEY, note text);
    CREATE TABLE public.touched (id int PRIMARY KEY, note text);
    INSERT INTO public.kept SELECT i, md5(i::text) FROM generate_series(1, 300) AS i;
    INSERT INTO public.touched SELECT * FROM public.kept;";

fn restore(copy: &str) -> Value {
    json!({"action": "backup_restore", "backup_id": "latest", "target_database": copy})
}

#[tokio::test]
async fn a_copy_that_somebody_wrote_to_is_not_proven_and_does_not_stay() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, TABLES).await;
    full_backup(&stack).await;
    let gate = gate_before_database(&stack).await;
    for touch in [
        "DELETE FROM public.touched WHERE id = 7",
        "UPDATE public.touched SET note = upper(note) WHERE id = 7",
        "INSERT INTO public.touched VALUES (301, NULL)",
        "ALTER TABLE public.touched RENAME TO lost",
    ] {
        let copy = target("touched");
        killed_at(&stack, &gate, "restore", &restore(&copy), "COPY (SELECT").await;
        gate.empty().await;
        execute(&stack.postgres.url_of(&copy), touch).await;

        let resume = json!({"action": "resume", "restore_id": restore_of(&stack, &copy).await});
        let (error_type, message) = fail(&stack, "restore", resume).await;

        assert_eq!(error_type, "RestoreNotEqual", "{touch}: {message}");
        assert!(message.contains("public.touched has") && message.contains("of 300"), "{touch}: {message}");
        assert!(!message.contains("public.kept") && message.contains("was dropped"), "{touch}: {message}");
        assert_eq!(databases_like(&stack, &copy).await, Vec::<String>::new(), "{touch}");
    }
}

#[tokio::test]
async fn while_the_store_is_away_the_copy_is_kept_with_what_is_done() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, TABLES).await;
    full_backup(&stack).await;
    let gate = gate_before_store_of(&stack, "restore");
    let of_touched = |method: &_, uri: &http::Uri| {
        operation(method, uri) == "GetObject" && uri.path().contains("/data/public.touched/")
    };
    gate.fail(of_touched, Fault::Refused(503, "SlowDown"), usize::MAX);
    let copy = target("outage");

    let (error_type, message) = fail(&stack, "restore", restore(&copy)).await;

    assert_eq!(error_type, "StoreUnavailable", "{message}");
    let restore_id = restore_of(&stack, &copy).await;
    assert!(message.contains("was kept with what is done") && message.contains(&restore_id), "{message}");
    gate.heal();
    // What is asked three times and then answered costs nothing but the time.
    gate.fail(of_touched, Fault::Refused(503, "SlowDown"), 4);
    let restored = succeed(&stack, "restore", json!({"action": "resume", "restore_id": restore_id})).await;
    assert_eq!((gate.heal(), &restored["status"]), (0, &json!("completed")), "{restored}");
    drop_copy(&stack, &restored).await;
}

#[tokio::test]
async fn a_look_says_that_the_name_is_taken_and_that_the_server_is_not_there() {
    let stack = archive_stack().start().await.unwrap();
    execute(&stack.database_url, TABLES).await;
    full_backup(&stack).await;
    let copy = target("taken");
    execute(stack.postgres.url(), &format!("CREATE DATABASE {copy}")).await;
    let mut look = restore(&copy);
    look["dry_run"] = json!(true);

    let taken = succeed(&stack, "restore", look.clone()).await;

    assert_eq!(
        (&taken["status"], &taken["target"]["database_exists"]),
        (&json!("not possible"), &json!(true))
    );
    let problem = format!("database {copy} exists already: give another target_database");
    assert_eq!(taken["problems"], json!([problem]));
    drop_database(&stack, &copy).await;
    assert_eq!(succeed(&stack, "restore", look.clone()).await["status"], "possible");

    let nobody = json!({"url": "postgres://shop@127.0.0.1:9/shop"});
    look["target_secret"] = json!(stack.secrets.put("restore-target", &nobody).await.unwrap());
    let away = succeed(&stack, "restore", look).await;
    assert_eq!(
        (&away["status"], &away["target"]["postgres_version"]),
        (&json!("not possible"), &Value::Null)
    );
    assert_eq!(away["target"]["server"], "127.0.0.1:9");
    let problem = away["problems"][0].as_str().unwrap();
    assert!(problem.contains("connect to Postgres at 127.0.0.1:9"), "{problem}");
}
