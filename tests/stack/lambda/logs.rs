//! What instances write to standard output and standard error.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::iam::Evidence;

/// Lines kept per function.
const LINES_MAX: usize = 20_000;

/// One line of a function's log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Process id of the instance that wrote it.
    pub pid: u32,
    /// When the stack read it.
    pub at: OffsetDateTime,
    /// The line, without its end.
    pub text: String,
}

/// The lines of one function's instances.
#[derive(Debug)]
pub(super) struct Logs {
    kept: Mutex<Kept>,
    evidence: Evidence,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    /// Number of the first line in `lines`, counted from the start of the function.
    first: u64,
}

impl Logs {
    pub(super) fn new(evidence: Evidence) -> Logs {
        Logs { kept: Mutex::default(), evidence }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, pid: u32, text: String) {
        self.evidence.logged(&text);
        let mut kept = self.kept();
        if kept.lines.len() == LINES_MAX {
            kept.lines.pop_front();
            kept.first += 1;
        }
        kept.lines.push_back(LogLine { pid, at: OffsetDateTime::now_utc(), text });
    }

    /// Number that the next line will get.
    pub(super) fn position(&self) -> u64 {
        let kept = self.kept();
        kept.first + kept.lines.len() as u64
    }

    pub(super) fn all(&self) -> Vec<LogLine> {
        self.kept().lines.iter().cloned().collect()
    }

    /// The lines of one instance from a position on.
    pub(super) fn since(&self, position: u64, pid: u32) -> Vec<String> {
        let kept = self.kept();
        let skip = usize::try_from(position.saturating_sub(kept.first)).unwrap_or(usize::MAX);
        kept.lines.iter().skip(skip).filter(|line| line.pid == pid).map(|line| line.text.clone()).collect()
    }
}

/// Cuts bytes into lines; keeps the last, unfinished one.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    rest: Vec<u8>,
}

impl LineCutter {
    pub(super) fn cut(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        self.rest.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(length) = self.rest[start..].iter().position(|byte| *byte == b'\n') {
            line(String::from_utf8_lossy(&self.rest[start..start + length]).into_owned());
            start += length + 1;
        }
        self.rest.drain(..start);
    }

    /// The unfinished line at the end of the process.
    pub(super) fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }
}
