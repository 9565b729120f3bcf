//! Turns events into lines for people. Knows no terminal and no clock: the caller says what time it is.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::human::{compared, duration, hold_times, number, plural, rate};
use super::look::printable;
use super::{Look, words};
use crate::event::{Blocker, Event};
use crate::run::{HoldTime, Phase, Progress, Signal, StepKey};

/// A lock that cannot be acquired is mentioned at once, and then this often.
const LOCK_WAIT_AGAIN: Duration = Duration::from_secs(5);

/// For how long after it was said the backfill counts as slowed down.
const SLOWED_FOR: Duration = Duration::from_secs(2);

/// What is happening, according to the events.
pub(super) struct Narrator {
    look: Look,
    /// Whether steps are reported, not only phases.
    verbose: bool,
    phase: Option<(Phase, Instant)>,
    step: Option<String>,
    progress: Option<Progress>,
    /// What the phase found, for its line.
    note: Option<String>,
    /// How long the phase took in all its processes, where that is known: what its line says of rows is about all of them.
    took: Option<f64>,
    /// The outcome of the backfill compared with the prediction.
    compared: Vec<String>,
    /// Why nothing happens right now.
    held: Option<String>,
    /// Whether the reason is the throttle or a pause, whose end is an event.
    throttled: bool,
    /// Why it is slow, and when that was reported; it is reported once a second.
    slowed: Option<(String, Instant)>,
    lock_wait_told: Option<(StepKey, Instant)>,
}

impl Narrator {
    pub(super) fn new(look: Look, verbose: bool) -> Self {
        Self {
            look,
            verbose,
            phase: None,
            step: None,
            progress: None,
            note: None,
            took: None,
            compared: vec![],
            held: None,
            throttled: false,
            slowed: None,
            lock_wait_told: None,
        }
    }

    /// Notes an event. Returns the line that is to stay on the screen.
    pub(super) fn tell(&mut self, event: &Event, now: Instant) -> Option<String> {
        let look = self.look;
        match event {
            Event::Registered { name } => Some(format!("{}: new run", look.bold(name))),
            Event::Resumed { name, phase } => Some(format!("{}: continuing in {phase}", look.bold(name))),
            Event::LeaseHeld { holder, seconds } => {
                let holder = printable(holder);
                let text = format!("{holder} is working on this run; its lease expires in {}", duration(*seconds));
                self.hold(&holder, || line(look, &look.waiting(), &text))
            }
            Event::Joined { name } => Some(format!("{}: joined its backfill", look.bold(name))),
            Event::PeerCame { holder, leads } => Some(peer_came(look, holder, *leads)),
            Event::PeerWent { holder } => Some(line(look, "", &format!("{} has left", printable(holder)))),
            Event::PhaseStarted { phase } => {
                self.begin(*phase, now);
                None
            }
            Event::PhaseDone { phase } => Some(self.phase_done(*phase, now)),
            Event::StepStarted { step, title } => {
                self.step = Some(printable(title));
                self.held = None;
                self.verbose.then(|| line(look, "", &look.dim(&format!("{step}: {}", printable(title)))))
            }
            Event::StepDone { step, seconds, adopted } => {
                self.step = None;
                self.progress = None;
                self.held = None;
                let how = if *adopted { "was already done".to_owned() } else { duration(*seconds) };
                self.verbose.then(|| line(look, "", &look.dim(&format!("{step}: {how}"))))
            }
            Event::LockWait { step, attempt, blockers, pause } => {
                self.lock_wait((step, *attempt), blockers, *pause, now)
            }
            Event::Progress { progress, .. } => {
                self.progress = Some(*progress);
                self.held = self.held.take().filter(|_| self.throttled);
                None
            }
            Event::Filled { filled, predicted } => {
                self.compared = compared(filled, predicted.as_deref());
                self.took = Some(filled.seconds);
                self.note =
                    filled.rows_per_second().map(|speed| format!("{}, {}", plural(filled.rows, "row"), rate(speed)));
                None
            }
            Event::Hold(level) => {
                self.throttled = true;
                self.hold(level.signal.words(), || line(look, &look.waiting(), &words::holding(level)))
            }
            Event::Released { signal, seconds } => {
                self.go_on();
                Some(line(look, "", &format!("continuing; {} held it for {}", signal.words(), duration(*seconds))))
            }
            Event::Slowed { level, speed } => self.slow(level.signal, *speed, now),
            Event::HoldTimes { holds } => cost(look, holds),
            Event::Paused => {
                self.throttled = true;
                self.hold("paused", || line(look, &look.waiting(), "paused; crossfade resume continues it"))
            }
            Event::Unpaused => {
                self.go_on();
                Some(line(look, "", "resumed"))
            }
            Event::Waiting { wait, seconds } => {
                let reason = words::wait(wait);
                let left = seconds.map(|seconds| format!(", {} to go", duration(seconds))).unwrap_or_default();
                self.hold(&reason, || line(look, &look.waiting(), &format!("waiting: {reason}{left}")))
            }
            Event::Verified(outcome) => {
                let counts = &outcome.counts;
                if outcome.is_clean() {
                    self.note = Some(format!("{} equal", plural(counts.rows, "row")));
                    return None;
                }
                let differ = plural(counts.mismatches(), "row");
                Some(line(look, &look.failed(), &format!("{differ} of {} not equal", number(counts.rows))))
            }
            Event::StepUndone { step } => Some(line(look, &look.done(), &format!("undid {step}"))),
            Event::Warning { message } => {
                Some(wrapped(look, (&format!("{} ", look.yellow("warning:")), "  "), &printable(message)))
            }
            Event::Reconnecting { reason, attempt } => {
                Some(line(look, &look.waiting(), &reconnecting(reason, *attempt)))
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
        self.note = None;
        self.took = None;
        self.compared.clear();
        self.go_on();
    }

    fn lock_wait(
        &mut self,
        (step, attempt): (&StepKey, u32),
        blockers: &[Blocker],
        pause: Duration,
        now: Instant,
    ) -> Option<String> {
        self.held = Some("waiting for a lock".to_owned());
        let told = self.lock_wait_told.as_ref();
        let again = told.is_none_or(|(id, at)| id != step || now.duration_since(*at) >= LOCK_WAIT_AGAIN);
        (again || self.verbose).then(|| {
            self.lock_wait_told = Some((step.clone(), now));
            let text = if pause.is_zero() {
                format!("{step} waits for a lock")
            } else {
                let pause = duration(pause.as_secs_f64());
                format!("{step} waits for a lock: attempt {attempt}, next one in {pause}")
            };
            let mut text = line(self.look, &self.look.waiting(), &text);
            for blocker in blockers {
                let who = format!("blocked by {}", printable(&blocker.to_string()));
                text = text + "\n" + &wrapped(self.look, ("      ", "        "), &who);
            }
            text
        })
    }

    /// Remembers why nothing happens; reports only a new reason.
    fn hold(&mut self, reason: &str, text: impl FnOnce() -> String) -> Option<String> {
        let new = self.held.as_deref() != Some(reason);
        self.held = Some(reason.to_owned());
        new.then(text)
    }

    fn go_on(&mut self) {
        (self.held, self.throttled) = (None, false);
    }

    /// Remembers that it is slow; this belongs to the status line, not to the lines that stay.
    fn slow(&mut self, signal: Signal, speed: f64, now: Instant) -> Option<String> {
        self.slowed = Some((format!("slowed to {:.0} % for {}", speed * 100.0, signal.words()), now));
        None
    }

    fn phase_done(&mut self, phase: Phase, now: Instant) -> String {
        let here = self.phase.take().map(|(_, began)| now.duration_since(began).as_secs_f64());
        let took = self.took.take().or(here);
        let mut text = format!("  {phase:<9} {}", self.look.done());
        if let Some(seconds) = took {
            let _ = write!(text, " {}", duration(seconds));
        }
        let note = self.note.take();
        if let Some(note) = note {
            let _ = write!(text, "   {}", self.look.dim(&note));
        }
        let indent = " ".repeat(12);
        for more in self.compared.drain(..) {
            text = text + "\n" + &wrapped(self.look, (&indent, &indent), &self.look.dim(&more));
        }
        self.progress = None;
        self.step = None;
        text
    }

    /// Returns the phase, how far it is where that is known, and the rest as one line; a shorter one beside a bar.
    pub(super) fn now(&self, now: Instant, beside_bar: bool) -> Option<(Phase, Option<Progress>, String)> {
        let (phase, began) = self.phase?;
        let mut parts = Vec::new();
        if let Some(progress) = self.progress.filter(|progress| progress.rows_percent.is_some()) {
            parts.push(match progress.rows_percent {
                Some(percent) if beside_bar => format!("{percent} %"),
                _ => format!("{} of {} rows", number(progress.rows_done), number(progress.rows_total)),
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
        } else if let Some((slowed, _)) = self.slowed.as_ref().filter(|(_, at)| now.duration_since(*at) < SLOWED_FOR) {
            parts.push(slowed.clone());
        }
        Some((phase, self.progress, parts.join(", ")))
    }
}

fn line(look: Look, mark: &str, text: &str) -> String {
    let first = if mark.is_empty() { "    ".to_owned() } else { format!("    {mark} ") };
    wrapped(look, (&first, "      "), text)
}

fn wrapped(look: Look, around: (&str, &str), text: &str) -> String {
    let mut lines = String::new();
    look.wrap(&mut lines, around, text);
    lines.truncate(lines.trim_end_matches('\n').len());
    lines
}

fn peer_came(look: Look, holder: &str, leads: bool) -> String {
    let what = if leads { "leads the run" } else { "has joined and is filling rows too" };
    line(look, "", &format!("{} {what}", printable(holder)))
}

fn reconnecting(reason: &str, attempt: u32) -> String {
    format!("connection lost ({}); reconnecting, attempt {attempt}", printable(reason))
}

fn cost(look: Look, holds: &[HoldTime]) -> Option<String> {
    let lines: Vec<_> =
        holds.iter().flat_map(hold_times).map(|(how, what)| line(look, "", &format!("{how} {what}"))).collect();
    Some(lines.join("\n")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Cause, Counts, Level, Outcome};

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

    fn hold_times() -> Vec<HoldTime> {
        let hold = |signal: &str, times, seconds, slowed_seconds, worst, limit| HoldTime {
            signal: Cause::named(signal).unwrap(),
            times,
            seconds,
            slowed_seconds,
            worst,
            limit,
            last_at: chrono::DateTime::UNIX_EPOCH,
        };
        vec![
            hold("replica_lag", 3, 12.0, 4.0, Some(14.0), Some(10.0)),
            hold("wraparound", 1, 7200.0, 0.0, Some(7200.0), Some(0.0)),
            hold("paused", 1, 2.0, 0.0, None, None),
            hold("lock_wait", 1, 0.2, 0.01, Some(0.13), Some(0.1)),
            hold("goal_latency", 0, 0.0, 65.0, Some(0.0072), Some(0.005)),
        ]
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
            step: "expand.columns".parse().unwrap(),
            attempt,
            blockers: vec![blocker()],
            pause: Duration::from_millis(400),
        };
        let progress =
            Event::Progress { phase: Phase::Backfill, progress: Progress::new(400_000, 500_000, 40_000.0, Some(2.5)) };
        // Of all that was filled in all its time, not of what this process saw of it. Too few to compare predictions with.
        let filled = crate::run::Filled {
            rows: 9_000,
            hot: None,
            seconds: 20.0,
            paused_seconds: 2.0,
            wal_bytes: 0,
            heap_before: 0,
            heap_after: 0,
            toast_before: 0,
            toast_after: 0,
            indexes_before: 0,
            indexes_after: 0,
        };
        let hold = || Event::Hold(Level { signal: Signal::ReplicaLag, value: Some(12.0), limit: 5.0 });
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
            (16_000, Event::Released { signal: Signal::ReplicaLag, seconds: 1.0 }),
            (16_200, progress),
            (16_300, Event::Hold(Level { signal: Signal::Probe, value: None, limit: 10.0 })),
            (16_400, Event::Released { signal: Signal::Probe, seconds: 0.1 }),
            (18_600, Event::HoldTimes { holds: hold_times() }),
            (18_650, Event::Filled { filled, predicted: None }),
            (18_700, done(Phase::Backfill)),
            (18_700, phase(Phase::Verify)),
            (19_500, Event::Verified(Outcome { counts, seconds: 0.8, keys: vec![] })),
            (19_600, done(Phase::Verify)),
        ];
        for (ms, event) in events {
            lines.extend(narrator.tell(&event, at(ms)));
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        vehicle-status: new run
            ... expand.columns waits for a lock: attempt 1, next one in 0.4 s
              blocked by pid 7 of anna (report\u{1b}[2J), idle in transaction, in a
                transaction for 90 s: SELECT ?
            ... expand.columns waits for a lock: attempt 3, next one in 0.4 s
              blocked by pid 7 of anna (report\u{1b}[2J), idle in transaction, in a
                transaction for 90 s: SELECT ?
          expand    ok 6.2 s
            ... holding: replica lag is 12.0 s, the limit is 5.0 s
            continuing; replica lag held it for 1.0 s
            ... holding: the probe query is unknown, the limit is 10
            continuing; the probe query held it for 0.1 s
            held 12.0 s for replica lag (3 times, at worst 14.0 s of 10.0 s)
            slowed 4.0 s for replica lag
            held 2 h for an autovacuum to prevent wraparound (1 time)
            held 2.0 s for a pause (1 time)
            held 0.2 s for lock wait (1 time, at worst 130 ms of 100 ms)
            slowed 1 min 5 s for goal latency (at worst 7.2 ms of 5.0 ms)
          backfill  ok 20 s   9,000 rows, 500 rows/s
          verify    ok 0.9 s   500,000 rows equal
        ");
    }

    /// A statement without a time limit is not tried again while it waits.
    #[test]
    fn a_statement_that_still_waits_has_no_next_attempt() {
        let mut narrator = Narrator::new(Look::default(), false);
        let step = "index.build:idx_a".parse().unwrap();
        let wait = Event::LockWait { step, attempt: 1, blockers: vec![blocker()], pause: Duration::ZERO };
        let said = narrator.tell(&wait, Instant::now()).unwrap();
        assert!(said.contains("waits for a lock\n") && !said.contains("attempt"), "{said}");
    }

    #[test]
    fn the_moment_is_one_line() {
        let mut narrator = Narrator::new(Look::default(), false);
        let start = Instant::now();
        assert_eq!(narrator.now(start, false), None);
        narrator.tell(&Event::PhaseStarted { phase: Phase::Index }, start);
        let title = "Build index idx_a".to_owned();
        narrator.tell(&Event::StepStarted { step: "index.build:idx_a".parse().unwrap(), title }, start);
        let (phase, _, text) = narrator.now(start + Duration::from_secs(75), true).unwrap();
        assert_eq!((phase, text.as_str()), (Phase::Index, "Build index idx_a, 1 min 15 s"));
        let slowed = Event::Slowed { level: Level { signal: Signal::WalRate, value: None, limit: 1e6 }, speed: 0.25 };
        let at = start + Duration::from_secs(80);
        narrator.tell(&slowed, at);
        let text = |seconds| narrator.now(at + Duration::from_secs(seconds), true).unwrap().2;
        assert_eq!(text(1), "Build index idx_a, 1 min 21 s, slowed to 25 % for WAL rate");
        assert_eq!(text(3), "Build index idx_a, 1 min 23 s");
        // A backfill reports its progress while it is held, too.
        let at = at + Duration::from_secs(10);
        let hold = Event::Hold(Level { signal: Signal::SlotRetainedWal, value: Some(12e9), limit: 10e9 });
        let progress = Event::Progress { phase: Phase::Backfill, progress: Progress::new(1000, 2000, 0.0, None) };
        narrator.tell(&Event::PhaseStarted { phase: Phase::Backfill }, at);
        narrator.tell(&hold, at);
        narrator.tell(&progress, at);
        assert_eq!(narrator.now(at, false).unwrap().2, "1,000 of 2,000 rows, held: WAL kept by a slot");
        narrator.tell(&Event::Released { signal: Signal::SlotRetainedWal, seconds: 1.0 }, at);
        assert_eq!(narrator.now(at, false).unwrap().2, "1,000 of 2,000 rows");
    }
}
