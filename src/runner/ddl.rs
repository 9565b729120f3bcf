//! A transactional step: first the lock, in short attempts, then the guards, then the statements, then the ledger entry. All
//! of it commits or none. From the lock to the commit it is one message to the server: were it several, everybody would wait
//! for the network as well.
//!
//! A statement that waits for ACCESS EXCLUSIVE makes everybody behind it wait as well, so an attempt costs the application at
//! most its `lock_timeout`, and the pauses between attempts are several times longer (docs/postgres.md, "The lock queue").

use std::time::Duration;

use sqlx::PgConnection;

use super::Error;
use super::gate::{Guard, GuardFailed};
use super::session::{Known, Session};
use crate::change::{FirstWrite, ROW};
use crate::engine::Work;
use crate::event::{Blocker, Event};
use crate::ledger::NewWrites;
use crate::pg::{self, ErrorClass, Limits, OldReader, Owner};
use crate::run::{Entry, Gate, Phase, Relation, RelationId, StepKey, Target, What};

/// The first attempt waits this long for its lock.
const FIRST_TRY: Duration = Duration::from_millis(100);
/// No attempt waits longer, except the one that makes an autovacuum worker give way.
const LONGEST_TRY: Duration = Duration::from_millis(1500);
/// How long it waits for another lock while it has one.
const OF_ANOTHER: Duration = Duration::from_millis(100);
/// Pause after an attempt, in multiples of its length.
const PAUSE_FACTOR: u32 = 5;
/// How many attempts in all. With the pauses above: a few minutes.
const TRIES: u32 = 40;
/// So many of the first attempts are put into the log, if it is always somebody else who is in the way.
const NOTED: u32 = 5;
/// While a transaction has held the table for longer than this, crossfade waits without trying.
const OLD_TRANSACTION: Duration = Duration::from_secs(2);
/// How long it waits for all partitions of a table together while it has the table.
const OF_PARTITIONS: Duration = Duration::from_millis(500);
/// The statements are metadata-only; one that is not must not hold the lock for long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);

/// What the server says when a statement has reached its limit, or somebody has ended it.
const CANCELED: &str = "57014";

/// What to do in one transaction.
pub(super) struct Job<'a> {
    pub(super) step: &'a StepKey,
    /// The tables that it locks, in this order.
    pub(super) targets: &'a [Target],
    /// Columns of the plan's own table whose views it locks before.
    pub(super) above: &'a [String],
    pub(super) needs: &'a [Gate],
    pub(super) statements: &'a [String],
    /// The ledger's entries once it is done.
    pub(super) entries: &'a [Entry],
    /// What was known of writes to the new columns when the guards were prepared.
    pub(super) new_writes: Option<NewWrites>,
    /// The signature of the catalog from which the statements were made, and the tables that it is of: what the run follows may have made
    /// the program one of more tables, or of fewer.
    pub(super) signature: Option<(&'a [Relation], &'a str)>,
    /// The phase that must be approved, if it is one that is approved.
    pub(super) approved: Option<Phase>,
    /// For how long a statement may have the tables locked where that is more than a moment. One that takes longer is not tried again.
    pub(super) locked_for: Option<Duration>,
}

/// How a job ended.
pub(super) enum Ended {
    /// Committed.
    Done,
    /// A guard did not hold; nothing was changed.
    Guard(GuardFailed),
}

/// Does the job, with as many attempts as its lock needs.
///
/// # Errors
/// [`Error::Locked`] when the lock could not be acquired; [`Error::Step`] when a statement failed.
pub(super) async fn transaction(work: &Work, session: &mut Session, job: &Job<'_>) -> Result<Ended, Error> {
    let mut wait = FIRST_TRY;
    let mut blockers = Vec::new();
    let mut patient_before = false;
    let mut noted: Option<Vec<i32>> = None;
    let mut readers = None;
    for attempt in 1..=TRIES {
        let mut old = old_holders(work, session, job).await?;
        if job.step.what == What::Swap {
            let still = old_readers(work, session, readers).await?;
            old.extend(still.iter().map(|reader| reader.session.clone()));
            readers = Some(still);
        }
        if old.is_empty() {
            // If the COMMIT is lost, the outcome is unknown: the caller reads the ledger again, which committed with it.
            match attempt_once(work, session, job, wait).await {
                Ok(signature) => {
                    let known = session.known.take().filter(|_| job.signature.is_some());
                    session.known = known.zip(signature).map(|(known, signature)| Known { signature, ..known });
                    return Ok(Ended::Done);
                }
                Err(NotDone::Guard(failed)) => return Ok(Ended::Guard(failed)),
                Err(NotDone::Locked(found)) => blockers = found,
                Err(NotDone::Failed(error)) => return Err(error),
            }
        } else {
            blockers = old;
        }
        let pids: Vec<_> = blockers.iter().map(|blocker| blocker.pid).collect();
        if attempt <= NOTED && noted.as_ref() != Some(&pids) {
            let blockers = blockers.iter().map(ToString::to_string).collect();
            let entries = [Entry::LockWait { step: job.step.clone(), blockers }];
            work.ledger.log().record(&mut session.main, &work.run, Some(work.lease), &entries, &work.actor).await?;
            noted = Some(pids);
        }
        let pause = pg::jitter((wait * PAUSE_FACTOR).max(Duration::from_millis(500)));
        work.emit(Event::LockWait { step: job.step.clone(), attempt, blockers: blockers.clone(), pause });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = work.stop.cancelled() => return Err(Error::Interrupted),
        }
        // An ordinary autovacuum gives way only after deadlock_timeout, and loses its work each time (docs/postgres.md,
        // "Autovacuum and deadlock_timeout").
        let patient = !patient_before && blockers.iter().any(is_autovacuum);
        patient_before |= patient;
        wait = if patient {
            pg::deadlock_timeout(&mut session.watch).await? + FIRST_TRY * 3
        } else {
            (wait * 3 / 2).min(LONGEST_TRY)
        };
    }
    Err(Error::Locked { step: job.step.clone(), attempts: TRIES, blockers })
}

/// Why nothing was committed.
enum NotDone {
    /// A guard did not hold.
    Guard(GuardFailed),
    /// The lock could not be had in time; these were in the way.
    Locked(Vec<Blocker>),
    /// It cannot be done.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotDone {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// One attempt: one transaction. Nothing of it is left when it fails. Returns the signature of the catalog that it leaves
/// behind, if nobody else's code had a part in it.
async fn attempt_once(
    work: &Work,
    session: &mut Session,
    job: &Job<'_>,
    wait: Duration,
) -> Result<Option<String>, NotDone> {
    let limits = Limits { lock: wait, statement: STATEMENT_TIMEOUT, durable: true };
    let result = pg::up_to(limits.statement, async {
        pg::begin(&mut session.main, limits).await?;
        let parts = prepared(work, &mut session.main, job, limits).await?;
        send(session, job, &parts, wait).await
    });
    let result = result.await;
    if result.is_err() {
        pg::rollback(&mut session.main).await;
    }
    result
}

/// What a statement of the message is for.
enum Part<'a> {
    /// It locks a table.
    Lock,
    /// It ends the message when a guard does not hold.
    Guard(GuardFailed),
    /// It does what the step is for.
    Step(&'a str),
    /// It undoes what the code of the table's owner may have left in the session.
    Settle,
    /// It records that, or reads what the catalog is now, or commits.
    Record,
}

/// Prepares the message that locks, proves, does, records and commits. Whatever needs an answer before it can be written is
/// asked for here, where no table is locked yet.
async fn prepared<'a>(
    work: &Work,
    tx: &mut PgConnection,
    job: &'a Job<'_>,
    limits: Limits,
) -> Result<Vec<(String, Part<'a>)>, NotDone> {
    work.ledger.leases().fence(tx, work.lease).await?;
    let entries = work.ledger.log().appending(tx, &work.run, job.entries, &work.actor).await?;
    if let Some(phase) = job.approved {
        super::gate::approved(work, tx, phase).await?;
    }
    let guards = super::gate::guards(work, tx, job.needs, job.new_writes).await?.map_err(NotDone::Guard)?;
    // By the time it is asked, nobody else can change what hangs on the tables.
    let same = job.signature.map(|(relations, signature)| Guard {
        condition: crate::catalog::has_signature(relations, signature),
        failed: GuardFailed::Changed,
    });
    let relation = |target: &Target| work.run.program.relation(target.relation).map(|found| (found, target.mode));
    let views = work.run.program.relation(RelationId::MAIN).filter(|_| !job.above.is_empty());
    let views = views.map(|main| (crate::change::lock_views(&main.table.sql(), job.above), Part::Lock));
    let locks = job.targets.iter().filter_map(relation);
    // Who is waited for while something is locked already may wait for that in turn: crossfade gives up long before PostgreSQL
    // looks for a deadlock and chooses a victim.
    let briefly = format!("SET LOCAL lock_timeout = {}", OF_ANOTHER.as_millis());
    let within = |limit: Duration| (format!("SET LOCAL statement_timeout = {}", limit.as_millis()), Part::Settle);
    let mut taken = Vec::new();
    for (n, (relation, mode)) in locks.enumerate() {
        let lock = |only: &str| (format!("LOCK TABLE {only}{} IN {mode} MODE", relation.table.sql()), Part::Lock);
        if n == 1 {
            taken.push((briefly.clone(), Part::Settle));
        }
        if !relation.partitioned {
            taken.push(lock(""));
            continue;
        }
        // Partitions come one after the other, and whoever has one of them may wait for the table already.
        taken.extend([lock("ONLY "), (briefly.clone(), Part::Settle), within(OF_PARTITIONS)]);
        taken.extend([lock(""), within(STATEMENT_TIMEOUT)]);
    }
    let locks: Vec<_> = views.into_iter().chain(taken).collect();
    let guards = same.into_iter().chain(guards).map(|Guard { condition, failed }| {
        let words = format!("crossfade: step {}: {failed}", job.step);
        (pg::guard(pg::GUARD, &condition, &words), Part::Guard(failed))
    });
    let mut statements: Vec<_> = job.locked_for.map(within).into_iter().collect();
    let mut owner = None;
    for statement in job.statements {
        let Some(relation) = runs_owners_code(work, statement) else {
            statements.push((statement.clone(), Part::Step(statement)));
            continue;
        };
        let owner = match &mut owner {
            Some(owner) => owner,
            None => owner.insert(Owner::enter(&mut *tx, relation.oid).await?),
        };
        if FirstWrite::of(statement) == Some(FirstWrite::Before) {
            let parts = [Part::Step(statement)].into_iter().chain(std::iter::repeat_with(|| Part::Settle));
            statements.extend(owner.run_keeping(statement, limits, ROW).into_iter().zip(parts));
            continue;
        }
        statements.push((owner.run(statement), Part::Step(statement)));
        statements.extend(owner.settle(limits).into_iter().map(|settle| (settle, Part::Settle)));
    }
    statements.extend(job.locked_for.map(|_| within(STATEMENT_TIMEOUT)));
    let end = [crate::catalog::signature_left(&work.run.program.relations), "COMMIT".to_owned()];
    let records = entries.into_iter().chain(end).map(|statement| (statement, Part::Record));
    Ok(locks.into_iter().chain(guards).chain(statements).chain(records).collect())
}

/// Sends the message: one, so that nobody waits for the network while a table is locked.
async fn send(
    session: &mut Session,
    job: &Job<'_>,
    parts: &[(String, Part<'_>)],
    wait: Duration,
) -> Result<Option<String>, NotDone> {
    let Session { main, main_pid, watch, .. } = session;
    let text = parts.iter().map(|(statement, _)| statement.as_str()).collect::<Vec<_>>().join("\n;\n");
    let longest = |part: &Part<'_>| match part {
        Part::Lock => wait,
        Part::Step(_) => job.locked_for.unwrap_or(STATEMENT_TIMEOUT),
        _ => STATEMENT_TIMEOUT,
    };
    let longest = parts.iter().map(|(_, part)| longest(part)).sum();
    let sent = pg::up_to(longest, pg::script(main, text));
    let watched = async {
        tokio::time::sleep(wait / 2).await;
        pg::blockers(watch, *main_pid).await.unwrap_or_default()
    };
    tokio::pin!(watched, sent);
    // Look up the blockers only while waiting; a free lock needs no second query.
    let (said, blockers) = tokio::select! {
        said = &mut sent => (said, vec![]),
        blockers = &mut watched => (sent.await, blockers),
    };
    let Some(error) = said.error else { return Ok(said.texts.into_iter().last().filter(|text| !text.is_empty())) };
    let failed = parts.get(said.ended);
    let is_guard = pg::sqlstate(&error).as_deref() == Some(pg::GUARD);
    Err(match (pg::class_of(&error), failed) {
        (ErrorClass::Connection, _) => error.into(),
        (ErrorClass::Contention, Some((_, Part::Step(_)))) if pg::sqlstate(&error).as_deref() == Some(CANCELED) => {
            match job.locked_for {
                Some(limit) => {
                    NotDone::Failed(Error::LockedTooLong { step: job.step.clone(), limit, error: pg::describe(&error) })
                }
                None => NotDone::Locked(blockers),
            }
        }
        (ErrorClass::Contention, _) => NotDone::Locked(blockers),
        // Renamed or dropped since the statements were made.
        (_, Some((_, Part::Lock))) if job.signature.is_some() && pg::sqlstate(&error).as_deref() == Some("42P01") => {
            NotDone::Guard(GuardFailed::Changed)
        }
        (_, Some((_, Part::Guard(failed)))) if is_guard => NotDone::Guard(failed.clone()),
        (_, Some((_, Part::Step(statement)))) if FirstWrite::of(statement) == Some(FirstWrite::After) => {
            NotDone::Failed(Error::WriteFails { step: job.step.clone(), error: pg::describe(&error) })
        }
        (_, Some((_, Part::Step(statement)))) => NotDone::Failed(Error::failed(job.step, statement, &error)),
        _ => error.into(),
    })
}

/// Returns the table whose owner's code the statement may run: a default is evaluated when its column is added, the server
/// evaluates what it can of every CHECK when it looks for a proof of NOT NULL, and the first write fires the triggers.
fn runs_owners_code<'w>(work: &'w Work, statement: &str) -> Option<&'w Relation> {
    let runs = |on: &&Relation| {
        if FirstWrite::of(statement).is_some() {
            return true;
        }
        let Some(rest) = statement.strip_prefix(&format!("ALTER TABLE {} ", on.table.sql())) else { return false };
        rest.starts_with("ADD COLUMN ") && rest.contains(" DEFAULT ") || rest.ends_with(" SET NOT NULL")
    };
    work.run.program.relations.iter().find(runs)
}

/// Returns who has been in a transaction with one of the tables for long.
async fn old_holders(work: &Work, session: &mut Session, job: &Job<'_>) -> Result<Vec<Blocker>, Error> {
    let mut found = Vec::new();
    for relation in job.targets.iter().filter_map(|target| work.run.program.relation(target.relation)) {
        match pg::old_holders(&mut session.watch, relation.oid, OLD_TRANSACTION).await {
            Ok(holders) => found.extend(holders),
            Err(error) if pg::class_of(&error) == ErrorClass::Connection => return Err(error.into()),
            // To know who would be in the way spares others a wait; it is no condition.
            Err(error) => tracing::debug!(%error, "old transactions"),
        }
    }
    Ok(found)
}

/// Returns whose snapshot may be older than the end of the backfill: under the old name, it would show him rows of the new column
/// that are not filled yet. Only those `known` before count, because a snapshot is called old as long as anything goes on that
/// was under way when the backfill ended; whoever came later has a newer one.
async fn old_readers(
    work: &Work,
    session: &mut Session,
    known: Option<Vec<OldReader>>,
) -> Result<Vec<OldReader>, Error> {
    if known.as_ref().is_some_and(Vec::is_empty) {
        return Ok(vec![]);
    }
    let is_filled = |entry: &Entry| matches!(entry, Entry::StepDone { step, .. } if matches!(step.what, What::Fill(_)));
    let filled = work.ledger.log().transaction_of(&mut session.main, work.run.id, is_filled).await?;
    let Some(filled) = filled else { return Ok(vec![]) };
    let mut found = pg::old_readers(&mut session.watch, filled).await?;
    if let Some(known) = known {
        found.retain(|reader| known.iter().any(|known| known.transaction == reader.transaction));
    }
    Ok(found)
}

fn is_autovacuum(blocker: &Blocker) -> bool {
    blocker.query.as_ref().is_some_and(|q| q.starts_with("autovacuum:") && !q.contains("to prevent wraparound"))
}
