//! The figures: a table for people, a file for comparisons.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;

/// One measured figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    value: f64,
    /// Such as `>= 0.5`.
    goal: String,
    /// What it was measured against, with the peer's own figure; empty where there is none.
    peer: String,
    unit: String,
    /// The single runs, in their order, in the figure's unit.
    runs: Vec<f64>,
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Figures {
    measured: BTreeMap<String, Figure>,
    words: Vec<String>,
}

impl Figures {
    /// A figure that is the median of its runs.
    pub fn median(&mut self, name: &str, goal: &str, unit: &str, peer: impl Into<String>, runs: Vec<f64>) {
        let figure =
            Figure { value: median(&runs), goal: goal.into(), peer: peer.into(), unit: unit.into(), runs };
        println!("   {name}: {} {unit}", short(figure.value));
        self.measured.insert(name.to_owned(), figure);
    }

    /// Something that a reader of the figures must know.
    pub fn say(&mut self, word: impl Into<String>) {
        let word = word.into();
        println!("   {word}");
        self.words.push(word);
    }

    /// The table.
    pub fn print(&self) {
        println!("\n{:<34} {:>10} {:<10} {:>9}   peer", "figure", "value", "unit", "goal");
        for (name, figure) in &self.measured {
            let mark = if figure.holds() { " " } else { "!" };
            println!(
                "{name:<34} {:>10} {:<10} {:>9} {mark} {}",
                short(figure.value),
                figure.unit,
                figure.goal,
                figure.peer
            );
        }
        for word in &self.words {
            println!("* {word}");
        }
    }

    /// Writes the figures into the file, over older ones of the same name.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut all: BTreeMap<String, Figure> = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(_) => BTreeMap::new(),
        };
        all.extend(self.measured.clone());
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(&all)? + "\n")?;
        println!("\nWritten to {}", path.display());
        Ok(())
    }
}

impl Figure {
    /// Whether the goal is met; a figure without one always holds.
    fn holds(&self) -> bool {
        let limit = |sign| self.goal.strip_prefix(sign).and_then(|number| number.trim().parse::<f64>().ok());
        limit(">=").is_none_or(|least| self.value >= least)
            && limit("<=").is_none_or(|most| self.value <= most)
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// Between the neighbours where it falls between two.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = last as f64 * percent / 100.0;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

fn short(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
