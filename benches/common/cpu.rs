//! CPU time of processes, from `/proc`. Unlike seconds on the clock, it hardly depends on what else the machine does.
//! Elsewhere than on Linux there is none, and it is printed as a dash.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Linux counts in hundredths of a second on every architecture that PostgreSQL runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Between two readings.
const EVERY: Duration = Duration::from_millis(50);

/// Returns the time as seconds since 1970; the server of a bench has the same clock.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What `/proc` says of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    /// Whether it has ended, and nobody has asked how.
    pub(crate) zombie: bool,
    parent: u32,
    /// Seconds of its own.
    pub(crate) own: f64,
    /// Seconds of those of its children that have ended and that it has waited for.
    children: f64,
}

impl Process {
    /// Returns the process with this number, if there is one.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let seconds = |field: usize| Some(f64::from(fields.get(field)?.parse::<u32>().ok()?) / TICKS_PER_SECOND);
        Some(Self {
            zombie: *fields.first()? == "Z",
            parent: fields.get(1)?.parse().ok()?,
            own: seconds(11)? + seconds(12)?,
            children: seconds(13)? + seconds(14)?,
        })
    }
}

/// Returns the highest resident memory that the process ever had, in megabytes, while it lives.
pub(crate) fn peak_memory(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(f64::from(line.split_whitespace().next()?.parse::<u32>().ok()?) * 1024.0 / 1e6)
}

/// Returns the seconds of the server with this postmaster, of all its processes that are and that were.
fn of_server(postmaster: u32) -> Option<f64> {
    let main = Process::read(postmaster)?;
    let live: f64 = children(postmaster).into_iter().filter_map(Process::read).map(|child| child.own).sum();
    Some(main.own + main.children + live)
}

fn children(parent: u32) -> Vec<u32> {
    if let Ok(list) = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        return list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    }
    // A kernel without that list.
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| Process::read(*pid).is_some_and(|process| process.parent == parent)).collect()
}

/// Reads a server's CPU time again and again until it is dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    readings: Arc<Mutex<Vec<(f64, f64)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins.
    pub(crate) fn start(postmaster: u32) -> Self {
        let readings = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (into, stopped) = (Arc::clone(&readings), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(seconds) = of_server(postmaster) {
                    into.lock().unwrap_or_else(PoisonError::into_inner).push((now(), seconds));
                }
                thread::sleep(EVERY);
            }
        });
        Self { readings, stop, thread: Some(thread) }
    }

    /// Returns the CPU seconds between two times, which must lie some readings in the past.
    pub(crate) fn between(&self, from: f64, to: f64) -> f64 {
        let readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        at(&readings, to) - at(&readings, from)
    }
}

/// Between two readings, the time in proportion.
fn at(readings: &[(f64, f64)], time: f64) -> f64 {
    let next = readings.partition_point(|(at, _)| *at < time);
    match (next.checked_sub(1).and_then(|before| readings.get(before)), readings.get(next)) {
        (Some((t0, c0)), Some((t1, c1))) => c0 + (c1 - c0) * (time - t0) / (t1 - t0).max(1e-9),
        (Some((_, cpu)), None) | (None, Some((_, cpu))) => *cpu,
        (None, None) => f64::NAN,
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
