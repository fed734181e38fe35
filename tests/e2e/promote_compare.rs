//! A copy against production: each difference is found, and only those.

use serde_json::{Value, json};
use stack::Stack;

use crate::archive_stack::{archive_stack, every_kind_of_value, execute, fail, full_backup, succeed, target};
use crate::promote_stack::{copy_of, promote, signed, tidy_up};

async fn compare(stack: &Stack, copy: &str) -> Value {
    succeed(stack, "restore", json!({"action": "compare", "target_database": copy})).await
}

fn different(reply: &Value) -> Vec<&Value> {
    reply["tables"].as_array().unwrap().iter().filter(|table| table["result"] != "equal").collect()
}

/// What the backup's own run writes once its snapshot is taken.
const OF_THE_RUN: [&str; 1] = ["recoup.backups"];

#[tokio::test]
async fn each_planted_difference_is_found_and_only_those() {
    let stack = archive_stack().start().await.unwrap();
    every_kind_of_value(&stack).await;
    execute(&stack.database_url, include_str!("schemas/parts.sql")).await;
    execute(
        &stack.database_url,
        "CREATE TABLE public.people (email text PRIMARY KEY, name text);
        INSERT INTO public.people SELECT 'person-' || i || '@example.org', 'n' FROM generate_series(1, 3000) AS i;
        CREATE TABLE public.gone (id int PRIMARY KEY); INSERT INTO public.gone VALUES (1), (2);",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("compare");
    copy_of(&stack, &copy).await;
    let before = compare(&stack, &copy).await;
    let unplanted: Vec<&str> =
        different(&before).iter().map(|table| table["table"].as_str().unwrap()).collect();
    assert_eq!(unplanted, OF_THE_RUN);

    execute(
        &stack.database_url,
        r#"SET session_replication_role = replica;
        DELETE FROM public.people WHERE email IN ('person-7@example.org', 'person-2999@example.org');
        UPDATE public.people SET name = 'N' WHERE email = 'person-8@example.org';
        INSERT INTO public.people VALUES ('new@example.org', NULL);
        UPDATE values_of.noise SET body = set_byte(body, 0, (get_byte(body, 0) + 1) % 256) WHERE id IN (5, 6);
        UPDATE values_of.scalars SET n = 0.0000 WHERE id = 4;
        UPDATE values_of.scalars SET t = t || ' ' WHERE id = 3;
        UPDATE public.events SET body = 'x' WHERE region = 'us';
        UPDATE "ünï ""code"""."tàble; drop" SET "b""b" = 1;
        INSERT INTO "ünï ""code"""."tàble; drop" VALUES (1, 2, 3);
        INSERT INTO values_of.large SELECT * FROM values_of.large;
        DELETE FROM shop.cats WHERE name = 'tom'; UPDATE ONLY shop.animals SET name = 'wolf';
        DROP TABLE public.gone; CREATE TABLE public.fresh (a int); INSERT INTO public.fresh VALUES (1), (1);
        ALTER TABLE shop.countries ADD population int;"#,
    )
    .await;
    let after = compare(&stack, &copy).await;
    tidy_up(&stack, &[&copy]).await;

    assert_eq!(after["result"], "different");
    let summary = |table: &Value| {
        let number = |field: &str| table[field].as_u64().map_or("-".to_owned(), |number| number.to_string());
        let numbers =
            ["production_rows", "copy_rows", "missing_in_production", "missing_in_copy", "different"]
                .map(number);
        format!(
            "{} {}: {}",
            table["table"].as_str().unwrap(),
            table["result"].as_str().unwrap(),
            numbers.join(" ")
        )
    };
    let found: Vec<String> = different(&after)
        .into_iter()
        .filter(|table| !OF_THE_RUN.contains(&table["table"].as_str().unwrap()))
        .map(summary)
        .collect();
    assert_eq!(
        found,
        [
            "public.events different: 3 3 0 0 1",
            "public.fresh missing in copy: 2 - 0 2 0",
            "public.gone missing in production: - 2 2 0 0",
            "public.people different: 2999 3000 2 1 1",
            "shop.animals different: 1 1 1 1 0",
            "shop.cats different: 1 2 1 0 0",
            "shop.countries different: 3 3 0 0 0",
            "values_of.large different: 2 1 0 1 0",
            "values_of.noise different: 2728 2728 0 0 2",
            "values_of.scalars different: 4 4 0 0 2",
            "\"ünï \"\"code\"\"\".\"tàble; drop\" different: 1 0 0 1 0",
        ]
    );
    let of = |name: &str| different(&after).into_iter().find(|table| table["table"] == name).unwrap();
    let people = &of("public.people")["samples"];
    assert_eq!(people["different"], json!([{"email": "p***"}]));
    assert_eq!(people["missing_in_production"], json!([{"email": "p***"}, {"email": "p***"}]));
    let noise = of("values_of.noise");
    assert_eq!(noise["key"], json!(["id"]));
    let mut keys: Vec<&str> = noise["samples"]["different"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["id"].as_str().unwrap())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["5", "6"]);
    assert_eq!(of("values_of.large")["key"], json!([]));
    assert_eq!(of("shop.countries")["columns_only_in_production"], json!(["population"]));
    assert!(!after.to_string().contains("example.org"), "{after}");
}

#[tokio::test]
async fn some_tables_are_compared_alone_and_what_there_is_not_is_said() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.a (id int PRIMARY KEY); CREATE TABLE public.b (id int)",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("some");
    copy_of(&stack, &copy).await;
    execute(&stack.database_url, "INSERT INTO public.a VALUES (1); INSERT INTO public.b VALUES (1)").await;
    let of = |tables: Value| json!({"action": "compare", "target_database": copy, "tables": tables});

    let reply = succeed(&stack, "restore", of(json!(["public.a"]))).await;
    assert_eq!(reply["tables"].as_array().unwrap().len(), 1);
    assert_eq!(reply["tables"][0]["samples"]["missing_in_copy"], json!([{"id": "1"}]));
    for tables in [json!(["public.c"]), json!([]), json!(["a"])] {
        assert_eq!(fail(&stack, "restore", of(tables)).await.0, "InvalidRequest");
    }
    let none = json!({"action": "compare", "target_database": target("none")});
    assert_eq!(fail(&stack, "restore", none).await.0, "DatabaseUnavailable");
    tidy_up(&stack, &[&copy]).await;
}

#[tokio::test]
async fn much_that_differs_takes_no_more_memory_than_little() {
    let stack = archive_stack().start().await.unwrap();
    execute(
        &stack.database_url,
        "CREATE TABLE public.many (id text PRIMARY KEY, body text);
        INSERT INTO public.many SELECT md5(i::text), repeat('x', 100) FROM generate_series(1, 200000) AS i;",
    )
    .await;
    full_backup(&stack).await;
    let copy = target("many");
    copy_of(&stack, &copy).await;
    let request = json!({"action": "compare", "target_database": copy, "tables": ["public.many"]});
    stack.lambda.kill("restore").unwrap();
    succeed(&stack, "restore", request.clone()).await;
    let little = peak_kilobytes(&stack);
    execute(&stack.database_url, "UPDATE public.many SET body = 'y'; DELETE FROM public.many WHERE id < '2'")
        .await;

    let reply = succeed(&stack, "restore", request).await;
    let much = peak_kilobytes(&stack);

    let many = &reply["tables"][0];
    assert_eq!(many["copy_rows"], 200_000);
    let gone = many["missing_in_production"].as_u64().unwrap();
    assert_eq!(gone + many["different"].as_u64().unwrap(), 200_000);
    assert!(much < little + 16 * 1024, "{little} kB, then {much} kB");
    // Nor do rows that are brought over, 28 MB of them.
    let mut merge = signed(promote("merge_missing", &copy));
    merge["tables"] = json!(["public.many"]);
    execute(&stack.database_url, "DELETE FROM public.many").await;
    assert_eq!(succeed(&stack, "restore", merge).await["tables"][0]["inserted"], 200_000);
    let merged = peak_kilobytes(&stack);
    assert!(merged < little + 16 * 1024, "{little} kB, then {merged} kB");
    tidy_up(&stack, &[&copy]).await;
}

/// The most memory that the function's process has had.
fn peak_kilobytes(stack: &Stack) -> u64 {
    let pid = stack.lambda.pids("restore").unwrap()[0];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
