//! What the system knows of a process (`proc(5)`; Linux only).

use std::path::Path;
use std::time::Duration;

use crate::Result;

/// Length of a tick in `/proc/<pid>/stat`: USER_HZ, which is 100 on every Linux that Rust's std runs on.
const TICK: Duration = Duration::from_millis(10);

/// Processor time that a process has used, user and system.
pub fn cpu(pid: u32) -> Result<Duration> {
    let (user, system) = cpu_by_mode(pid)?;
    Ok(user + system)
}

/// The same: its own, and the kernel's for it.
pub fn cpu_by_mode(pid: u32) -> Result<(Duration, Duration)> {
    let fields = stat(pid)?;
    Ok((TICK * fields[11], TICK * fields[12]))
}

/// The same with that of its children that have ended.
pub fn cpu_with_ended(pid: u32) -> Result<Duration> {
    Ok(TICK * stat(pid)?[11..15].iter().sum::<u32>())
}

/// The process that began it.
pub fn parent(pid: u32) -> Result<u32> {
    Ok(stat(pid)?[1])
}

/// The processes that it began and that run.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|other| parent(*other).is_ok_and(|parent| parent == pid)).collect())
}

/// The fields of `/proc/<pid>/stat` from the state on; what is no number is 0.
fn stat(pid: u32) -> Result<Vec<u32>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces.
    let fields = stat.rsplit_once(')').ok_or("no name in /proc/<pid>/stat")?.1;
    Ok(fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// Resident memory in MB: now, and at its peak.
pub fn memory_mb(pid: u32) -> Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    Ok((kilobytes("VmRSS:") / 1024.0, kilobytes("VmHWM:") / 1024.0))
}

/// Size of a file in MB.
pub fn size_mb(path: &Path) -> Result<f64> {
    Ok(std::fs::metadata(path)?.len() as f64 / 1e6)
}

/// How busy the machine is: processes that run or wait, on average over the last minute, and processors.
pub fn load() -> (f64, usize) {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    (load, std::thread::available_parallelism().map_or(1, usize::from))
}
