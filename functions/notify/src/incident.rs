//! What is told, and what has been told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// An alarm that rings again this soon is the same incident.
const SAME_INCIDENT: Duration = Duration::from_secs(3600);

/// More than there are alarms.
const TOLD_MAX: usize = 200;

/// Something that a person should know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    /// The same for what is the same.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Incident {
    /// That the chat can be reached, as often as somebody asks.
    pub(crate) fn test() -> Self {
        Self { name: String::new(), text: "recoup can reach this chat.".to_owned() }
    }
}

/// A change of state (CloudWatch User Guide, "Notifying users on alarm changes").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Alarm {
    alarm_name: String,
    alarm_description: Option<String>,
    new_state_value: String,
    state_change_time: Option<String>,
    region: Option<String>,
}

impl Alarm {
    /// `None` where it does not ring.
    pub(crate) fn incident(self) -> Option<Incident> {
        if self.new_state_value != "ALARM" {
            return None;
        }
        let what = self.alarm_description.filter(|text| !text.is_empty());
        let what = what.unwrap_or_else(|| "it rings; see the alarm in CloudWatch".to_owned());
        let known = [self.state_change_time.map(|time| format!("since {time}")), self.region];
        let known: Vec<String> = known.into_iter().flatten().collect();
        let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
        Some(Incident { text: format!("{}: {what}{known}", self.alarm_name), name: self.alarm_name })
    }
}

/// What a drill answers, as far as it is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Drill {
    backup_id: String,
    recovery_seconds: f64,
    tables: u64,
    record_count: u64,
}

impl Drill {
    /// The function's name says of which stack.
    pub(crate) fn incident(&self, function_arn: &str, request_id: &str) -> Incident {
        let mut words = function_arn.split(':').skip_while(|word| *word != "function").skip(1);
        let function = words.next().unwrap_or("verify");
        let Self { backup_id, recovery_seconds, tables, record_count } = self;
        let text = format!(
            "{function}: the drill brought {backup_id} back in {recovery_seconds:.0} s: {tables} tables, {record_count} \
             rows, every digest equal."
        );
        Incident { name: request_id.to_owned(), text }
    }
}

/// The incidents of the last hour, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Told {
    incidents: VecDeque<(String, Instant)>,
}

impl Told {
    pub(crate) fn knows(&self, name: &str) -> bool {
        let recent = |told: &Instant| told.elapsed() < SAME_INCIDENT;
        self.incidents.iter().any(|(known, told)| known == name && recent(told))
    }

    pub(crate) fn remember(&mut self, name: String) {
        if name.is_empty() {
            return;
        }
        self.incidents.retain(|(known, _)| *known != name);
        if self.incidents.len() == TOLD_MAX {
            self.incidents.pop_front();
        }
        self.incidents.push_back((name, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(state: &str) -> Alarm {
        Alarm {
            alarm_name: "shop-drill-failed".to_owned(),
            alarm_description: Some("A backup did not come back".to_owned()),
            new_state_value: state.to_owned(),
            state_change_time: Some("2026-11-21T07:10:00.000+0000".to_owned()),
            region: Some("EU (Frankfurt)".to_owned()),
        }
    }

    #[test]
    fn an_alarm_is_told_when_it_begins_to_ring() {
        let incident = alarm("ALARM").incident().expect("an incident");
        assert_eq!(
            incident.text,
            "shop-drill-failed: A backup did not come back (since 2026-11-21T07:10:00.000+0000, EU (Frankfurt))"
        );
        for state in ["OK", "INSUFFICIENT_DATA"] {
            assert_eq!(alarm(state).incident(), None);
        }
    }

    #[test]
    fn what_was_told_is_known_and_the_list_has_an_end() {
        let mut told = Told::default();
        told.remember("first".to_owned());
        assert!(told.knows("first") && !told.knows("other"));
        for number in 0..TOLD_MAX {
            told.remember(number.to_string());
        }
        assert!(!told.knows("first") && told.knows("0"));
        assert_eq!(told.incidents.len(), TOLD_MAX);
        told.remember(Incident::test().name);
        assert!(!told.knows(&Incident::test().name));
    }
}
