//! What is compared, and the SQL of one window.

use serde::Serialize;

use super::RelationId;
use crate::ident::TableName;

/// How many characters of a value are shown.
const SHOWN: u32 = 60;

/// What the check compares.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareSpec {
    /// The table's place in the program.
    pub relation: RelationId,
    /// The table.
    pub table: TableName,
    /// The columns, quoted, whose values name a row in reports; `ctid` where there is no primary key.
    pub key: Vec<String>,
    /// One entry for each change.
    pub pairs: Vec<Pair>,
}

/// One pair of columns. All texts are SQL over the row alias `t`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The old column, quoted.
    pub old: String,
    /// The new column, quoted.
    pub new: String,
    /// `new` equals forward(old).
    pub same_forward: String,
    /// `old` equals reverse(new).
    pub same_reverse: String,
    /// True of every row that is not equal in the forward direction, and of few others. Cheaper than the rest, but raises
    /// where forward(old) does.
    pub suspect: String,
    /// Whether forward(old) raises; `None` when it cannot.
    pub fails: Option<String>,
    /// The value of forward(old).
    pub forward: String,
    /// The value of reverse(new).
    pub reverse: String,
}

impl Pair {
    /// Returns an expression that classes a row: 0 equal, 1 empty, 2 different, 3 unconverted.
    fn class(&self) -> String {
        let Self { old, new, same_forward, same_reverse, fails, .. } = self;
        let unconverted = fails.as_ref().map_or(String::new(), |fails| {
            format!("WHEN t.{new} IS NOT DISTINCT FROM NULL AND t.{old} IS DISTINCT FROM NULL AND {fails} THEN 3 ")
        });
        format!(
            "CASE {unconverted}WHEN {same_forward} THEN 0 WHEN {same_reverse} THEN 0 WHEN t.{new} IS NOT DISTINCT FROM NULL THEN 1 ELSE 2 END"
        )
    }
}

impl Pair {
    /// Returns which rows a repair is for, the column it sets, and the value. An empty new side says nothing, so where the
    /// new side wins it must be filled, and there must be a way back.
    fn repair(&self, winner: Side) -> (String, &str, &str) {
        let class = self.class();
        match winner {
            Side::Old => (format!("(({class}) IN (1, 2))"), &self.new, &self.forward),
            Side::New => {
                (format!("(({class}) = 2 AND {} IS DISTINCT FROM NULL)", self.reverse), &self.old, &self.reverse)
            }
        }
    }
}

impl CompareSpec {
    /// Returns the query that counts the rows on pages `from..to` (to the end of the table for `None`), and those among
    /// them that may not be equal. Much cheaper than [`CompareSpec::count`]; it raises where a value does not convert.
    pub fn suspects(&self, from: u32, to: Option<u32>) -> String {
        format!(
            "SELECT pg_catalog.count(*) AS rows, pg_catalog.count(*) FILTER (WHERE {}) AS suspects FROM {} AS t WHERE {}",
            self.suspicion(),
            self.table.sql(),
            range(from, to),
        )
    }

    /// Returns the query that counts the rows on pages `from..to` that may not be equal, and no others. Cheaper still than
    /// [`CompareSpec::suspects`], because no row that is equal comes as far as the counting; how many were looked at the
    /// [`CompareSpec::meter`] says.
    pub fn only_suspects(&self, from: u32, to: Option<u32>) -> String {
        let (table, range) = (self.table.sql(), range(from, to));
        format!("SELECT pg_catalog.count(*) AS count FROM {table} AS t WHERE {range} AND ({})", self.suspicion())
    }

    /// Returns the query for the number of rows of the table that scans of pages have come across in this transaction and
    /// maybe a few before it: 0 where the server does not keep count.
    pub fn meter(&self) -> String {
        let table = crate::sql::quote_literal(&self.table.sql());
        format!("SELECT pg_catalog.pg_stat_get_xact_tuples_returned({table}::pg_catalog.regclass) AS count")
    }

    fn suspicion(&self) -> String {
        let suspect: Vec<_> = self.pairs.iter().map(|pair| format!("({})", pair.suspect)).collect();
        suspect.join(" OR ")
    }

    /// Returns the query that counts the rows on pages `from..to` (to the end of the table for `None`) by class:
    /// rows, equal, empty, different, unconverted, and rows whose value lives in the new column only.
    pub fn count(&self, from: u32, to: Option<u32>) -> String {
        let only_new: Vec<_> = self
            .pairs
            .iter()
            .map(|p| {
                let Pair { old, new, same_forward, .. } = p;
                format!(
                    "(t.{old} IS NOT DISTINCT FROM NULL AND t.{new} IS DISTINCT FROM NULL AND NOT ({same_forward}))"
                )
            })
            .collect();
        format!(
            "SELECT pg_catalog.count(*) AS rows, pg_catalog.count(*) FILTER (WHERE c = 0) AS equal, \
             pg_catalog.count(*) FILTER (WHERE c = 1) AS empty, pg_catalog.count(*) FILTER (WHERE c = 2) AS different, \
             pg_catalog.count(*) FILTER (WHERE c = 3) AS unconverted, pg_catalog.count(*) FILTER (WHERE only_new) AS only_new \
             FROM (SELECT {} AS c, {} AS only_new FROM {} AS t WHERE {}) AS classed",
            self.class(),
            only_new.join(" OR "),
            self.table.sql(),
            range(from, to),
        )
    }

    /// Returns the query for the keys (as a JSON object text), the classes, the values that do not agree and the transactions
    /// (`xmin`) of the first `limit` rows on pages `from..to` that are not equal.
    pub fn keys(&self, from: u32, to: Option<u32>, limit: usize) -> String {
        format!(
            "SELECT key, c AS class, \"values\", transaction FROM (SELECT {} AS key, {} AS \"values\", t.xmin::pg_catalog.text AS transaction, \
             {} AS c FROM {} AS t WHERE {}) AS classed WHERE c <> 0 LIMIT {limit}",
            self.key_object(),
            self.values(),
            self.class(),
            self.table.sql(),
            range(from, to),
        )
    }

    /// Returns the expression for the values of a row, shortened, as a JSON object by column: those of the pairs that are not
    /// equal.
    fn values(&self) -> String {
        let shown = |column: &str, class: &str| {
            let name = crate::sql::quote_literal(&plain(column));
            format!("({name}, pg_catalog.left(t.{column}::pg_catalog.text, {SHOWN}), {class})")
        };
        let both = |pair: &Pair| {
            let class = pair.class();
            [shown(&pair.old, &class), shown(&pair.new, &class)]
        };
        let all: Vec<_> = self.pairs.iter().flat_map(both).collect();
        format!(
            "(SELECT pg_catalog.json_object_agg(v.name, v.value) FROM (VALUES {}) AS v (name, value, class) WHERE v.class <> 0)",
            all.join(", ")
        )
    }

    /// Returns the expression that names a row in reports: its key as a JSON object, as text.
    pub(crate) fn key_object(&self) -> String {
        let key: Vec<_> = self
            .key
            .iter()
            .map(|column| format!("{}, t.{column}::pg_catalog.text", crate::sql::quote_literal(&plain(column))))
            .collect();
        format!("pg_catalog.json_build_object({})::pg_catalog.text", key.join(", "))
    }

    /// Returns the UPDATE that repairs rows on pages `from..to` so that the named side wins; equal rows are left alone.
    /// It sets the losing side only, so that the sync trigger sees a consistent pair, and changes nothing else.
    pub fn repair(&self, from: u32, to: Option<u32>, winner: Side) -> String {
        let pairs = || self.pairs.iter().map(|p| p.repair(winner));
        let set: Vec<_> = pairs()
            .map(|(wrong, column, value)| format!("{column} = CASE WHEN {wrong} THEN {value} ELSE t.{column} END"))
            .collect();
        let wrong: Vec<_> = pairs().map(|(wrong, ..)| wrong).collect();
        format!(
            "UPDATE {} AS t SET {} WHERE {} AND ({})",
            self.table.sql(),
            set.join(", "),
            range(from, to),
            wrong.join(" OR ")
        )
    }

    /// Returns the UPDATE that fills the new side of rows of this table alone on pages `from..to` where it is empty and the old
    /// side is not; it sets nothing else.
    pub(crate) fn complete(&self, from: u32, to: Option<u32>) -> String {
        let empty = |p: &Pair| format!("(t.{} IS NOT DISTINCT FROM NULL AND t.{} IS DISTINCT FROM NULL)", p.new, p.old);
        let set = |p: &Pair| format!("{0} = CASE WHEN {1} THEN {2} ELSE t.{0} END", p.new, empty(p), p.forward);
        let set: Vec<_> = self.pairs.iter().map(set).collect();
        let empty: Vec<_> = self.pairs.iter().map(empty).collect();
        format!(
            "UPDATE ONLY {} AS t SET {} WHERE {} AND ({}) IS TRUE",
            self.table.sql(),
            set.join(", "),
            range(from, to),
            empty.join(" OR ")
        )
    }

    /// Returns the query that locks every row on pages `from..to`, and does nothing else.
    pub(crate) fn lock(&self, from: u32, to: Option<u32>) -> String {
        format!(
            "SELECT pg_catalog.count(*)::text FROM (SELECT FROM {} AS t WHERE {} FOR NO KEY UPDATE) AS locked",
            self.table.sql(),
            range(from, to)
        )
    }

    /// Returns the count as a person reads it in the dry run.
    pub fn template(&self) -> String {
        self.count(0, None)
    }

    /// The worst class of all pairs; different outranks unconverted outranks empty only where a row has several.
    fn class(&self) -> String {
        match self.pairs.as_slice() {
            [pair] => pair.class(),
            pairs => {
                let all: Vec<_> = pairs.iter().map(Pair::class).collect();
                format!("GREATEST({})", all.join(", "))
            }
        }
    }
}

/// The side that wins a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The old column.
    Old,
    /// The new column.
    New,
}

fn range(from: u32, to: Option<u32>) -> String {
    let upper = to.map_or(String::new(), |to| format!(" AND t.ctid < '({to},0)'::pg_catalog.tid"));
    format!("t.ctid >= '({from},0)'::pg_catalog.tid{upper}")
}

/// Takes the quotes off a quoted identifier.
fn plain(quoted: &str) -> String {
    quoted
        .strip_prefix('"')
        .and_then(|q| q.strip_suffix('"'))
        .map_or_else(|| quoted.to_owned(), |q| q.replace("\"\"", "\""))
}
