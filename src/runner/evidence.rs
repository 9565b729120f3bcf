//! Who still uses the columns that a run takes away: noted from the beginning of phase `switch` until they are renamed away. It
//! is looked for where the server knows it anyway, so no statement of an application does more than before.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, clock};
use crate::catalog;
use crate::ident::TableName;
use crate::ledger::{KnownStatements, Ledger, LedgerError, LoggedEntry, Run, Snapshot};
use crate::pg::ErrorClass;
use crate::plan::Pair;
use crate::run::{Accepted, Entry, Evidence, Mode, Phase, RelationId, State, StepKey, Use, User, What};

/// Returns whether a run in this state takes note of who uses its old columns.
pub(crate) fn is_due(run: &Run, state: &State) -> bool {
    let retired = state.is_done(&StepKey::new(Phase::Contract, What::Retire));
    let watches = state.phase == Phase::Switch && state.begun || state.phase == Phase::Contract && !retired;
    let goes = matches!(state.mode, Mode::Forward | Mode::Failed | Mode::Drifted);
    watches && goes && !columns(run).is_empty()
}

/// Returns the names that go, those that old columns have before they are retired, and whether the column itself stays.
fn going(run: &Run) -> Vec<(String, bool)> {
    let name = |pair: Pair<'_>| if pair.keeps_name() { pair.new } else { pair.old }.to_string();
    run.plan.pairs().map(|(_, pair)| (name(pair), pair.borrows())).collect()
}

fn columns(run: &Run) -> Vec<String> {
    going(run).into_iter().map(|(name, _)| name).collect()
}

fn table(run: &Run) -> (&TableName, i64) {
    let oid = run.program.relation(RelationId::MAIN).map_or(0, |relation| relation.oid);
    (&run.plan.table, oid)
}

/// Notes what there is when phase `switch` begins: what comes on top of it counts. May be repeated.
///
/// # Errors
/// The ledger's.
pub(super) async fn begin(ledger: &Ledger, connection: &mut PgConnection, run: &Run) -> Result<(), Error> {
    let columns = columns(run);
    if columns.is_empty() {
        return Ok(());
    }
    let statements = catalog::statements(connection, table(run).0, &columns).await?;
    let now = clock::server(connection).await?;
    ledger.progress().begin_uses(connection, run.id, statements.as_ref().ok(), now).await?;
    Ok(())
}

/// Notes who uses the columns now.
///
/// # Errors
/// The ledger's.
pub(super) async fn note(ledger: &Ledger, connection: &mut PgConnection, run: &Run) -> Result<(), Error> {
    note_clients(ledger, connection, run).await?;
    let statements = catalog::statements(connection, table(run).0, &columns(run)).await?;
    let now = clock::server(connection).await?;
    ledger.progress().note_statements(connection, run.id, &statements, now).await?;
    Ok(())
}

/// Notes which clients use the columns now.
///
/// # Errors
/// The ledger's.
pub(super) async fn note_clients(ledger: &Ledger, connection: &mut PgConnection, run: &Run) -> Result<(), LedgerError> {
    let columns = columns(run);
    if columns.is_empty() {
        return Ok(());
    }
    let clients = catalog::clients(connection, table(run).0, &columns).await?;
    let window = ledger.progress().contract(connection, run).await?.unused;
    ledger.progress().note_clients(connection, run.id, &clients, window).await
}

/// Returns what was noted of the use of the columns, and what can be seen of it now, beside what the ledger was `seen` to hold. Changes nothing. What
/// cannot be seen is said.
///
/// # Errors
/// The ledger's, and those of a lost connection.
pub(crate) async fn evidence(
    ledger: &Ledger,
    connection: &mut PgConnection,
    run: &Run,
    log: &[LoggedEntry],
    seen: &Snapshot,
) -> Result<Evidence, Error> {
    let (columns, (table, oid), now) = (columns(run), table(run), seen.at);
    let mut found = Evidence { unseen: catalog::unseen_sessions(connection).await?, ..Evidence::default() };
    let clients = catalog::clients(connection, table, &columns).await?;
    found.uses = ledger.progress().clients(connection, run.id, clients).await?;
    let statements = catalog::statements(connection, table, &columns).await?;
    let known = match (ledger.progress().noted_statements(connection, run.id).await?, &statements) {
        // Whoever sees less than the role that noted them takes its word.
        (Some(mut known), Ok(seen)) if seen.sees_others => {
            known.look(seen, now);
            Some(known)
        }
        (None, Ok(seen)) => Some(KnownStatements::first(seen, now)),
        (known, _) => known,
    };
    if let Some(known) = known {
        found.uses.extend(known.uses());
        found.lost.extend(known.lost.clone());
        let began = began(log).filter(|began| *began < known.began_at);
        found.unseen.extend(began.map(|_| "statements before pg_stat_statements could be read".to_owned()));
    }
    match statements {
        Err(why) => found.unseen.push(why),
        Ok(seen) => {
            let silent = "whether pg_stat_statements has lost statements (ALTER EXTENSION pg_stat_statements UPDATE)";
            found.unseen.extend(seen.reset_at.is_none().then(|| silent.to_owned()));
            let off = "statements that have ended (pg_stat_statements.track is none)";
            found.unseen.extend((!seen.tracks).then(|| off.to_owned()));
        }
    }
    let counts = seen.writes;
    if counts.old > 0 {
        let last = Some(now - chrono::Duration::seconds(counts.old_quiet_seconds));
        found.uses.push(Use { by: User::Writes { seconds: counts.old }, column: columns.join(", "), last });
    }
    found.uses.sort_by_key(|of| std::cmp::Reverse(of.last));
    match catalog::objects(connection, (table, oid), &going(run), ledger.schema()).await {
        Ok(objects) => {
            found.uses.extend(objects.into_iter().filter(|of| !gets_another_body(run, &of.object)).map(|of| {
                let by = User::Object { object: of.object, line: of.line };
                Use { by, column: of.column, last: None }
            }));
        }
        Err(error) => match Error::from(error) {
            error if error.class() == ErrorClass::Connection => return Err(error),
            error => found.lost.push(format!("functions and views cannot be read ({error})")),
        },
    }
    Ok(found)
}

/// Whether it is a function whose body the plan replaces when the column goes.
fn gets_another_body(run: &Run, object: &str) -> bool {
    run.facts.functions.iter().any(|function| object.strip_prefix("function ") == Some(&function.signature))
}

/// When phase `switch` began.
fn began(log: &[LoggedEntry]) -> Option<DateTime<Utc>> {
    let begins = |entry: &Entry| matches!(entry, Entry::PhaseStarted { phase: Phase::Switch, .. });
    log.iter().rev().find(|line| begins(&line.entry)).map(|line| line.at)
}

/// Returns what was accepted in this log.
pub(super) fn accepted(log: &[LoggedEntry]) -> Accepted {
    Accepted::of(log.iter().map(|line| (&line.actor, &line.entry)))
}
