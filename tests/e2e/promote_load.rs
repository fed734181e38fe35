//! A swap and its undoing while everybody goes on: Stripe delivers, applications write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, PgConnection};
use stack::Stack;
use stack::shop::Shop;

use crate::archive_stack::{execute, full_backup, succeed, target, texts};
use crate::promote_stack::{copy_of, promote, signed, tidy_up};
use crate::support::{eager, sell, settle};

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
