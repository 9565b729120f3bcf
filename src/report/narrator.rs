//! Turns events into lines for people. Knows no terminal and no clock: the caller says what time it is.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::Look;
use super::human::{compared, duration, number, plural, rate};
use super::look::printable;
use crate::event::{Blocker, Event};
use crate::ident::StepId;
use crate::phase::Phase;

/// A lock that cannot be had is mentioned at once, and then this often.
const LOCK_WAIT_AGAIN: Duration = Duration::from_secs(5);

/// What is going on, as far as events tell.
pub(super) struct Narrator {
    look: Look,
    /// Whether steps are told, not only phases.
    verbose: bool,
    phase: Option<(Phase, Instant)>,
    step: Option<String>,
    progress: Option<Progress>,
    /// How many rows the backfill has filled.
    filled: i64,
    /// What the phase found, for its line.
    note: Option<String>,
    /// What came of the backfill beside what was predicted.
    compared: Vec<String>,
    /// Why nothing happens right now.
    held: Option<String>,
    lock_wait_told: Option<(String, Instant)>,
}

/// How far the phase is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Progress {
    pub(super) done: i64,
    pub(super) total: i64,
    rows_per_second: f64,
    eta_seconds: Option<f64>,
}

impl Narrator {
    pub(super) fn new(look: Look, verbose: bool) -> Self {
        Self {
            look,
            verbose,
            phase: None,
            step: None,
            progress: None,
            filled: 0,
            note: None,
            compared: vec![],
            held: None,
            lock_wait_told: None,
        }
    }

    /// Takes note of an event. Returns what is to be said about it for good.
    pub(super) fn tell(&mut self, event: &Event, now: Instant) -> Option<String> {
        let look = self.look;
        match event {
            Event::Registered { name } => Some(format!("{}: a new run", look.bold(name))),
            Event::Resumed { name, phase } => Some(format!("{}: going on in {phase}", look.bold(name))),
            Event::LeaseHeld { holder, seconds } => {
                let holder = printable(holder);
                let text = format!("{holder} is working on this run; its lease ends in {}", duration(*seconds));
                self.hold(&holder, || line(&look.waiting(), &text))
            }
            Event::Joined { name } => Some(format!("{}: joined its backfill", look.bold(name))),
            Event::PeerCame { holder, leads } => Some(peer_came(holder, *leads)),
            Event::PeerWent { holder } => Some(line("", &format!("{} has left", printable(holder)))),
            Event::PhaseStarted { phase } => {
                self.begin(*phase, now);
                None
            }
            Event::PhaseDone { phase } => Some(self.phase_done(*phase, now)),
            Event::StepStarted { step, title } => {
                self.step = Some(printable(title));
                self.held = None;
                self.verbose.then(|| look.dim(&format!("    {step}: {}", printable(title))))
            }
            Event::StepDone { step, seconds, adopted } => {
                self.step = None;
                self.progress = None;
                self.held = None;
                let how = if *adopted { "was done already".to_owned() } else { duration(*seconds) };
                self.verbose.then(|| look.dim(&format!("    {step}: {how}")))
            }
            Event::LockWait { step, attempt, blockers, pause } => {
                self.lock_wait((step, *attempt), blockers, *pause, now)
            }
            Event::Progress { phase, rows_done, rows_total, rows_per_second, eta_seconds } => {
                if *phase == Phase::Backfill {
                    self.filled = *rows_done;
                }
                self.progress = Some(Progress {
                    done: *rows_done,
                    total: *rows_total,
                    rows_per_second: *rows_per_second,
                    eta_seconds: *eta_seconds,
                });
                self.held = None;
                None
            }
            Event::Filled { filled, predicted } => {
                self.compared = compared(filled, predicted.as_deref());
                None
            }
            Event::Hold { signal, value, limit } => {
                let text = format!("holding: {} is {}, the limit is {}", words(signal), printable(value), limit);
                self.hold(signal, || line(&look.waiting(), &text))
            }
            Event::Released { signal, seconds } => {
                self.held = None;
                Some(line("", &format!("going on; {} held it for {}", words(signal), duration(*seconds))))
            }
            Event::Paused => {
                self.hold("paused", || line(&look.waiting(), "paused by somebody; crossfade resume lets it go on"))
            }
            Event::Unpaused => {
                self.held = None;
                Some(line("", "resumed by somebody; going on"))
            }
            Event::Waiting { reason, seconds } => {
                let reason = printable(reason);
                let left = seconds.map(|seconds| format!(", {} to go", duration(seconds))).unwrap_or_default();
                self.hold(&reason, || line(&look.waiting(), &format!("waiting: {reason}{left}")))
            }
            Event::Verified(outcome) => {
                let counts = &outcome.counts;
                if outcome.is_clean() {
                    self.note = Some(format!("{} equal", plural(counts.rows, "row")));
                    return None;
                }
                let differ = plural(counts.mismatches(), "row");
                Some(line(&look.failed(), &format!("{differ} of {} not equal", number(counts.rows))))
            }
            Event::StepUndone { step } => Some(line(&look.done(), &format!("took back {step}"))),
            Event::Warning { message } => Some(format!("{} {}", look.yellow("warning:"), printable(message))),
            Event::Reconnecting { reason, attempt } => {
                let text = format!("the connection is lost ({}); connecting again, try {attempt}", printable(reason));
                Some(line(&look.waiting(), &text))
            }
            Event::Done | Event::RolledBack => {
                self.phase = None;
                None
            }
        }
    }

    fn begin(&mut self, phase: Phase, now: Instant) {
        self.phase = Some((phase, now));
        self.step = None;
        self.progress = None;
        self.filled = 0;
        self.note = None;
        self.compared.clear();
        self.held = None;
    }

    fn lock_wait(
        &mut self,
        (step, attempt): (&StepId, u32),
        blockers: &[Blocker],
        pause: Duration,
        now: Instant,
    ) -> Option<String> {
        self.held = Some("waiting for a lock".to_owned());
        let told = self.lock_wait_told.as_ref();
        let again = told.is_none_or(|(id, at)| *id != step.0 || now.duration_since(*at) >= LOCK_WAIT_AGAIN);
        (again || self.verbose).then(|| {
            self.lock_wait_told = Some((step.0.clone(), now));
            let pause = duration(pause.as_secs_f64());
            let mut text = format!("{step} waits for a lock: try {attempt}, the next in {pause}");
            for blocker in blockers {
                let _ = write!(text, "\n      blocked by {}", printable(&blocker.to_string()));
            }
            line(&self.look.waiting(), &text)
        })
    }

    /// Remembers why nothing happens; says it only when the reason is a new one.
    fn hold(&mut self, reason: &str, text: impl FnOnce() -> String) -> Option<String> {
        let new = self.held.as_deref() != Some(reason);
        self.held = Some(reason.to_owned());
        new.then(text)
    }

    fn phase_done(&mut self, phase: Phase, now: Instant) -> String {
        let took = self.phase.take().map(|(_, began)| now.duration_since(began).as_secs_f64());
        let mut text = format!("  {phase:<9} {}", self.look.done());
        if let Some(seconds) = took {
            let _ = write!(text, " {}", duration(seconds));
        }
        let note = self.note.take().or_else(|| {
            let seconds = took.filter(|seconds| *seconds >= 0.05 && self.filled > 0)?;
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let per_second = self.filled as f64 / seconds;
            Some(format!("{}, {}", plural(self.filled, "row"), rate(per_second)))
        });
        if let Some(note) = note {
            let _ = write!(text, "   {}", self.look.dim(&note));
        }
        for more in self.compared.drain(..) {
            let _ = write!(text, "\n            {}", self.look.dim(&more));
        }
        self.progress = None;
        self.step = None;
        text
    }

    /// Returns the phase, how far it is where that is known, and the rest as one line; a shorter one beside a bar.
    pub(super) fn now(&self, now: Instant, beside_bar: bool) -> Option<(Phase, Option<Progress>, String)> {
        let (phase, began) = self.phase?;
        let mut parts = Vec::new();
        if let Some(progress) = self.progress.filter(|progress| progress.total > 0) {
            parts.push(if beside_bar {
                let percent = 100 * i128::from(progress.done.clamp(0, progress.total)) / i128::from(progress.total);
                format!("{percent} %")
            } else {
                format!("{} of {} rows", number(progress.done), number(progress.total))
            });
            if progress.rows_per_second > 0.0 {
                parts.push(rate(progress.rows_per_second));
            }
            match progress.eta_seconds {
                Some(eta) if self.held.is_none() => parts.push(format!("{} to go", duration(eta))),
                _ => {}
            }
        } else {
            if let Some(step) = &self.step {
                parts.push(step.clone());
            }
            parts.push(duration(now.duration_since(began).as_secs_f64()));
        }
        if let Some(held) = &self.held {
            parts.push(format!("held: {held}"));
        }
        Some((phase, self.progress, parts.join(", ")))
    }
}

fn line(mark: &str, text: &str) -> String {
    if mark.is_empty() { format!("    {text}") } else { format!("    {mark} {text}") }
}

fn peer_came(holder: &str, leads: bool) -> String {
    let what = if leads { "leads the run" } else { "has joined and fills rows too" };
    line("", &format!("{} {what}", printable(holder)))
}

/// `replica_lag` as a person would say it.
fn words(signal: &str) -> String {
    printable(signal).replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Counts, Outcome};

    fn blocker() -> Blocker {
        Blocker {
            pid: 7,
            user: Some("anna".into()),
            application: Some("report\u{1b}[2J".into()),
            state: Some("idle in transaction".into()),
            transaction_seconds: Some(90),
            query: Some("SELECT ?".into()),
        }
    }

    #[test]
    fn a_run_reads_like_a_list_of_phases() {
        let mut narrator = Narrator::new(Look::default(), false);
        let start = Instant::now();
        let mut lines = Vec::new();
        let at = |ms| start + Duration::from_millis(ms);
        let phase = |phase| Event::PhaseStarted { phase };
        let done = |phase| Event::PhaseDone { phase };
        let counts = Counts { rows: 500_000, equal: 500_000, ..Counts::default() };
        let lock = |attempt| Event::LockWait {
            step: StepId("expand.column".into()),
            attempt,
            blockers: vec![blocker()],
            pause: Duration::from_millis(400),
        };
        let progress = Event::Progress {
            phase: Phase::Backfill,
            rows_done: 400_000,
            rows_total: 500_000,
            rows_per_second: 40_000.0,
            eta_seconds: Some(2.5),
        };
        let hold = || Event::Hold { signal: "replica_lag".into(), value: "12 s".into(), limit: "5 s".into() };
        let events = [
            (0, Event::Registered { name: "vehicle-status".into() }),
            (0, phase(Phase::Expand)),
            (100, lock(1)),
            (600, lock(2)),
            (6000, lock(3)),
            (6200, done(Phase::Expand)),
            (6200, phase(Phase::Backfill)),
            (15_000, hold()),
            (15_100, hold()),
            (16_000, Event::Released { signal: "replica_lag".into(), seconds: 1.0 }),
            (16_200, progress),
            (18_700, done(Phase::Backfill)),
            (18_700, phase(Phase::Verify)),
            (19_500, Event::Verified(Outcome { counts, seconds: 0.8, keys: vec![] })),
            (19_600, done(Phase::Verify)),
        ];
        for (ms, event) in events {
            lines.extend(narrator.tell(&event, at(ms)));
        }
        insta::assert_snapshot!(lines.join("\n"), @"
        vehicle-status: a new run
            ... expand.column waits for a lock: try 1, the next in 0.4 s
              blocked by pid 7 of anna (report�[2J), idle in transaction, in a transaction for 90 s: SELECT ?
            ... expand.column waits for a lock: try 3, the next in 0.4 s
              blocked by pid 7 of anna (report�[2J), idle in transaction, in a transaction for 90 s: SELECT ?
          expand    ok 6.2 s
            ... holding: replica lag is 12 s, the limit is 5 s
            going on; replica lag held it for 1.0 s
          backfill  ok 12.5 s   400,000 rows, 32,000 rows/s
          verify    ok 0.9 s   500,000 rows equal
        ");
    }

    #[test]
    fn the_moment_is_one_line() {
        let mut narrator = Narrator::new(Look::default(), false);
        let start = Instant::now();
        assert_eq!(narrator.now(start, false), None);
        narrator.tell(&Event::PhaseStarted { phase: Phase::Index }, start);
        let title = "Build index idx_a".to_owned();
        narrator.tell(&Event::StepStarted { step: StepId("index.idx_a".into()), title }, start);
        let (phase, _, text) = narrator.now(start + Duration::from_secs(75), true).unwrap();
        assert_eq!((phase, text.as_str()), (Phase::Index, "Build index idx_a, 1 min 15 s"));
    }
}
