//! A role's policy, and whether it allows a call ("Policy evaluation logic", IAM User Guide).

use serde_json::Value;

use crate::deployment::{Statement, refer};
use crate::error::{Error, Result};

/// The services whose calls pass a door of the stack.
pub const ENFORCED: [&str; 2] = ["s3:", "secretsmanager:"];

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `s3:GetObject`
    pub action: String,
    /// The ARN.
    pub resource: String,
    /// What `s3:prefix` is in the request's context, where it has one.
    pub prefix: Option<String>,
}

/// A permission that a call needed: the action and the resource, as the template writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Permission {
    pub(crate) action: String,
    pub(crate) resource: String,
}

/// What one function may do behind the doors.
#[derive(Debug)]
pub(super) struct Policy {
    statements: Vec<Read>,
}

#[derive(Debug)]
struct Read {
    allows: bool,
    actions: Vec<String>,
    /// As written, and with its references replaced.
    resources: Vec<(String, String)>,
    prefixes: Option<Vec<String>>,
}

impl Policy {
    pub(super) fn read(
        function: &str,
        statements: &[Statement],
        known: &impl Fn(&str) -> Option<String>,
    ) -> Result<Policy> {
        let behind_a_door = |action: &String| ENFORCED.iter().any(|service| action.starts_with(service));
        let statements = statements.iter().filter(|statement| statement.actions.iter().any(behind_a_door));
        let read = |statement: &Statement| {
            let resources = statement.resources.iter().map(|written| {
                let resolved = refer(written, known).map_err(|reason| {
                    Error::failed(
                        format!("read the role of {function}"),
                        &format!("{reason}; tests/stack/contract.rs says what stands for a reference"),
                    )
                })?;
                Ok((written.clone(), resolved))
            });
            Ok(Read {
                allows: statement.effect == "Allow",
                actions: statement.actions.clone(),
                resources: resources.collect::<Result<_>>()?,
                prefixes: prefixes(statement),
            })
        };
        Ok(Policy { statements: statements.map(read).collect::<Result<_>>()? })
    }

    /// The permission that allows the call; `None` where it is not allowed.
    pub(super) fn permit(&self, call: &Call) -> Option<Permission> {
        let mut permission = None;
        for statement in &self.statements {
            let Some(found) = statement.covers(call) else { continue };
            if !statement.allows {
                return None;
            }
            permission.get_or_insert(found);
        }
        permission
    }
}

impl Read {
    fn covers(&self, call: &Call) -> Option<Permission> {
        // Actions are the same in capitals and small letters.
        let asked = call.action.to_ascii_lowercase();
        let action = self.actions.iter().find(|action| matches(&action.to_ascii_lowercase(), &asked))?;
        let (resource, _) = self.resources.iter().find(|(_, resolved)| matches(resolved, &call.resource))?;
        let holds = self.prefixes.as_ref().is_none_or(|prefixes| {
            let asked = call.prefix.as_deref();
            asked.is_some_and(|asked| prefixes.iter().any(|prefix| matches(prefix, asked)))
        });
        holds.then(|| Permission { action: action.clone(), resource: resource.clone() })
    }
}

/// The one condition that is checked.
fn prefixes(statement: &Statement) -> Option<Vec<String>> {
    match statement.condition.get("StringLike")?.get("s3:prefix")? {
        Value::Array(prefixes) => {
            Some(prefixes.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        Value::String(prefix) => Some(vec![prefix.clone()]),
        _ => None,
    }
}

/// IAM's patterns: `*` is any text, `?` any character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Where the last `*` was, and up to where it has eaten: what comes after it may have to give way.
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(expected) if *expected == '?' || *expected == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match &mut star {
                Some((place, eaten)) => {
                    *eaten += 1;
                    (at, read) = (*place + 1, *eaten);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn statement(effect: &str, actions: &[&str], resources: &[&str], prefix: Option<&str>) -> Statement {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let condition = prefix.map(|prefix| {
            ("StringLike".to_owned(), BTreeMap::from([("s3:prefix".to_owned(), json!([prefix]))]))
        });
        Statement {
            effect: effect.to_owned(),
            actions: owned(actions),
            resources: owned(resources),
            condition: condition.into_iter().collect(),
        }
    }

    fn call(action: &str, resource: &str, prefix: Option<&str>) -> Call {
        let prefix = prefix.map(str::to_owned);
        Call { action: action.to_owned(), resource: resource.to_owned(), prefix }
    }

    #[test]
    fn patterns_are_those_of_iam() {
        for (pattern, text) in [
            ("a/*", "a/"),
            ("a/*", "a/b/c"),
            ("*b*d", "abcbd"),
            ("s-??????", "s-AbCdEf"),
            ("*", ""),
            ("a*", "a"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a/*", "b/c"), ("a", "ab"), ("s-??????", "s-AbCdE"), ("*b", "abc"), ("", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_allowed_is_action_resource_and_prefix_and_a_denial_wins() {
        let statements = [
            statement("Allow", &["s3:GetObject", "s3:PutObject"], &["${Bucket.Arn}/v1/*"], None),
            statement("Allow", &["s3:ListBucket"], &["${Bucket.Arn}"], Some("v1/backups/*")),
            statement("Deny", &["s3:PutObject"], &["${Bucket.Arn}/v1/locked/*"], None),
            // Lambda's own, behind no door.
            statement("Allow", &["logs:PutLogEvents"], &["${Logs.Arn}"], None),
        ];
        let known = |name: &str| (name == "Bucket.Arn").then(|| "arn:aws:s3:::b".to_owned());
        let policy = Policy::read("f", &statements, &known).expect("a policy");
        let used = policy.permit(&call("s3:getobject", "arn:aws:s3:::b/v1/x", None)).expect("allowed");
        assert_eq!((&*used.action, &*used.resource), ("s3:GetObject", "${Bucket.Arn}/v1/*"));
        assert!(policy.permit(&call("s3:ListBucket", "arn:aws:s3:::b", Some("v1/backups/x"))).is_some());
        for (action, key, prefix) in [
            ("s3:DeleteObject", "b/v1/x", None),
            ("s3:GetObject", "b/v2/x", None),
            ("s3:GetObject", "other/v1/x", None),
            ("s3:PutObject", "b/v1/locked/x", None),
            ("s3:ListBucket", "b", None),
            ("s3:ListBucket", "b", Some("v1/")),
        ] {
            let call = call(action, &format!("arn:aws:s3:::{key}"), prefix);
            assert_eq!(policy.permit(&call), None, "{call:?}");
        }
        let unknown =
            Policy::read("f", &[statement("Allow", &["s3:GetObject"], &["${Other.Arn}"], None)], &known);
        assert!(unknown.expect_err("nothing stands for it").to_string().contains("Other.Arn"));
    }
}
