//! Every table is written, and looked at again.

use sqlx::PgConnection;

use super::Way;
use super::order::{Group, groups, read_foreign_keys};
use super::proof::{Conflict, conflicts, is_equal, look_for_incoming};
use super::triggers::{Trigger, Triggers, switch_off};
use super::work::{Work, write};
use crate::archive::session::{TEXT_SETTINGS, run};
use crate::promote::PromoteError;
use crate::promote::checks::refused;

/// What production's own triggers and defaults find: the settings of whoever connects, and commits that are on disk.
const AS_ANY_WRITER: &str = "
    SET LOCAL search_path TO DEFAULT;
    SET LOCAL DateStyle TO DEFAULT;
    SET LOCAL IntervalStyle TO DEFAULT;
    SET LOCAL TimeZone TO DEFAULT;
    SET LOCAL extra_float_digits TO DEFAULT;
    SET LOCAL bytea_output TO DEFAULT;
    SET LOCAL lc_monetary TO DEFAULT;
    SET LOCAL xmloption TO DEFAULT;
    SET LOCAL synchronous_commit TO DEFAULT;
";

/// Writes every table, in an order that no foreign key is in the way of.
pub(super) async fn write_all(
    way: Way,
    production: &mut PgConnection,
    operation: &str,
    wish: Triggers,
    triggers: &[Trigger],
    works: &mut [Work],
) -> Result<(), PromoteError> {
    let keys = read_foreign_keys(production).await?;
    let oids: Vec<i64> = works.iter().map(|work| work.table().oid).collect();
    for work in works.iter().filter(|work| work.doomed_rows > 0) {
        let acts = keys
            .iter()
            .find(|key| key.parent == work.table().oid && key.acts_on_delete && !oids.contains(&key.child));
        if let Some(key) = acts {
            let table = work.table().table_name();
            let reason = format!(
                "{} rows of {table} that the copy has not would be deleted, and with them, by foreign key {}, rows of a table that was not named; name that table too",
                work.doomed_rows, key.name
            );
            return Err(refused(operation, reason));
        }
    }
    if wish == Triggers::Off {
        switch_off(production, triggers).await?;
    }
    run(production, operation, &format!("SET CONSTRAINTS ALL DEFERRED; {AS_ANY_WRITER}")).await?;
    let groups = groups(&oids, &keys);
    let members = |group: &Group, works: &[Work]| -> Vec<usize> {
        group.tables.iter().filter_map(|oid| works.iter().position(|work| work.table().oid == *oid)).collect()
    };
    if way == Way::Overwrite {
        for group in groups.iter().rev() {
            let members = members(group, works);
            let statements: Vec<String> = members.iter().map(|place| works[*place].delete_sql()).collect();
            let counts = write(production, &writing("delete rows of", &members, works), &statements).await?;
            members.iter().zip(counts).for_each(|(place, count)| works[*place].deleted = count);
        }
    }
    for group in &groups {
        let members = members(group, works);
        let updates: Vec<(usize, String)> = match way {
            Way::MergeMissing => Vec::new(),
            Way::Overwrite => {
                members.iter().filter_map(|place| Some((*place, works[*place].update_sql()?))).collect()
            }
        };
        let yields = way == Way::MergeMissing;
        let inserts: Vec<(usize, String)> =
            members.iter().map(|place| (*place, works[*place].insert_sql(yields))).collect();
        let changing = writing("change rows of", &members, works);
        let updates_are = updates.len();
        let (first, second) = match group.is_cyclic {
            // A row that is changed may refer to one that is put in, in the same table.
            true => (updates.into_iter().chain(inserts).collect(), Vec::new()),
            false => (updates, inserts),
        };
        let mut counts: Vec<(usize, i64)> = Vec::new();
        for statements in [first, second] {
            let (places, statements): (Vec<usize>, Vec<String>) = statements.into_iter().unzip();
            counts.extend(places.into_iter().zip(write(production, &changing, &statements).await?));
        }
        for (number, (place, count)) in counts.into_iter().enumerate() {
            match number < updates_are {
                true => works[place].updated = count,
                false => works[place].inserted = count,
            }
        }
    }
    // Whatever was to be checked at the end is checked here, where the answer has a name.
    let settings = format!("SET CONSTRAINTS ALL IMMEDIATE; {TEXT_SETTINGS}");
    Ok(run(production, &format!("{operation}: check the constraints"), &settings).await?)
}

fn writing(what: &str, members: &[usize], works: &[Work]) -> String {
    let names: Vec<String> =
        members.iter().map(|place| works[*place].table().table_name().to_string()).collect();
    format!("{what} {}", names.join(", "))
}

/// Looks at what was written. Gives the conflicts of a merge.
pub(super) async fn prove(
    way: Way,
    production: &mut PgConnection,
    operation: &str,
    works: &[Work],
    triggers_fired: &[String],
) -> Result<Vec<Conflict>, PromoteError> {
    let mut found = Vec::new();
    for work in works {
        let changed = match way {
            Way::Overwrite => !is_equal(production, work).await?,
            Way::MergeMissing => {
                let left = look_for_incoming(production, work).await?;
                if left.absent > 0 {
                    found.extend(conflicts(production, work, left.absent).await?);
                }
                left.changed > 0
            }
        };
        if changed {
            let table = work.table().table_name();
            let why = match triggers_fired {
                [] => "somebody else wrote to it meanwhile; run it again".to_owned(),
                fired => format!(
                    "its triggers change what is written, or somebody else wrote to it: {}; switch them off for this with \"triggers\":\"off\", or run it again",
                    fired.join(", ")
                ),
            };
            let reason = format!("rows of table {table} are not the copy's after they were written: {why}");
            return Err(PromoteError::NotEqual { operation: operation.to_owned(), reason });
        }
    }
    Ok(found)
}
