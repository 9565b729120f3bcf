//! What others have changed since the run last looked: it follows, or it stops and says what.

use std::time::{Duration, Instant};

use super::conditions::{expected_conditions, missing};
use super::ddl::{self, Ended, Job};
use super::session::{Known, Session, note};
use super::{Error, gate};
use crate::catalog::{self, Present};
use crate::change::{Followed, Ruin, follow};
use crate::engine::Work;
use crate::event::Event;
use crate::pg::{self, ErrorClass};
use crate::run::{Entry, RelationId, State, Target, What};
use crate::sql::LockMode;

/// How often crossfade tries to look at a table that somebody has locked, for 2 s each time.
const LOOKS: u32 = 60;
/// Between two of these.
const PAUSE: Duration = Duration::from_secs(1);
/// How old a look at everything may be while the signature of the catalog stays what the run has left. The signature knows
/// what hangs on the tables, and not a type's or a function's own text.
const FRESH: Duration = Duration::from_secs(10);

/// Which way the run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Back,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// The catalog is what the program was compiled for, as long as it has this signature.
    AsPlanned {
        signature: String,
        /// What others made on a new column alone, which goes with it on the way back.
        lost: Vec<String>,
        /// What they made on a column that only lends its name.
        left: Vec<String>,
    },
    /// Something had changed, and the run has followed: its program and its state are others now.
    Followed,
    /// The table or a column is gone, which only a way back gets past.
    Ruined(Ruin),
}

/// Looks at everything that the program was compiled from, and follows what has changed.
///
/// # Errors
/// [`Error::Drifted`] with what cannot be followed, which is then in the log.
/// [`Error::Locked`] when somebody keeps the table locked for minutes.
pub(super) async fn look(work: &mut Work, session: &mut Session, state: &State, way: Way) -> Result<Found, Error> {
    let may_serve = |known: &Known| known.looked.elapsed() < FRESH && (known.free || !retires(work, state));
    if let Some(known) = session.known.clone().filter(may_serve)
        && catalog::signature(&mut session.main, &work.run.program.relations).await? == known.signature
    {
        let Known { signature, lost, .. } = known;
        return Ok(Found::AsPlanned { signature, lost, left: vec![] });
    }
    let found = look_at_everything(work, session, state, way).await?;
    session.known = match &found {
        Found::AsPlanned { signature, lost, left } => {
            let (signature, lost) = (signature.clone(), lost.clone());
            Some(Known { signature, lost, free: left.is_empty(), looked: Instant::now() })
        }
        Found::Followed | Found::Ruined(_) => None,
    };
    Ok(found)
}

async fn look_at_everything(work: &mut Work, session: &mut Session, state: &State, way: Way) -> Result<Found, Error> {
    let mut attempt = 1;
    loop {
        match look_once(work, session, state, way).await {
            // The table's size and its copy need a lock, though a weak one.
            Err(error @ Error::Catalog(_)) if error.class() == ErrorClass::Contention => {
                let step = state.next_step(&work.run.program).or_else(|| work.run.program.steps.last());
                let Some(step) = step.map(|step| step.key.clone()) else { return Err(error) };
                let oid = work.run.program.relations.first().map_or(0, |relation| relation.oid);
                let blockers = pg::old_holders(&mut session.watch, oid, Duration::ZERO).await.unwrap_or_default();
                if attempt >= LOOKS {
                    return Err(Error::Locked { step, attempts: attempt, blockers });
                }
                work.emit(Event::LockWait { step, attempt, blockers, pause: PAUSE });
                work.sleep(PAUSE).await?;
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn look_once(work: &mut Work, session: &mut Session, state: &State, way: Way) -> Result<Found, Error> {
    let state = &match way {
        Way::Forward => adopted(work, session, state).await?,
        Way::Back => state.clone(),
    };
    let run = &work.run;
    // Read first: whatever changes while the rest is read changes it too.
    let signature = catalog::signature(&mut session.main, &run.program.relations).await?;
    let (compiled, at) = ((&run.plan, &run.facts), (&run.program, state));
    let mut present = catalog::present(&mut session.main, compiled, at, work.ledger.schema()).await?;
    if way == Way::Forward && present.obstacles.is_empty() && state.done.is_empty() && state.maybe_ran.is_none() {
        from_the_start(work, session, &mut present).await?;
    }
    let run = &work.run;
    if way == Way::Forward && retires(work, state) {
        let left = present.left.iter().map(|what| {
            format!(
                "{what} uses the column that only lends its name until now, and would stay there: make it on the column that gets the \
                 name, under its old name, and drop this one"
            )
        });
        present.obstacles.extend(left);
    }
    let followed = match follow(
        &run.plan,
        (&run.facts, &present.facts),
        &present.others,
        (&run.program, state),
        work.ledger.schema(),
    ) {
        _ if way == Way::Back && present.ruin.is_some() => None,
        _ if way == Way::Forward && !present.obstacles.is_empty() => None,
        Ok(followed) => followed,
        Err(late) => {
            present.obstacles.extend(late);
            None
        }
    };
    match (way, present.ruin, followed) {
        (Way::Back, Some(remains), _) => Ok(Found::Ruined(remains)),
        (_, _, Some(followed)) => {
            go_on(work, session, state, followed, &signature).await?;
            Ok(Found::Followed)
        }
        (Way::Back, None, None) => Ok(Found::AsPlanned { signature, lost: present.lost, left: present.left }),
        (Way::Forward, _, None) => {
            let expected = expected_conditions(&run.program, state);
            let missing = missing(work, session, &expected).await?;
            let mut facts = present.obstacles;
            facts.extend(missing.into_iter().map(|fact| format!("not the case: {fact}")));
            if facts.is_empty() {
                return Ok(Found::AsPlanned { signature, lost: present.lost, left: present.left });
            }
            note(work, session, Entry::Drifted { facts: facts.clone() }).await?;
            Err(Error::Drifted { facts })
        }
    }
}

/// Whether the next step takes the old name away.
fn retires(work: &Work, state: &State) -> bool {
    state.next_step(&work.run.program).is_some_and(|step| step.key.what == What::Retire)
}

/// A step that is done although the log does not know it is adopted later, and may have renamed what others made.
async fn adopted(work: &Work, session: &mut Session, state: &State) -> Result<State, Error> {
    let mut state = state.clone();
    if let Some(step) = state.next_step(&work.run.program)
        && !step.done_when.is_empty()
        && missing(work, session, &step.done_when).await?.is_empty()
    {
        state.done.push(step.key.clone());
    }
    Ok(state)
}

/// Nothing has been done yet: the plan is judged again like a new one.
async fn from_the_start(work: &Work, session: &mut Session, present: &mut Present) -> Result<(), Error> {
    let found = catalog::inspect(&mut session.main, &work.run.plan, work.ledger.schema()).await?;
    present.obstacles.extend(found.refusals.into_iter().map(|finding| finding.message));
    if let Some(facts) = found.facts {
        present.facts = facts;
    }
    Ok(())
}

/// Adapts what was done so far, records the new program in the same transaction, and goes on with it.
async fn go_on(
    work: &mut Work,
    session: &mut Session,
    state: &State,
    followed: Followed,
    signature: &str,
) -> Result<(), Error> {
    let Followed { changes, statements, undone, compiled } = followed;
    let mut next = work.clone();
    next.run.replan(compiled.clone());
    let key = state.next_step(&work.run.program).or_else(|| work.run.program.steps.last());
    let Some(key) = key.map(|step| step.key.clone()) else { return Ok(()) };
    let entry = Entry::Replanned { changes: changes.clone(), undone, compiled: Box::new(compiled) };
    let locks = Target { relation: RelationId::MAIN, mode: LockMode::AccessExclusive };
    let job = Job {
        above: &[],
        step: &key,
        targets: if statements.is_empty() { &[] } else { &[locks] },
        needs: &[],
        statements: &statements,
        entries: &[entry],
        new_writes: None,
        signature: Some((&work.run.program.relations, signature)),
        approved: None,
        locked_for: None,
    };
    match ddl::transaction(&next, session, &job).await? {
        Ended::Done => {
            *work = next;
            // Before a key or a part begins, those that refer to it have been changed by their own runs.
            let in_turn = state.done.is_empty() && (!work.run.plan.parts.is_empty() || work.run.plan.part_of.is_some());
            let who = if in_turn {
                "what refers to the table was changed first"
            } else {
                "others have changed what the run was planned for"
            };
            let message = format!("{who}, and it follows: {}", changes.join("; "));
            work.emit(Event::Warning { message });
        }
        // Changed once more: the next look finds it.
        Ended::Guard(_) => {}
    }
    Ok(())
}

/// How often in a row the run follows before it gives up.
pub(super) const FOLLOWS: u32 = 10 * gate::MENDS;
