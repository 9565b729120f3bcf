//! Hooks: programs that are run before and after phases. A plan only names them. Which files those are is said by whoever started
//! this process: somebody who can write the ledger can have what is in that directory run, and nothing else.

#[cfg(feature = "hooks")]
mod execute;

use std::path::Path;

use serde_json::json;

use super::session::{Session, note};
use super::{Error, NotYet};
use crate::engine::Work;
use crate::event::{Event, Wait};
use crate::failpoint;
use crate::ledger::{LoggedEntry, Run};
use crate::pg;
use crate::plan::HookTime;
use crate::run::{Entry, GateKind, GateReading, HookKey, Owed, Phase, State, owed};

/// How a hook ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether it ended well.
    pub(super) ok: bool,
    /// How, as a clause.
    pub(super) how: String,
    /// The last lines that it printed.
    pub(super) output: String,
}

/// What a hook is told.
#[cfg_attr(not(feature = "hooks"), expect(dead_code, reason = "nothing runs them"))]
pub(super) struct Told {
    /// `CROSSFADE_*` variables.
    pub(super) variables: Vec<(&'static str, String)>,
    /// JSON for its standard input.
    pub(super) input: String,
}

/// Runs the hooks before the phase that the run is about to begin.
///
/// # Errors
/// [`NotYet::Gate`] when one of them has something against it, or cannot be run.
pub(super) async fn before(
    work: &Work,
    session: &mut Session,
    directory: Option<&Path>,
    state: &State,
    log: &[LoggedEntry],
) -> Result<Option<GateReading>, Error> {
    let hooks = owed(&work.run.plan.hooks, log.iter().map(|line| &line.entry), Some(state.phase));
    let names: Vec<_> = hooks.iter().map(|owed| owed.hook.run.to_string()).collect();
    for owed in hooks {
        let key = HookKey::of(&owed.hook);
        let ended = run(work, session, directory, state, owed).await?;
        if !ended.ok {
            let output = if ended.output.is_empty() { String::new() } else { format!(": {}", one_line(&ended.output)) };
            return Err(closed(&work.run, state, format!("hook {key} {}{output}", ended.how)));
        }
    }
    let pass = || GateReading::pass(GateKind::Hook, format!("asked: {}", names.join(", ")));
    Ok((!names.is_empty()).then(pass))
}

/// Runs the hooks after phases that are done, as far as that was not done before. What they say changes nothing.
///
/// # Errors
/// [`NotYet::Gate`] where none can be run; a stop.
pub(super) async fn after(
    work: &Work,
    session: &mut Session,
    directory: Option<&Path>,
    state: &State,
) -> Result<(), Error> {
    if work.run.plan.hooks.iter().all(|hook| hook.when == HookTime::Before) {
        return Ok(());
    }
    let log = work.ledger.log().entries(&mut session.main, work.run.id).await?;
    for owed in owed(&work.run.plan.hooks, log.iter().map(|line| &line.entry), None) {
        let key = HookKey::of(&owed.hook);
        let ended = run(work, session, directory, state, owed).await?;
        if !ended.ok {
            let output = if ended.output.is_empty() { String::new() } else { format!(": {}", one_line(&ended.output)) };
            work.emit(Event::Warning { message: format!("hook {key} {}{output}", ended.how) });
        }
    }
    Ok(())
}

/// Returns what the log says of the hooks before `phase`, since the run came to it.
pub(super) fn last_said(run: &Run, phase: Phase, log: &[LoggedEntry]) -> GateReading {
    let of_phase = |hook: &HookKey| hook.when == HookTime::Before && hook.phase == phase;
    let came =
        log.iter().rposition(|line| matches!(line.entry, Entry::PhaseDone { .. } | Entry::UndoDone)).unwrap_or(0);
    let last = log[came..].iter().rev().find_map(|line| match &line.entry {
        Entry::HookEnded { hook, ok, how, .. } if of_phase(hook) => Some((line.at, hook, *ok, how)),
        _ => None,
    });
    match last {
        Some((at, hook, false, how)) => GateReading::fail(GateKind::Hook, format!("{hook} {how}")).since(Some(at)),
        Some((at, hook, true, _)) => {
            let reason = format!("{hook} had nothing against it; it is asked again when the phase begins");
            GateReading::unknown(GateKind::Hook, reason).since(Some(at))
        }
        None => {
            let hooks = run.plan.hooks.iter().filter(|hook| hook.when == HookTime::Before && hook.phase == phase);
            let names: Vec<_> = hooks.map(|hook| hook.run.to_string()).collect();
            GateReading::unknown(GateKind::Hook, format!("{} asked when the phase begins", names.join(", ") + " is"))
        }
    }
}

fn closed(run: &Run, state: &State, reason: String) -> Error {
    let reading = GateReading::fail(GateKind::Hook, reason);
    Error::NotYet(NotYet::Gate { name: run.name().clone(), phase: state.phase, reading })
}

/// Runs one hook, and records its beginning and its end.
async fn run(
    work: &Work,
    session: &mut Session,
    directory: Option<&Path>,
    state: &State,
    owed: Owed,
) -> Result<Ended, Error> {
    let key = HookKey::of(&owed.hook);
    let Some(directory) = directory else {
        let reason = format!("the plan has hook {key}, and this process was not told where hooks are: --hooks DIR");
        return Err(closed(&work.run, state, reason));
    };
    if !directory.join(key.run.as_str()).is_file() {
        let reason = format!("the plan has hook {key}, and {} has no such file", directory.display());
        return Err(closed(&work.run, state, reason));
    }
    if cfg!(not(feature = "hooks")) {
        let reason = format!("the plan has hook {key}, and this crossfade was built without the feature `hooks`");
        return Err(closed(&work.run, state, reason));
    }
    let database: (String, String) =
        pg::query_as("SELECT pg_catalog.current_database()::text, pg_catalog.gen_random_uuid()::text")
            .fetch_one(&mut session.main)
            .await?;
    let (database, fresh) = database;
    let id = if let Some(id) = owed.id {
        id
    } else {
        // Before it runs: if this process is killed now, it is run again, and can tell by the id that it is.
        note(work, session, Entry::HookStarted { hook: key.clone(), id: fresh.clone() }).await?;
        fresh
    };
    failpoint::hit("hook.started");
    work.emit(Event::Waiting { wait: Wait::Hook { hook: key.to_string() }, seconds: None });
    let told = told(work, state, &key, &id, &database);
    let ended = execute(directory, &owed.hook, &told, work).await?;
    failpoint::hit("hook.ended");
    let Ended { ok, how, output } = &ended;
    let entry = Entry::HookEnded { hook: key, id, ok: *ok, how: how.clone(), output: output.clone() };
    note(work, session, entry).await?;
    Ok(ended)
}

#[cfg(feature = "hooks")]
use execute::execute;

#[cfg(not(feature = "hooks"))]
async fn execute(_: &Path, _: &crate::plan::Hook, _: &Told, _: &Work) -> Result<Ended, Error> {
    // Nobody comes here: without the feature a hook is refused.
    std::future::ready(Ok(Ended { ok: false, how: "cannot be run".to_owned(), output: String::new() })).await
}

fn told(work: &Work, state: &State, key: &HookKey, id: &str, database: &str) -> Told {
    let (run, table) = (&work.run, work.run.plan.table.to_string());
    let point = format!("{}_{}", key.when.as_str(), key.phase);
    let input = json!({
        "id": id,
        "hook": point,
        "run": run.called,
        "run_id": run.id.0,
        "database": database,
        "table": table,
        "phase": key.phase,
        "state": state.standing(),
        "entry": state.seq,
    });
    let variables = vec![
        ("CROSSFADE_EVENT_ID", id.to_owned()),
        ("CROSSFADE_HOOK", point),
        ("CROSSFADE_RUN", run.called.clone()),
        ("CROSSFADE_PHASE", key.phase.to_string()),
        ("CROSSFADE_DATABASE", database.to_owned()),
        ("CROSSFADE_TABLE", table),
    ];
    Told { variables, input: input.to_string() + "\n" }
}

fn one_line(output: &str) -> String {
    output.lines().collect::<Vec<_>>().join(" / ")
}
