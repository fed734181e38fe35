//! A dry run: what all that differs would change, found by writing it and taking it back.
//!
//! What follows from several objects is right only when all of them are written: so those that can meet in a row, by one
//! customer or payment mostly, are written in one transaction, which ends before the next begins. What sells is shared by
//! strangers: products and prices are written again with each group that names them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use recoup::events::inbox::{CONFLICT_ATTEMPTS_MAX, WriteError, met_another, pause};
use recoup::events::reading::{Family, Reading};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use super::repair::still_lacks;
use super::rows::{Change, changes, links, named, related, rows};

/// An object that differs, read.
pub struct Part<'a> {
    reading: Reading<'a>,
    known_until: OffsetDateTime,
    /// The ids of all rows that it can touch as they are now.
    related: Vec<String>,
}

impl<'a> Part<'a> {
    /// Looks at what it can touch.
    ///
    /// # Errors
    /// Postgres' own.
    pub async fn of(
        connection: &mut PgConnection,
        reading: Reading<'a>,
        known_until: OffsetDateTime,
    ) -> Result<Self, sqlx::Error> {
        let related = related(connection, &reading, known_until).await?;
        Ok(Self { reading, known_until, related })
    }

    /// The connected account that it is in.
    pub fn account(&self) -> Option<&'a str> {
        self.reading.account
    }
}

/// What a group would change.
#[derive(Debug, Default)]
pub struct Rehearsed {
    /// The rows.
    pub changes: Vec<Change>,
    /// Objects that the rows refuse, by their place in the list, and why.
    pub refused: Vec<(usize, String)>,
    /// Objects that still lack something, by their place in the list.
    pub lacking: Vec<usize>,
}

/// Which objects are written together: lists of places in `parts`, first those of the catalogue. Each object is in one; a
/// list begins with what it needs of the catalogue, and how much that is comes with it.
pub fn groups(parts: &[Part<'_>]) -> Vec<(usize, Vec<usize>)> {
    let is_catalogue = |at: usize| matches!(parts[at].reading.family, Family::Product | Family::Price);
    let mut names = Vec::with_capacity(parts.len());
    let mut links_of = Vec::with_capacity(parts.len());
    for Part { reading, known_until, related } in parts {
        let named = named(reading, *known_until);
        let mut linked = links(reading, *known_until);
        // What it leads to by our rows, without all that it merely mentions.
        linked.extend(related.iter().filter(|id| !named.contains(*id)).cloned());
        names.push(named);
        links_of.push(linked);
    }
    let (catalogue, others): (Vec<usize>, Vec<usize>) = (0..parts.len()).partition(|at| is_catalogue(*at));
    let catalogue = joined(&catalogue, |at| names[at].iter());
    let mut groups: Vec<(usize, Vec<usize>)> = catalogue.iter().map(|group| (0, group.clone())).collect();
    for group in joined(&others, |at| links_of[at].iter()) {
        let mentioned: BTreeSet<&String> = group.iter().flat_map(|at| &names[*at]).collect();
        let is_needed =
            |items: &&Vec<usize>| items.iter().any(|at| mentioned.contains(&parts[*at].reading.id));
        let mut all: Vec<usize> = catalogue.iter().filter(is_needed).flatten().copied().collect();
        let needed = all.len();
        all.extend(group);
        groups.push((needed, all));
    }
    groups
}

/// Joins those that share an id, directly or by others.
fn joined<'n>(
    places: &[usize],
    ids: impl Fn(usize) -> std::collections::btree_set::Iter<'n, String>,
) -> Vec<Vec<usize>> {
    let mut parent: HashMap<usize, usize> = places.iter().map(|at| (*at, *at)).collect();
    fn root(parent: &mut HashMap<usize, usize>, mut at: usize) -> usize {
        while parent[&at] != at {
            let above = parent[&parent[&at]];
            parent.insert(at, above);
            at = above;
        }
        at
    }
    let mut first_with: HashMap<&String, usize> = HashMap::new();
    for at in places {
        for id in ids(*at) {
            let first = *first_with.entry(id).or_insert(*at);
            let (one, other) = (root(&mut parent, first), root(&mut parent, *at));
            parent.insert(one.max(other), one.min(other));
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in places {
        groups.entry(root(&mut parent, *at)).or_default().push(*at);
    }
    groups.into_values().collect()
}

/// Writes a group, sees what that changes, and takes it back.
///
/// # Errors
/// Why Postgres could not be used.
pub async fn rehearse(
    connection: &mut PgConnection,
    parts: &mut [Part<'_>],
    group: &[usize],
) -> Result<Rehearsed, WriteError> {
    let mut attempt = 1;
    loop {
        match rehearse_once(connection, parts, group).await {
            Ok(rehearsed) => return Ok(rehearsed),
            Err(error) if attempt < CONFLICT_ATTEMPTS_MAX && met_another(&error) => {
                pause(attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn rehearse_once(
    connection: &mut PgConnection,
    parts: &mut [Part<'_>],
    group: &[usize],
) -> Result<Rehearsed, sqlx::Error> {
    let mut rehearsed = Rehearsed::default();
    let mut transaction = connection.begin().await?;
    let mut ids: BTreeSet<String> = group.iter().flat_map(|at| parts[*at].related.iter().cloned()).collect();
    let mut play = transaction.begin().await?;
    for at in group {
        let Part { reading, known_until, .. } = &mut parts[*at];
        let mut scene = play.begin().await?;
        match reading.write(&mut scene, *known_until).await {
            Ok(()) => scene.commit().await?,
            Err(error) if met_another(&error) => return Err(error),
            Err(error) => match WriteError::from(error) {
                WriteError::Rejected(reason) => {
                    scene.rollback().await?;
                    rehearsed.refused.push((*at, reason));
                }
                WriteError::SchemaMissing(error) | WriteError::Unavailable(error) => return Err(error),
            },
        }
    }
    for at in group {
        let Part { reading, known_until, .. } = &parts[*at];
        ids.extend(related(&mut play, reading, *known_until).await?);
    }
    let ids: Vec<String> = ids.into_iter().collect();
    let after = rows(&mut play, &ids).await?;
    for at in group.iter().filter(|at| !rehearsed.refused.iter().any(|(refused, _)| refused == *at)) {
        let Part { reading, known_until, .. } = &parts[*at];
        if still_lacks(&mut play, reading, *known_until).await? {
            rehearsed.lacking.push(*at);
        }
    }
    play.rollback().await?;
    let before = rows(&mut transaction, &ids).await?;
    transaction.rollback().await?;
    rehearsed.changes = changes(before, after);
    Ok(rehearsed)
}
