//! Who a person is to the database: their customers, and everything of Stripe's that is theirs.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row};
use time::OffsetDateTime;

use super::Erasure;

/// A customer whom a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// `cus_…` or `guest_…`.
    pub id: String,
    /// Whether Stripe has no such customer any more, or never had: only then does nothing of Stripe's bring them back.
    pub gone_at_stripe: bool,
    /// Whether they were erased before.
    pub erased: bool,
}

/// The customers with this id, or with this e-mail address, whatever its case.
///
/// # Errors
/// Postgres' own.
pub async fn find_customers(
    connection: &mut PgConnection,
    customer: Option<&str>,
    email: Option<&str>,
) -> Result<Vec<Customer>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, deleted_at is not null or starts_with(id, 'guest_') as gone_at_stripe, erased_at is not null as erased
         from recoup.customers
         where id = $1 or lower(email) = lower($2)
         order by id",
    )
    .bind(customer)
    .bind(email)
    .persistent(false)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Customer {
                id: row.try_get("id")?,
                gone_at_stripe: row.try_get("gone_at_stripe")?,
                erased: row.try_get("erased")?,
            })
        })
        .collect()
}

/// Ids of every object that is of these customers, by customer, themselves among them.
///
/// # Errors
/// Postgres' own.
pub async fn objects_of(
    connection: &mut PgConnection,
    customers: &BTreeSet<String>,
) -> Result<BTreeMap<String, BTreeSet<String>>, sqlx::Error> {
    let customers: Vec<&String> = customers.iter().collect();
    let found: Vec<(String, String)> = sqlx::query_as(include_str!("sql/objects_of.sql"))
        .bind(customers)
        .persistent(false)
        .fetch_all(connection)
        .await?;
    let mut objects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (customer, object) in found {
        objects.entry(customer).or_default().insert(object);
    }
    Ok(objects)
}

/// The erasures that the database knows, and until when each was applied to its events.
///
/// # Errors
/// Postgres' own.
pub async fn known(connection: &mut PgConnection) -> Result<Vec<(Erasure, OffsetDateTime)>, sqlx::Error> {
    let rows = sqlx::query(
        "select erasure_id, customers, objects, application_rows, erased_at, applied_to
         from recoup.erasures
         order by erasure_id",
    )
    .persistent(false)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let texts = |column| row.try_get::<Vec<String>, _>(column).map(|ids| ids.into_iter().collect());
            let erasure = Erasure {
                erasure_id: row.try_get("erasure_id")?,
                erased_at: row.try_get("erased_at")?,
                customers: texts("customers")?,
                objects: texts("objects")?,
                application_rows: row.try_get::<sqlx::types::Json<_>, _>("application_rows")?.0,
            };
            Ok((erasure, row.try_get("applied_to")?))
        })
        .collect()
}
