//! What the control loop tells the workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::method::Method;
use crate::plan::{Bytes, LongTransactions, Plan};
use crate::throttle::{Limits, Pace, RowRate, Signal};

/// Orders older than this are ignored: the control loop has lost the server, and with it the signals.
const STALE: Duration = Duration::from_secs(5);

/// What the control loop tells the workers; a new one every 100 ms.
#[derive(Clone)]
pub(super) struct Orders {
    pub(super) at: Instant,
    pub(super) paused: bool,
    pub(super) pace: Pace,
    pub(super) rate: Option<Arc<RowRate>>,
    pub(super) batch_target: Duration,
    pub(super) workers: u16,
    /// Processes that fill this run's rows, this one included.
    pub(super) processes: u16,
    pub(super) method: Method,
    pub(super) long_transactions: LongTransactions,
}

impl Orders {
    /// Returns whether a batch may begin.
    pub(super) fn may_run(&self) -> bool {
        !self.paused && !matches!(self.pace, Pace::Hold { .. }) && self.at.elapsed() < STALE
    }

    /// Returns why no batch may begin, for people.
    pub(super) fn held_by(&self) -> Option<String> {
        match self.pace {
            _ if self.paused => Some("paused".to_owned()),
            Pace::Hold { .. } => self.pace.reason(),
            _ => None,
        }
    }
}

/// The settings that `tune` changes while a backfill runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) paused: bool,
    pub(super) rows_per_second: Option<u32>,
    pub(super) batch_target: Duration,
    pub(super) workers: u16,
    pub(super) long_transactions: LongTransactions,
    /// In place of what would be chosen from facts.
    pub(super) sub_passes: Option<u32>,
    /// In place of what would be chosen from facts.
    pub(super) window_pages: Option<u32>,
    pub(super) limits: Limits,
}

impl Settings {
    /// Returns the plan's settings, overridden by the live ones. An invalid live setting is named in the second part and
    /// leaves the plan's setting unchanged.
    pub(super) fn new(plan: &Plan, live: &[(String, String)]) -> (Self, Vec<String>) {
        let mut settings = Self {
            paused: false,
            rows_per_second: plan.backfill.max_rows_per_second,
            batch_target: plan.backfill.batch_target,
            workers: plan.backfill.workers.max(1),
            long_transactions: plan.backfill.long_transactions,
            sub_passes: None,
            window_pages: None,
            limits: Limits::default(),
        };
        let mut limits = Signal::ALL.map(|signal| (signal, planned(plan, signal)));
        let mut unreadable = Vec::new();
        for (key, value) in live {
            let understood = match key.as_str() {
                "paused" => value.parse().map(|paused| settings.paused = paused).is_ok(),
                "max_rows_per_second" => {
                    optional(value, |v| v.parse().ok()).map(|v| settings.rows_per_second = v).is_ok()
                }
                "batch_target" => duration(value).map(|v| settings.batch_target = v).is_some(),
                "workers" => value.parse().map(|v: u16| settings.workers = v.max(1)).is_ok(),
                "long_transactions" => long_transactions(value).map(|v| settings.long_transactions = v).is_some(),
                "sub_passes" => automatic(value, sub_passes).map(|v| settings.sub_passes = v).is_ok(),
                "window_pages" => automatic(value, window_pages).map(|v| settings.window_pages = v).is_ok(),
                name => match limits.iter_mut().find(|(signal, _)| signal.name() == name) {
                    // Without a query there is nothing to limit.
                    Some((Signal::Probe, None)) | None => true,
                    Some((signal, set)) => limit(*signal, value).map(|limit| *set = limit).is_ok(),
                },
            };
            if !understood {
                unreadable.push(format!("{key}={value}"));
            }
        }
        settings.limits = Limits(limits.into_iter().filter_map(|(signal, limit)| Some((signal, limit?))).collect());
        settings.batch_target = settings.batch_target.clamp(Duration::from_millis(1), Duration::from_secs(10));
        (settings, unreadable)
    }

    /// Returns the settings of one of this many processes: they share what is allowed to the run as a whole.
    pub(super) fn shared_by(self, processes: u16) -> Self {
        let share = |rows: u32| (rows / u32::from(processes.max(1))).max(1);
        Self { rows_per_second: self.rows_per_second.map(share), ..self }
    }
}

/// The settings that can be changed while a backfill runs, and what each of them accepts.
const SETTINGS: [(&str, &str); 14] = [
    ("active_sessions", "a number, or off"),
    ("batch_target", "a duration, such as 100ms"),
    ("goal_latency", "a duration, such as 5ms, or off"),
    ("lock_wait", "a duration, such as 100ms, or off"),
    ("long_transactions", "go_on or wait"),
    ("max_rows_per_second", "a number, or off"),
    ("probe", "a number, or off"),
    ("replica_lag", "a duration, such as 10s, or off"),
    ("slot_retained_wal", "an amount of data, such as 10GB, or off"),
    ("sub_passes", "a number from 1 to 64, or auto"),
    ("wal_archive_backlog", "a number of segments, or off"),
    ("wal_rate", "an amount of data per second, such as 100MB, or off"),
    ("window_pages", "a number of pages from 1 to 65536, or auto"),
    ("workers", "a number from 1 to 64"),
];

/// Checks a live setting before it is stored.
///
/// # Errors
/// A sentence that names the setting which does not exist, or what it takes.
pub fn check_setting(key: &str, value: &str) -> Result<(), String> {
    let Some((_, takes)) = SETTINGS.iter().find(|(name, _)| *name == key) else {
        let names = SETTINGS.map(|(name, _)| name).join(", ");
        return Err(format!("there is no setting {key}; the settings are {names}"));
    };
    let understood = match key {
        "batch_target" => duration(value).is_some_and(|target| !target.is_zero()),
        "max_rows_per_second" => optional(value, |v| v.parse::<u32>().ok().filter(|rows| *rows > 0)).is_ok(),
        "workers" => value.parse::<u16>().is_ok_and(|workers| (1..=64).contains(&workers)),
        "long_transactions" => long_transactions(value).is_some(),
        "sub_passes" => automatic(value, sub_passes).is_ok(),
        "window_pages" => automatic(value, window_pages).is_ok(),
        signal => Signal::named(signal).is_some_and(|signal| limit(signal, value).is_ok()),
    };
    if understood { Ok(()) } else { Err(format!("{key} must be {takes}, not {value}")) }
}

/// A value was neither `none` nor `off` nor what it should be.
struct Unreadable;

fn optional<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Unreadable> {
    if matches!(text, "none" | "off" | "") { Ok(None) } else { parse(text).map(Some).ok_or(Unreadable) }
}

/// The same for what is chosen from facts unless it is given.
fn automatic<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Unreadable> {
    if text == "auto" { Ok(None) } else { parse(text).map(Some).ok_or(Unreadable) }
}

fn long_transactions(text: &str) -> Option<LongTransactions> {
    match text {
        "go_on" => Some(LongTransactions::GoOn),
        "wait" => Some(LongTransactions::Wait),
        _ => None,
    }
}

/// Returns the plan's limit of a signal.
fn planned(plan: &Plan, signal: Signal) -> Option<f64> {
    let throttle = &plan.throttle;
    match signal {
        // It is there, or it is not.
        Signal::Wraparound => Some(0.0),
        Signal::ReplicaLag => throttle.replica_lag.map(|lag| lag.as_secs_f64()),
        Signal::LockWait => throttle.lock_wait.map(|wait| wait.as_secs_f64()),
        Signal::SlotRetainedWal => throttle.slot_retained_wal.map(float),
        Signal::WalArchiveBacklog => throttle.wal_archive_backlog.map(f64::from),
        Signal::ActiveSessions => throttle.active_sessions.map(f64::from),
        Signal::WalRate => throttle.wal_rate.map(float),
        Signal::Probe => throttle.probe.as_ref().map(|probe| probe.limit),
        Signal::GoalLatency => plan.backfill.goal_latency.map(|goal| goal.as_secs_f64()),
    }
}

/// Reads the limit of a signal, as plans write it.
fn limit(signal: Signal, text: &str) -> Result<Option<f64>, Unreadable> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0).map(f64::from);
    let amount = |text: &str| text.parse::<Bytes>().ok().filter(|bytes| bytes.0 > 0).map(float);
    let time = |text: &str| duration(text).filter(|time| !time.is_zero()).map(|time| time.as_secs_f64());
    optional(text, |text| match signal {
        Signal::Wraparound => None,
        Signal::ReplicaLag | Signal::LockWait | Signal::GoalLatency => time(text),
        Signal::SlotRetainedWal | Signal::WalRate => amount(text),
        Signal::WalArchiveBacklog | Signal::ActiveSessions => number(text),
        Signal::Probe => text.parse().ok().filter(|number: &f64| number.is_finite()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a limit")]
fn float(bytes: Bytes) -> f64 {
    bytes.0 as f64
}

fn sub_passes(text: &str) -> Option<u32> {
    text.parse().ok().filter(|k: &u32| (1..=64).contains(k))
}

fn window_pages(text: &str) -> Option<u32> {
    text.parse().ok().filter(|pages| (1..=65_536).contains(pages))
}

fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(more: &str) -> Plan {
        let text =
            format!("version: 1\nname: p\ntable: t\nchanges: [{{ rename_column: {{ from: a, to: b }} }}]\n{more}");
        crate::plan::parse("plan", &text).unwrap()
    }

    #[test]
    fn live_limits_win_over_the_plans() {
        let live =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let (settings, _) = Settings::new(&plan(""), &[]);
        let on: Vec<_> = settings.limits.0.iter().map(|(signal, _)| signal.name()).collect();
        assert_eq!(on, ["wraparound", "replica_lag", "slot_retained_wal", "wal_archive_backlog", "lock_wait"]);
        let all_off = live(&[
            ("goal_latency", "off"),
            ("lock_wait", "off"),
            ("probe", "off"),
            ("replica_lag", "off"),
            ("slot_retained_wal", "off"),
            ("wal_archive_backlog", "off"),
            ("wal_rate", "off"),
        ]);
        let everything = plan(
            "backfill: { goal_latency: 5ms }\nthrottle: { active_sessions: 3, wal_rate: 1MB, probe: { sql: SELECT 1, limit: 2 } }",
        );
        assert_eq!(Settings::new(&everything, &[]).0.limits.0.len(), Signal::ALL.len());
        let (settings, unreadable) = Settings::new(&everything, &all_off);
        assert_eq!(
            (settings.limits.0.as_slice(), unreadable.len()),
            (&[(Signal::Wraparound, 0.0), (Signal::ActiveSessions, 3.0)][..], 0)
        );
        let tuned = live(&[("probe", "7"), ("replica_lag", "soon"), ("slot_retained_wal", "1GB"), ("wal_rate", "2MB")]);
        let (settings, unreadable) = Settings::new(&everything, &tuned);
        let limit = |signal| settings.limits.get(signal);
        assert_eq!((limit(Signal::Probe), limit(Signal::WalRate)), (Some(7.0), Some(2_097_152.0)));
        assert_eq!((limit(Signal::ReplicaLag), unreadable), (Some(10.0), vec!["replica_lag=soon".to_owned()]));
        // A limit without a query.
        assert_eq!(Settings::new(&plan(""), &tuned).0.limits.get(Signal::Probe), None);
    }

    #[test]
    fn settings_are_checked_by_name_and_value() {
        for (key, value) in [
            ("batch_target", "50ms"),
            ("max_rows_per_second", "off"),
            ("max_rows_per_second", "5000"),
            ("replica_lag", "1m"),
            ("lock_wait", "none"),
            ("workers", "2"),
            ("sub_passes", "16"),
            ("sub_passes", "auto"),
            ("long_transactions", "wait"),
            ("window_pages", "512"),
            ("slot_retained_wal", "20GB"),
            ("wal_archive_backlog", "off"),
            ("active_sessions", "8"),
            ("wal_rate", "50MB"),
            ("probe", "-1.5"),
            ("goal_latency", "5ms"),
        ] {
            assert_eq!(check_setting(key, value), Ok(()));
        }
        for (key, value) in [
            ("batch_target", "off"),
            ("batch_target", "0s"),
            ("max_rows_per_second", "-1"),
            ("replica_lag", "ten"),
            ("workers", "0"),
            ("sub_passes", "0"),
            ("window_pages", "off"),
            ("worker", "1"),
            ("replica_lag", "0s"),
            ("slot_retained_wal", "20"),
            ("active_sessions", "1.5"),
            ("wraparound", "off"),
            ("paused", "true"),
        ] {
            assert!(check_setting(key, value).is_err(), "{key}={value}");
        }
        assert!(SETTINGS.is_sorted());
        assert_eq!(check_setting("workers", "0").unwrap_err(), "workers must be a number from 1 to 64, not 0");
    }
}
