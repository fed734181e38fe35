//! How much is done for a figure.

/// Runs and sizes.
#[derive(Debug, Clone)]
pub struct Effort {
    /// Runs that a figure is the median of.
    pub runs: usize,
    /// Length of a run in seconds.
    pub run_seconds: u64,
    /// Starts of each function for the cold start.
    pub starts: usize,
    /// After so many events memory is looked at.
    pub memory_events: usize,
    /// Inbox rows of the growth figure.
    pub growth_rows: u64,
    /// Size of the database that is backed up, in MB of 10^6 bytes.
    pub database_megabytes: u64,
    /// Objects that are compared with their rows.
    pub objects: u64,
    /// And so many times as many, to see whether memory grows.
    pub objects_factor: u64,
}

impl Effort {
    /// For figures that may be shown.
    pub fn full() -> Effort {
        Effort {
            runs: 5,
            run_seconds: 4,
            starts: 25,
            memory_events: 10_000,
            growth_rows: 1_000_000,
            database_megabytes: 1_000,
            objects: 100_000,
            objects_factor: 10,
        }
    }

    /// To see that everything runs: the figures mean nothing.
    pub fn quick() -> Effort {
        Effort {
            runs: 1,
            run_seconds: 1,
            starts: 2,
            memory_events: 0,
            growth_rows: 20_000,
            database_megabytes: 20,
            objects: 6_000,
            objects_factor: 2,
        }
    }
}
