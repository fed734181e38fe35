//! `webhook_*` and `cold_start_*`: events per second, each durably committed with its effects, through the function.
//!
//! The function is driven through the Lambda Runtime API with the gateway's events, prepared and signed beforehand,
//! so that it is the function and Postgres that are measured, and not the gateway in front of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::Stack;

use crate::Result;
use crate::cold_start;
use crate::figures::{Figures, median, percentile};
use crate::instance::Instance;
use crate::mix::{self, Mix};
use crate::peers::Inserts;
use crate::process;
use crate::round_trips::Counter;

const RUNS: usize = 5;
const RUN_SECONDS: u64 = 4;
/// More than any run takes: what is left over is thrown away.
const EVENTS_PER_SECOND_MAX: usize = 4_000;
const CLIENTS: usize = 16;
/// After so many events memory is looked at.
const MEMORY_EVENTS: usize = 10_000;

/// What every run needs.
struct Bench {
    stack: Stack,
    pool: PgPool,
    binary: PathBuf,
    environment: BTreeMap<String, String>,
    mix: Mix,
}

/// Events and how long each took.
struct Run {
    seconds: f64,
    latencies_ms: Vec<f64>,
}

impl Run {
    fn rate(&self) -> f64 {
        self.latencies_ms.len() as f64 / self.seconds
    }
}

/// Measures all of it.
pub async fn measure(figures: &mut Figures, growth_rows: u64) -> Result<()> {
    println!("webhook: durable Postgres, release binaries");
    let (load, processors) = process::load();
    figures.say(format!(
        "load of the machine before the run: {load:.1} on {processors} processors; quiet is below 0.3"
    ));
    figures.say(mix::IN_WORDS);
    let mut bench = Bench::prepare().await?;
    let secrets = bench.secrets().await?;
    cold_start::measure(figures, &bench.binary, &bench.environment, secrets).await?;
    bench.round_trips(figures).await?;
    bench.against_inserts(figures).await?;
    bench.growth(figures, growth_rows).await
}

impl Bench {
    async fn prepare() -> Result<Bench> {
        let stack = Stack::builder().durable(true).functions(["webhook"]).start().await?;
        // The shop's events are the templates; they are not to be delivered.
        stack.stripe.pause_deliveries();
        let mix = Mix::from_sales(&stack.stripe)?;
        let mut config = None;
        stack.lambda.configure("webhook", |current| config = Some(current.clone()))?;
        let config = config.ok_or("the stack has no webhook")?;
        let pool = PgPool::connect(&stack.database_url).await?;
        Ok(Bench { stack, pool, binary: config.binary, environment: config.environment, mix })
    }

    async fn secrets(&self) -> Result<Vec<(String, Value)>> {
        let mut secrets = Vec::new();
        for name in ["database", "stripe-webhook", "stripe-api"] {
            secrets.push((self.stack.secrets.id(name), self.stack.secrets.get(name).await?));
        }
        Ok(secrets)
    }

    async fn instances(&self, count: usize) -> Result<Vec<Instance>> {
        let mut instances = Vec::new();
        for _ in 0..count {
            instances.push(Instance::start(&self.binary, &self.environment).await?);
        }
        Ok(instances)
    }

    fn signed(&mut self, count: usize) -> Vec<Bytes> {
        mix::signed(&self.mix.bodies(count), &self.stack.webhook_secret)
    }

    /// Feeds instances for some seconds, each with its next event as soon as it has answered.
    async fn run(&mut self, instances: &mut [Instance], seconds: u64) -> Result<Run> {
        let seconds_max = usize::try_from(seconds)?;
        let events = self.signed(EVENTS_PER_SECOND_MAX * seconds_max);
        let events = Mutex::new(events.into_iter());
        let before = self.processed().await?;
        let started = Instant::now();
        let deadline = started + Duration::from_secs(seconds);
        let feed = |instance| feed(instance, &events, deadline);
        let latencies = futures::future::try_join_all(instances.iter_mut().map(feed)).await?;
        let seconds = started.elapsed().as_secs_f64();
        let latencies_ms: Vec<f64> = latencies.into_iter().flatten().collect();
        let committed = self.processed().await? - before;
        if committed != i64::try_from(latencies_ms.len())? {
            return Err(format!("{} answers and {committed} events in the inbox", latencies_ms.len()).into());
        }
        Ok(Run { seconds, latencies_ms })
    }

    async fn processed(&self) -> Result<i64> {
        let count = "select count(*) from recoup.webhook_events where status = 'processed'";
        Ok(sqlx::query_scalar(count).fetch_one(&self.pool).await?)
    }

    async fn against_inserts(&mut self, figures: &mut Figures) -> Result<()> {
        let bodies = self.mix.bodies(8);
        let bytes = bodies.iter().map(String::len).sum::<usize>() / bodies.len();
        let inserts = Inserts::prepare(&self.stack, &self.pool, bodies).await?;
        let mut single = self.instances(1).await?;
        let mut many = self.instances(CLIENTS).await?;
        let _ = (self.run(&mut single, 1).await?, self.run(&mut many, 1).await?);
        let (mut c1, mut c16) = (Comparison::default(), Comparison::default());
        let (mut cpu_us, mut events) = (Vec::new(), 0);
        let pid = single[0].pid;
        for _ in 0..RUNS {
            let cpu_before = process::cpu(pid)?;
            let run = self.run(&mut single, RUN_SECONDS).await?;
            let cpu = process::cpu(pid)?.saturating_sub(cpu_before);
            cpu_us.push(cpu.as_secs_f64() * 1e6 / run.latencies_ms.len() as f64);
            events += run.latencies_ms.len();
            c1.add(run, inserts.run(1, RUN_SECONDS).await?);
            let run = self.run(&mut many, RUN_SECONDS).await?;
            c16.add(run, inserts.run(CLIENTS, RUN_SECONDS).await?);
        }
        while events < MEMORY_EVENTS {
            events += self.run(&mut single, RUN_SECONDS).await?.latencies_ms.len();
        }
        c1.report(figures, "c1", ">= 0.5", bytes);
        c16.report(figures, "c16", ">= 0.35", bytes);
        figures.median("webhook_cpu_us_per_event", "<= 150", "us", "user and system, one connection", cpu_us);
        let (now, peak) = process::memory_mb(pid)?;
        let words = format!("one instance after {events} events; peak {peak:.1} MB");
        figures.median("webhook_rss_mb", "", "MB", words, vec![now]);
        Ok(())
    }

    /// One event at a time, behind a port that counts.
    async fn round_trips(&mut self, figures: &mut Figures) -> Result<()> {
        let (_, rest) = self.stack.database_url.split_once('@').ok_or("no host in the database URL")?;
        let server = rest.split('/').next().unwrap_or(rest).to_owned();
        let counter = Counter::start(server.clone()).await?;
        let url = self.stack.database_url.replace(&server, &counter.address);
        let id = "bench-counted";
        self.stack.secrets.put(id, &json!({"url": url})).await?;
        let mut environment = self.environment.clone();
        environment.insert("DATABASE_SECRET_ID".to_owned(), self.stack.secrets.id(id));
        let mut instance = Instance::start(&self.binary, &environment).await?;
        // The first of each kind prepares its statement.
        for event in self.signed(80) {
            instance.invoke(event).await?;
        }
        let mut trips = Vec::new();
        for event in self.signed(400) {
            let before = counter.trips();
            applied(&instance.invoke(event).await?)?;
            trips.push((counter.trips() - before) as f64);
        }
        let most = percentile(&trips, 100.0);
        let peer = format!("Sync and Query messages on the wire over 400 events; at most {most}");
        figures.median("webhook_round_trips", "<= 1", "per event", peer, vec![median(&trips)]);
        Ok(())
    }

    async fn growth(&mut self, figures: &mut Figures, rows: u64) -> Result<()> {
        let mut single = self.instances(1).await?;
        let few = "select count(*) from recoup.webhook_events";
        let few: i64 = sqlx::query_scalar(few).fetch_one(&self.pool).await?;
        let _ = self.run(&mut single, 1).await?;
        let mut before = Vec::new();
        for _ in 0..3 {
            before.push(self.run(&mut single, RUN_SECONDS).await?.rate());
        }
        println!("   filling the inbox with {rows} rows");
        let fill = "insert into recoup.webhook_events
                (id, type, livemode, created, payload, source, status, processed_at)
            select
                'evt_' || md5(number::text), 'charge.succeeded', false,
                now() - number * interval '1 second', '{}', 'webhook', 'processed', now()
            from generate_series(1, $1) as number";
        sqlx::query(fill).bind(i64::try_from(rows)?).execute(&self.pool).await?;
        sqlx::raw_sql("vacuum analyze recoup.webhook_events").execute(&self.pool).await?;
        sqlx::raw_sql("checkpoint").execute(&self.pool).await?;
        let _ = self.run(&mut single, 1).await?;
        let mut after = Vec::new();
        for _ in 0..3 {
            after.push(self.run(&mut single, RUN_SECONDS).await?.rate());
        }
        let peer = format!(
            "{:.0} events/s with {few} rows, {:.0} with {rows} more",
            median(&before),
            median(&after)
        );
        let ratios = after.iter().map(|rate| rate / median(&before)).collect();
        figures.median("webhook_growth", ">= 0.8", "ratio", peer, ratios);
        if rows < 10_000_000 {
            figures.say("webhook_growth is meant for 10 million rows: run with ARGS='--rows 10_000_000'");
        }
        Ok(())
    }
}

#[derive(Default)]
struct Comparison {
    ratios: Vec<f64>,
    rates: Vec<f64>,
    inserts: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Comparison {
    fn add(&mut self, run: Run, inserts: f64) {
        self.ratios.push(run.rate() / inserts);
        self.rates.push(run.rate());
        self.inserts.push(inserts);
        self.p50_ms.push(percentile(&run.latencies_ms, 50.0));
        self.p99_ms.push(percentile(&run.latencies_ms, 99.0));
    }

    fn report(self, figures: &mut Figures, clients: &str, goal: &str, bytes: usize) {
        let inserts = median(&self.inserts);
        let peer = format!("pgbench: {inserts:.0} single INSERTs/s of the same bytes ({bytes} on average)");
        figures.median(&format!("webhook_{clients}_vs_insert"), goal, "ratio", peer, self.ratios);
        figures.median(&format!("webhook_{clients}_events_s"), "", "events/s", "", self.rates);
        figures.median(&format!("webhook_{clients}_p50_ms"), "", "ms", "", self.p50_ms);
        figures.median(&format!("webhook_{clients}_p99_ms"), "", "ms", "", self.p99_ms);
    }
}

async fn feed(
    instance: &mut Instance,
    events: &Mutex<std::vec::IntoIter<Bytes>>,
    deadline: Instant,
) -> Result<Vec<f64>> {
    let mut latencies_ms = Vec::new();
    while Instant::now() < deadline {
        let next = events.lock().map_err(|_| "another client failed")?.next();
        let event = next.ok_or("more events per second than were prepared")?;
        let sent = Instant::now();
        let answer = instance.invoke(event).await?;
        latencies_ms.push(sent.elapsed().as_secs_f64() * 1000.0);
        applied(&answer)?;
    }
    Ok(latencies_ms)
}

/// Anything but an applied event would be another measurement.
fn applied(answer: &[u8]) -> Result<()> {
    let word = br#"\"outcome\":\"applied\""#;
    match answer.windows(word.len()).any(|window| window == word) {
        true => Ok(()),
        false => Err(format!("not applied: {}", String::from_utf8_lossy(answer)).into()),
    }
}
