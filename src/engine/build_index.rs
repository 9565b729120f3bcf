//! A statement that cannot run in a transaction: its start is recorded, then it runs, then the outcome is observed.
//!
//! It waits for older transactions, for minutes if necessary, and disturbs nobody while it waits. It has no timeouts of its
//! own, and crossfade reports whom it waits for. A half-built index is dropped: a unique one would keep
//! rejecting the application's writes (docs/postgres.md, "Invalid indexes").
//!
//! No transaction proves the lease for such a statement. Instead, the session that runs it holds an advisory lock of the run,
//! from before the lease is proved until it ends. A successor needs that lock, so it ends the session of a predecessor that
//! was stopped: whatever that process still has in mind for an index, it has no connection to do it with (docs/postgres.md,
//! "Statements without a transaction").

use std::time::Duration;

use sqlx::{PgConnection, Row as _};

use super::{Error, Work};
use crate::event::{Event, Wait};
use crate::pg::{self, ErrorClass, Owner};
use crate::run::{IndexName, StepKey};

/// How often crossfade looks up whom the statement waits for.
const WATCH: Duration = Duration::from_secs(1);
/// For how many of these looks, one after the other, the server may have nothing to do for the statement: then its answer was
/// lost, and will not come.
const IDLE_LOOKS: u32 = 15;
/// How long the drop of a half-built index may take when the run is to stop.
const LAST_DROP: Duration = Duration::from_secs(5);
/// How often a statement that lost a deadlock is retried.
const TRIES: u32 = 5;
/// The limits of a statement that could have a transaction, but takes as long as the table is large.
const UNLIMITED: pg::Limits = pg::Limits { lock: Duration::ZERO, statement: Duration::ZERO, durable: true };

/// Runs the statement to its end, on a connection of its own. `watch` looks whom it waits for.
///
/// # Errors
/// [`Error::Statement`] when it failed; [`Error::Interrupted`] when told to stop, after it was cancelled.
pub(crate) async fn run(
    work: &Work,
    watch: &mut PgConnection,
    step: &StepKey,
    settings: &[(String, String)],
    statement: &str,
    builds: Option<&IndexName>,
) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        let mut own = work.connector.connect("build").await?;
        prepare(&mut own, settings).await?;
        let waited = take_over(work, watch, &mut own).await?;
        if let Some(index) = builds
            && drop_unfinished(work, watch, &mut own, (step, waited), index).await?
        {
            return Ok(());
        }
        let pid = pg::backend_pid(&mut own).await?;
        let ended = observed(work, watch, (step, attempt), pid, execute(work, &mut own, step, statement)).await?;
        let Some(ended) = ended else {
            if let Some(index) = builds {
                // If that takes long, the next attempt does it.
                let dropped = tokio::time::timeout(LAST_DROP, drop_invalid(&mut own, index));
                dropped.await.unwrap_or(Ok(()))?;
            }
            return Err(Error::Interrupted);
        };
        let Err(error) = ended else { return Ok(()) };
        match pg::class_of(&error) {
            ErrorClass::Connection => return Err(error.into()),
            class => {
                // duplicate_table: the backend of a killed predecessor was still waiting to build it, and has started; the
                // next attempt waits for it, or finds what it left behind.
                let built_by_another = pg::sqlstate(&error).as_deref() == Some("42P07");
                if let Some(index) = builds.filter(|_| !built_by_another) {
                    drop_index(work, watch, &mut own, step, index).await?;
                }
                if !(class == ErrorClass::Contention || built_by_another) || attempt >= TRIES {
                    let (step, statement) = (step.clone(), statement.to_owned());
                    return Err(Error::Statement { step, statement, error });
                }
            }
        }
        attempt += 1;
        work.sleep(Duration::from_secs(1)).await?;
    }
}

/// Takes the run's lock for the session, which ends the session of a predecessor that does nothing with it, and proves the
/// lease. Returns whether a predecessor was at work. The lock is only ever tried for: a session that waits for one has a
/// snapshot, and the statement of its holder would wait for that.
async fn take_over(work: &Work, watch: &mut PgConnection, own: &mut PgConnection) -> Result<bool, Error> {
    let key = "SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', 'crossfade', $1, $2), 0)";
    let schema = work.ledger.schema().as_str().to_owned();
    let key: i64 = pg::query_scalar(key).bind(schema).bind(work.run.id.0).fetch_one(&mut *own).await?;
    let mut waited = false;
    loop {
        let taken: bool =
            pg::query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)").bind(key).fetch_one(&mut *own).await?;
        if taken {
            work.ledger.leases().fence(own, work.lease).await?;
            return Ok(waited);
        }
        let holder = pg::query(include_str!("session_lock.sql")).bind(key).fetch_optional(&mut *watch).await?;
        if let Some(holder) = holder {
            // Whoever has the lease may look; whoever has lost it must not end anybody.
            work.ledger.leases().fence(own, work.lease).await?;
            let (pid, idle): (i32, bool) = (holder.try_get("pid")?, holder.try_get("idle")?);
            if idle {
                pg::query("SELECT pg_catalog.pg_terminate_backend($1)").bind(pid).execute(&mut *watch).await?;
            }
            waited = true;
            work.emit(Event::Waiting { wait: Wait::Statement { pid }, seconds: None });
            work.sleep(WATCH).await?;
        }
    }
}

/// Runs the statement so that other people's code in it has the rights of its owner. In CREATE INDEX and ANALYZE the server
/// sees to that; they only need the owner's `search_path`.
async fn execute(work: &Work, own: &mut PgConnection, step: &StepKey, statement: &str) -> Result<(), sqlx::Error> {
    let target = work.run.program.step(step).and_then(|step| step.targets.first());
    let oid = target.and_then(|target| work.run.program.relation(target.relation)).map_or(0, |relation| relation.oid);
    if statement.starts_with("ALTER TABLE ") {
        let owner = Owner::enter(&mut *own, oid).await?;
        let text = format!("{}; {}; COMMIT", owner.run(statement), owner.settle(UNLIMITED).join("; "));
        let said = pg::up_to(Duration::MAX, pg::begin_script(own, UNLIMITED, &text)).await;
        let Some(error) = said.error else { return Ok(()) };
        pg::rollback(own).await;
        return Err(error);
    }
    if let Some(owner) = Owner::of(&mut *own, oid).await? {
        let path = "SELECT pg_catalog.set_config('search_path', $1, false)";
        pg::query(path).bind(owner.path).execute(&mut *own).await?;
    }
    pg::execute_watched(own, statement).await
}

/// Sets the session up and reads the timeouts back: a setting that was ignored would end a build after hours.
async fn prepare(own: &mut PgConnection, settings: &[(String, String)]) -> Result<(), Error> {
    let fixed = "SET lock_timeout = 0; SET statement_timeout = 0; SET idle_session_timeout = 0; SET search_path = pg_catalog, pg_temp";
    pg::batch(own, fixed).await?;
    for (name, value) in settings {
        pg::query("SELECT pg_catalog.set_config($1, $2, false)").bind(name).bind(value).execute(&mut *own).await?;
    }
    let row =
        pg::query("SELECT pg_catalog.current_setting('lock_timeout'), pg_catalog.current_setting('statement_timeout')")
            .fetch_one(own)
            .await?;
    let (lock_timeout, statement_timeout): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if lock_timeout != "0" || statement_timeout != "0" {
        return Err(Error::SessionNotSet { lock_timeout, statement_timeout });
    }
    Ok(())
}

/// Drops an invalid index that an earlier attempt left behind, once nobody is building it any more. Returns whether a
/// predecessor has built it meanwhile.
async fn drop_unfinished(
    work: &Work,
    watch: &mut PgConnection,
    own: &mut PgConnection,
    (step, mut waited): (&StepKey, bool),
    index: &IndexName,
) -> Result<bool, Error> {
    loop {
        let row = pg::query(include_str!("index_state.sql")).bind(index.sql()).fetch_optional(&mut *watch).await?;
        let Some(row) = row else { return Ok(false) };
        let (valid, builder): (bool, Option<i32>) = (row.try_get("valid")?, row.try_get("builder")?);
        match builder {
            None if valid && waited => return Ok(true),
            // The step loop adopts a valid index of the run, so this one is not crossfade's.
            None if valid => return Err(Error::IndexTaken { step: step.clone(), index: index.sql() }),
            None => return drop_index(work, watch, own, step, index).await.map(|()| false),
            Some(pid) => {
                waited = true;
                let wait = Wait::IndexBuild { pid, index: index.name.clone() };
                work.emit(Event::Waiting { wait, seconds: None });
                work.sleep(WATCH).await?;
            }
        }
    }
}

/// Drops the index if it is invalid. Nobody else can have made it valid in between: the session has the run's lock. It waits
/// for older transactions, as the build does.
async fn drop_index(
    work: &Work,
    watch: &mut PgConnection,
    own: &mut PgConnection,
    step: &StepKey,
    index: &IndexName,
) -> Result<(), Error> {
    let pid = pg::backend_pid(own).await?;
    match observed(work, watch, (step, 1), pid, drop_invalid(own, index)).await? {
        Some(ended) => Ok(ended?),
        None => Err(Error::Interrupted),
    }
}

async fn drop_invalid(own: &mut PgConnection, index: &IndexName) -> Result<(), sqlx::Error> {
    let row = pg::query(include_str!("index_state.sql")).bind(index.sql()).fetch_optional(&mut *own).await?;
    match row {
        Some(row) if !row.try_get("valid")? => {
            pg::execute_watched(own, &format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.sql())).await
        }
        _ => Ok(()),
    }
}

/// Waits for a statement that has no limit on the server, which the backend `pid` runs, and looks from `watch` whom it waits
/// for and whether the server is still at work on it. Returns how it ended; `None` when it was cancelled because the run is to
/// stop.
async fn observed(
    work: &Work,
    watch: &mut PgConnection,
    (step, attempt): (&StepKey, u32),
    pid: i32,
    running: impl Future<Output = Result<(), sqlx::Error>>,
) -> Result<Option<Result<(), sqlx::Error>>, Error> {
    tokio::pin!(running);
    let mut idle = 0;
    loop {
        tokio::select! {
            ended = &mut running => return Ok(Some(ended)),
            () = tokio::time::sleep(WATCH) => {
                let look = async {
                    report(work, watch, step, attempt, pid).await?;
                    Ok::<_, Error>(pg::is_at_work(watch, pid).await?)
                };
                idle = if pg::up_to(WATCH, look).await? { 0 } else { idle + 1 };
                if idle >= IDLE_LOOKS {
                    return Err(pg::no_answer().into());
                }
            }
            () = work.stop.cancelled() => {
                let cancel = "SELECT pg_catalog.pg_cancel_backend($1)";
                pg::query(cancel).bind(pid).execute(&mut *watch).await?;
                let _ = tokio::time::timeout(WATCH * IDLE_LOOKS, &mut running).await;
                return Ok(None);
            }
        }
    }
}

async fn report(work: &Work, watch: &mut PgConnection, step: &StepKey, attempt: u32, pid: i32) -> Result<(), Error> {
    let blockers = match pg::blockers(watch, pid).await {
        Err(error) if pg::class_of(&error) != ErrorClass::Connection => {
            tracing::debug!(%error, "blockers");
            return Ok(());
        }
        found => found?,
    };
    if !blockers.is_empty() {
        // This attempt still waits.
        work.emit(Event::LockWait { step: step.clone(), attempt, blockers, pause: Duration::ZERO });
    }
    Ok(())
}
