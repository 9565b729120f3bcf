//! Whether a run came out as it should. Pure: from what was found of it.

use serde::Serialize;

use super::{Certificate, Felt};
use crate::amounts::{number, plural};
use crate::ledger::{LoggedEntry, Run};
use crate::plan::Contract;
use crate::run::{Broken, Entry, GateKind, Phase, Signal, Standing, State, Verdict};
use crate::view::RunView;

/// Something that must be so of a run that came out well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Criterion {
    /// What must be so, as a sentence.
    pub what: &'static str,
    /// Whether it is.
    pub judgement: Judgement,
    /// Why, with the values that decided it.
    pub reason: String,
}

/// Whether a criterion is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It is.
    Pass,
    /// It is not.
    Fail,
    /// That is not known yet.
    Open,
}

/// What criteria are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) run: &'a Run,
    /// With its live settings.
    pub(super) contract: &'a Contract,
    pub(super) state: &'a State,
    pub(super) log: &'a [LoggedEntry],
    pub(super) status: &'a RunView,
    pub(super) certificates: &'a [Certificate],
    pub(super) felt: Option<&'a Felt>,
    pub(super) broken: Option<&'a Broken>,
}

/// Returns the criteria that the run has, each with its judgement.
pub(super) fn judged(found: &Found<'_>) -> Vec<Criterion> {
    let all = [
        ("All phases are done", Some(phases(found))),
        ("Every row is filled", filled(found)),
        ("All rows were compared and are equal", equal(found)),
        ("No statement set both columns to values that do not agree", conflicts(found)),
        ("Nine of ten latency probes stayed below the goal", latency(found)),
        ("Every phase that needs an approval was approved", approved(found)),
        ("Nobody was seen to use the old column when it was taken away", unused(found)),
        ("The log is what was recorded", Some(intact(found))),
    ];
    let criterion = |(what, judged): (&'static str, Option<Judged>)| {
        judged.map(|(judgement, reason)| Criterion { what, judgement, reason })
    };
    all.into_iter().filter_map(criterion).collect()
}

type Judged = (Judgement, String);

fn pass(reason: impl Into<String>) -> Judged {
    (Judgement::Pass, reason.into())
}

fn fail(reason: impl Into<String>) -> Judged {
    (Judgement::Fail, reason.into())
}

fn open(reason: impl Into<String>) -> Judged {
    (Judgement::Open, reason.into())
}

fn phases(found: &Found<'_>) -> Judged {
    let (status, phases) = (found.status, &found.run.program.phases);
    match status.state {
        Standing::Done => pass(format!("{} of {}", phases.len(), plural(length(phases), "phase"))),
        Standing::RolledBack => fail("the run was rolled back"),
        Standing::RollingBack => fail("the run is being rolled back"),
        Standing::Failed | Standing::Drifted => fail(format!("it is in {}, {}", status.phase, status.state)),
        Standing::Running | Standing::Waiting | Standing::Paused => {
            open(format!("it is in {}, {}", status.phase, status.state))
        }
    }
}

fn filled(found: &Found<'_>) -> Option<Judged> {
    let (step, _) = found.run.program.fills().next()?;
    let progress = &found.status.progress;
    Some(match &found.status.filled {
        Some(filled) if found.state.is_done(&step.key) => pass(format!("{} filled", plural(filled.rows, "row"))),
        _ if found.state.is_over() => fail("the backfill is not done, or was taken back"),
        _ => open(format!("{} of about {}", number(progress.rows_done), plural(progress.rows_total, "row"))),
    })
}

fn equal(found: &Found<'_>) -> Option<Judged> {
    if !found.status.compares {
        return None;
    }
    let compared = found.run.program.compared().count();
    let rows = found.certificates.iter().map(|of| of.counts().rows).sum();
    let unequal: i64 = found.certificates.iter().map(|of| of.counts().mismatches()).sum();
    Some(match found.certificates.len() {
        0 if found.state.is_over() => fail("no check was made"),
        checked if checked < compared => open("not checked yet"),
        _ if unequal > 0 => fail(format!("{} of {} not equal", plural(unequal, "row"), number(rows))),
        _ if found.certificates.iter().any(|of| of.check.repaired) => {
            open("the latest check was a part of a repair, and does not count")
        }
        _ => pass(format!("{} compared", plural(rows, "row"))),
    })
}

fn conflicts(found: &Found<'_>) -> Option<Judged> {
    let expanded = found.status.old_quiet_seconds.is_some();
    Some(match found.status.conflicts {
        _ if !found.status.compares => return None,
        // Of a run that was taken back, nothing is counted any more.
        0 if found.state.is_over() && !expanded => return None,
        0 if !expanded => open("there are no two columns yet"),
        0 => pass("none was noticed"),
        seconds => fail(format!("in {} there was one", plural(seconds, "second"))),
    })
}

fn latency(found: &Found<'_>) -> Option<Judged> {
    let goal = found.run.plan.backfill.goal_latency;
    Some(match found.felt {
        Some(felt) => {
            let said = format!("{} of {} above it", number(felt.over_goal), plural(felt.probes, "probe"));
            let goal =
                felt.goal_seconds.map(|goal| format!("; the plan's goal is {}", Signal::GoalLatency.format(goal)));
            let said = said + &goal.unwrap_or_default();
            if felt.is_met() { pass(said) } else { fail(said) }
        }
        None if goal.is_none() || found.state.is_over() => return None,
        None => open("no probe was made so far"),
    })
}

fn approved(found: &Found<'_>) -> Option<Judged> {
    let wanted = &found.run.plan.approve;
    if let Some(bypass) = found.status.bypassed.first() {
        return Some(fail(format!("{} went on with {} without one: {}", bypass.person, bypass.phase, bypass.reason)));
    }
    if wanted.is_empty() {
        return None;
    }
    let begun = |phase: &&Phase| {
        found.log.iter().any(|line| matches!(&line.entry, Entry::PhaseStarted { phase: of, .. } if of == *phase))
    };
    let (begun, to_come): (Vec<_>, Vec<_>) = wanted.iter().partition(begun);
    let names = |phases: &[Phase]| phases.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(", ");
    Some(match (begun.as_slice(), to_come.as_slice()) {
        (begun, []) => pass(names(begun)),
        (_, to_come) => open(format!("not begun yet: {}", names(to_come))),
    })
}

fn unused(found: &Found<'_>) -> Option<Judged> {
    if !found.run.program.phases.contains(&Phase::Contract) || !found.status.compares {
        return None;
    }
    let began = found.log.iter().rev().find_map(|line| match &line.entry {
        Entry::PhaseStarted { phase: Phase::Contract, gates } => Some(gates),
        _ => None,
    });
    let overridden = found.log.iter().rev().find_map(|line| match &line.entry {
        Entry::EvidenceAccepted { reason, .. } => Some(format!("{} went on in spite of it: {reason}", line.actor)),
        _ => None,
    });
    // Without a quiet time nobody looks.
    if found.contract.unused.is_zero() && overridden.is_none() {
        return None;
    }
    let Some(gates) = began else {
        return (!found.state.is_over()).then(|| open("contract has not begun"));
    };
    let reading = gates.iter().find(|reading| reading.gate == GateKind::Unused);
    Some(match (overridden, reading) {
        (Some(why), _) => fail(why),
        (None, Some(reading)) if reading.verdict == Verdict::Pass => pass(reading.reason.clone()),
        (None, Some(reading)) => fail(reading.reason.clone()),
        (None, None) => open("the log does not say"),
    })
}

fn intact(found: &Found<'_>) -> Judged {
    match found.broken {
        None if found.log.len() == 1 => pass("the hash of its only entry holds"),
        None => pass(format!("the hashes of all {} entries hold", found.log.len())),
        Some(broken) => fail(broken.to_string()),
    }
}

fn length<T>(list: &[T]) -> i64 {
    i64::try_from(list.len()).unwrap_or(i64::MAX)
}
