//! A transactional step: first the lock, in short attempts, then the guards, then the statements, then the ledger entry. All
//! of it commits or none.
//!
//! A statement that waits for ACCESS EXCLUSIVE makes everybody behind it wait as well, so an attempt costs the application at
//! most its `lock_timeout`, and the pauses between attempts are several times longer (docs/postgres.md, "The lock queue").

use std::time::Duration;

use sqlx::PgConnection;

use super::Error;
use super::gate::GuardFailed;
use super::session::Session;
use crate::engine::Work;
use crate::event::{Blocker, Event};
use crate::ledger::NewWrites;
use crate::pg::{self, ErrorClass, Limits, Owner};
use crate::run::{Entry, Gate, Relation, StepKey, Target};

/// The first attempt waits this long for its lock.
const FIRST_TRY: Duration = Duration::from_millis(100);
/// No attempt waits longer, except the one that makes an autovacuum worker give way.
const LONGEST_TRY: Duration = Duration::from_millis(1500);
/// Pause after an attempt, in multiples of its length.
const PAUSE_FACTOR: u32 = 5;
/// How many attempts in all. With the pauses above: a few minutes.
const TRIES: u32 = 40;
/// So many of the first attempts are put into the log, if it is always somebody else who is in the way.
const NOTED: u32 = 5;
/// While a transaction has held the table for longer than this, crossfade waits without trying.
const OLD_TRANSACTION: Duration = Duration::from_secs(2);
/// The statements are metadata-only; one that is not must not hold the lock for long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);

/// What to do in one transaction.
pub(super) struct Job<'a> {
    pub(super) step: &'a StepKey,
    /// The tables that it locks, in this order.
    pub(super) targets: &'a [Target],
    pub(super) needs: &'a [Gate],
    pub(super) statements: &'a [String],
    /// The ledger's entries once it is done.
    pub(super) entries: &'a [Entry],
    /// What was known of writes to the new columns when the guards were prepared.
    pub(super) new_writes: Option<NewWrites>,
    /// The signature of the catalog from which the statements were made.
    pub(super) signature: Option<&'a str>,
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
    for attempt in 1..=TRIES {
        let old = old_holders(work, session, job).await?;
        if old.is_empty() {
            let Session { main, main_pid, watch } = &mut *session;
            let done = pg::transaction(main, limits(wait), async |tx| {
                inside(work, tx, Watch { connection: watch, main_pid: *main_pid }, job, wait).await
            });
            // If the COMMIT is lost, the outcome is unknown: the caller reads the ledger again, which committed with it.
            match done.await {
                Ok(()) => return Ok(Ended::Done),
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

/// Looks at the server while the backend `main_pid` waits.
struct Watch<'w> {
    connection: &'w mut PgConnection,
    main_pid: i32,
}

impl Watch<'_> {
    async fn blockers(&mut self) -> Vec<Blocker> {
        pg::blockers(self.connection, self.main_pid).await.unwrap_or_default()
    }
}

async fn inside(
    work: &Work,
    tx: &mut PgConnection,
    mut watch: Watch<'_>,
    job: &Job<'_>,
    wait: Duration,
) -> Result<(), NotDone> {
    work.ledger.leases().fence(tx, work.lease).await?;
    for target in job.targets {
        let Some(relation) = work.run.program.relation(target.relation) else { continue };
        let lock = format!("LOCK TABLE {} IN {} MODE", relation.table.sql(), target.mode);
        let watched = async {
            tokio::time::sleep(wait / 2).await;
            watch.blockers().await
        };
        let locked = async { pg::execute(tx, &lock).await };
        tokio::pin!(watched, locked);
        // Look up the blockers only while waiting; a free lock needs no second query.
        let (result, blockers) = tokio::select! {
            result = &mut locked => (result, vec![]),
            blockers = &mut watched => (locked.await, blockers),
        };
        match result {
            Ok(_) => {}
            Err(error) if pg::class_of(&error) == ErrorClass::Contention => return Err(NotDone::Locked(blockers)),
            // Renamed or dropped since the statements were made.
            Err(error) if job.signature.is_some() && pg::sqlstate(&error).as_deref() == Some("42P01") => {
                return Err(NotDone::Guard(GuardFailed::Changed));
            }
            Err(error) => return Err(error.into()),
        }
    }
    // By now nobody else can change what hangs on the tables.
    if let Some(signature) = job.signature
        && crate::catalog::signature(tx, &work.run.program.relations).await? != signature
    {
        return Err(NotDone::Guard(GuardFailed::Changed));
    }
    if let Some(failed) = super::gate::failed(work, tx, job.needs, job.new_writes).await? {
        return Err(NotDone::Guard(failed));
    }
    let mut owner = None;
    for statement in job.statements {
        let done = match runs_owners_code(work, statement) {
            None => pg::execute(tx, statement).await.map(drop),
            Some(relation) => as_owner(tx, &mut owner, relation, statement, limits(wait)).await,
        };
        let Err(error) = done else { continue };
        return Err(match pg::class_of(&error) {
            ErrorClass::Contention => NotDone::Locked(watch.blockers().await),
            ErrorClass::Connection => error.into(),
            ErrorClass::Refused | ErrorClass::Other => NotDone::Failed(Error::failed(job.step, statement, &error)),
        });
    }
    work.ledger.log().append(tx, &work.run, job.entries, &work.actor).await?;
    Ok(())
}

/// Returns the table whose owner's code the statement may run: a default is evaluated when its column is added, and the server
/// evaluates what it can of every CHECK when it looks for a proof of NOT NULL.
fn runs_owners_code<'w>(work: &'w Work, statement: &str) -> Option<&'w Relation> {
    let runs = |on: &&Relation| {
        let Some(rest) = statement.strip_prefix(&format!("ALTER TABLE {} ", on.table.sql())) else { return false };
        rest.starts_with("ADD COLUMN ") && rest.contains(" DEFAULT ") || rest.ends_with(" SET NOT NULL")
    };
    work.run.program.relations.iter().find(runs)
}

/// Runs the statement as the table's owner, with nothing left behind.
async fn as_owner(
    tx: &mut PgConnection,
    owner: &mut Option<Owner>,
    relation: &Relation,
    statement: &str,
    limits: Limits,
) -> Result<(), sqlx::Error> {
    let owner = match owner {
        Some(owner) => owner,
        None => owner.insert(Owner::enter(&mut *tx, relation.oid).await?),
    };
    pg::batch(tx, &format!("{}; {}", owner.run(statement), owner.settle(limits))).await
}

/// Returns the limits of an attempt.
fn limits(wait: Duration) -> Limits {
    Limits { lock: wait, statement: STATEMENT_TIMEOUT, durable: true }
}

/// Returns who has been in a transaction with one of the tables for long.
async fn old_holders(work: &Work, session: &mut Session, job: &Job<'_>) -> Result<Vec<Blocker>, Error> {
    let mut found = Vec::new();
    for relation in job.targets.iter().filter_map(|target| work.run.program.relation(target.relation)) {
        found.extend(pg::old_holders(&mut session.watch, relation.oid, OLD_TRANSACTION).await?);
    }
    Ok(found)
}

fn is_autovacuum(blocker: &Blocker) -> bool {
    blocker.query.as_ref().is_some_and(|q| q.starts_with("autovacuum:") && !q.contains("to prevent wraparound"))
}
