//! What Linux tells about processes, and the time that all processes of a machine share.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `/proc/*/stat` counts in hundredths of a second on every Linux that there is (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The most memory that this process has had in use, in KiB (`VmHWM`).
pub(crate) fn peak_memory_kib() -> u64 {
    peak_memory_in("/proc/self/status")
}

/// The same of another process.
pub(crate) fn peak_memory_kib_of(process: u32) -> u64 {
    peak_memory_in(&format!("/proc/{process}/status"))
}

fn peak_memory_in(path: &str) -> u64 {
    let status = fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}

/// The processor time that this process has used, in seconds.
pub(crate) fn cpu_own() -> f64 {
    stat("/proc/self/stat").map_or(0.0, |(_, cpu)| cpu)
}

/// The processor time that this thread has used, in nanoseconds; unlike a clock it does not go on while others run.
pub(crate) fn cpu_of_thread() -> u64 {
    run_time(Path::new("/proc/thread-self/schedstat")).unwrap_or(0)
}

/// The processor time that each thread of a process has used: as exact as the scheduler is, where that of the process is counted
/// in hundredths of a second.
pub(crate) struct ThreadTimes(HashMap<OsString, u64>);

impl ThreadTimes {
    /// Those of the threads that there are now.
    pub(crate) fn of(process: u32) -> Self {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        Self(
            threads
                .filter_map(|thread| Some((thread.file_name(), run_time(&thread.path().join("schedstat"))?)))
                .collect(),
        )
    }

    /// What they have used since `before`, in seconds. What a thread used that has ended meanwhile is left out: threads of a
    /// runtime end when they have not been used for long.
    pub(crate) fn since(&self, before: &Self) -> f64 {
        let nanos = self.0.iter().map(|(thread, now)| now.saturating_sub(before.0.get(thread).copied().unwrap_or(0)));
        Duration::from_nanos(nanos.sum()).as_secs_f64()
    }
}

fn run_time(schedstat: &Path) -> Option<u64> {
    fs::read_to_string(schedstat).ok()?.split_whitespace().next()?.parse().ok()
}

/// The processor time that a process has used, in seconds.
pub(crate) fn cpu_of(process: u32) -> f64 {
    stat(&format!("/proc/{process}/stat")).map_or(0.0, |(_, cpu)| cpu)
}

/// The same for a process and those of its children that run.
pub(crate) fn cpu_of_tree(root: u32) -> f64 {
    let mut sum = cpu_of(root);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path().join("stat");
        if let Some((parent, cpu)) = path.to_str().and_then(stat)
            && parent == root
        {
            sum += cpu;
        }
    }
    sum
}

/// Parent and processor time out of a `stat` file. The name of the program, in brackets, may hold anything.
fn stat(path: &str) -> Option<(u32, f64)> {
    let text = fs::read_to_string(path).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((fields.get(1)?.parse().ok()?, ticks / TICKS_PER_SECOND))
}

/// Nanoseconds since 1970, which processes on one machine agree about.
#[allow(clippy::disallowed_methods, reason = "the product's clock is one side's own; this one belongs to both")]
pub(crate) fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
