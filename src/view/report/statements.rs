//! The steps of a run with their SQL, as it was run: each by the program that the run had at that moment. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ledger::{LoggedEntry, Run};
use crate::run::{Action, Actor, Entry, Phase, Program, State, Step, StepKey, Undo};

/// A step in the course of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepCourse {
    /// Which.
    pub step: StepKey,
    /// Its phase.
    pub phase: Phase,
    /// What it does, for people.
    pub title: String,
    /// Where it stands.
    pub state: StepState,
    /// When it was done last.
    pub done: Option<DateTime<Utc>>,
    /// Whether it was found done, and so not run.
    pub adopted: bool,
    /// By whom it was done last.
    pub by: Option<Actor>,
    /// Its statements; the engines fill page numbers and keys into theirs, which are `template`s.
    pub sql: Vec<String>,
    /// Whether the statements are repeated with other numbers.
    pub template: bool,
    /// When it was taken back last.
    pub undone: Option<DateTime<Utc>>,
    /// The statements that took it back; empty if it was not, or there was nothing to do.
    pub undo_sql: Vec<String>,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It has not begun.
    ToCome,
    /// It has begun, and it is not known whether it was done.
    Begun,
    /// Its effect is there.
    Done,
    /// It was done, and taken back.
    TakenBack,
}

pub(super) fn steps(run: &Run, state: &State, log: &[LoggedEntry]) -> Vec<StepCourse> {
    let mut keys: Vec<_> = run.program.steps.iter().map(|step| step.key.clone()).collect();
    for line in log {
        // Of an earlier program.
        if let Entry::StepDone { step, .. } = &line.entry
            && !keys.contains(step)
        {
            keys.push(step.clone());
        }
    }
    keys.into_iter().filter_map(|key| course(run, state, log, &key)).collect()
}

fn course(run: &Run, state: &State, log: &[LoggedEntry], key: &StepKey) -> Option<StepCourse> {
    let last = |is: fn(&Entry) -> bool| log.iter().rev().find(|l| is(&l.entry) && l.entry.step() == Some(key));
    let done = last(|entry| matches!(entry, Entry::StepDone { .. }));
    let undone = last(|entry| matches!(entry, Entry::StepUndone { .. }));
    let step_at = |line: Option<&LoggedEntry>| line.and_then(|line| program_at(run, log, line.seq).step(key));
    let step = step_at(done).or_else(|| run.program.step(key)).or_else(|| step_at(log.last()))?;
    let state = match () {
        () if state.is_done(key) => StepState::Done,
        () if state.maybe_ran.as_ref() == Some(key) => StepState::Begun,
        () if done.is_some() || undone.is_some() => StepState::TakenBack,
        () => StepState::ToCome,
    };
    Some(StepCourse {
        step: key.clone(),
        phase: key.phase,
        title: step.title.clone(),
        state,
        done: done.map(|line| line.at),
        adopted: done.is_some_and(|line| matches!(line.entry, Entry::StepDone { adopted: true, .. })),
        by: done.map(|line| line.actor.clone()),
        sql: step.sql(),
        template: matches!(step.action, Action::Fill(_) | Action::Compare(_)),
        undone: undone.map(|line| line.at),
        undo_sql: undone.and_then(|line| step_at(Some(line))).map(undo_sql).unwrap_or_default(),
    })
}

fn undo_sql(step: &Step) -> Vec<String> {
    match &step.undo {
        Undo::Actions { actions, .. } => actions.iter().flat_map(Action::sql).collect(),
        Undo::Nothing(_) | Undo::PointOfNoReturn(_) => vec![],
    }
}

/// Returns the program that the run had when the entry with this number was written.
fn program_at<'a>(run: &'a Run, log: &'a [LoggedEntry], seq: i64) -> &'a Program {
    let later = log.iter().rev().filter(|line| line.seq < seq).find_map(|line| line.entry.program());
    later.unwrap_or_else(|| run.original())
}
