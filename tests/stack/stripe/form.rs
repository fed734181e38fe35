//! Stripe's form encoding: `line_items[0][price]=price_…&expand[]=customer`, read into a tree, and typed
//! access to it with Stripe's refusals.

use super::errors::{ApiError, Result};

/// One parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    Text(String),
    /// A hash or a list (whose names are its indexes), in the order sent.
    Map(Vec<(String, Form)>),
}

/// Reads a query string or a form body.
pub fn parse(encoded: &str) -> Result<Vec<(String, Form)>> {
    let mut tree = Vec::new();
    for pair in encoded.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        let path = segments(&name)?;
        insert(&mut tree, &path, value, &name)?;
    }
    Ok(tree)
}

fn decode(text: &str) -> Result<String> {
    let refuse = || ApiError::refused(None, "Invalid URL encoding in the request.", None);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().ok_or_else(refuse)?, rest.next().ok_or_else(refuse)?];
                hex::decode(digits).map_err(|_| refuse())?[0]
            }
            other => other,
        });
    }
    String::from_utf8(bytes)
        .map_err(|_| ApiError::refused(None, "Invalid UTF-8 in the request's parameters.", None))
}

/// `a[b][][c]` -> `["a", "b", "", "c"]`.
fn segments(name: &str) -> Result<Vec<&str>> {
    let refuse = || ApiError::refused(None, format!("Invalid parameter name: {name}"), None);
    let Some((head, mut rest)) = name.find('[').map(|at| name.split_at(at)) else {
        return Ok(vec![name]);
    };
    let mut path = vec![head];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(refuse)?;
        let (segment, after) = inner.split_once(']').ok_or_else(refuse)?;
        path.push(segment);
        rest = after;
    }
    if head.is_empty() || path.len() > 8 { Err(refuse()) } else { Ok(path) }
}

fn insert(entries: &mut Vec<(String, Form)>, path: &[&str], value: String, name: &str) -> Result<()> {
    let (head, rest) = path.split_first().expect("a path has at least one segment");
    let Some(next) = rest.first() else {
        let key = if head.is_empty() { entries.len().to_string() } else { (*head).to_owned() };
        match entries.iter_mut().find(|(existing, _)| *existing == key) {
            Some((_, existing)) => *existing = Form::Text(value),
            None => entries.push((key, Form::Text(value))),
        }
        return Ok(());
    };
    let key = if head.is_empty() { open_index(entries, next) } else { (*head).to_owned() };
    let at = match entries.iter().position(|(existing, _)| *existing == key) {
        Some(at) => at,
        None => {
            entries.push((key, Form::Map(Vec::new())));
            entries.len() - 1
        }
    };
    match &mut entries[at].1 {
        Form::Map(inner) => insert(inner, rest, value, name),
        Form::Text(_) => Err(ApiError::refused(None, format!("Invalid hash: {name}"), Some(name))),
    }
}

/// `items[][price]=a&items[][quantity]=1&items[][price]=b`: a name that comes again opens the next item.
fn open_index(entries: &[(String, Form)], next: &str) -> String {
    match entries.last() {
        Some((key, Form::Map(inner)))
            if next.is_empty() || !inner.iter().any(|(existing, _)| existing == next) =>
        {
            key.clone()
        }
        _ => entries.len().to_string(),
    }
}

/// The parameters at one level of a request.
#[derive(Clone, Copy, Debug)]
pub struct Params<'f> {
    entries: &'f [(String, Form)],
    /// The full name of the level, e.g. `line_items[0]`; empty at the top.
    level: &'f str,
}

impl<'f> Params<'f> {
    pub fn top(entries: &'f [(String, Form)]) -> Self {
        Self { entries, level: "" }
    }

    /// A nested level; `level` is its full name.
    pub fn at(entries: &'f [(String, Form)], level: &'f str) -> Self {
        Self { entries, level }
    }

    /// A parameter's full name, as errors give it.
    pub fn name(&self, key: &str) -> String {
        if self.level.is_empty() { key.to_owned() } else { format!("{}[{key}]", self.level) }
    }

    pub fn get(&self, key: &str) -> Option<&'f Form> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, form)| form)
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Refuses what is in neither list: `known` is acted on here, `others` is Stripe's but not simulated.
    pub fn allow(&self, known: &[&str], others: &[&str]) -> Result<()> {
        let names = || self.entries.iter().map(|(name, _)| name.as_str());
        let unknown: Vec<String> = names()
            .filter(|name| !known.contains(name) && !others.contains(name))
            .map(|name| self.name(name))
            .collect();
        if !unknown.is_empty() {
            return Err(ApiError::unknown_parameters(&unknown));
        }
        names()
            .find(|name| others.contains(name))
            .map_or(Ok(()), |name| Err(ApiError::not_simulated(&self.name(name))))
    }

    /// A text; the empty string counts as not given.
    pub fn text(&self, key: &str) -> Result<Option<&'f str>> {
        Ok(self.nullable(key)?.flatten())
    }

    /// A text that an empty string unsets: `None` not given, `Some(None)` unset.
    pub fn nullable(&self, key: &str) -> Result<Option<Option<&'f str>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Form::Text(text)) if text.is_empty() => Ok(Some(None)),
            Some(Form::Text(text)) if text.chars().count() > 5000 => {
                let message = "Invalid string: must be at most 5000 characters";
                Err(ApiError::invalid(Some("parameter_invalid_string"), message, self.name(key)))
            }
            Some(Form::Text(text)) => Ok(Some(Some(text))),
            Some(Form::Map(_)) => Err(ApiError::invalid(
                Some("parameter_invalid_string"),
                format!("Invalid string: {}", self.name(key)),
                self.name(key),
            )),
        }
    }

    pub fn required(&self, key: &str) -> Result<&'f str> {
        match self.nullable(key)? {
            Some(Some(text)) => Ok(text),
            None => Err(ApiError::missing(&self.name(key))),
            Some(None) => {
                let name = self.name(key);
                let message = format!(
                    "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; \
                     however '{name}' cannot be unset. You should remove '{name}' from your request or supply a \
                     non-empty value."
                );
                Err(ApiError::invalid(Some("parameter_invalid_empty"), message, name))
            }
        }
    }

    pub fn integer(&self, key: &str) -> Result<Option<i64>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let refuse = |_| {
            ApiError::invalid(
                Some("parameter_invalid_integer"),
                format!("Invalid integer: {text}"),
                self.name(key),
            )
        };
        text.parse().map(Some).map_err(refuse)
    }

    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        match self.text(key)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(text) => Err(ApiError::invalid(None, format!("Invalid boolean: {text}"), self.name(key))),
        }
    }

    pub fn one_of(&self, key: &str, accepted: &[&str]) -> Result<Option<&'f str>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        if accepted.contains(&text) {
            return Ok(Some(text));
        }
        let message = match accepted.split_last() {
            Some((last, rest)) if !rest.is_empty() => {
                format!("Invalid {}: must be one of {}, or {last}", self.name(key), rest.join(", "))
            }
            _ => format!("Invalid {}: must be {}", self.name(key), accepted.join("")),
        };
        Err(ApiError::invalid(None, message, self.name(key)))
    }

    /// The entries of a hash or list; an empty string is an empty one.
    pub fn entries(&self, key: &str) -> Result<Option<&'f [(String, Form)]>> {
        match self.get(key) {
            None => Ok(None),
            Some(Form::Map(entries)) => Ok(Some(entries)),
            Some(Form::Text(text)) if text.is_empty() => Ok(Some(&[])),
            Some(Form::Text(_)) => {
                Err(ApiError::invalid(None, format!("Invalid hash: {}", self.name(key)), self.name(key)))
            }
        }
    }

    /// A list of texts: `types[]=a&types[]=b`.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&'f str>>> {
        let refuse = || ApiError::invalid(None, format!("Invalid array: {}", self.name(key)), self.name(key));
        match self.get(key) {
            None => Ok(None),
            Some(Form::Text(text)) if text.is_empty() => Ok(Some(Vec::new())),
            Some(Form::Text(_)) => Err(refuse()),
            Some(Form::Map(entries)) => entries
                .iter()
                .map(|(_, item)| match item {
                    Form::Text(text) => Ok(text.as_str()),
                    Form::Map(_) => Err(refuse()),
                })
                .collect::<Result<_>>()
                .map(Some),
        }
    }
}
