//! What the backfill writes, and the SQL of one batch.

use super::RelationId;
use crate::ident::TableName;

/// The parts `from..to` of every page's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The first part.
    pub from: u32,
    /// The part after the last; equal to `from` when it is not decided yet.
    pub to: u32,
}

impl Slice {
    /// Every row of a page that is one part.
    pub const WHOLE: Self = Self { from: 0, to: 1 };

    /// Returns the number of parts.
    pub fn width(self) -> u32 {
        self.to - self.from
    }

    /// Returns the slice after this one, its end not decided yet.
    pub(crate) fn next(self) -> Self {
        Self { from: self.to, to: self.to }
    }
}

/// What the backfill writes.
#[derive(Debug, Clone, PartialEq)]
pub struct FillSpec {
    /// The table's place in the program.
    pub relation: RelationId,
    /// The table.
    pub table: TableName,
    /// One entry for each change.
    pub fills: Vec<Fill>,
}

/// How one new column is filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    /// The new column, quoted.
    pub column: String,
    /// Never raises: a value that does not convert leaves the row as it is.
    pub total: FillValue,
    /// The same without an exception block for each row, where there is one: much faster, but it raises where a value
    /// does not convert.
    pub strict: Option<FillValue>,
}

/// What a column is filled with. All texts are SQL over the row alias `t`.
#[derive(Debug, Clone, PartialEq)]
pub struct FillValue {
    /// The forward value.
    pub value: String,
    /// True of a row that still has to be filled.
    pub missing: String,
}

/// Which of its values a batch uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Those that never raise.
    Total,
    /// Those that raise where a value does not convert: then the batch must be done again with the others.
    Strict,
}

impl Fill {
    fn value(&self, values: Values) -> &FillValue {
        match (values, &self.strict) {
            (Values::Strict, Some(strict)) => strict,
            _ => &self.total,
        }
    }
}

impl FillSpec {
    /// Returns the UPDATE of the rows on pages `from..to` that are in `slice` when a page's rows fall into `parts` by the
    /// number of their line pointer.
    ///
    /// Safe on a live table: the value is computed from the row version that the UPDATE locks (`EvalPlanQual`
    /// evaluates it again if another transaction changed the row in the meantime), the range on `ctid` is a TID range
    /// scan that holds no more than the batch's row locks, and rows written since the trigger are already filled and so
    /// left alone. Tables that inherit from this one have pages of their own: ONLY. `IS TRUE` keeps the planner from using an index on the new column instead of the range.
    pub fn batch(&self, from: u32, to: u32, parts: u32, slice: Slice) -> String {
        self.batch_of(Values::Total, from, to, parts, slice)
    }

    /// The same with the values of one kind.
    pub(crate) fn batch_of(&self, values: Values, from: u32, to: u32, parts: u32, slice: Slice) -> String {
        self.update(&format!("'({from},0)'"), &format!("'({to},0)'"), &within(parts, slice), values)
    }

    /// Returns the query that locks every row that [`FillSpec::batch`] could change, and does nothing else.
    pub(crate) fn lock_of(&self, from: u32, to: u32, parts: u32, slice: Slice) -> String {
        format!(
            "SELECT pg_catalog.count(*)::text FROM (SELECT FROM ONLY {} AS t WHERE t.ctid >= '({from},0)'::pg_catalog.tid \
             AND t.ctid < '({to},0)'::pg_catalog.tid{} FOR NO KEY UPDATE) AS locked",
            self.table.sql(),
            within(parts, slice),
        )
    }

    /// Returns the batch as a person reads it in the dry run.
    pub fn template(&self) -> String {
        self.between(":from_page", ":to_page")
    }

    /// Returns the UPDATE of all rows from one tid to another, which are given as SQL.
    pub(crate) fn between(&self, from: &str, to: &str) -> String {
        self.update(from, to, "", Values::Total)
    }

    /// Returns the query that counts the rows on pages `from..to`.
    pub(crate) fn count_rows(&self, from: u32, to: u32) -> String {
        format!(
            "SELECT pg_catalog.count(*)::text FROM ONLY {} AS t WHERE t.ctid >= '({from},0)'::pg_catalog.tid \
             AND t.ctid < '({to},0)'::pg_catalog.tid",
            self.table.sql()
        )
    }

    /// Returns whether there are strict values that differ from the total ones.
    pub(crate) fn has_strict(&self) -> bool {
        self.fills.iter().any(|fill| fill.strict.is_some())
    }

    fn update(&self, from: &str, to: &str, slice: &str, values: Values) -> String {
        let set: Vec<_> = match self.fills.as_slice() {
            [fill] => vec![format!("{} = {}", fill.column, fill.value(values).value)],
            fills => {
                let keep = |f: &Fill| format!("{0} = COALESCE(t.{0}, {1})", f.column, f.value(values).value);
                fills.iter().map(keep).collect()
            }
        };
        let missing: Vec<_> = self.fills.iter().map(|fill| format!("({})", fill.value(values).missing)).collect();
        format!(
            "UPDATE ONLY {} AS t SET {} WHERE t.ctid >= {from}::pg_catalog.tid AND t.ctid < {to}::pg_catalog.tid{slice} AND ({}) IS TRUE",
            self.table.sql(),
            set.join(", "),
            missing.join(" OR "),
        )
    }
}

/// Returns the condition on the rows of one slice, to be appended to others.
fn within(parts: u32, slice: Slice) -> String {
    if slice.width() >= parts {
        return String::new();
    }
    // The last byte of a tid as it is sent is the low byte of the line pointer's number. Shifted so that one comparison is
    // enough.
    let (shift, width) = ((parts - slice.from) % parts, slice.width());
    format!(" AND (pg_catalog.get_byte(pg_catalog.tidsend(t.ctid), 5) + {shift}) % {parts} < {width}")
}
