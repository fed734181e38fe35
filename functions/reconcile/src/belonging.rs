//! Which parts of a request belong to which action.

use recoup::failure::Failure;

use crate::request::{Action, ReconcileRequest};

impl ReconcileRequest {
    /// Refuses what does not belong to the action.
    ///
    /// # Errors
    /// `InvalidRequest`, naming it.
    pub fn checked(self) -> Result<Self, Failure> {
        use Action::{Balance, Endpoint, Events, Objects, Retry};
        let given: [(&str, bool, &[Action]); 7] = [
            ("from and to", self.from.is_some() || self.to.is_some(), &[Events, Objects, Balance]),
            ("account", self.account.is_some(), &[Events, Objects, Balance]),
            ("metadata", self.metadata.is_some(), &[Objects]),
            ("left", self.left.is_some(), &[Objects]),
            ("cursor", self.cursor.is_some(), &[Events, Balance]),
            ("event_id", self.event_id.is_some(), &[Retry]),
            ("actor and reason", self.actor.is_some() || self.reason.is_some(), &[Retry, Objects]),
        ];
        debug_assert!(given.iter().all(|(.., actions)| !actions.contains(&Endpoint)), "it takes nothing");
        match given.into_iter().find(|(_, given, actions)| *given && !actions.contains(&self.action)) {
            None => Ok(self),
            Some((what, _, actions)) => {
                let actions: Vec<&str> = actions.iter().map(|action| action.name()).collect();
                let (actions, asked) = (actions.join(" or "), self.action.name());
                Err(Failure::invalid_request(format!(
                    "{what} belongs to the action {actions}, not to {asked}"
                )))
            }
        }
    }
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Objects => "objects",
            Self::Balance => "balance",
            Self::Endpoint => "endpoint",
            Self::Retry => "retry",
        }
    }
}

#[cfg(test)]
mod tests {
    use recoup::invocation::parse;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_belong_to_the_action_is_refused() {
        let checked = |payload| parse::<ReconcileRequest>(payload).and_then(ReconcileRequest::checked);
        let cursor = json!({"account": null, "to": "2026-11-20T00:00:00Z"});
        for action in ["balance", "events"] {
            assert!(checked(json!({"action": action, "account": "acct_1", "cursor": cursor})).is_ok());
        }
        for (payload, named) in [
            (json!({"action": "events", "metadata": {"a": "b"}}), "metadata"),
            (json!({"action": "retry", "account": "acct_1"}), "account"),
            (json!({"action": "objects", "event_id": "evt_1"}), "event_id"),
            (json!({"action": "endpoint", "cursor": cursor}), "cursor"),
            (json!({"action": "endpoint", "from": "2026-11-20T00:00:00Z"}), "from and to"),
            (json!({"action": "retry", "to": "2026-11-20T00:00:00Z"}), "from and to"),
            (json!({"action": "balance", "event_id": "evt_1"}), "event_id"),
            (json!({"action": "balance", "cursor": {"account": 1}}), "cursor"),
        ] {
            let failure = checked(payload).expect_err("refused");
            assert_eq!(failure.error_type(), "InvalidRequest");
            assert!(named == "cursor" || failure.to_string().contains(named), "{failure}");
        }
    }
}
