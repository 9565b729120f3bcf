//! Runs in Prometheus' text format. Renders values of [`Metrics`] and computes none.
//!
//! Every series has the label `database`, and every one of a run the label `run`, `NAME@NUMBER`. Other labels have words of a list
//! that is known beforehand, or names from the plan. Series that say what a run waits for are there until it has ended.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::phase::Phase;
use crate::run::{Cause, Signal, Standing};
use crate::view::{Metrics, RunView};

/// Returns all metrics: each with its HELP and TYPE, and then its series.
pub(crate) fn metrics(metrics: &Metrics) -> String {
    let mut text = String::new();
    let mut page = Page { text: &mut text, database: &metrics.database };
    page.family("build_info", Kind::Gauge, "The version of crossfade that read this; always 1.");
    page.series("build_info", None, &[("version", metrics.version)], 1.0);
    page.family("metrics_timestamp_seconds", Kind::Gauge, "When this was read, by the database server's clock.");
    page.series("metrics_timestamp_seconds", None, &[], seconds(metrics.at));
    page.family("ended_runs_total", Kind::Counter, "Runs that have ended, by how they ended.");
    for (state, count) in [(Standing::Done, metrics.done), (Standing::RolledBack, metrics.rolled_back)] {
        page.series("ended_runs_total", None, &[("state", state.as_str())], number(count));
    }
    let runs: Vec<_> = metrics.runs.iter().map(|run| (run.numbers.run(), run)).collect();
    for family in FAMILIES {
        let Family { name, kind, help, of } = family;
        let samples: Vec<_> = runs.iter().flat_map(|(run, view)| of(view).into_iter().map(move |s| (run, s))).collect();
        if !samples.is_empty() {
            page.family(name, *kind, help);
        }
        for (run, Sample { labels, value }) in samples {
            page.series(name, Some(run), &labels, value);
        }
    }
    text
}

/// What a metric is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

struct Page<'p> {
    text: &'p mut String,
    database: &'p str,
}

impl Page<'_> {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(self.text, "# HELP crossfade_{name} {help}\n# TYPE crossfade_{name} {kind}");
    }

    fn series(&mut self, name: &str, run: Option<&str>, labels: &[(&str, &str)], value: f64) {
        let all =
            [("database", self.database)].into_iter().chain(run.map(|run| ("run", run))).chain(labels.iter().copied());
        let all: Vec<_> = all.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let _ = writeln!(self.text, "crossfade_{name}{{{}}} {value}", all.join(","));
    }
}

/// Returns the value of a label as the format has it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A value of a metric, with the labels that it has besides the run's.
struct Sample<'r> {
    labels: Vec<(&'static str, &'r str)>,
    value: f64,
}

/// A metric of each run.
struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    of: for<'r> fn(&'r RunView) -> Vec<Sample<'r>>,
}

const fn counter(name: &'static str, help: &'static str, of: for<'r> fn(&'r RunView) -> Vec<Sample<'r>>) -> Family {
    Family { name, kind: Kind::Counter, help, of }
}

const fn gauge(name: &'static str, help: &'static str, of: for<'r> fn(&'r RunView) -> Vec<Sample<'r>>) -> Family {
    Family { name, kind: Kind::Gauge, help, of }
}

/// Every metric of a run, in the order in which they are printed.
const FAMILIES: &[Family] = &[
    gauge("run_info", "The plan and the table of a run; always 1.", |run| {
        labelled([(vec![("plan", run.numbers.plan.as_str()), ("table", run.numbers.table.as_str())], 1.0)])
    }),
    gauge("run_state", "1 for the state that the run is in, 0 for the others.", |run| {
        each("state", Standing::ALL.map(|state| (state.as_str(), truth(run.state == state))))
    }),
    gauge("run_phase", "1 for the phase that the run is in, or was in last, 0 for the others.", |run| {
        each("phase", Phase::ALL.map(|phase| (phase.as_str(), truth(run.phase == phase))))
    }),
    gauge("run_created_timestamp_seconds", "When the run was registered.", |run| one(seconds(run.numbers.created_at))),
    gauge("run_ended_timestamp_seconds", "When the run ended.", |run| maybe(run.numbers.ended_at.map(seconds))),
    counter("log_entries_total", "Entries of the run's log.", |run| one(number(run.numbers.log_entries))),
    counter("step_failures_total", "Steps that ended with an error.", |run| one(number(run.numbers.step_failures))),
    counter("lock_waits_total", "Waits for a lock that were long enough to be noted.", |run| {
        one(number(run.numbers.lock_waits))
    }),
    counter("checks_total", "Checks of all rows.", |run| one(number(run.numbers.checks))),
    gauge("check_timestamp_seconds", "When the latest check of all rows ended.", |run| {
        maybe(run.verified_at.map(seconds))
    }),
    counter("rows_filled_total", "Rows that the backfill has filled.", |run| one(number(run.numbers.rows_filled))),
    counter("hot_rows_filled_total", "Rows that the backfill has filled without touching an index.", |run| {
        one(number(run.numbers.hot_rows_filled))
    }),
    counter("backfill_holds_total", "How often each signal held the backfill.", |run| {
        each("signal", run.holds.iter().map(|hold| (hold.signal.name(), number(hold.times))))
    }),
    counter("backfill_held_seconds_total", "For how long each signal held the backfill.", |run| {
        each("signal", run.holds.iter().map(|hold| (hold.signal.name(), hold.seconds)))
    }),
    counter("backfill_slowed_seconds_total", "For how long each signal slowed the backfill down.", |run| {
        each("signal", run.holds.iter().map(|hold| (hold.signal.name(), hold.slowed_seconds)))
    }),
    gauge("backfill_seconds", "How long the backfill took in all, once it is done.", |run| {
        maybe(run.filled.map(|filled| filled.seconds))
    }),
    gauge("backfill_wal_bytes", "WAL that the whole server wrote during the backfill, once it is done.", |run| {
        maybe(run.filled.map(|filled| number(filled.wal_bytes)))
    }),
    gauge("backfill_size_bytes", "Size of the table's parts before and after the backfill, once it is done.", |run| {
        let sizes = run.filled.iter().flat_map(|filled| {
            [
                ("heap", "before", filled.heap_before),
                ("heap", "after", filled.heap_after),
                ("toast", "before", filled.toast_before),
                ("toast", "after", filled.toast_after),
                ("indexes", "before", filled.indexes_before),
                ("indexes", "after", filled.indexes_after),
            ]
        });
        labelled(sizes.map(|(part, when, bytes)| (vec![("part", part), ("when", when)], number(bytes))))
    }),
    counter("old_column_written_seconds_total", "In how many seconds the old column was written.", |run| {
        maybe(run.compares.then(|| number(run.old_column_write_seconds)))
    }),
    counter("new_column_written_seconds_total", "In how many seconds the new column was written.", |run| {
        maybe(run.compares.then(|| number(run.new_column_write_seconds)))
    }),
    counter(
        "conflict_seconds_total",
        "In how many seconds statements set both columns to values that do not agree.",
        |run| maybe(run.compares.then(|| number(run.conflicts))),
    ),
    gauge("old_column_quiet_seconds", "For how long nobody has been seen to write the old column.", |run| {
        live(run, || maybe(run.old_quiet_seconds.filter(|_| run.compares).map(number)))
    }),
    gauge("unequal_rows", "Rows that were not equal in the latest check.", |run| {
        live(run, || maybe(run.mismatches.map(number)))
    }),
    gauge("waiting_for_person", "1 if the run does not go on before a person has done something.", |run| {
        live(run, || one(truth(run.needs.is_person())))
    }),
    gauge("waiting_for_approval", "1 if the run's phase is due and waits for an approval.", |run| {
        live(run, || one(truth(run.numbers.awaits_approval)))
    }),
    gauge("gate_open", "Whether each gate in front of what the run does next is open.", |run| {
        live(run, || each("gate", run.gates.iter().map(|gate| (gate.gate.as_str(), truth(gate.is_open())))))
    }),
    gauge("last_tick_timestamp_seconds", "When a scheduler last asked for the run.", |run| {
        live(run, || maybe(run.last_tick.as_ref().map(|tick| seconds(tick.at))))
    }),
    gauge(
        "tick_overdue_since_timestamp_seconds",
        "Since when the next tick of a run with a schedule is overdue; 0 when it is not.",
        |run| {
            let since = run.tick_overdue_since.map_or(0.0, seconds);
            live(run, || maybe(run.scheduled.then_some(since)))
        },
    ),
    gauge("point_of_no_return_near", "1 if what cannot be undone may be done within 24 hours.", |run| {
        live(run, || one(truth(run.point_of_no_return.as_ref().is_some_and(|ahead| ahead.near))))
    }),
    gauge("point_of_no_return_timestamp_seconds", "When what cannot be undone may be done at the earliest.", |run| {
        live(run, || maybe(run.point_of_no_return.as_ref().map(|ahead| seconds(ahead.at))))
    }),
    gauge("processes", "Processes that work on the run.", |run| live(run, || one(number(run.numbers.at_work)))),
    gauge("lease_age_seconds", "For how long the process that leads the run has had its lease.", |run| {
        live(run, || maybe(run.numbers.leader.as_ref().map(|leader| leader.seconds)))
    }),
    gauge("lease_renewed_ago_seconds", "How long ago the process that leads the run renewed its lease.", |run| {
        live(run, || maybe(run.numbers.leader.as_ref().map(|leader| leader.silent_seconds)))
    }),
    gauge("backfill_rows", "Rows that the backfill goes through in all; an estimate until it is done.", |run| {
        filling(run, || one(number(run.progress.rows_total)))
    }),
    gauge(
        "backfill_done_rows",
        "Rows that the backfill has gone through; an estimate from pages, and no fewer than were filled.",
        |run| filling(run, || one(number(run.progress.rows_done))),
    ),
    gauge(
        "backfill_partitions",
        "Partitions that the backfill has met, or tables that inherit from each other.",
        |run| filling(run, || maybe(run.partitions.as_ref().map(|of| number(of.total)))),
    ),
    gauge("backfill_filled_partitions", "Those of them in which every row is filled.", |run| {
        filling(run, || maybe(run.partitions.as_ref().map(|of| number(of.filled))))
    }),
    gauge("backfill_rows_per_second", "Rows per second over the last few seconds; 0 when nobody fills rows.", |run| {
        filling(run, || one(run.progress.rows_per_second))
    }),
    gauge("backfill_remaining_seconds", "How long the backfill still takes at this rate.", |run| {
        filling(run, || maybe(run.progress.eta_seconds))
    }),
    gauge(
        "backfill_speed_ratio",
        "The share of its speed at which the backfill runs: 0 when it stands still.",
        |run| filling(run, || maybe(run.pace.as_ref().map(|pace| pace.speed))),
    ),
    gauge("backfill_latency_seconds", "What nine of ten of the latest latency probes stayed below.", |run| {
        filling(run, || maybe(run.pace.as_ref().and_then(|pace| pace.latency_seconds)))
    }),
    gauge("backfill_held", "1 for the signal for which the backfill stands still now, 0 for the others.", |run| {
        filling(run, || each("signal", causes().map(|cause| (cause.name(), truth(run.numbers.held_by == Some(cause))))))
    }),
    gauge("announcements_undelivered", "Announcements that have not reached a destination of the plan.", |run| {
        each("to", run.undelivered.iter().map(|of| (of.to.as_str(), number(of.count))))
    }),
    gauge("announcements_given_up", "1 if some announcements to a destination are not tried any more.", |run| {
        each("to", run.undelivered.iter().map(|of| (of.to.as_str(), truth(of.given_up))))
    }),
];

/// Everything that a backfill can stand still for.
fn causes() -> impl Iterator<Item = Cause> {
    std::iter::once(Cause::Paused).chain(Signal::ALL.map(Cause::Signal))
}

/// What is only of interest until the run has ended.
fn live<'r>(run: &RunView, of: impl FnOnce() -> Vec<Sample<'r>>) -> Vec<Sample<'r>> {
    if run.state.is_over() { vec![] } else { of() }
}

/// What is only of interest of a run that has a backfill.
fn filling<'r>(run: &RunView, of: impl FnOnce() -> Vec<Sample<'r>>) -> Vec<Sample<'r>> {
    live(run, || if run.progress.rows_percent.is_some() { of() } else { vec![] })
}

fn one<'r>(value: f64) -> Vec<Sample<'r>> {
    vec![Sample { labels: vec![], value }]
}

fn maybe<'r>(value: Option<f64>) -> Vec<Sample<'r>> {
    value.map(one).unwrap_or_default()
}

fn each<'r>(label: &'static str, values: impl IntoIterator<Item = (&'r str, f64)>) -> Vec<Sample<'r>> {
    labelled(values.into_iter().map(|(word, value)| (vec![(label, word)], value)))
}

fn labelled<'r>(values: impl IntoIterator<Item = (Vec<(&'static str, &'r str)>, f64)>) -> Vec<Sample<'r>> {
    values.into_iter().map(|(labels, value)| Sample { labels, value }).collect()
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn number(count: i64) -> f64 {
    count as f64
}

/// A moment as seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "milliseconds until the year 287396")]
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped_and_nothing_is_said_of_no_runs() {
        let at = DateTime::from_timestamp_millis(1_800_000_000_250).unwrap();
        let database = "a\"b\\c\nd".to_owned();
        let text = metrics(&Metrics { database, at, version: "1.2.3", done: 4, rolled_back: 0, runs: vec![] });
        insta::assert_snapshot!(text, @r#"
        # HELP crossfade_build_info The version of crossfade that read this; always 1.
        # TYPE crossfade_build_info gauge
        crossfade_build_info{database="a\"b\\c\nd",version="1.2.3"} 1
        # HELP crossfade_metrics_timestamp_seconds When this was read, by the database server's clock.
        # TYPE crossfade_metrics_timestamp_seconds gauge
        crossfade_metrics_timestamp_seconds{database="a\"b\\c\nd"} 1800000000.25
        # HELP crossfade_ended_runs_total Runs that have ended, by how they ended.
        # TYPE crossfade_ended_runs_total counter
        crossfade_ended_runs_total{database="a\"b\\c\nd",state="done"} 4
        crossfade_ended_runs_total{database="a\"b\\c\nd",state="rolled_back"} 0
        "#);
    }
}
