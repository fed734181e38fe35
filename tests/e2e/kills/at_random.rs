//! Instances are killed at random while a shop's events come in.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use stack::Stack;
use stack::lambda::FunctionConfig;
use stack::shop::Shop;

use crate::http::Http;
use crate::support::{count, eager, records_of, settle};

/// How often an instance is killed.
const KILLS: u32 = 1_000;

/// Deliveries at a time; each has an instance of its own.
const AT_A_TIME: usize = 6;

/// The storm rests until so many deliveries were answered since its last kill, so that some are.
const ANSWERS_BETWEEN: std::ops::Range<u32> = 0..4;

/// How the deliveries of a storm went.
#[derive(Default)]
struct Tally {
    kills: Cell<u32>,
    answered: Cell<u32>,
    unanswered: Cell<u32>,
    /// What was said of each event, each time.
    outcomes: RefCell<BTreeMap<String, Vec<String>>>,
}

impl Tally {
    fn count(number: &Cell<u32>) {
        number.set(number.get() + 1);
    }

    fn is_over(&self) -> bool {
        self.kills.get() >= KILLS
    }
}

/// Kills instances, any of them at any moment.
async fn storm(stack: &Stack, tally: &Tally) {
    let mut random = StdRng::seed_from_u64(3);
    while !tally.is_over() {
        let enough = tally.answered.get() + random.random_range(ANSWERS_BETWEEN);
        while tally.answered.get() < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(0..4_000))).await;
        let pids = stack.lambda.pids("webhook").expect("pids");
        if let Some(pid) = pids.choose(&mut random)
            && stack.lambda.kill_instance("webhook", *pid).expect("killed")
        {
            Tally::count(&tally.kills);
        }
    }
}

/// Delivers every event until it is answered with 2xx, as Stripe does.
async fn deliver(stack: &Stack, http: &Http, bodies: &[(String, Vec<u8>)], tally: &Tally) {
    futures::stream::iter(bodies)
        .for_each_concurrent(AT_A_TIME, |(id, body)| async move {
            loop {
                let (status, answer) = http.deliver(stack, body).await;
                if status == 200 {
                    Tally::count(&tally.answered);
                    let outcome = answer["outcome"].as_str().expect("an outcome").to_owned();
                    tally.outcomes.borrow_mut().entry(id.clone()).or_default().push(outcome);
                    break;
                }
                Tally::count(&tally.unanswered);
            }
        })
        .await;
}

#[tokio::test]
async fn a_thousand_kills_at_random_lose_and_double_nothing() {
    let calm = eager().functions(["webhook"]).start().await.expect("a stack");
    let mut shop = Shop::open(&calm.stripe, 11).expect("a shop");
    shop.sell(120).expect("sales");
    settle(&calm).await;
    let expected = records_of(&calm).await;

    let stormy =
        eager().functions(["webhook"]).instances("webhook", AT_A_TIME).start().await.expect("a stack");
    // The lines of sessions are asked of the Stripe that knows them.
    let api_base = calm.stripe.api_base();
    let change = |config: &mut FunctionConfig| {
        config.environment.insert("STRIPE_API_BASE".to_owned(), api_base);
    };
    stormy.lambda.configure("webhook", change).expect("configured");
    let bodies: Vec<(String, Vec<u8>)> = calm
        .stripe
        .events()
        .iter()
        .map(|event| {
            let id = event["id"].as_str().expect("an id").to_owned();
            (id, serde_json::to_vec_pretty(event).expect("json"))
        })
        .collect();
    let (tally, http) = (Tally::default(), Http::new());
    let deliveries = async {
        deliver(&stormy, &http, &bodies, &tally).await;
        // Where the storm outlasts them they come again: duplicates must be as harmless.
        while !tally.is_over() {
            deliver(&stormy, &http, &bodies, &tally).await;
        }
    };
    tokio::join!(storm(&stormy, &tally), deliveries);

    let found = records_of(&stormy).await;
    assert_eq!(expected.differences(&found), Vec::<String>::new());
    assert_eq!(expected.money, found.money);
    let kept = "select count(*) from recoup.webhook_events where status = 'processed'";
    assert_eq!(count(&calm, kept).await, count(&stormy, kept).await);
    let more_than_once = "select count(*) from recoup.webhook_events where attempts > 1";
    assert_eq!(count(&stormy, more_than_once).await, 0);

    // It did come to both: kills that took an event back, and kills after its commit.
    let outcomes = tally.outcomes.borrow();
    let applied = |said: &&Vec<String>| said.iter().filter(|outcome| *outcome == "applied").count();
    assert!(outcomes.values().all(|said| applied(&said) <= 1), "applied twice");
    let unheard = outcomes.values().filter(|said| applied(said) == 0).count();
    assert!(unheard > 0, "no kill came between a commit and its answer");
    assert!(tally.unanswered.get() > KILLS / 4, "{} deliveries were hit", tally.unanswered.get());
    eprintln!(
        "{KILLS} kills: {} deliveries answered, {} cut off, {unheard} events committed unheard",
        tally.answered.get(),
        tally.unanswered.get()
    );
}
