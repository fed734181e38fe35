//! What is done about an object that differs.

use recoup::events::inbox::WriteError;
use recoup::events::reading::{Family, Head, Reading};
use recoup::events::receive::LineItems;
use recoup::failure::Failure;
use serde_json::Value;
use time::OffsetDateTime;

use super::compare::{Lack, compare};
use super::here_only::HereOnly;
use super::listing::Slice;
use super::progress::{Later, Progress};
use super::rehearse::{Part, groups, rehearse};
use super::repair::{Repaired, repair, still_lacks};
use super::{LATER_MAX, Run};
use crate::differences::Tally;
use crate::finding::{Finding, Kind};

const STUCK: &str = "grants and the ledger's entries keep what was written first: compare them by hand";

impl Run<'_> {
    /// Writes an object; says whether the rows took it.
    pub(super) async fn mend(
        &mut self,
        run: &mut Progress,
        reading: &mut Reading<'_>,
        lack: Lack,
        known_until: OffsetDateTime,
    ) -> Result<bool, Failure> {
        if !self.has_lines(run, reading).await? {
            return Ok(false);
        }
        match repair(&mut self.connection, reading, known_until, &run.sponsor).await? {
            Repaired::Changes(changes) => {
                run.told.note(changes, reading.account);
                Ok(true)
            }
            Repaired::Refused(why) => {
                if lack >= Lack::Elsewhere {
                    run.elsewhere.insert(reading.id.clone());
                }
                run.unrepaired(&Later::of(reading, lack, known_until), why);
                Ok(false)
            }
        }
    }

    /// Sees to it that a session has all of its lines; `false` where Stripe does not give them now.
    async fn has_lines(&mut self, run: &mut Progress, reading: &mut Reading<'_>) -> Result<bool, Failure> {
        let Some(session) = reading.awaits_lines().map(str::to_owned) else { return Ok(true) };
        run.reply.api_calls += 1;
        match self.stripe.of_session(&session, reading.account).await {
            Ok(lines) => {
                reading.set_lines(lines);
                Ok(true)
            }
            Err(error) if error.may_pass() => {
                let why = format!("fetch its lines: {error}");
                run.unreadable(reading.family.object(), &session, reading.account, &why);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps an object for the end of the lists.
    pub(super) async fn put_off(&mut self, run: &mut Progress, later: Later) -> Result<(), Failure> {
        if run.later.len() == LATER_MAX {
            let warning = format!(
                "more than {LATER_MAX} objects differ: what follows from several of them may be told otherwise than a real \
                 run does it"
            );
            if !run.reply.warnings.contains(&warning) {
                run.reply.warnings.push(warning);
            }
            self.rehearse_all(run).await?;
        }
        run.later.push(later);
        Ok(())
    }

    /// Notes those that lack something although they were written: another's writing may bring it yet.
    pub(super) async fn note_lacking(
        &mut self,
        run: &mut Progress,
        family: Family,
        written: &[Reading<'_>],
        known_until: OffsetDateTime,
    ) -> Result<(), Failure> {
        if written.is_empty() {
            return Ok(());
        }
        let lacking =
            compare(&mut self.connection, family, written, known_until).await.map_err(WriteError::from)?;
        for reading in written {
            if let Some(lack) = lacking.get(&reading.id)
                && run.lacking.len() < LATER_MAX
            {
                run.lacking.push(Later::of(reading, *lack, known_until));
            }
        }
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
                if self.dry_run {
                    let later = Later::of(&reading, Lack::Different, knows_until);
                    return self.put_off(run, later).await;
                }
                self.mend(run, &mut reading, Lack::Different, knows_until).await?;
                return Ok(());
            }
        }
        run.reply.count(object, |counts| counts.missing_there += 1);
        let why = "Stripe does not have it; rows are never deleted here";
        run.reply.find(Finding::of(Kind::MissingThere, object, row.id, account).because(why));
        Ok(())
    }

    /// Settles what waited for the end of the lists, in an order that does not depend on the network, and tells what
    /// changed.
    pub(super) async fn settle_later(&mut self, run: &mut Progress) -> Result<(), Failure> {
        if self.dry_run {
            self.rehearse_all(run).await?;
        } else {
            self.mend_all(run).await?;
        }
        run.tell(!self.dry_run);
        Ok(())
    }

    async fn mend_all(&mut self, run: &mut Progress) -> Result<(), Failure> {
        let version = run.version.clone();
        let mut written = std::mem::take(&mut run.lacking);
        for later in in_order(std::mem::take(&mut run.later)) {
            if let Some(mut reading) = later.read(&version)
                && self.mend(run, &mut reading, Lack::Consequence, later.known_until).await?
            {
                written.push(later);
            }
        }
        for later in in_order(written) {
            if let Some(reading) = later.read(&version)
                && still_lacks(&mut self.connection, &reading, later.known_until)
                    .await
                    .map_err(WriteError::from)?
            {
                run.unrepaired(&later, STUCK.to_owned());
            }
        }
        Ok(())
    }

    /// What all that waits would change.
    async fn rehearse_all(&mut self, run: &mut Progress) -> Result<(), Failure> {
        let version = run.version.clone();
        let later = in_order(std::mem::take(&mut run.later));
        let (mut parts, mut of) = (Vec::new(), Vec::new());
        for one in &later {
            if let Some(mut reading) = one.read(&version)
                && self.has_lines(run, &mut reading).await?
            {
                let part = Part::of(&mut self.connection, reading, one.known_until).await;
                parts.push(part.map_err(WriteError::from)?);
                of.push(one);
            }
        }
        for (needed, group) in groups(&parts) {
            let account = parts[group[needed]].account();
            let rehearsed = rehearse(&mut self.connection, &mut parts, &group).await?;
            run.told.note(rehearsed.changes, account);
            let is_own = |at: &usize| group[needed..].contains(at);
            for (at, why) in rehearsed.refused.into_iter().filter(|(at, _)| is_own(at)) {
                run.unrepaired(of[at], why);
            }
            for at in rehearsed.lacking.into_iter().filter(is_own) {
                run.unrepaired(of[at], STUCK.to_owned());
            }
        }
        Ok(())
    }
}

fn in_order(mut later: Vec<Later>) -> Vec<Later> {
    later.sort_by(|one, other| (one.family, &one.id).cmp(&(other.family, &other.id)));
    later
}

impl Progress {
    /// Notes what a person has to look at.
    fn unrepaired(&mut self, later: &Later, why: String) {
        if !self.unrepaired.insert((later.family, later.id.clone())) {
            return;
        }
        let kind = if later.lack == Lack::Missing { Kind::MissingHere } else { Kind::Different };
        let object = later.family.object();
        self.count(object, kind);
        self.reply.unrepaired(kind, object, &later.id, later.account.as_deref(), why);
    }

    /// Counts and names what changed.
    fn tell(&mut self, repaired: bool) {
        let told = std::mem::take(&mut self.told);
        for object in told.objects(repaired) {
            if !self.unrepaired.contains(&(object.family, object.id)) {
                self.changed(object.family, object.kind, repaired);
            }
            object.findings.into_iter().for_each(|finding| self.reply.find(finding));
        }
        for (family, kind) in told.more() {
            self.changed(family, kind, repaired);
            let like = Finding::of(kind, family.object(), "", None);
            self.reply.differences.add_unseen(&like, Tally { found: 1, repaired: u64::from(repaired) });
        }
    }

    fn changed(&mut self, family: Family, kind: Kind, repaired: bool) {
        self.count(family.object(), kind);
        if repaired {
            self.reply.count(family.object(), |counts| counts.repaired += 1);
        }
    }
}
