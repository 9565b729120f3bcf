//! What the control loop tells the workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::method::Method;
use crate::plan::settings::Setting;
use crate::plan::{LongTransactions, Plan};
use crate::run::HeldBy;
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
    /// Of all tables together.
    pub(super) workers: u16,
    /// Processes that fill this run's rows, this one included.
    pub(super) processes: u16,
    /// In place of what would be chosen from facts: sub-passes, and the pages of a window.
    pub(super) set: (Option<u32>, Option<u32>),
    pub(super) long_transactions: LongTransactions,
}

impl Orders {
    /// Returns `chosen` with what a person has set.
    pub(super) fn method(&self, chosen: Method) -> Method {
        chosen.with(self.set.0, self.set.1)
    }

    /// Returns whether a batch may begin.
    pub(super) fn may_run(&self) -> bool {
        !self.paused && !matches!(self.pace, Pace::Hold { .. }) && self.at.elapsed() < STALE
    }

    /// Returns why no batch may begin.
    pub(super) fn held_by(&self) -> Option<HeldBy> {
        if self.paused { Some(HeldBy::Paused) } else { self.pace.held_by().map(HeldBy::Signal) }
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
        let (mut settings, mut paused, mut unreadable) = (plan.settings(), false, Vec::new());
        for (key, value) in live {
            let understood = match key.as_str() {
                "paused" => value.parse().map(|set| paused = set).is_ok(),
                // A setting of a later version.
                key if Setting::named(key).is_none() => true,
                key => settings.tune(key, value).is_ok(),
            };
            if !understood {
                unreadable.push(format!("{key}={value}"));
            }
        }
        let limit = |signal: Signal| match signal {
            // It is there, or it is not.
            Signal::Wraparound => Some(0.0),
            _ => settings.limit(signal.name()),
        };
        let limits = Signal::ALL.into_iter().filter_map(|signal| Some((signal, limit(signal)?)));
        let limits = Limits(limits.collect());
        let backfill = settings.backfill;
        let settings = Self {
            paused,
            rows_per_second: backfill.max_rows_per_second,
            batch_target: backfill.batch_target.clamp(Duration::from_millis(1), Duration::from_secs(10)),
            workers: backfill.workers.max(1),
            long_transactions: backfill.long_transactions,
            sub_passes: settings.sub_passes,
            window_pages: settings.window_pages,
            limits,
        };
        (settings, unreadable)
    }

    /// Returns the orders at this time.
    pub(super) fn orders(
        &self,
        at: Instant,
        pace: Pace,
        rate: Option<Arc<RowRate>>,
        batch_target: Duration,
        processes: u16,
    ) -> Orders {
        let &Self { paused, workers, long_transactions, sub_passes, window_pages, .. } = self;
        let set = (sub_passes, window_pages);
        Orders { at, paused, pace, rate, batch_target, workers, processes, set, long_transactions }
    }

    /// Returns the settings of one of this many processes: they share what is allowed to the run as a whole.
    pub(super) fn shared_by(self, processes: u16) -> Self {
        let share = |rows: u32| (rows / u32::from(processes.max(1))).max(1);
        Self { rows_per_second: self.rows_per_second.map(share), ..self }
    }
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
}
