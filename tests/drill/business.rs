//! Business as usual, all of it at once, until somebody drops the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::shop::Shop;
use stack::stripe::Faults;
use stack::{Error, Result, Stack};
use tokio::task::JoinHandle;

use crate::application::{self, COMMITTING};
use crate::model::{Recorded, Recorder};

const WRITERS: u64 = 4;

/// Everybody at work.
pub struct Business {
    stack: Arc<Stack>,
    random: StdRng,
    recorder: Recorder,
    over: Arc<AtomicBool>,
    writers: Vec<JoinHandle<u64>>,
    seller: JoinHandle<Result<u32>>,
    exporter: JoinHandle<u32>,
    operator: JoinHandle<u32>,
}

/// What is left when the database is gone.
pub struct Lost {
    /// Everything but the database.
    pub stack: Arc<Stack>,
    /// Its name.
    pub database: String,
    /// The instants, in their order.
    pub instants: Vec<Recorded>,
    /// Tables that were recorded.
    pub tables: Vec<String>,
    counts: [(&'static str, u64); 5],
}

impl Lost {
    /// What went on, in words.
    pub fn words(&self) -> String {
        let counts: Vec<String> = self.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        format!("{}; then the database was dropped", counts.join(", "))
    }
}

impl Business {
    /// Takes the first backup, and begins.
    ///
    /// # Errors
    /// What a function or Postgres says.
    pub async fn open(stack: Stack, seed: u64) -> Result<Business> {
        let faults = Faults {
            duplicate: 0.15,
            shuffle: 25,
            delay: Some((Duration::ZERO, Duration::from_millis(150))),
            ..Faults::default()
        };
        stack.stripe.faults(faults);
        let stack = Arc::new(stack);
        let shop =
            Shop::open(&stack.stripe, seed).map_err(|refusal| Error::failed("open the shop", &refusal))?;
        stack.succeed("backup", json!({"backup_type": "changes"})).await?;
        stack.succeed("backup", json!({"backup_type": "full"})).await?;
        let recorder = Recorder::connect(&stack.database_url).await?;
        let over = Arc::new(AtomicBool::new(false));
        let writers = (0..WRITERS)
            .map(|writer| {
                tokio::spawn(application::write(stack.database_url.clone(), seed ^ writer, Arc::clone(&over)))
            })
            .collect();
        Ok(Business {
            random: StdRng::seed_from_u64(seed),
            recorder,
            writers,
            seller: tokio::spawn(sell(shop, Arc::clone(&over))),
            exporter: tokio::spawn(export(Arc::clone(&stack), seed, Arc::clone(&over))),
            operator: tokio::spawn(operate(stack.database_url.clone(), Arc::clone(&over))),
            over,
            stack,
        })
    }

    /// Records instants at random moments, takes another full backup in the middle, and drops the database while everybody
    /// is at work.
    ///
    /// # Errors
    /// What a function or Postgres says of what must not fail.
    pub async fn until_the_database_is_lost(mut self, wanted: usize) -> Result<Lost> {
        let mut instants = Vec::with_capacity(wanted);
        let mut second = None;
        while instants.len() < wanted {
            tokio::time::sleep(Duration::from_millis(self.random.random_range(5..60))).await;
            instants.push(self.recorder.record().await?);
            if instants.len() == wanted / 2 {
                let stack = Arc::clone(&self.stack);
                second = Some(tokio::spawn(async move { full_backup(&stack).await }));
            }
        }
        if let Some(second) = second {
            second.await.map_err(|error| Error::failed("take the second backup", &error))??;
        }
        tokio::time::sleep(Duration::from_millis(self.random.random_range(0..400))).await;
        let database = self.stack.drop_database().await?;
        // Stripe would go on sending for days: it may wait until somebody is there again.
        self.stack.stripe.pause_deliveries();
        self.over.store(true, Ordering::Relaxed);
        let gone = |error: tokio::task::JoinError| Error::failed("end a task", &error);
        let mut transactions = 0;
        for writer in self.writers {
            transactions += writer.await.map_err(gone)?;
        }
        let counts = [
            ("sales", u64::from(self.seller.await.map_err(gone)??)),
            ("events of Stripe", self.stack.stripe.event_count() as u64),
            ("transactions of the application", transactions),
            ("exports", u64::from(self.exporter.await.map_err(gone)?)),
            ("recovery points", u64::from(self.operator.await.map_err(gone)?)),
        ];
        Ok(Lost { tables: self.recorder.tables, stack: self.stack, database, instants, counts })
    }
}

/// Takes a full backup, and again where the application emptied a table just as it began, which its error says to do.
async fn full_backup(stack: &Stack) -> Result<()> {
    loop {
        match stack.succeed("backup", json!({"backup_type": "full"})).await {
            Ok(_) => return Ok(()),
            Err(error) if error.to_string().contains("TableChanged") => {}
            Err(error) => return Err(error),
        }
    }
}

async fn sell(mut shop: Shop, over: Arc<AtomicBool>) -> Result<u32> {
    let mut sales = 0;
    while !over.load(Ordering::Relaxed) {
        shop.sell(1).map_err(|refusal| Error::failed("sell", &refusal))?;
        sales += 1;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    Ok(sales)
}

/// Exports as a schedule would, now and then two at once; gives how many succeeded. Those that the lost database ends are
/// part of it.
async fn export(stack: Arc<Stack>, seed: u64, over: Arc<AtomicBool>) -> u32 {
    let mut random = StdRng::seed_from_u64(!seed);
    let mut exports = 0;
    let changes = || stack.succeed("backup", json!({"backup_type": "changes"}));
    while !over.load(Ordering::Relaxed) {
        if random.random_bool(0.2) {
            let (one, other) = tokio::join!(changes(), changes());
            exports += u32::from(one.is_ok()) + u32::from(other.is_ok());
        } else {
            exports += u32::from(changes().await.is_ok());
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
    }
    exports
}

/// Makes recovery points as an operator would, in SQL; gives how many.
async fn operate(url: String, over: Arc<AtomicBool>) -> u32 {
    let mut points = 0;
    let Ok(mut connection) = PgConnection::connect(&url).await else { return points };
    while !over.load(Ordering::Relaxed) {
        let sql = format!(
            "begin; select pg_advisory_xact_lock_shared({COMMITTING});
            select recoup.create_recovery_point('drill-{points}', 'before a release'); commit"
        );
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
            Ok(_) => points += 1,
            Err(error) if error.as_database_error().is_some() => {
                let _ = sqlx::raw_sql("rollback").execute(&mut connection).await;
            }
            Err(_) => break,
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    points
}
