//! Folded changes onto rows. One table, or one partitioned table with all its partitions, is one transaction, sent as
//! one query: Postgres ends it even where this process does not see the end.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, PgConnection};

use super::Replaying;
use super::keys::{Group, Member, groups};
use crate::archive::error::ArchiveError;
use crate::archive::restore::ledger::{SCHEMA, Step, mark};
use crate::archive::session::{begin_writing, run};
use crate::archive::store::ObjectStore;

impl<S: ObjectStore> Replaying<'_, S> {
    /// Applies the changes of every table that has not had them yet.
    ///
    /// # Errors
    /// [`ArchiveError::Database`] naming the table.
    pub(super) async fn apply(&self, connection: &mut PgConnection) -> Result<(), ArchiveError> {
        let counts = super::counts(connection).await?;
        for group in groups(connection, self.replay, counts.into_keys()).await? {
            if self.ledger.has(Step::Applied, &group.name) {
                continue;
            }
            let truncations = truncations(connection, &group).await?;
            let sql = apply_sql(&group, &truncations);
            begin_writing(connection).await?;
            let operation = format!("apply the changes of table {}", group.name);
            run(connection, &operation, &format!("{sql} {} COMMIT", mark(Step::Applied, &group.name)))
                .await?;
            tracing::info!(table = group.name, "changes applied");
        }
        Ok(())
    }
}

/// When tables of a group were truncated: the change, and the table's place among the members. Of a table alone only
/// the last counts, for nothing before it remains.
async fn truncations(
    connection: &mut PgConnection,
    group: &Group,
) -> Result<Vec<(i64, usize)>, ArchiveError> {
    let sql = format!(
        "SELECT id, table_id FROM {SCHEMA}.changes WHERE operation = 'T' AND table_id = ANY ($1) ORDER BY id"
    );
    let positions: Vec<i32> =
        group.members.iter().filter_map(|member| i32::try_from(member.position).ok()).collect();
    let found: Vec<(i64, i32)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(positions)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| ArchiveError::database("see which tables were truncated", &error))?;
    let mut truncations: Vec<(i64, usize)> = found
        .into_iter()
        .filter_map(|(id, table)| {
            // What went with a partitioned table is truncated by its own name.
            let of = |member: &Member| i32::try_from(member.position) == Ok(table) && !member.is_partitioned;
            Some((id, group.members.iter().position(of)?))
        })
        .collect();
    if is_alone(group) && truncations.len() > 1 {
        truncations.drain(..truncations.len() - 1);
    }
    Ok(truncations)
}

/// Whether its one member has all the rows.
fn is_alone(group: &Group) -> bool {
    matches!(group.members.as_slice(), [member] if member.ident == group.root)
}

fn apply_sql(group: &Group, truncations: &[(i64, usize)]) -> String {
    let mut sql = String::new();
    for (place, member) in group.members.iter().enumerate() {
        // The row type of the member's key, in which deletions give it.
        let _ = writeln!(
            sql,
            "CREATE TEMPORARY TABLE key_{place} ON COMMIT DROP AS SELECT {} FROM ONLY {} WITH NO DATA;",
            member.key.join(", "),
            member.ident
        );
    }
    let mut after = i64::MIN;
    for (id, place) in truncations {
        // What a table alone had before does not matter.
        if !is_alone(group) {
            fold(&mut sql, group, after, *id);
        }
        let _ = writeln!(sql, "TRUNCATE ONLY {};", group.members[*place].ident);
        after = *id;
    }
    fold(&mut sql, group, after, i64::MAX);
    sql
}

/// Applies the changes with ids between `after` and `before`, neither included.
fn fold(sql: &mut String, group: &Group, after: i64, before: i64) {
    let key: Vec<&str> = group.key.iter().map(|(column, _)| column.as_str()).collect();
    let key_list = key.join(", ");
    let of = |row: &str| key.iter().map(|column| format!("({row}).{column}")).collect::<Vec<_>>().join(", ");
    let mut all = Vec::new();
    for (place, member) in group.members.iter().enumerate() {
        let (position, ident) = (member.position, &member.ident);
        let within = format!("c.table_id = {position} AND c.id > {after} AND c.id < {before}");
        all.push(format!(
            "SELECT c.id AS recoup_change, {place} AS recoup_member, true AS recoup_is_there, {}
            FROM {SCHEMA}.changes AS c
            CROSS JOIN LATERAL (SELECT c.content::{ident} AS row OFFSET 0) AS put
            WHERE {within} AND c.operation = 'P'",
            of("put.row")
        ));
        all.push(format!(
            "SELECT c.id AS recoup_change, {place} AS recoup_member, false AS recoup_is_there, {}
            FROM {SCHEMA}.changes AS c
            CROSS JOIN LATERAL (SELECT c.content::pg_temp.key_{place} AS key OFFSET 0) AS gone
            WHERE {within} AND c.operation = 'D'",
            of("gone.key")
        ));
    }
    let equal: Vec<String> =
        group.key.iter().map(|(column, equal)| format!("t.{column} {equal} l.{column}")).collect();
    let _ = write!(
        sql,
        "CREATE TEMPORARY TABLE last ON COMMIT DROP AS
        SELECT DISTINCT ON ({key_list}) recoup_change, recoup_member, recoup_is_there, {key_list}
        FROM ({}) AS change
        ORDER BY {key_list}, recoup_change DESC;
        ANALYZE pg_temp.last;
        DELETE FROM {} AS t USING pg_temp.last AS l WHERE {};\n",
        all.join("\nUNION ALL\n"),
        group.root,
        equal.join(" AND ")
    );
    for (place, member) in group.members.iter().enumerate() {
        let (position, ident, columns) = (member.position, &member.ident, &member.columns);
        let values: Vec<String> = columns.iter().map(|column| format!("(put.row).{column}")).collect();
        let _ = write!(
            sql,
            "INSERT INTO {ident} ({}) OVERRIDING SYSTEM VALUE
            SELECT {}
            FROM pg_temp.last AS l
            JOIN {SCHEMA}.changes AS c ON c.table_id = {position} AND c.id = l.recoup_change
            CROSS JOIN LATERAL (SELECT c.content::{ident} AS row OFFSET 0) AS put
            WHERE l.recoup_member = {place} AND l.recoup_is_there;\n",
            columns.join(", "),
            values.join(", ")
        );
    }
    sql.push_str("DROP TABLE pg_temp.last;\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(position: usize, ident: &str) -> Member {
        let columns = vec!["\"id\"".to_owned(), "\"at\"".to_owned()];
        Member { position, ident: ident.to_owned(), is_partitioned: false, key: columns.clone(), columns }
    }

    fn group(members: Vec<Member>) -> Group {
        let equal = "OPERATOR(pg_catalog.=)".to_owned();
        Group {
            root: "\"p\".\"t\"".to_owned(),
            name: "p.t".to_owned(),
            key: vec![("\"id\"".to_owned(), equal.clone()), ("\"at\"".to_owned(), equal)],
            members,
        }
    }

    #[test]
    fn of_a_table_alone_only_what_follows_its_last_truncation_is_applied() {
        let sql = apply_sql(&group(vec![member(3, "\"p\".\"t\"")]), &[(70, 0)]);
        assert_eq!(sql.matches("DELETE FROM").count(), 1);
        let (before, after) = sql.split_once("TRUNCATE ONLY \"p\".\"t\";").expect("truncated");
        assert!(!before.contains("INSERT INTO") && after.contains("c.id > 70"), "{sql}");
    }

    #[test]
    fn partitions_are_truncated_in_their_turn() {
        let members = vec![member(3, "\"p\".\"t\""), member(4, "\"p\".\"t_2026\"")];
        let sql = apply_sql(&group(members), &[(70, 1), (90, 1)]);
        assert_eq!(sql.matches("DELETE FROM \"p\".\"t\"").count(), 3);
        assert_eq!(sql.matches("TRUNCATE ONLY \"p\".\"t_2026\"").count(), 2);
        assert!(sql.contains("c.id > 70 AND c.id < 90"), "{sql}");
    }
}
