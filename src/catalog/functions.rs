//! Functions with a text body that use the table.

use serde::Deserialize;
use sqlx::PgConnection;

use super::copy::{Outcome, Part};
use super::finding::list;
use super::{CatalogError, Inspection, query};
use crate::ident::TableName;
use crate::names::LedgerSchema;
use crate::pg;
use crate::run::FunctionFacts;

#[derive(Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "what is asked of a function has no order")]
pub(super) struct Function {
    pub(super) signature: String,
    language: String,
    /// Whether ALTER FUNCTION ... COST takes it: procedures have no cost.
    costed: bool,
    source: String,
    arguments: Vec<String>,
    cost: String,
    owned: bool,
    called_by_trigger: bool,
    /// Tables besides this one whose triggers call it.
    pub(super) other_tables: Vec<String>,
    /// Whether only triggers call it that the run replaces.
    #[serde(default)]
    pub(super) replaced: bool,
}

/// Returns whether `text` has `name` as a word, in any case.
pub(super) fn mentions(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(&name)
        .any(|(at, found)| !word(text[..at].chars().next_back()) && !word(text[at + found.len()..].chars().next()))
}

impl Function {
    /// Returns the functions with a text body that name the table or belong to its triggers.
    pub(super) async fn read_all(
        conn: &mut PgConnection,
        table: i64,
        ledger: &LedgerSchema,
    ) -> Result<Vec<Self>, CatalogError> {
        let query = query::fixed(include_str!("functions.sql")).bind(table).bind(ledger.as_str().to_owned());
        query::read(conn, "read the functions that use the table", query).await
    }

    fn facts(&self) -> FunctionFacts {
        FunctionFacts { signature: self.signature.clone(), cost: self.cost.clone() }
    }

    /// Returns what it is, and the line of its text that may name the column; `None` where none does.
    pub(super) fn names(&self, table: &TableName, column: &str) -> Option<(String, usize)> {
        let line = pg::function_names(&self.source, table, column, self.called_by_trigger)?;
        Some((format!("function {}", self.signature), line))
    }

    fn uses(&self, table: &TableName) -> bool {
        self.called_by_trigger || mentions(&self.source, &table.name)
    }
}

/// Warns of functions that a change breaks, and returns those to touch in the swap (docs/postgres.md, "Types that PL/pgSQL
/// remembers", "A new column captures names").
pub(super) fn judge(
    all: &[Function],
    table: &TableName,
    parts: &[Part<'_>],
    outcomes: &[Outcome],
    found: &mut Inspection,
) -> Vec<FunctionFacts> {
    let using: Vec<_> = all.iter().filter(|function| function.uses(table) && !function.replaced).collect();
    let signatures =
        |functions: &[&Function]| list(&functions.iter().map(|f| f.signature.as_str()).collect::<Vec<_>>());
    let mut any_swapped = false;
    for (part, outcome) in parts.iter().zip(outcomes) {
        let (old, new) = (part.change.old.as_str(), part.change.new.as_str());
        any_swapped |= part.change.keeps_name();
        if outcome.metadata_only {
            continue;
        }
        let breaks: Vec<_> = using.iter().copied().filter(|f| mentions(&f.source, old)).collect();
        // What other tables have too cannot be changed for this one.
        let (shared, breaks): (Vec<_>, Vec<_>) =
            breaks.into_iter().partition(|f| f.called_by_trigger && !f.other_tables.is_empty());
        for function in shared.iter().filter(|_| !part.change.keeps_name()) {
            found.warn(
                "catalog::function_text",
                format!(
                    "column \"{old}\" is named in the text of {}, which triggers of {} call too",
                    function.signature,
                    list(&function.other_tables)
                ),
                format!(
                    "PostgreSQL does not rename it there, and the other tables keep their column: give the triggers of {table} a \
                     function of their own that uses \"{new}\", before `contract`"
                ),
            );
        }
        if !part.change.keeps_name() && !breaks.is_empty() {
            found.warn(
                "catalog::function_text",
                format!("column \"{old}\" is named in the text of {}", signatures(&breaks)),
                format!("PostgreSQL does not rename it there: change them to use \"{new}\" before `contract`"),
            );
        }
        let captures = |f: &&Function| f.arguments.iter().any(|a| a == new) || mentions(&f.source, new);
        let captures: Vec<_> = using.iter().copied().filter(captures).collect();
        if !captures.is_empty() {
            found.warn(
                "catalog::name_capture",
                format!("the new name \"{new}\" already occurs in {}", signatures(&captures)),
                "a variable or parameter of that name becomes ambiguous, or silently means the column; qualify it, or choose another name",
            );
        }
    }
    if !any_swapped {
        return vec![];
    }
    let (touch, leave) = cached(all, table);
    if !leave.is_empty() {
        found.warn(
            "catalog::function_cache",
            format!("sessions that have called {} remember the old type", signatures(&leave)),
            "crossfade cannot alter them (another owner, or a procedure): reconnect the application after the swap, or run crossfade as their owner",
        );
    }
    touch.into_iter().map(Function::facts).collect()
}

/// Returns the functions to touch in the swap.
pub(super) fn to_touch(all: &[Function], table: &TableName) -> Vec<FunctionFacts> {
    cached(all, table).0.into_iter().map(Function::facts).collect()
}

/// Returns the functions that may remember types of the table: those that can be touched, and those that cannot.
fn cached<'f>(all: &'f [Function], table: &TableName) -> (Vec<&'f Function>, Vec<&'f Function>) {
    all.iter().filter(|f| f.uses(table) && f.language == "plpgsql").partition(|f| f.owned && f.costed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_word_only() {
        assert!(mentions("UPDATE T set \"status\"=1", "status"));
        assert!(mentions("status", "STATUS"));
        assert!(!mentions("old_status statuses", "status"));
        assert!(mentions("x.a b.y", "a b"));
    }
}
