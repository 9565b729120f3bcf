//! The conversions tried on every row, before anything is changed.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Connection as _, PgConnection};

use super::query::{Objection, run};
use super::{CatalogError, query};
use crate::change::Trial;
use crate::pg::{self, Owner};
use crate::plan::Plan;
use crate::run::Facts;

/// Pages of one statement: 128 MiB, about a second. No snapshot is older than that.
const WINDOW: i64 = 16_384;

/// The result for all rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConversionCheck {
    /// Rows that were tried; 0 where no conversion can raise.
    pub rows: i64,
    /// One entry for each change whose conversion can raise.
    pub changes: Vec<ConversionCount>,
    /// Why the server could not convert, with the code in which that was, where no value is the reason.
    pub refused: Option<String>,
}

/// The result for one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConversionCount {
    /// Position of the change in the plan.
    pub change: usize,
    /// Rows whose value does not convert.
    pub raising: i64,
    /// Rows whose value becomes NULL, where the old column is NOT NULL.
    pub empty: i64,
    /// Rows whose value the reverse expression does not give back; `None` without one.
    pub lossy: Option<i64>,
    /// Keys of the first rows that do not convert, each a JSON object as text.
    pub keys: Vec<String>,
}

/// Tries every conversion that can raise on every row, window by window, and lists the keys of at most `limit` rows for
/// each change that do not convert. Reads only: each window is a transaction of its own that is rolled back, with the
/// run's own functions in the temporary schema. Takes ACCESS SHARE on the table. May be cancelled at any time.
///
/// # Errors
/// [`CatalogError`] when a window cannot be read. A value that does not convert is a count, not an error.
pub async fn try_conversions(
    conn: &mut PgConnection,
    plan: &Plan,
    facts: &Facts,
    limit: usize,
) -> Result<ConversionCheck, CatalogError> {
    const WHAT: &str = "try the conversions";
    let Some(trial) = Trial::new(plan, facts) else { return Ok(ConversionCheck::default()) };
    let count = |column: &crate::change::TrialColumn| ConversionCount {
        change: column.change,
        raising: 0,
        empty: 0,
        lossy: facts.pair(column.change).is_some_and(|pair| pair.reverse.exists()).then_some(0),
        keys: vec![],
    };
    let mut check = ConversionCheck { rows: 0, changes: trial.columns.iter().map(count).collect(), refused: None };
    let size = query::fixed(include_str!("pages.sql")).bind(plan.table.schema.clone()).bind(plan.table.name.clone());
    let pages: i64 = query::read::<Option<i64>>(&mut *conn, WHAT, size).await?.unwrap_or_default();
    let owner = Owner::enter(&mut *conn, facts.main().oid).await;
    owner.map_err(|source| CatalogError::Database { what: WHAT, source })?;
    let mut from = 0;
    loop {
        let to = Some(from + WINDOW).filter(|to| *to < pages);
        let begin = conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await;
        let mut transaction = begin.map_err(|source| CatalogError::Database { what: WHAT, source })?;
        let refused = window(&mut transaction, &trial, (from, to), limit, &mut check).await?;
        transaction.rollback().await.map_err(|source| CatalogError::Database { what: WHAT, source })?;
        match to.filter(|_| refused.is_none()) {
            Some(to) => from = to,
            None => return Ok(ConversionCheck { refused, ..check }),
        }
    }
}

/// Tries one window. Returns why the server refuses to convert, if that is not because of a value.
async fn window(
    conn: &mut PgConnection,
    trial: &Trial,
    (from, to): (i64, Option<i64>),
    limit: usize,
    check: &mut ConversionCheck,
) -> Result<Option<String>, CatalogError> {
    const WHAT: &str = "try the conversions";
    const LIMITS: pg::Limits = pg::Limits { lock: Duration::from_secs(2), statement: Duration::ZERO, durable: true };
    for statement in &trial.create {
        run(conn, WHAT, Owner::try_under(None, statement, LIMITS)).await?;
    }
    let counted = ask(conn, WHAT, trial.count(from, to), LIMITS).await?;
    let (rows, counts): (i64, Vec<[i64; 3]>) = match counted {
        Ok(counted) => counted,
        Err(objection) => return Ok(Some(objection.message)),
    };
    check.rows += rows;
    for ((column, count), [raising, empty, lossy]) in trial.columns.iter().zip(&mut check.changes).zip(counts) {
        count.raising += raising;
        count.empty += empty;
        count.lossy = count.lossy.map(|sum| sum + lossy);
        if raising > 0
            && count.raising == raising
            && column.calls_others
            && let Err(objection) = query::ask(conn, WHAT, &trial.raise(column, from, to), LIMITS).await?
            && !objection.is_of_data()
        {
            return Ok(Some(objection.message));
        }
        let missing = limit.saturating_sub(count.keys.len());
        if raising > 0 && missing > 0 {
            let keys = ask(conn, WHAT, trial.keys(column, from, to, missing), LIMITS).await?;
            count.keys.extend(keys.unwrap_or_else(|_| Vec::<String>::new()));
        }
    }
    Ok(None)
}

/// Asks as the table's owner, whose functions may be in the conversion.
async fn ask<T: DeserializeOwned>(
    conn: &mut PgConnection,
    what: &'static str,
    sql: String,
    limits: pg::Limits,
) -> Result<Result<T, Objection>, CatalogError> {
    run(conn, what, "SET LOCAL max_parallel_workers_per_gather = 0".to_owned()).await?;
    let text = match query::ask(conn, what, &sql, limits).await? {
        Ok(text) => text,
        Err(objection) => return Ok(Err(objection)),
    };
    let answer = serde_json::from_str(text.as_deref().unwrap_or("null"));
    answer.map(Ok).map_err(|source| CatalogError::Answer { what, source })
}
