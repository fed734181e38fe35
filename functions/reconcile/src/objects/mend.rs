//! What is done about an object that differs.

use recoup::events::inbox::WriteError;
use recoup::events::reading::{Family, Head, Reading};
use recoup::events::receive::LineItems;
use recoup::failure::Failure;
use serde_json::Value;
use time::OffsetDateTime;

use super::Run;
use super::compare::Lack;
use super::here_only::HereOnly;
use super::listing::Slice;
use super::progress::{Later, Progress};
use super::repair::{AsIf, Repaired, repair};
use super::told::findings;
use crate::finding::{Finding, Kind};

/// Objects that a dry run keeps, at most: beyond, what follows from several of them may be told twice.
const REPAIRED_MAX: usize = 5_000;

impl Run<'_> {
    /// Writes an object, or in a dry run sees what writing it would change.
    pub(super) async fn mend(
        &mut self,
        run: &mut Progress,
        reading: &mut Reading<'_>,
        lack: Lack,
        known_until: OffsetDateTime,
    ) -> Result<(), Failure> {
        let (object, account) = (reading.family.object(), reading.account);
        if let Some(session) = reading.awaits_lines().map(str::to_owned) {
            run.reply.api_calls += 1;
            match self.stripe.of_session(&session, account).await {
                Ok(lines) => reading.set_lines(lines),
                Err(error) if error.may_pass() => {
                    run.unreadable(object, &session, account, &format!("fetch its lines: {error}"));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (version, others) = (run.version.clone(), std::mem::take(&mut run.repaired));
        let as_if = AsIf { dry_run: self.dry_run, repaired: &others, version: &version };
        let repaired = repair(&mut self.connection, reading, known_until, &run.sponsor, &as_if).await;
        run.repaired = others;
        let (changes, with_others) = match repaired? {
            Repaired::Changes { changes, with_others } => (changes, with_others),
            Repaired::AsItShouldBe => return Ok(()),
            Repaired::Unchanged => {
                run.count(object, Kind::Different);
                let why = "an order's lines, grants and the ledger's entries keep what was written first: compare them by hand";
                run.reply.unrepaired(Kind::Different, object, &reading.id, account, why.to_owned());
                return Ok(());
            }
            Repaired::Refused(why) => {
                let kind = if lack == Lack::Missing { Kind::MissingHere } else { Kind::Different };
                if kind == Kind::MissingHere {
                    run.elsewhere.insert(reading.id.clone());
                }
                run.count(object, kind);
                run.reply.unrepaired(kind, object, &reading.id, account, why);
                return Ok(());
            }
        };
        let own = lack > Lack::Consequence;
        if run.repaired.len() < REPAIRED_MAX {
            run.repaired.push(Later::of(reading, known_until, own));
        }
        if !self.dry_run {
            run.reply.count(object, |counts| counts.repaired += 1);
        }
        if with_others && !own {
            // It goes without saying: a real run may have repaired it with one of them.
            return Ok(());
        }
        let findings = findings(&mut run.named, reading, lack, changes, !self.dry_run);
        if findings.is_empty() {
            // Its rows were named by another object.
            return Ok(());
        }
        let elsewhere = |finding: &Finding| {
            finding.kind == Kind::MissingHere || finding.field.as_deref() == Some("created_at")
        };
        if self.dry_run && findings.iter().any(elsewhere) {
            run.elsewhere.insert(reading.id.clone());
        }
        run.count(object, if lack == Lack::Missing { Kind::MissingHere } else { Kind::Different });
        findings.into_iter().for_each(|finding| run.reply.find(finding));
        Ok(())
    }

    /// A row that Stripe does not list. What Stripe says was deleted gets its tombstone; the rest is told.
    pub(super) async fn settle_here_only(
        &mut self,
        run: &mut Progress,
        slice: &Slice,
        row: HereOnly,
        knows_until: OffsetDateTime,
    ) -> Result<(), Failure> {
        let (object, account) = (slice.family.object(), slice.account.as_deref());
        if row.deleted && slice.family == Family::Customer {
            // Stripe's mark says no more than the id: what we know of the customer stays.
            let known: Option<Value> = sqlx::query_scalar(
                "select jsonb_build_object('id', id, 'object', 'customer', 'deleted', true, 'email', email, 'name', name,
                     'created', extract(epoch from created_at)::bigint)
                 from recoup.customers where id = $1",
            )
            .bind(&row.id)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(WriteError::from)?;
            let text = known.and_then(|known| serde_json::value::to_raw_value(&known).ok());
            if let Some(text) = text
                && let Ok(head) = Head::read(&text)
                && let Ok(Some(mut reading)) =
                    Reading::of(slice.family, &head, &text, account, &run.version.clone())
            {
                return self.mend(run, &mut reading, Lack::Different, knows_until).await;
            }
        }
        run.reply.count(object, |counts| counts.missing_there += 1);
        let why = "Stripe does not have it; rows are never deleted here";
        run.reply.find(Finding::of(Kind::MissingThere, object, row.id, account).because(why));
        Ok(())
    }

    /// Settles what follows from several objects, in an order that does not depend on the network.
    pub(super) async fn settle_later(&mut self, run: &mut Progress) -> Result<(), Failure> {
        let mut later = std::mem::take(&mut run.later);
        later.sort_by(|one, other| (one.family, &one.id).cmp(&(other.family, &other.id)));
        let version = run.version.clone();
        for one in later {
            if let Some(mut reading) = one.read(&version) {
                self.mend(run, &mut reading, Lack::Consequence, one.known_until).await?;
            }
        }
        Ok(())
    }
}
