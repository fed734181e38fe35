//! What a prune takes and what it leaves, decided from the listing alone.

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::recovery_points::RecoveryPoint;
use crate::archive::inventory::Folder;
use crate::archive::store::Lock;

/// The kind of backup that a point in time is restored from.
const BASE_TYPE: &str = "full";

/// A backup bears the time at which it began, and shows an instant soon after: at the latest when its invocation
/// ends. So the backup that an instant needs may be the one before that which bears the nearest time.
const SNAPSHOT_WITHIN: Duration = Duration::minutes(15);

/// A folder without a manifest may still be written as long as anything in it is younger than this.
pub(super) const LEFTOVER_AGE_MIN: Duration = Duration::days(1);

/// How far clocks may be apart.
const CLOCKS_APART_MAX: Duration = Duration::minutes(5);

/// Why a backup stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// Its time has not come.
    NotExpired,
    /// Its listing does not say when it expires.
    ExpiryUnknown,
    /// It is younger than what was asked for.
    Younger,
    /// It is the newest of its type that is not of a window only.
    NewestOfItsType,
    /// It is needed to restore an instant of the window.
    PointInTimeWindow,
    /// It is needed to restore a recovery point.
    RecoveryPoint {
        /// The point's name.
        name: String,
    },
    /// S3 holds it.
    #[serde(untagged)]
    Locked(Lock),
}

/// Why a backup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its time has come.
    Expired,
    /// It is older than what was asked for.
    OlderThanDays,
    /// It has no manifest, and nobody writes it any more.
    NoManifest,
}

/// By what is decided.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The present.
    pub now: OffsetDateTime,
    /// Take by age, in place of expiry.
    pub older_than: Option<Duration>,
    /// How far back every instant has to stay restorable.
    pub point_in_time_window: Duration,
    /// Instants that have to stay restorable.
    pub recovery_points: Vec<RecoveryPoint>,
}

/// What is to become of each folder.
#[derive(Debug, Default)]
pub struct Decision {
    /// What goes, oldest first.
    pub remove: Vec<(Folder, Why)>,
    /// Backups that stay, oldest first, each with every rule that keeps it.
    pub keep: Vec<(Folder, Vec<Rule>)>,
    /// Folders without a manifest that may still be written.
    pub wait: Vec<Folder>,
}

impl Rules {
    /// Decides about `folders`, oldest first.
    pub fn decide(&self, folders: Vec<Folder>) -> Decision {
        let protected: Vec<Vec<Rule>> =
            folders.iter().map(|folder| self.protections(folder, &folders)).collect();
        let mut decision = Decision::default();
        for (folder, mut rules) in folders.into_iter().zip(protected) {
            if !folder.sealed {
                match self.is_leftover(&folder) {
                    true => decision.remove.push((folder, Why::NoManifest)),
                    false => decision.wait.push(folder),
                }
                continue;
            }
            let why = match self.due(&folder) {
                Ok(why) if rules.is_empty() => why,
                due => {
                    rules.extend(due.err());
                    decision.keep.push((folder, rules));
                    continue;
                }
            };
            decision.remove.push((folder, why));
        }
        decision
    }

    /// Whether a backup's time has come.
    fn due(&self, folder: &Folder) -> Result<Why, Rule> {
        match (self.older_than, folder.expires_at()) {
            (Some(age), _) if folder.id.created_at() < self.now - age => Ok(Why::OlderThanDays),
            (Some(_), _) => Err(Rule::Younger),
            (None, Some(expires_at)) if expires_at <= self.now => Ok(Why::Expired),
            (None, Some(_)) => Err(Rule::NotExpired),
            (None, None) => Err(Rule::ExpiryUnknown),
        }
    }

    /// What keeps a whole backup even where its time has come.
    fn protections(&self, folder: &Folder, folders: &[Folder]) -> Vec<Rule> {
        let mut rules = Vec::new();
        let kind = folder.id.backup_type();
        let newest_of_type = newest(folders, |other| other.id.backup_type() == kind);
        if newest_of_type.is_some_and(|newest| newest.id == folder.id) {
            rules.push(Rule::NewestOfItsType);
        }
        let is_base = kind == BASE_TYPE && !folder.is_partial();
        let window_begin = self.now - self.point_in_time_window;
        if is_base && (folder.id.created_at() >= window_begin || is_base_of(folder, window_begin, folders)) {
            rules.push(Rule::PointInTimeWindow);
        }
        for point in &self.recovery_points {
            let pinned = point.backup_id == folder.id.as_str();
            if pinned || is_base && is_base_of(folder, point.at, folders) {
                rules.push(Rule::RecoveryPoint { name: point.name.clone() });
            }
        }
        rules
    }

    fn is_leftover(&self, folder: &Folder) -> bool {
        let touched_at =
            folder.modified_at.map_or(folder.id.created_at(), |at| at.max(folder.id.created_at()));
        touched_at < self.now - LEFTOVER_AGE_MIN
    }

    /// Why the present can't be what this says: then nothing is known about any age.
    pub fn clock_fault(&self, folders: &[Folder], database_now: Option<OffsetDateTime>) -> Option<String> {
        let newest = folders.iter().max_by_key(|folder| folder.id.created_at());
        if let Some(newest) = newest.filter(|newest| newest.id.created_at() > self.now + CLOCKS_APART_MAX) {
            return Some(format!("backup {} was begun after the present {}", newest.id, self.now));
        }
        let stored = folders.iter().filter_map(|folder| folder.modified_at).max();
        if let Some(stored) = stored.filter(|stored| *stored > self.now + CLOCKS_APART_MAX) {
            return Some(format!("the bucket's newest object was stored at {stored}, after {}", self.now));
        }
        let database_now = database_now?;
        ((database_now - self.now).abs() > CLOCKS_APART_MAX)
            .then(|| format!("the database has {database_now}, this machine {}", self.now))
    }
}

impl Decision {
    /// When the oldest backup began that an instant of the window, or a recovery point, is restored from.
    pub fn oldest_base(&self) -> Option<OffsetDateTime> {
        let is_base = |rule: &Rule| matches!(rule, Rule::PointInTimeWindow | Rule::RecoveryPoint { .. });
        let bases = self.keep.iter().filter(|(_, rules)| rules.iter().any(is_base));
        bases.map(|(folder, _)| folder.id.created_at()).min()
    }

    /// Why this looks like a mistake: no full backup would stand, or most of what stands would go.
    pub fn implausible(&self, more_than_half: bool) -> Option<String> {
        let going = self.remove.iter().filter(|(_, why)| *why != Why::NoManifest).count();
        let standing = going + self.keep.len();
        if going > 0
            && !self
                .keep
                .iter()
                .any(|(folder, _)| folder.id.backup_type() == BASE_TYPE && !folder.is_partial())
        {
            return Some(
                "no full backup would be left; take one first: backup {\"backup_type\":\"full\"}".to_owned(),
            );
        }
        (going * 2 > standing && !more_than_half).then(|| {
            format!(
                "{going} of {standing} backups would go, which is more than half; look at the list with \"dry_run\": true, \
                 and where it is right add \"more_than_half\": true"
            )
        })
    }
}

/// The newest whole backup that `matches`; one of a window is none.
fn newest(folders: &[Folder], matches: impl Fn(&Folder) -> bool) -> Option<&Folder> {
    folders
        .iter()
        .filter(|folder| folder.sealed && !folder.is_partial() && matches(folder))
        .max_by_key(|folder| &folder.id)
}

/// Whether the state at `at` may have to be restored from this backup.
fn is_base_of(folder: &Folder, at: OffsetDateTime, folders: &[Folder]) -> bool {
    [at, at - SNAPSHOT_WITHIN].into_iter().any(|latest| {
        let base =
            newest(folders, |other| other.id.backup_type() == BASE_TYPE && other.id.created_at() <= latest);
        base.is_some_and(|base| base.id == folder.id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::names::BackupId;
    use crate::archive::summary::Summary;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 05:10 UTC);

    fn rules() -> Rules {
        Rules {
            now: NOW,
            older_than: None,
            point_in_time_window: Duration::days(35),
            recovery_points: Vec::new(),
        }
    }

    /// A whole backup that is `days` old and is kept for `kept` days.
    fn backup(kind: &str, days: i64, kept: i64) -> Folder {
        let created_at = NOW - Duration::days(days);
        let mut folder = Folder::new(BackupId::new(created_at, kind, u32::try_from(days).expect("small")));
        folder.sealed = true;
        folder.modified_at = Some(created_at);
        folder.summary = Some(Summary {
            rows: 1,
            expires_at: created_at + Duration::days(kept),
            partial: false,
            label: None,
        });
        folder
    }

    fn unfinished(hours: i64, touched: i64) -> Folder {
        let mut folder = Folder::new(BackupId::new(NOW - Duration::hours(hours), "full", 1));
        folder.modified_at = Some(NOW - Duration::hours(touched));
        folder
    }

    fn decide(rules: &Rules, mut folders: Vec<Folder>) -> Decision {
        folders.sort_by(|one, other| one.id.cmp(&other.id));
        rules.decide(folders)
    }

    fn days_of<'f>(folders: impl Iterator<Item = &'f Folder>) -> Vec<i64> {
        folders.map(|folder| (NOW - folder.id.created_at()).whole_days()).collect()
    }

    fn removed(decision: &Decision) -> Vec<i64> {
        days_of(decision.remove.iter().map(|(folder, _)| folder))
    }

    #[test]
    fn what_has_expired_goes_and_the_window_stays() {
        let fulls = (0..200).step_by(5).map(|days| backup("full", days, 10)).collect();
        let decision = decide(&rules(), fulls);
        // 35 is in the window; an instant of its first minutes needs 40.
        assert_eq!(removed(&decision), (9..40).rev().map(|fifth| fifth * 5).collect::<Vec<i64>>());
        let (base, why) = &decision.keep[0];
        assert_eq!(
            (days_of([base].into_iter()), why.as_slice()),
            (vec![40], [Rule::PointInTimeWindow].as_slice())
        );
    }

    #[test]
    fn the_newest_of_each_type_stays_however_old() {
        let folders = vec![
            backup("full", 400, 90),
            backup("full", 300, 90),
            backup("payments", 200, 7),
            backup("payments", 199, 7),
        ];
        let decision = decide(&rules(), folders);
        assert_eq!(removed(&decision), [400, 200]);
        assert!(decision.keep.iter().all(|(_, rules)| rules.contains(&Rule::NewestOfItsType)));
    }

    #[test]
    fn a_newer_full_backup_that_is_not_whole_does_not_count() {
        let mut broken = backup("full", 100, 90);
        broken.sealed = false;
        let decision = decide(&rules(), vec![backup("full", 400, 90), backup("full", 300, 90), broken]);
        assert_eq!(removed(&decision), [400, 100]);
    }

    #[test]
    fn a_newer_backup_of_a_window_does_not_count() {
        let mut window = backup("full", 100, 90);
        window.summary = window.summary.map(|summary| Summary { partial: true, ..summary });
        let decision = decide(&rules(), vec![backup("full", 400, 90), backup("full", 300, 90), window]);
        assert_eq!(removed(&decision), [400, 100]);
    }

    #[test]
    fn a_recovery_point_keeps_what_it_needs() {
        let mut rules = rules();
        let folders: Vec<Folder> = [100, 200, 300, 400].map(|days| backup("full", days, 90)).into();
        let pinned = folders[3].id.to_string();
        let at = folders[1].id.created_at() + Duration::days(50);
        rules.recovery_points.push(RecoveryPoint { name: "audit".to_owned(), at, backup_id: pinned });
        let decision = decide(&rules, folders);
        assert_eq!(removed(&decision), [300]);
        // Just after a backup began it may not yet have had its snapshot.
        let folders: Vec<Folder> = [100, 200, 300, 400].map(|days| backup("full", days, 90)).into();
        let at = folders[1].id.created_at() + Duration::minutes(1);
        rules.recovery_points =
            vec![RecoveryPoint { name: "audit".to_owned(), at, backup_id: String::new() }];
        assert_eq!(removed(&decide(&rules, folders)), [400]);
    }

    #[test]
    fn age_takes_the_place_of_expiry_and_not_of_protection() {
        let mut rules = rules();
        rules.older_than = Some(Duration::days(60));
        let decision = decide(&rules, [1, 20, 50, 70, 90].map(|days| backup("full", days, 1000)).into());
        assert_eq!(removed(&decision), [90, 70]);
        assert!(decision.remove.iter().all(|(_, why)| *why == Why::OlderThanDays));
        rules.older_than = Some(Duration::days(1));
        let decision = decide(&rules, [1, 20, 50, 70, 90].map(|days| backup("full", days, 1000)).into());
        assert_eq!(removed(&decision), [90, 70]);
    }

    #[test]
    fn leftovers_wait_until_nobody_can_write_them() {
        let decision = decide(&rules(), vec![unfinished(48, 30), unfinished(47, 2), unfinished(3, 3)]);
        assert_eq!(decision.remove.iter().map(|(_, why)| *why).collect::<Vec<_>>(), [Why::NoManifest]);
        assert_eq!(decision.wait.len(), 2);
        assert_eq!(decision.implausible(false), None);
    }

    #[test]
    fn a_backup_without_a_known_expiry_stays() {
        let mut odd = backup("orders", 900, 1);
        odd.summary = None;
        let decision = decide(&rules(), vec![odd, backup("orders", 1, 30)]);
        assert_eq!(decision.keep[0].1, [Rule::ExpiryUnknown]);
    }

    #[test]
    fn what_looks_like_a_mistake_is_named() {
        let fulls = |newest: &[i64]| newest.iter().map(|days| backup("full", *days, 10)).collect::<Vec<_>>();
        let most = decide(&rules(), fulls(&[1, 50, 60, 70, 80, 90]));
        assert_eq!(removed(&most), [90, 80, 70, 60]);
        assert!(most.implausible(false).expect("most of it").starts_with("4 of 6 backups"));
        assert_eq!(most.implausible(true), None);
        assert_eq!(decide(&rules(), fulls(&[1, 10, 20, 50, 60, 70])).implausible(false), None);
        let no_full = vec![backup("payments", 20, 7), backup("payments", 1, 7)];
        assert!(decide(&rules(), no_full).implausible(true).expect("no full").contains("no full backup"));
    }

    #[test]
    fn a_clock_that_others_contradict_is_a_fault() {
        let fine = vec![backup("full", 1, 90)];
        assert_eq!(rules().clock_fault(&fine, Some(NOW + Duration::minutes(1))), None);
        assert_eq!(rules().clock_fault(&[], None), None);
        assert!(rules().clock_fault(&fine, Some(NOW - Duration::days(9))).is_some());
        let mut past = rules();
        past.now = NOW - Duration::days(2);
        assert!(past.clock_fault(&fine, None).expect("a fault").contains("after the present"));
        let mut stored_later = backup("full", 10, 90);
        stored_later.modified_at = Some(NOW);
        assert!(past.clock_fault(&[stored_later], None).expect("a fault").contains("newest object"));
    }
}
