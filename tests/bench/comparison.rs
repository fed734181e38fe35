//! One load on ours and on the peers in turn.

use crate::figures::{Figures, median};
use crate::load::Run;

/// The runs of one of them, in their order.
#[derive(Default)]
pub struct Series {
    rates: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    driver_us: Vec<f64>,
}

impl Series {
    /// One more.
    pub fn add(&mut self, run: &Run) {
        self.rates.push(run.rate());
        self.p50_ms.push(run.latency_ms(50.0));
        self.p99_ms.push(run.latency_ms(99.0));
        self.driver_us.push(run.driver_us());
    }

    fn words(&self) -> String {
        format!(
            "{:.0} events/s, p50 {:.2} ms, p99 {:.2} ms",
            median(&self.rates),
            median(&self.p50_ms),
            median(&self.p99_ms)
        )
    }
}

/// All of them at one number of clients.
#[derive(Default)]
pub struct Comparison {
    /// The function.
    pub ours: Series,
    /// The statements alone, by the common crate.
    pub bare: Series,
    /// `pgbench`: transactions per second.
    pub inserts: Vec<f64>,
    /// The receiver from npm, where it could be had.
    pub sync_engine: Series,
}

impl Comparison {
    /// The figures of `clients`, such as `c1`. `goal` is the one against INSERTs, `bytes` what one of those carries.
    pub fn report(
        self,
        figures: &mut Figures,
        clients: &str,
        goal: &str,
        bytes: usize,
        receiver: Option<&str>,
    ) {
        let ratios =
            |peer: &[f64]| self.ours.rates.iter().zip(peer).map(|(ours, peer)| ours / peer).collect();
        let inserts = median(&self.inserts);
        let peer = format!("pgbench: {inserts:.0} single INSERTs/s of the same bytes ({bytes} on average)");
        figures.median(&format!("webhook_{clients}_vs_insert"), goal, "ratio", peer, ratios(&self.inserts));
        let peer = format!("the same statements without Lambda, HTTP and signature: {}", self.bare.words());
        figures.median(&format!("webhook_{clients}_bare_vs_insert"), "", "ratio", peer, {
            self.bare.rates.iter().zip(&self.inserts).map(|(bare, inserts)| bare / inserts).collect()
        });
        let mut driver = format!(
            "{clients}: the bench's own processor time is {:.0} us an event of ours",
            median(&self.ours.driver_us)
        );
        if let Some(receiver) = receiver {
            driver += &format!(", {:.0} of sync-engine's", median(&self.sync_engine.driver_us));
            let peer = format!("{receiver}: {}; ours {}", self.sync_engine.words(), self.ours.words());
            let name = format!("webhook_{clients}_vs_sync_engine");
            figures.median(&name, ">= 3", "ratio", peer, ratios(&self.sync_engine.rates));
        }
        figures.say(driver);
        figures.median(&format!("webhook_{clients}_events_s"), "", "events/s", "", self.ours.rates);
        figures.median(&format!("webhook_{clients}_p50_ms"), "", "ms", "", self.ours.p50_ms);
        figures.median(&format!("webhook_{clients}_p99_ms"), "", "ms", "", self.ours.p99_ms);
    }
}
