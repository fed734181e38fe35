//! `webhook_*` and `cold_start_*`: events per second, each durably committed with its effects, through the function.
//!
//! The function is driven through the Lambda Runtime API with the gateway's events, prepared and signed beforehand,
//! so that it is the function and Postgres that are measured, and not the gateway in front of them. Where clients are
//! several, each has an instance of its own, as Lambda would start them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::Stack;

use crate::Result;
use crate::bare::Bare;
use crate::cold_start;
use crate::comparison::Comparison;
use crate::effort::Effort;
use crate::figures::{Figures, median, percentile};
use crate::growth;
use crate::inserts::Inserts;
use crate::instance::Instance;
use crate::load::{Client, Clients, Run};
use crate::mix::{self, Mix};
use crate::process;
use crate::round_trips::Counter;
use crate::sync_engine::{self, HttpClient, SyncEngine};

const CLIENTS: usize = 16;
/// How the two receivers are reached.
const DOORS: &str = "ours takes events through the Lambda Runtime API, an instance a client; sync-engine over HTTP with kept \
     connections, one Node process for all clients, as such a receiver is deployed";

/// What is taken from the tables, one after the other, to see what it costs.
const RULES: [(&str, &str, &str); 2] = [
    ("uncaptured", "capture", "select recoup.release_table(relation) from recoup.captured"),
    (
        "unconstrained",
        "capture, foreign keys and checks",
        "do $$
        declare
            rule record;
        begin
            for rule in
                select conrelid::regclass as relation, conname from pg_constraint
                where connamespace = 'recoup'::regnamespace and contype in ('f', 'c')
            loop
                execute format('alter table %s drop constraint %I', rule.relation, rule.conname);
            end loop;
        end
        $$",
    ),
];

/// What every run needs.
struct Bench {
    effort: Effort,
    stack: Stack,
    pool: PgPool,
    binary: PathBuf,
    environment: BTreeMap<String, String>,
    mix: Mix,
}

/// The receiver from npm and its clients.
struct Peer {
    engine: SyncEngine,
    single: Clients<HttpClient>,
    many: Clients<HttpClient>,
}

/// Measures all of it.
pub async fn measure(figures: &mut Figures, effort: Effort) -> Result<()> {
    println!("webhook: durable Postgres");
    let (load, processors) = process::load();
    figures.say(format!(
        "load of the machine before the run: {load:.1} on {processors} processors; quiet is below 0.3"
    ));
    figures.say(mix::IN_WORDS);
    let mut bench = Bench::prepare(effort).await?;
    let secrets = bench.secrets().await?;
    cold_start::measure(figures, &bench.binary, &bench.environment, secrets, bench.effort.starts).await?;
    bench.round_trips(figures).await?;
    bench.against_peers(figures).await?;
    bench.growth(figures).await?;
    bench.share_of_the_rules(figures).await
}

impl Bench {
    async fn prepare(effort: Effort) -> Result<Bench> {
        let stack = Stack::builder().durable(true).functions(["webhook"]).start().await?;
        // The shop's events are the templates; they are not to be delivered.
        stack.stripe.pause_deliveries();
        let mix = Mix::from_sales(&stack.stripe)?;
        let mut config = None;
        stack.lambda.configure("webhook", |current| config = Some(current.clone()))?;
        let mut config = config.ok_or("the stack has no webhook")?;
        config.environment.extend(stack.access_key.variables());
        let pool = PgPool::connect(&stack.database_url).await?;
        Ok(Bench { effort, stack, pool, binary: config.binary, environment: config.environment, mix })
    }

    async fn secrets(&self) -> Result<Vec<(String, Value)>> {
        let mut secrets = Vec::new();
        for name in ["database", "stripe-webhook", "stripe-api"] {
            secrets.push((self.stack.secrets.id(name), self.stack.secrets.get(name).await?));
        }
        Ok(secrets)
    }

    async fn instances(&self, count: usize) -> Result<Clients<Instance>> {
        let mut instances = Vec::new();
        for _ in 0..count {
            instances.push(Instance::start(&self.binary, &self.environment).await?);
        }
        Ok(Clients::new(instances))
    }

    fn signed(&mut self, count: usize) -> Vec<Bytes> {
        mix::signed(&self.mix.bodies(count), &self.stack.webhook_secret, mix::through_gateway)
    }

    /// A run of ours, with proof that it did what it answered.
    async fn run(&mut self, instances: &mut Clients<Instance>, seconds: u64) -> Result<Run> {
        let events = self.signed(instances.wanted(seconds));
        let before = self.processed().await?;
        let run = instances.run(events, seconds).await?;
        proven(&run, self.processed().await? - before)?;
        Ok(run)
    }

    /// The same of the statements alone.
    async fn run_bare(&mut self, clients: &mut Clients<Bare>, seconds: u64) -> Result<Run> {
        let events = self.mix.bodies(clients.wanted(seconds)).into_iter().map(Bytes::from).collect();
        let before = self.processed().await?;
        let run = clients.run(events, seconds).await?;
        proven(&run, self.processed().await? - before)?;
        Ok(run)
    }

    async fn bare(&self, count: usize) -> Result<Clients<Bare>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(Bare::connect(&self.stack.database_url).await?);
        }
        Ok(Clients::new(clients))
    }

    /// The same of the receiver from npm.
    async fn run_peer(
        &mut self,
        engine: &SyncEngine,
        clients: &mut Clients<HttpClient>,
        seconds: u64,
    ) -> Result<Run> {
        let bodies = self.mix.bodies(clients.wanted(seconds));
        let events = mix::signed(&bodies, &self.stack.webhook_secret, sync_engine::post);
        let before = engine.rows().await?;
        let run = clients.run(events, seconds).await?;
        proven(&run, engine.rows().await? - before)?;
        Ok(run)
    }

    /// The mix's events in the inbox. All others are older.
    async fn processed(&self) -> Result<i64> {
        let count = "select count(*) from recoup.webhook_events
            where status = 'processed' and created >= to_timestamp($1)";
        Ok(sqlx::query_scalar(count).bind(self.mix.created_min as f64).fetch_one(&self.pool).await?)
    }

    /// The receiver from npm, warm; `None`, with a word, where it cannot be had.
    async fn peer(&mut self, figures: &mut Figures) -> Result<Option<Peer>> {
        let engine = match SyncEngine::start(&self.stack, CLIENTS, &self.mix.objects()?).await {
            Ok(engine) => engine,
            Err(error) => {
                figures.say(format!("not measured against sync-engine: {error}"));
                return Ok(None);
            }
        };
        let mut single = Clients::new(engine.connect(1).await?);
        let mut many = Clients::new(engine.connect(CLIENTS).await?);
        let _ = self.run_peer(&engine, &mut single, 1).await?;
        let _ = self.run_peer(&engine, &mut many, 1).await?;
        Ok(Some(Peer { engine, single, many }))
    }

    async fn against_peers(&mut self, figures: &mut Figures) -> Result<()> {
        let Effort { runs, run_seconds, memory_events, .. } = self.effort;
        let bodies = self.mix.bodies(8);
        let bytes = bodies.iter().map(String::len).sum::<usize>() / bodies.len();
        let inserts = Inserts::prepare(&self.stack, &self.pool, bodies).await?;
        let mut single = self.instances(1).await?;
        let mut many = self.instances(CLIENTS).await?;
        let _ = (self.run(&mut single, 1).await?, self.run(&mut many, 1).await?);
        let (mut bare, mut bare_many) = (self.bare(1).await?, self.bare(CLIENTS).await?);
        let _ = (self.run_bare(&mut bare, 1).await?, self.run_bare(&mut bare_many, 1).await?);
        let mut peer = self.peer(figures).await?;
        let (mut c1, mut c16) = (Comparison::default(), Comparison::default());
        let (mut cpu_us, mut kernel_us, mut events) = (Vec::new(), Vec::new(), 0);
        let pid = single.all[0].pid;
        let (at_first, _) = process::memory_mb(pid)?;
        for _ in 0..runs {
            let (user_before, kernel_before) = process::cpu_by_mode(pid)?;
            let run = self.run(&mut single, run_seconds).await?;
            let (user, kernel) = process::cpu_by_mode(pid)?;
            let per_event = |used: Duration| used.as_secs_f64() * 1e6 / run.events() as f64;
            kernel_us.push(per_event(kernel - kernel_before));
            cpu_us.push(per_event(user - user_before + kernel - kernel_before));
            events += run.events();
            c1.ours.add(&run);
            if let Some(Peer { engine, single, .. }) = &mut peer {
                c1.sync_engine.add(&self.run_peer(engine, single, run_seconds).await?);
            }
            c1.bare.add(&self.run_bare(&mut bare, run_seconds).await?);
            c1.inserts.push(inserts.run(1, run_seconds).await?);
            c16.ours.add(&self.run(&mut many, run_seconds).await?);
            if let Some(Peer { engine, many, .. }) = &mut peer {
                c16.sync_engine.add(&self.run_peer(engine, many, run_seconds).await?);
            }
            c16.bare.add(&self.run_bare(&mut bare_many, run_seconds).await?);
            c16.inserts.push(inserts.run(CLIENTS, run_seconds).await?);
        }
        while events < memory_events {
            events += self.run(&mut single, run_seconds).await?.events();
        }
        let receiver = peer.as_ref().map(|peer| peer.engine.words.as_str());
        c1.report(figures, "c1", ">= 0.5", bytes, receiver);
        c16.report(figures, "c16", ">= 0.35", bytes, receiver);
        if receiver.is_some() {
            figures.say(DOORS);
        }
        let words =
            format!("user and system, one connection; {:.0} us of it in the kernel", median(&kernel_us));
        figures.median("webhook_cpu_us_per_event", "<= 150", "us", words, cpu_us);
        let (now, peak) = process::memory_mb(pid)?;
        let words = format!(
            "one instance after {events} events; {at_first:.1} MB after the first second, peak {peak:.1}"
        );
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
            instance.deliver(event).await?;
        }
        let mut trips = Vec::new();
        for event in self.signed(400) {
            let before = counter.trips();
            instance.deliver(event).await?;
            trips.push((counter.trips() - before) as f64);
        }
        let most = percentile(&trips, 100.0);
        let peer = format!("Sync and Query messages on the wire over 400 events; at most {most}");
        figures.median("webhook_round_trips", "<= 1", "per event", peer, vec![median(&trips)]);
        Ok(())
    }

    async fn growth(&mut self, figures: &mut Figures) -> Result<()> {
        let rows = self.effort.growth_rows;
        let few = self.processed().await?;
        let before = self.rates().await?;
        println!("   filling the inbox with {rows} rows");
        let filled = growth::fill(&self.pool, rows, self.mix.created_min).await?;
        let after = self.rates().await?;
        let peer =
            format!("{:.0} events/s with {few} rows, {:.0} with {filled}", median(&before), median(&after));
        let ratios = after.iter().map(|rate| rate / median(&before)).collect();
        figures.median("webhook_growth", ">= 0.8", "ratio", peer, ratios);
        if rows < 10_000_000 {
            figures.say("webhook_growth is meant for 10 million rows: run with ARGS='--rows 10_000_000'");
        }
        Ok(())
    }

    /// What of the statements' time the database's own rules take: the same statements on tables whose changes are not
    /// captured, and then on such as have no foreign key and no check either. It spoils the database, and comes last.
    async fn share_of_the_rules(&mut self, figures: &mut Figures) -> Result<()> {
        let Effort { runs, run_seconds, .. } = self.effort;
        let inserts = Inserts::again(&self.stack, self.mix.bodies(8))?;
        for (name, without, sql) in RULES {
            sqlx::raw_sql(sql).execute(&self.pool).await?;
            for (clients, count) in [("c1", 1), ("c16", CLIENTS)] {
                let mut bare = self.bare(count).await?;
                let _ = self.run_bare(&mut bare, 1).await?;
                let mut ratios = Vec::new();
                let mut rates = Vec::new();
                for _ in 0..runs {
                    let rate = self.run_bare(&mut bare, run_seconds).await?.rate();
                    ratios.push(rate / inserts.run(count, run_seconds).await?);
                    rates.push(rate);
                }
                let words = format!("the statements alone without {without}: {:.0} events/s", median(&rates));
                figures.median(
                    &format!("webhook_{clients}_bare_{name}_vs_insert"),
                    "",
                    "ratio",
                    words,
                    ratios,
                );
            }
        }
        Ok(())
    }

    /// Events per second of one instance, run by run.
    async fn rates(&mut self) -> Result<Vec<f64>> {
        let Effort { runs, run_seconds, .. } = self.effort;
        let mut single = self.instances(1).await?;
        let _ = self.run(&mut single, 1).await?;
        let mut rates = Vec::new();
        for _ in 0..runs {
            rates.push(self.run(&mut single, run_seconds).await?.rate());
        }
        Ok(rates)
    }
}

/// One new row for each answer.
fn proven(run: &Run, rows: i64) -> Result<()> {
    match rows == i64::try_from(run.events())? {
        true => Ok(()),
        false => Err(format!("{} answers and {rows} new rows", run.events()).into()),
    }
}
