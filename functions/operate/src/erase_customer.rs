//! `{"action":"erase_customer"}`: takes from the rows who a person is, and writes down that no restore may bring them back.

use std::collections::BTreeSet;

use recoup::archive::selection::TableName;
use recoup::audit::{Mandate, dry, mandate, record};
use recoup::erasures::{ApplicationRow, Applied, Customer, Erasure, apply, find_customers, keep, objects_of};
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Connection;
use time::OffsetDateTime;

use crate::{Operate, database};

/// A person who is to be erased.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseCustomerRequest {
    customer: Option<String>,
    email: Option<String>,
    #[serde(default)]
    application_rows: Vec<ApplicationRow>,
    #[serde(default = "dry")]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

impl std::fmt::Debug for EraseCustomerRequest {
    /// Without what tells who somebody is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EraseCustomerRequest").field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

/// What the function answers.
#[derive(Debug, Serialize)]
pub struct EraseCustomerReply {
    dry_run: bool,
    /// `erased`, `erased already`, or of a dry run `possible` or `not possible`.
    status: &'static str,
    /// The record in the bucket and in `recoup.erasures`; null for a dry run.
    erasure_id: Option<String>,
    /// The customers that are this person.
    customers: Vec<String>,
    /// How many objects of Stripe's are theirs: events and audit entries that name one are gone through.
    objects: usize,
    /// What was changed, or would be.
    erased: Applied,
    /// Why it is not possible, and what to do.
    problems: Vec<String>,
}

/// Who is meant, and what else is to be written.
pub(crate) struct Wanted {
    customer: Option<String>,
    email: Option<String>,
    application_rows: Vec<ApplicationRow>,
    mandate: Option<Mandate>,
}

impl EraseCustomerRequest {
    /// Refuses what nothing can be done with.
    ///
    /// # Errors
    /// `InvalidRequest`, without what the request says of a person.
    pub(crate) fn understood(self) -> Result<Wanted, Failure> {
        let given = |field: Option<String>| field.filter(|text| !text.trim().is_empty());
        let (customer, email) = (given(self.customer), given(self.email));
        if customer.is_some() == email.is_some() {
            return Err(Failure::invalid_request(
                "erase_customer takes customer (cus_… or guest_…) or email, and not both; for example \
                 {\"action\":\"erase_customer\",\"customer\":\"cus_1\"}",
            ));
        }
        for row in &self.application_rows {
            let named = row.table.parse::<TableName>().is_ok();
            if !named || row.key.is_empty() || row.set.is_empty() {
                return Err(Failure::invalid_request(
                    "a row of application_rows has a table with its schema, a key that finds it and what to set, for example \
                     {\"table\":\"public.people\",\"key\":{\"id\":7},\"set\":{\"email\":null}}",
                ));
            }
        }
        let mandate = mandate(self.dry_run, self.actor, self.reason)?;
        Ok(Wanted { customer, email, application_rows: self.application_rows, mandate })
    }
}

impl<S: SecretStore + Sync> Operate<S> {
    /// Erases a person.
    pub(crate) async fn erase_customer(
        &self,
        request: EraseCustomerRequest,
    ) -> Result<EraseCustomerReply, Failure> {
        let Wanted { customer, email, application_rows, mandate } = request.understood()?;
        let failed = database("erase a customer");
        let mut connection = self.connect().await?;
        let found =
            find_customers(&mut connection, customer.as_deref(), email.as_deref()).await.map_err(&failed)?;
        if found.is_empty() {
            return Err(not_found(customer.as_deref()));
        }
        let problems: Vec<String> =
            found.iter().filter(|found| !found.gone_at_stripe).map(at_stripe).collect();
        if let (Some(_), [first, ..]) = (&mandate, problems.as_slice()) {
            return Err(Failure::new("CustomerAtStripe", format!("erase a customer: {first}")));
        }
        let customers: BTreeSet<String> = found.iter().map(|customer| customer.id.clone()).collect();
        let objects = objects_of(&mut connection, &customers).await.map_err(&failed)?;
        let objects: BTreeSet<String> = objects.into_values().flatten().collect();
        let mut reply = EraseCustomerReply {
            dry_run: mandate.is_none(),
            status: if problems.is_empty() { "possible" } else { "not possible" },
            erasure_id: None,
            customers: customers.iter().cloned().collect(),
            objects: objects.len(),
            erased: Applied::default(),
            problems,
        };
        let erasure =
            Erasure::new(OffsetDateTime::now_utc(), rand::random(), customers, objects, application_rows);
        let is_erased = erasure.application_rows.is_empty() && found.iter().all(|customer| customer.erased);
        if mandate.is_some() && is_erased {
            reply.status = "erased already";
            return Ok(reply);
        }
        let mut transaction = connection.begin().await.map_err(&failed)?;
        reply.erased = apply(&mut transaction, &erasure).await.map_err(&failed)?;
        if let [refused, ..] = reply.erased.not_applied.as_slice() {
            return Err(Failure::new(
                "ApplicationRowRefused",
                format!("erase a customer: {refused}; nothing was changed: correct application_rows"),
            ));
        }
        let Some(mandate) = mandate else {
            transaction.rollback().await.map_err(&failed)?;
            return Ok(reply);
        };
        let after = json!({
            "erasure_id": erasure.erasure_id, "customers": erasure.customers, "events": reply.erased.events,
            "application_rows": reply.erased.application_rows,
        });
        record(&mut transaction, &mandate, "erase customer", &erasure.erasure_id, &after)
            .await
            .map_err(&failed)?;
        // Before the database says so: a lost one does not take the record along, and no restore brings them back.
        keep(&self.store, &self.encryption.now(&self.secrets).await?, &erasure).await?;
        transaction.commit().await.map_err(|error| {
            let failure = failed(error);
            let remedy = "restores erase this person already, the database may not: ask for it again";
            Failure::new(failure.error_type(), format!("{failure}; {remedy}"))
        })?;
        reply.status = "erased";
        reply.erasure_id = Some(erasure.erasure_id);
        Ok(reply)
    }
}

fn not_found(customer: Option<&str>) -> Failure {
    let who = customer.map_or("this e-mail address".to_owned(), |id| format!("id {id:?}"));
    let remedy =
        "recoup.customers lists them; somebody who was erased has no address there any more, only an id";
    Failure::new("CustomerNotFound", format!("erase a customer: there is none with {who}; {remedy}"))
}

fn at_stripe(customer: &Customer) -> String {
    format!(
        "customer {0} is not deleted at Stripe, which would bring them back: delete them there first (stripe customers delete {0}, \
         or the dashboard), wait for that event, and ask again",
        customer.id
    )
}
