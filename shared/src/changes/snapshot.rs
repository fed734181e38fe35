//! `pg_snapshot`: which transactions an instant sees (PostgreSQL documentation, "Transaction ID and Snapshot
//! Information Functions").

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// `xmin:xmax:xip_list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionSnapshot {
    xmin: u64,
    xmax: u64,
    in_progress: BTreeSet<u64>,
}

impl TransactionSnapshot {
    /// Whether it sees what transaction `xid` did, given that this has committed.
    pub fn sees(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && !self.in_progress.contains(&xid))
    }

    /// The oldest transaction that was in progress.
    pub fn oldest_in_progress(&self) -> u64 {
        self.xmin
    }

    /// The id whose low 32 bits the catalog has in `xmin`, for a transaction that had begun by this snapshot.
    pub fn whole_id(&self, low: i64) -> u64 {
        let low = low.cast_unsigned() & u64::from(u32::MAX);
        let epoch = self.xmax >> 32;
        let same = (epoch << 32) | low;
        match same <= self.xmax {
            true => same,
            false => (epoch.saturating_sub(1) << 32) | low,
        }
    }

    /// Whether it sees every transaction that `other` sees.
    pub fn sees_all_of(&self, other: &Self) -> bool {
        self.xmax >= other.xmax
            && self.in_progress.range(..other.xmax).all(|xid| other.in_progress.contains(xid))
    }
}

impl FromStr for TransactionSnapshot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not a snapshot; it looks like 10:20:10,14,15");
        let mut fields = text.splitn(3, ':');
        let mut number = || fields.next()?.parse::<u64>().ok();
        let (Some(xmin), Some(xmax)) = (number(), number()) else { return Err(invalid()) };
        let list = fields.next().ok_or_else(invalid)?;
        let in_progress: BTreeSet<u64> = match list {
            "" => BTreeSet::new(),
            list => list.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| invalid())?,
        };
        let coherent = xmin <= xmax && in_progress.iter().all(|xid| (xmin..xmax).contains(xid));
        if coherent { Ok(Self { xmin, xmax, in_progress }) } else { Err(invalid()) }
    }
}

impl fmt::Display for TransactionSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (index, xid) in self.in_progress.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{xid}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> TransactionSnapshot {
        text.parse().expect("a snapshot")
    }

    #[test]
    fn what_it_sees_is_what_postgres_says() {
        let seen = snapshot("10:20:10,14,15");
        let visible: Vec<u64> = (8..23).filter(|xid| seen.sees(*xid)).collect();
        assert_eq!(visible, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
        assert_eq!(seen.to_string(), "10:20:10,14,15");
        assert_eq!(snapshot("7:7:").to_string(), "7:7:");
        for text in ["", "1", "1:2", "2:1:", "1:2:x", "5:9:4", "5:9:9", "-1:2:"] {
            assert!(text.parse::<TransactionSnapshot>().is_err(), "{text}");
        }
    }

    #[test]
    fn half_an_id_becomes_whole() {
        let late = snapshot("8589934600:8589934610:8589934600");
        assert_eq!(late.whole_id(5), 8_589_934_597);
        assert_eq!(late.whole_id(4_000_000_000), 4_294_967_296 + 4_000_000_000);
        assert_eq!(snapshot("7:20:7").whole_id(13), 13);
    }

    #[test]
    fn a_later_snapshot_sees_all_of_an_earlier_one() {
        let texts = ["7:7:", "10:20:10,14,15", "14:20:14,15", "14:25:14,20", "25:25:", "15:25:15"];
        for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |other| (one, other))) {
            let (one, other) = (snapshot(one), snapshot(other));
            let all = (1..40).all(|xid| one.sees(xid) || !other.sees(xid));
            assert_eq!(one.sees_all_of(&other), all, "{one} {other}");
        }
    }
}
