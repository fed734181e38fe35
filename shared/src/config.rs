//! Configuration from environment variables, with every fault reported at once.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::str::FromStr;

use crate::failure::Failure;

/// The environment that a function was given. Reading a variable never fails by itself: faults are
/// collected, and [`Env::finish`] reports all of them together.
pub struct Env {
    variables: HashMap<String, String>,
    faults: Vec<String>,
    /// The names that were asked for, set or not.
    asked: RefCell<BTreeSet<String>>,
}

impl Env {
    /// The environment of this process. Variables that are not UTF-8 are reported when they are read.
    pub fn from_process() -> Self {
        Self::from_variables(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// An environment from any list of names and values, for tests.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { variables: variables.into_iter().collect(), faults: Vec::new(), asked: RefCell::default() }
    }

    /// A variable that must be set and not be empty. Where it is missing the fault is noted and an empty
    /// string returned, so that reading can go on.
    pub fn required(&mut self, name: &str) -> String {
        match self.optional(name) {
            Some(value) => value,
            None => {
                self.faults.push(format!("{name} is missing"));
                String::new()
            }
        }
    }

    /// A variable that may be absent; an empty one counts as absent.
    pub fn optional(&self, name: &str) -> Option<String> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.variables
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    }

    /// A variable that is parsed, with a default where it is absent.
    pub fn parsed<T>(&mut self, name: &str, default: T) -> T
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(text) = self.optional(name) else { return default };
        match text.parse() {
            Ok(value) => value,
            Err(error) => {
                self.faults.push(format!("{name} cannot be read: {error}"));
                default
            }
        }
    }

    /// A variable that must be set and is parsed. Where it cannot be, the fault is noted and `stand_in`
    /// returned, which [`Env::finish`] keeps from being used.
    pub fn required_parsed<T>(&mut self, name: &str, stand_in: T) -> T
    where
        T: FromStr,
        T::Err: Display,
    {
        if self.required(name).is_empty() { stand_in } else { self.parsed(name, stand_in) }
    }

    /// Notes a fault that only the reader can see.
    pub fn fault(&mut self, message: impl Into<String>) {
        self.faults.push(message.into());
    }

    /// Ends reading. At the level `debug` it says which variables the function reads: what a deployment may set.
    ///
    /// # Errors
    /// `ConfigurationInvalid`, naming every variable that is missing or cannot be read.
    pub fn finish(self) -> Result<(), Failure> {
        let asked: Vec<String> = self.asked.into_inner().into_iter().collect();
        tracing::debug!(variables = asked.join(" "), "environment read");
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            "ConfigurationInvalid",
            format!(
                "read the function's environment: {}; set them in the stack and deploy again",
                self.faults.join("; ")
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variables: &[(&str, &str)]) -> Env {
        Env::from_variables(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let mut env = env(&[("EMPTY", " "), ("DAYS", "ten")]);
        env.required("BUCKET");
        env.required("EMPTY");
        env.parsed::<u32>("DAYS", 90);
        let message = env.finish().expect_err("three faults").to_string();
        for name in ["BUCKET is missing", "EMPTY is missing", "DAYS cannot be read"] {
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn what_is_set_is_read() {
        let mut env = env(&[("BUCKET", "b"), ("DAYS", "7")]);
        assert_eq!(env.required("BUCKET"), "b");
        assert_eq!(env.parsed::<u32>("DAYS", 90), 7);
        assert_eq!(env.parsed::<u32>("OTHER", 3), 3);
        env.finish().expect("no fault");
    }
}
