//! When which phase was worked on, from the log. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ledger::{LoggedEntry, Run};
use crate::run::{Entry, Mode, Phase, Standing, State};

/// When which phase was worked on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// When the run was registered.
    pub from: DateTime<Utc>,
    /// When it ended; of one that has not, when this was read.
    pub until: DateTime<Utc>,
    /// Its phases, in order.
    pub phases: Vec<PhaseCourse>,
    /// When it was taken back, in part or whole.
    pub rollbacks: Vec<Span>,
    /// When a person had paused it.
    pub pauses: Vec<Span>,
}

/// A phase in the course of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseCourse {
    /// Which.
    pub phase: Phase,
    /// Where it stands.
    pub state: PhaseState,
    /// From its beginning to its end; more than one if it was done again.
    pub spans: Vec<Span>,
}

/// Where a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseState {
    /// It has not begun.
    ToCome,
    /// It has begun.
    UnderWay,
    /// It is done.
    Done,
    /// It was done or had begun, and was taken back.
    TakenBack,
}

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when; `None` if that lasts.
    pub until: Option<DateTime<Utc>>,
}

impl Span {
    /// Returns how many seconds it took, or has taken until `now`. A clock that was set back makes it none.
    pub fn seconds(&self, now: DateTime<Utc>) -> f64 {
        (self.until.unwrap_or(now) - self.from).as_seconds_f64().max(0.0)
    }
}

impl PhaseCourse {
    /// Returns the seconds of all its spans.
    pub fn seconds(&self, now: DateTime<Utc>) -> f64 {
        self.spans.iter().map(|span| span.seconds(now)).sum()
    }
}

/// Spans that are not over at the same time.
#[derive(Debug, Default)]
struct Spans(Vec<Span>);

impl Spans {
    fn begin(&mut self, from: DateTime<Utc>) {
        if self.0.last().is_none_or(|span| span.until.is_some()) {
            self.0.push(Span { from, until: None });
        }
    }

    fn end(&mut self, at: DateTime<Utc>) {
        if let Some(span) = self.0.last_mut().filter(|span| span.until.is_none()) {
            span.until = Some(at);
        }
    }
}

impl Timeline {
    pub(super) fn of(run: &Run, state: &State, log: &[LoggedEntry], now: DateTime<Utc>) -> Self {
        let mut phases: Vec<(Phase, Spans)> =
            run.program.phases.iter().map(|phase| (*phase, Spans::default())).collect();
        let (mut rollbacks, mut pauses) = (Spans::default(), Spans::default());
        for line in log {
            match &line.entry {
                Entry::PhaseStarted { phase, .. } => {
                    if let Some(spans) = spans_of(&mut phases, *phase) {
                        spans.begin(line.at);
                    }
                }
                Entry::PhaseDone { phase } => {
                    if let Some(spans) = spans_of(&mut phases, *phase) {
                        // One that has nothing to do is done at once.
                        if spans.0.last().is_none_or(|span| span.until.is_some()) {
                            spans.begin(line.at);
                        }
                        spans.end(line.at);
                    }
                }
                Entry::UndoStarted { .. } => {
                    for (_, spans) in &mut phases {
                        spans.end(line.at);
                    }
                    rollbacks.begin(line.at);
                }
                Entry::UndoDone => rollbacks.end(line.at),
                Entry::Paused => pauses.begin(line.at),
                Entry::Resumed => pauses.end(line.at),
                _ => {}
            }
        }
        let over = log.iter().find(|line| is_over(&line.state)).map(|line| line.at);
        let over = over.filter(|_| state.is_over());
        // Of a run that was rolled back while it was paused.
        if let Some(at) = over {
            pauses.end(at);
        }
        let course = |(phase, spans): (Phase, Spans)| {
            let is_past =
                state.mode == Mode::Done || state.mode != Mode::RolledBack && run.program.is_past(state.phase, phase);
            let under_way = state.begun && phase == state.phase;
            let state = match () {
                () if is_past => PhaseState::Done,
                () if under_way => PhaseState::UnderWay,
                () if !spans.0.is_empty() => PhaseState::TakenBack,
                () => PhaseState::ToCome,
            };
            PhaseCourse { phase, state, spans: spans.0 }
        };
        Self {
            from: run.created_at,
            until: over.unwrap_or(now),
            phases: phases.into_iter().map(course).collect(),
            rollbacks: rollbacks.0,
            pauses: pauses.0,
        }
    }
}

fn spans_of(phases: &mut [(Phase, Spans)], wanted: Phase) -> Option<&mut Spans> {
    phases.iter_mut().find(|(phase, _)| *phase == wanted).map(|(_, spans)| spans)
}

fn is_over(state: &str) -> bool {
    [Standing::Done, Standing::RolledBack].iter().any(|over| over.as_str() == state)
}
