//! The conversions tried on every row, before anything is changed.

use std::time::Duration;

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use super::query::{json, run};
use super::{CatalogError, query};
use crate::change::Trial;
use crate::pg;
use crate::plan::Plan;
use crate::run::Facts;

/// Pages of one statement: 128 MiB, about a second. No snapshot is older than that.
const WINDOW: i64 = 16_384;
/// What it may take with an expression that is out of the ordinary.
const LONGEST: Duration = Duration::from_mins(10);

/// The result for all rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConversionCheck {
    /// Rows that were tried; 0 where no conversion can raise.
    pub rows: i64,
    /// One entry for each change whose conversion can raise.
    pub changes: Vec<ConversionCount>,
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
    let mut check = ConversionCheck { rows: 0, changes: trial.columns.iter().map(count).collect() };
    let size = query::fixed(include_str!("pages.sql")).bind(plan.table.schema.clone()).bind(plan.table.name.clone());
    let pages: i64 = query::read::<Option<i64>>(&mut *conn, WHAT, size).await?.unwrap_or_default();
    let mut from = 0;
    loop {
        let to = Some(from + WINDOW).filter(|to| *to < pages);
        let begin = conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await;
        let mut transaction = begin.map_err(|source| CatalogError::Database { what: WHAT, source })?;
        pg::up_to(LONGEST, window(&mut transaction, &trial, (from, to), limit, &mut check)).await?;
        transaction.rollback().await.map_err(|source| CatalogError::Database { what: WHAT, source })?;
        match to {
            Some(to) => from = to,
            None => return Ok(check),
        }
    }
}

async fn window(
    conn: &mut PgConnection,
    trial: &Trial,
    (from, to): (i64, Option<i64>),
    limit: usize,
    check: &mut ConversionCheck,
) -> Result<(), CatalogError> {
    const WHAT: &str = "try the conversions";
    run(conn, WHAT, format!("SET LOCAL statement_timeout = {}", LONGEST.as_millis())).await?;
    for setting in [
        "lock_timeout = '2s'",
        "row_security = off",
        "jit = off",
        "max_parallel_workers_per_gather = 0",
        "search_path = ''",
    ] {
        run(conn, WHAT, format!("SET LOCAL {setting}")).await?;
    }
    for statement in &trial.create {
        run(conn, WHAT, statement.clone()).await?;
    }
    let (rows, counts): (i64, Vec<[i64; 3]>) = json(conn, WHAT, trial.count(from, to)).await?;
    check.rows += rows;
    for ((column, count), [raising, empty, lossy]) in trial.columns.iter().zip(&mut check.changes).zip(counts) {
        count.raising += raising;
        count.empty += empty;
        count.lossy = count.lossy.map(|sum| sum + lossy);
        let missing = limit.saturating_sub(count.keys.len());
        if raising > 0 && missing > 0 {
            let keys: Vec<String> = json(conn, WHAT, trial.keys(column, from, to, missing)).await?;
            count.keys.extend(keys);
        }
    }
    Ok(())
}
