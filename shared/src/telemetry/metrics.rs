//! Metrics in CloudWatch's embedded metric format: a log line that CloudWatch reads numbers from, so that a
//! function needs neither a call nor a permission to count.
//! (CloudWatch User Guide, "Specification: Embedded metric format".)

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::config::Env;

/// What a value counts, in CloudWatch's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A duration.
    Milliseconds,
    /// A longer one.
    Seconds,
}

/// One number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    name: &'static str,
    unit: Unit,
    value: f64,
}

impl Metric {
    /// One more of something.
    pub fn one(name: &'static str) -> Self {
        Self { name, unit: Unit::Count, value: 1.0 }
    }

    /// Any value.
    pub fn new(name: &'static str, unit: Unit, value: f64) -> Self {
        Self { name, unit, value }
    }
}

/// Where lines go: standard output, on Lambda.
pub type Output = Box<dyn Write + Send>;

/// Where a function's metrics are filed.
pub struct Metrics {
    namespace: String,
    dimensions: Vec<(String, String)>,
    output: Mutex<Output>,
}

impl Metrics {
    /// Reads `RECOUP_METRICS_NAMESPACE` (default `recoup`) and `RECOUP_METRICS_DIMENSIONS`
    /// (`Stack=shop-prod,Team=payments`; default none). `function` is a dimension always.
    pub fn from_env(env: &mut Env, function: &str, output: Output) -> Self {
        let namespace = env.optional("RECOUP_METRICS_NAMESPACE").unwrap_or_else(|| "recoup".to_owned());
        let mut dimensions = vec![("Function".to_owned(), function.to_owned())];
        for pair in env.optional("RECOUP_METRICS_DIMENSIONS").iter().flat_map(|list| list.split(',')) {
            match pair.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                    dimensions.push((name.to_owned(), value.to_owned()));
                }
                _ => env.fault(format!(
                    "RECOUP_METRICS_DIMENSIONS cannot be read: {pair:?} is not name=value; expected such as Stack=shop"
                )),
            }
        }
        Self { namespace, dimensions, output: Mutex::new(output) }
    }

    /// Writes one line: the numbers, and properties that stand beside them in the log but are no dimension.
    pub fn record(&self, metrics: &[Metric], properties: &[(&'static str, &str)]) {
        let mut line = self.line(SystemTime::now(), metrics, properties);
        line.push('\n');
        // One write: lines of the log never mix. Where the output is closed nobody counts any more.
        let _ = self.output.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }

    fn line(&self, at: SystemTime, metrics: &[Metric], properties: &[(&'static str, &str)]) -> String {
        serde_json::to_string(&Line { filed: self, at, metrics, properties })
            .expect("texts and numbers are JSON")
    }
}

struct Line<'l> {
    filed: &'l Metrics,
    at: SystemTime,
    metrics: &'l [Metric],
    properties: &'l [(&'static str, &'l str)],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'l> {
    timestamp: u64,
    cloud_watch_metrics: [Directive<'l>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'l> {
    namespace: &'l str,
    dimensions: [Vec<&'l str>; 1],
    metrics: Vec<Definition>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: Unit,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let since_1970 = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let directive = Directive {
            namespace: &self.filed.namespace,
            dimensions: [self.filed.dimensions.iter().map(|(name, _)| name.as_str()).collect()],
            metrics: self
                .metrics
                .iter()
                .map(|metric| Definition { name: metric.name, unit: metric.unit })
                .collect(),
        };
        let timestamp = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("_aws", &Metadata { timestamp, cloud_watch_metrics: [directive] })?;
        for (name, value) in &self.filed.dimensions {
            map.serialize_entry(name, value)?;
        }
        for metric in self.metrics {
            map.serialize_entry(metric.name, &metric.value)?;
        }
        for (name, value) in self.properties {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn metrics(dimensions: &str) -> (Metrics, Env) {
        let variables = [("RECOUP_METRICS_NAMESPACE", "shop"), ("RECOUP_METRICS_DIMENSIONS", dimensions)];
        let mut env = Env::from_variables(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        (Metrics::from_env(&mut env, "webhook", Box::new(std::io::sink())), env)
    }

    #[test]
    fn a_line_is_what_cloudwatch_reads() {
        let (metrics, env) = metrics("Stack=prod, Team=payments");
        env.finish().expect("no fault");
        let values = [Metric::one("Received"), Metric::new("Latency", Unit::Milliseconds, 1.5)];
        let line = metrics.line(UNIX_EPOCH + Duration::from_millis(7), &values, &[("event_id", "evt_1")]);
        let expected = json!({
            "_aws": {"Timestamp": 7, "CloudWatchMetrics": [{
                "Namespace": "shop",
                "Dimensions": [["Function", "Stack", "Team"]],
                "Metrics": [{"Name": "Received", "Unit": "Count"}, {"Name": "Latency", "Unit": "Milliseconds"}],
            }]},
            "Function": "webhook", "Stack": "prod", "Team": "payments",
            "Received": 1.0, "Latency": 1.5, "event_id": "evt_1",
        });
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), expected);
    }

    #[test]
    fn a_dimension_without_a_value_is_a_fault() {
        let message = metrics("Stack=,Team").1.finish().expect_err("faults").to_string();
        assert!(message.contains("\"Stack=\"") && message.contains("\"Team\""), "{message}");
    }
}
