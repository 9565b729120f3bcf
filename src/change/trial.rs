//! The conversions tried on the rows there are, before anything is changed: the run's own functions, made in the
//! session's temporary schema, over windows of pages.

use super::Context;
use super::conversion::{forward, reverse};
use crate::names::LedgerSchema;
use crate::plan::Plan;
use crate::run::{CompareSpec, Facts};
use crate::sql::quote_literal;

/// What tries the changes whose conversion can raise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trial {
    /// Statements that make the functions.
    pub(crate) create: Vec<String>,
    /// One for each change that is tried.
    pub(crate) columns: Vec<TrialColumn>,
    spec: CompareSpec,
}

/// One change. All texts are SQL over the row alias `t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrialColumn {
    /// Position of the change in the plan.
    pub(crate) change: usize,
    /// Whether the conversion calls functions that are not PostgreSQL's own, which may raise for other reasons than a value.
    pub(crate) calls_others: bool,
    /// The converted value; raises where the conversion does.
    strict: String,
    /// The conversion raises.
    fails: String,
    /// It converts to NULL, but the column is NOT NULL.
    empty: String,
    /// It converts to a value from which the old one cannot be recovered; `None` without a reverse.
    lossy: Option<String>,
}

impl Trial {
    /// Returns the trial, or `None` where no conversion can raise.
    pub(crate) fn new(plan: &Plan, facts: &Facts) -> Option<Self> {
        let ledger = LedgerSchema::new("pg_temp");
        let context = Context::new(plan, facts, &ledger);
        let mut create = Vec::new();
        let mut columns = Vec::new();
        for a in &context.active {
            let (forward, reverse) = (forward(&context, a), reverse(&context, a));
            let old = format!("t.{}", a.change.old.sql());
            let Some(fails) = forward.fails(&old) else { continue };
            create.extend(forward.create());
            create.extend(reverse.create());
            let value = forward.value(&old);
            let empty = if a.facts.old.not_null {
                format!("{value} IS NOT DISTINCT FROM NULL AND NOT {fails}")
            } else {
                "false".to_owned()
            };
            let lossy = a
                .facts
                .reverse
                .exists()
                .then(|| format!("{value} IS DISTINCT FROM NULL AND NOT {}", reverse.same_image(&old, &value)));
            let strict = forward.strict_value(&old);
            let calls_others = a.facts.forward.calls_others();
            columns.push(TrialColumn { change: a.position, calls_others, strict, fails, empty, lossy });
        }
        let spec = context.compare_spec(vec![]);
        (!columns.is_empty()).then_some(Self { create, columns, spec })
    }

    /// Returns the query that answers, for pages `from..to` (to the end of the table for `None`), with a JSON array:
    /// rows, then an array of raising, empty and lossy rows for each change.
    pub(crate) fn count(&self, from: i64, to: Option<i64>) -> String {
        let count = |condition: &str| format!("pg_catalog.count(*) FILTER (WHERE {condition})");
        let column = |c: &TrialColumn| {
            let lossy = c.lossy.as_deref().unwrap_or("false");
            format!("pg_catalog.json_build_array({}, {}, {})", count(&c.fails), count(&c.empty), count(lossy))
        };
        let columns: Vec<_> = self.columns.iter().map(column).collect();
        format!(
            "SELECT pg_catalog.json_build_array(pg_catalog.count(*), pg_catalog.json_build_array({}))::pg_catalog.text FROM {} AS t WHERE {}",
            columns.join(", "),
            self.spec.table.sql(),
            range(from, to)
        )
    }

    /// Returns the query that converts the first row on these pages whose `column` does not convert, and so raises.
    pub(crate) fn raise(&self, column: &TrialColumn, from: i64, to: Option<i64>) -> String {
        format!(
            "SELECT pg_catalog.count(value)::pg_catalog.text FROM (SELECT {} AS value FROM {} AS t WHERE {} AND {} LIMIT 1) AS s",
            column.strict,
            self.spec.table.sql(),
            range(from, to),
            column.fails
        )
    }

    /// Returns the query that answers with a JSON array of the keys (each a JSON object as text) of the first `limit`
    /// rows on these pages whose `column` does not convert.
    pub(crate) fn keys(&self, column: &TrialColumn, from: i64, to: Option<i64>, limit: usize) -> String {
        format!(
            "SELECT coalesce(pg_catalog.json_agg(key), '[]')::pg_catalog.text FROM (SELECT {} AS key FROM {} AS t WHERE {} AND {} LIMIT {limit}) AS s",
            self.spec.key_object(),
            self.spec.table.sql(),
            range(from, to),
            column.fails
        )
    }
}

fn range(from: i64, to: Option<i64>) -> String {
    let tid = |page: i64| format!("{}::pg_catalog.tid", quote_literal(&format!("({page},0)")));
    let upper = to.map_or(String::new(), |to| format!(" AND t.ctid < {}", tid(to)));
    format!("t.ctid >= {}{upper}", tid(from))
}
