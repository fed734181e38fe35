//! What a stack has shown, for the end of the suite: the permissions that its functions used and the metrics that they
//! emitted. `tests/check/run_tests.py` gathers it over all tests, and misses what no test showed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::policy::Permission;

/// The folder that run_tests.py names. Where it is not set nobody asks.
const FOLDER: &str = "RECOUP_EVIDENCE";

/// Gathers. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    used: BTreeSet<(String, Permission)>,
    /// As they are written, in a fixed order of their fields.
    metrics: BTreeSet<String>,
}

impl Evidence {
    pub(super) fn used(&self, function: &str, permission: Permission) {
        self.seen().used.insert((function.to_owned(), permission));
    }

    /// Looks at a line of a function's log: one in CloudWatch's embedded metric format counts.
    pub(crate) fn logged(&self, line: &str) {
        if line.contains("\"_aws\"")
            && let Ok(line) = serde_json::from_str(line)
        {
            self.seen().metrics.extend(metrics_of(&line).iter().map(Value::to_string));
        }
    }

    /// Writes it down for whoever gathers.
    pub(crate) fn leave(&self) {
        if let Some(folder) = std::env::var_os(FOLDER) {
            self.leave_in(Path::new(&folder));
        }
    }

    fn leave_in(&self, folder: &Path) {
        let seen = self.seen();
        let used = seen.used.iter().map(|(function, permission)| {
            json!({"function": function, "action": permission.action, "resource": permission.resource})
        });
        let metrics = seen.metrics.iter().filter_map(|metric| serde_json::from_str::<Value>(metric).ok());
        let left = json!({
            "used": used.collect::<Vec<_>>(),
            "metrics": metrics.collect::<Vec<_>>(),
        });
        // run_tests.py fails where it finds nothing.
        let name = format!("{}-{:016x}.json", std::process::id(), rand::random::<u64>());
        let _ = std::fs::write(folder.join(name), left.to_string());
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The metrics of a line, each with namespace, name and dimensions.
fn metrics_of(line: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for directive in list(&line["_aws"]["CloudWatchMetrics"]) {
        for names in list(&directive["Dimensions"]) {
            let dimensions = list(&names).into_iter().filter_map(|name| {
                let name = name.as_str()?.to_owned();
                let value = line.get(&name)?.clone();
                Some((name, value))
            });
            let dimensions: serde_json::Map<String, Value> = dimensions.collect();
            // CloudWatch takes a metric from the line's own field of that name.
            let numbers = list(&directive["Metrics"]).into_iter().filter_map(|metric| {
                let name = metric["Name"].as_str()?.to_owned();
                line.get(&name)?.is_number().then_some(name)
            });
            found.extend(numbers.map(
                |name| json!({"namespace": directive["Namespace"], "name": name, "dimensions": dimensions}),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_left_for_who_gathers() {
        let evidence = Evidence::default();
        let permission = Permission { action: "s3:GetObject".to_owned(), resource: "${B.Arn}/*".to_owned() };
        evidence.used("verify", permission);
        let line = json!({
            "_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "recoup", "Dimensions": [["Function"]],
                "Metrics": [{"Name": "Failing", "Unit": "Count"}, {"Name": "NotThere", "Unit": "Count"}]}]},
            "Function": "verify", "Failing": 0.0,
        });
        evidence.logged(&line.to_string());
        evidence.logged("{\"level\":\"INFO\",\"_aws\":1}");
        let folder = tempfile::tempdir().expect("a folder");
        evidence.leave_in(folder.path());

        let file =
            std::fs::read_dir(folder.path()).expect("listed").next().expect("a file").expect("an entry");
        let left: Value = serde_json::from_slice(&std::fs::read(file.path()).expect("read")).expect("JSON");
        assert_eq!(
            left["used"],
            json!([{"function": "verify", "action": "s3:GetObject", "resource": "${B.Arn}/*"}])
        );
        assert_eq!(
            left["metrics"],
            json!([{"namespace": "recoup", "name": "Failing", "dimensions": {"Function": "verify"}}])
        );
    }
}
