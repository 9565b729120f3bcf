//! A statement that cannot run in a transaction: its start is recorded, then it runs, then the outcome is observed.
//!
//! It waits for older transactions, for minutes if necessary, and disturbs nobody while it waits. It has no timeouts of its
//! own, and crossfade reports whom it waits for. A half-built index is dropped: a unique one would keep
//! rejecting the application's writes (docs/postgres.md, "Invalid indexes").

use std::time::Duration;

use sqlx::{PgConnection, Row as _};

use super::session::Session;
use super::{Error, Work};
use crate::event::Event;
use crate::pg::{self, ErrorClass};
use crate::run::{IndexName, StepKey};

/// How often crossfade looks up whom the statement waits for.
const WATCH: Duration = Duration::from_secs(1);
/// How often a statement that lost a deadlock is retried.
const TRIES: u32 = 5;

/// Runs the statement to its end, on a connection of its own.
///
/// # Errors
/// [`Error::Step`] when it failed; [`Error::Interrupted`] when told to stop, after it was cancelled.
pub(super) async fn run(
    work: &Work,
    session: &mut Session,
    step: &StepKey,
    settings: &[(String, String)],
    statement: &str,
    builds: Option<&IndexName>,
) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        let mut own = work.connector.connect("build").await?;
        prepare(&mut own, settings).await?;
        if let Some(index) = builds {
            drop_unfinished(work, session, &mut own, step, index).await?;
        }
        let pid = pg::backend_pid(&mut own).await?;
        let ended = {
            let running = pg::execute(&mut own, statement);
            tokio::pin!(running);
            loop {
                tokio::select! {
                    ended = &mut running => break Some(ended),
                    () = tokio::time::sleep(WATCH) => report(work, session, step, attempt, pid).await?,
                    () = work.stop.cancelled() => {
                        let cancel = "SELECT pg_catalog.pg_cancel_backend($1)";
                        pg::query(cancel).bind(pid).execute(&mut session.watch).await?;
                        let _ = (&mut running).await;
                        break None;
                    }
                }
            }
        };
        let Some(ended) = ended else {
            if let Some(index) = builds {
                drop_index(&mut own, index).await?;
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
                    drop_index(&mut own, index).await?;
                }
                if !(class == ErrorClass::Contention || built_by_another) || attempt >= TRIES {
                    return Err(Error::Step {
                        step: step.clone(),
                        error: format!("{}; the statement was: {statement}", pg::describe(&error)),
                    });
                }
            }
        }
        attempt += 1;
        super::gate::sleep(work, Duration::from_secs(1)).await?;
    }
}

/// Sets the session up and reads the timeouts back: a setting that was ignored would end a build after hours.
async fn prepare(own: &mut PgConnection, settings: &[(String, String)]) -> Result<(), Error> {
    let fixed = "SET lock_timeout = 0; SET statement_timeout = 0; SET idle_session_timeout = 0; SET search_path = pg_catalog, pg_temp";
    pg::batch(own, fixed).await?;
    for (name, value) in settings {
        pg::query("SELECT pg_catalog.set_config($1, $2, false)").bind(name).bind(value).execute(&mut *own).await?;
    }
    let select = "SELECT pg_catalog.current_setting('lock_timeout') AS lock, \
                  pg_catalog.current_setting('statement_timeout') AS statement";
    let row = pg::query(select).fetch_one(own).await?;
    let (lock, statement): (String, String) = (row.try_get("lock")?, row.try_get("statement")?);
    if lock != "0" || statement != "0" {
        return Err(Error::Blocked {
            reason: format!(
                "the server ignored the session's timeouts (lock_timeout {lock}, statement_timeout {statement}); connect directly if a pooler is in between"
            ),
        });
    }
    Ok(())
}

/// Drops an invalid index that an earlier attempt left behind, once nobody is building it any more.
async fn drop_unfinished(
    work: &Work,
    session: &mut Session,
    own: &mut PgConnection,
    step: &StepKey,
    index: &IndexName,
) -> Result<(), Error> {
    loop {
        let row =
            pg::query(include_str!("index_state.sql")).bind(index.sql()).fetch_optional(&mut session.watch).await?;
        let Some(row) = row else { return Ok(()) };
        let (valid, builder): (bool, Option<i32>) = (row.try_get("valid")?, row.try_get("builder")?);
        match builder {
            // The step loop adopts a valid index of the run, so this one is not crossfade's.
            None if valid => {
                return Err(Error::Step {
                    step: step.clone(),
                    error: format!("an index {} exists and does not belong to this step", index.sql()),
                });
            }
            None => return drop_index(own, index).await,
            Some(pid) => {
                work.emit(Event::Waiting {
                    reason: format!("process {pid} is still building index {}", index.name),
                    seconds: None,
                });
                super::gate::sleep(work, WATCH).await?;
            }
        }
    }
}

async fn drop_index(own: &mut PgConnection, index: &IndexName) -> Result<(), Error> {
    pg::execute(own, &format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.sql())).await?;
    Ok(())
}

async fn report(work: &Work, session: &mut Session, step: &StepKey, attempt: u32, pid: i32) -> Result<(), Error> {
    let blockers = pg::blockers(&mut session.watch, pid).await?;
    if !blockers.is_empty() {
        work.emit(Event::LockWait { step: step.clone(), attempt, blockers, pause: WATCH });
    }
    Ok(())
}
