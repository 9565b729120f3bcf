//! What the backfill writes, and the SQL of one batch.

use serde::{Deserialize, Serialize};

use crate::ident::TableName;

/// What the backfill writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The table.
    pub table: TableName,
    /// One entry for each change.
    pub fills: Vec<Fill>,
}

/// How one new column is filled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// The new column, quoted.
    pub column: String,
    /// The forward value, over the row alias `t`.
    pub value: String,
    /// True of a row that still has to be filled, over the row alias `t`.
    pub missing: String,
}

impl Spec {
    /// Returns the UPDATE of all rows on pages `from..to`, restricted to the rows of sub-pass `pass.0` of `pass.1`
    /// (a power of two; 1 is every row).
    ///
    /// Safe on a live table: the value is computed from the row version that the UPDATE locks (`EvalPlanQual`
    /// evaluates it again if another transaction changed the row in the meantime), the range on `ctid` is a TID range
    /// scan that holds no more than the batch's row locks, and rows written since the trigger are already filled and so
    /// left alone. `IS TRUE` keeps the planner from using an index on the new column instead of the range.
    pub fn batch(&self, from: u32, to: u32, pass: (u32, u32)) -> String {
        let slice = match pass {
            (_, 1) => String::new(),
            (r, k) => format!(" AND (pg_catalog.hashtid(t.ctid) & {}) = {r}", k - 1),
        };
        self.update(&format!("'({from},0)'"), &format!("'({to},0)'"), &slice)
    }

    /// Returns the batch as a person reads it in the dry run.
    pub fn template(&self) -> String {
        self.update(":from_page", ":to_page", "")
    }

    fn update(&self, from: &str, to: &str, slice: &str) -> String {
        let set: Vec<_> = match self.fills.as_slice() {
            [fill] => vec![format!("{} = {}", fill.column, fill.value)],
            fills => {
                let keep = |f: &Fill| format!("{0} = COALESCE(t.{0}, {1})", f.column, f.value);
                fills.iter().map(keep).collect()
            }
        };
        let missing: Vec<_> = self.fills.iter().map(|fill| format!("({})", fill.missing)).collect();
        format!(
            "UPDATE {} AS t SET {} WHERE t.ctid >= {from}::pg_catalog.tid AND t.ctid < {to}::pg_catalog.tid{slice} AND ({}) IS TRUE",
            self.table.sql(),
            set.join(", "),
            missing.join(" OR "),
        )
    }
}
