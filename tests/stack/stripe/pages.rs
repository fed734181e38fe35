//! Lists: newest first, a page at a time, filtered (<https://docs.stripe.com/api/pagination>).

use std::ops::Range;
use std::sync::Arc;

use super::errors::{ApiError, Result};
use super::form::{Form, Params};
use super::kinds::Kind;
use super::table::{Cursor, Key, Query, Table};
use super::world::Call;

const LIMIT_DEFAULT: i64 = 10;
const LIMIT_MAX: i64 = 100;
const PAGING: [&str; 3] = ["limit", "starting_after", "ending_before"];

/// What a request is answered with.
pub enum Reply {
    Object(Arc<str>),
    Page(Page),
}

/// One page of a list.
pub struct Page {
    pub items: Vec<Arc<str>>,
    pub has_more: bool,
    pub url: String,
}

impl Page {
    pub fn render(&self) -> String {
        let length: usize = self.items.iter().map(|item| item.len() + 1).sum();
        let mut out = String::with_capacity(length + 80);
        out.push_str(r#"{"object":"list","data":["#);
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(item);
        }
        out.push_str(&format!(r#"],"has_more":{},"url":"{}"}}"#, self.has_more, self.url));
        out
    }
}

/// A parameter that filters a list.
#[derive(Clone, Copy)]
pub struct Filter {
    /// Its name; `payment.type` is `payment[type]`.
    pub param: &'static str,
    /// The indexed field that it compares.
    pub field: &'static str,
    pub sort: Sort,
}

/// What a filter's value is.
#[derive(Clone, Copy, PartialEq)]
pub enum Sort {
    Text,
    Boolean,
    /// Any of several texts.
    Texts,
    /// The id of an object that must exist.
    Id(Kind),
}

impl Filter {
    pub const fn new(param: &'static str, sort: Sort) -> Self {
        Self { param, field: param, sort }
    }
}

/// The list of a kind: `created` and the given filters.
pub fn list(call: &Call, kind: Kind, params: Params, url: &str, filters: &[Filter]) -> Result<Reply> {
    let clauses = clauses(call, params, filters, &[])?;
    list_of(call, kind, params, url, clauses)
}

/// What the given filters ask for; refuses parameters that are neither filters, paging nor `others`.
pub fn clauses(call: &Call, params: Params, filters: &[Filter], others: &[&str]) -> Result<Vec<Vec<Key>>> {
    let mut known: Vec<&str> = filters.iter().filter_map(|filter| filter.param.split('.').next()).collect();
    known.push("created");
    known.extend(others);
    allow(params, &known)?;
    let mut clauses = Vec::new();
    for filter in filters {
        let values = match filter.param.split_once('.') {
            None => filter_values(call, params, filter.param, filter.sort)?,
            Some((outer, inner)) => {
                let nested = Params::at(params.entries(outer)?.unwrap_or_default(), outer);
                let siblings = filters.iter().filter_map(|filter| filter.param.split_once('.'));
                let siblings: Vec<&str> =
                    siblings.filter(|(name, _)| *name == outer).map(|(_, inner)| inner).collect();
                nested.allow(&siblings, &[])?;
                filter_values(call, nested, inner, filter.sort)?
            }
        };
        if let Some(values) = values {
            clauses.push(values.into_iter().map(|value| (filter.field, value)).collect());
        }
    }
    Ok(clauses)
}

/// The list of a kind, with clauses that are not parameters; `params` has been checked.
pub fn list_of(call: &Call, kind: Kind, params: Params, url: &str, clauses: Vec<Vec<Key>>) -> Result<Reply> {
    let mut query = Query { clauses, created: created(params)?, ..Query::default() };
    let empty = Table::default();
    let table = call.books().table(kind).unwrap_or(&empty);
    (query.limit, query.cursor) = paging(params, kind.noun(), |id| table.position(id))?;
    let (found, has_more) = table.page(&query);
    let items = found.into_iter().map(|text| call.present(kind, text.clone())).collect();
    Ok(Reply::Page(Page { items, has_more, url: url.to_owned() }))
}

fn filter_values(call: &Call, params: Params, param: &str, sort: Sort) -> Result<Option<Vec<Arc<str>>>> {
    Ok(match sort {
        Sort::Text => params.text(param)?.map(|text| vec![text.into()]),
        Sort::Boolean => params.boolean(param)?.map(|flag| vec![flag.to_string().into()]),
        Sort::Texts => params.texts(param)?.map(|texts| texts.into_iter().map(Arc::from).collect()),
        Sort::Id(kind) => match params.text(param)? {
            None => None,
            Some(id) if call.books().table(kind).is_some_and(|table| table.position(id).is_some()) => {
                Some(vec![id.into()])
            }
            Some(id) => return Err(ApiError::no_such(kind.noun(), id, &params.name(param), 400)),
        },
    })
}

/// Refuses parameters that are neither paging nor `known`.
pub fn allow(params: Params, known: &[&str]) -> Result<()> {
    params.allow(&[&PAGING, known].concat(), &[])
}

/// `limit` and the cursor.
pub fn paging(
    params: Params,
    noun: &str,
    position: impl Fn(&str) -> Option<(i64, u64)>,
) -> Result<(usize, Cursor)> {
    let limit = params.integer("limit")?.unwrap_or(LIMIT_DEFAULT);
    let refuse = |message: &str| Err(ApiError::invalid(Some("parameter_invalid_integer"), message, "limit"));
    if limit < 1 {
        return refuse("This value must be greater than or equal to 1.");
    }
    if limit > LIMIT_MAX {
        return refuse("This value must be less than or equal to 100.");
    }
    let limit = usize::try_from(limit).expect("between 1 and 100");
    let find = |param: &str, id: &str| position(id).ok_or_else(|| ApiError::no_such(noun, id, param, 400));
    let cursor = match (params.text("starting_after")?, params.text("ending_before")?) {
        (None, None) => Cursor::Newest,
        (Some(id), None) => Cursor::After(find("starting_after", id)?),
        (None, Some(id)) => Cursor::Before(find("ending_before", id)?),
        (Some(_), Some(_)) => {
            let message =
                "Received both ending_before and starting_after parameters. Please pass in only one.";
            return Err(ApiError::invalid(None, message, "ending_before"));
        }
    };
    Ok((limit, cursor))
}

/// A page of a list that is kept whole and in its own order, as line items are: which of `ids`, and whether more
/// follow in the cursor's direction.
pub fn slice(params: Params, noun: &str, ids: &[&str]) -> Result<(Range<usize>, bool)> {
    let place = |id: &str| {
        let at = ids.iter().position(|known| *known == id)?;
        Some((0, u64::try_from(at).expect("such lists have at most hundreds of entries")))
    };
    let (limit, cursor) = paging(params, noun, place)?;
    let index = |at: u64| usize::try_from(at).expect("it was made from an index");
    Ok(match cursor {
        Cursor::Newest => (0..ids.len().min(limit), ids.len() > limit),
        Cursor::After((_, at)) => {
            let first = index(at) + 1;
            (first..ids.len().min(first + limit), ids.len() > first + limit)
        }
        Cursor::Before((_, at)) => (index(at).saturating_sub(limit)..index(at), index(at) > limit),
    })
}

/// `created=…` or `created[gte|gt|lte|lt]=…`, as the first and the last second.
pub fn created(params: Params) -> Result<(i64, i64)> {
    let entries = match params.get("created") {
        None => return Ok((i64::MIN, i64::MAX)),
        Some(Form::Text(_)) => {
            return Ok(params.integer("created")?.map_or((i64::MIN, i64::MAX), |at| (at, at)));
        }
        Some(Form::Map(entries)) => Params::at(entries, "created"),
    };
    entries.allow(&["gt", "gte", "lt", "lte"], &[])?;
    let first = entries
        .integer("gte")?
        .unwrap_or(i64::MIN)
        .max(entries.integer("gt")?.map_or(i64::MIN, |at| at.saturating_add(1)));
    let last = entries
        .integer("lte")?
        .unwrap_or(i64::MAX)
        .min(entries.integer("lt")?.map_or(i64::MAX, |at| at.saturating_sub(1)));
    Ok((first, last))
}
