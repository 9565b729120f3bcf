//! What PostgreSQL will not take along when a column of another type gets the old one's name: views, policies, triggers with a
//! column list or a condition, extended statistics, owned sequences. They are taken down and made anew in the transaction of the
//! swap, as they are at that moment, so that what others change meanwhile is kept.
//!
//! PostgreSQL writes their definitions, with the names that columns have before the swap; afterwards the same names belong to
//! the new columns.

use super::Context;
use super::fragment::Moves;
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::sql::{dollar_quote, quote_literal, with_values};

/// Statements around those that exchange the names of `columns`, in the order of the transaction: the same on both ways.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) before: String,
    pub(super) after: String,
}

/// Returns what takes down, and makes anew, whatever hangs on `columns`. `in_place` is a change of the type that keeps the column:
/// statistics and sequences stay on it.
pub(super) fn around(context: &Context<'_>, columns: &[&str], in_place: bool) -> Around {
    let table = quote_literal(&context.table().sql());
    let values =
        [table, array(columns), in_place.to_string(), quote_literal(FIRST_TRIGGER), quote_literal(LAST_TRIGGER)];
    Around {
        before: format!("DO {}", dollar_quote(&with_values(include_str!("made_anew/down.sql"), &values))),
        after: format!("DO {}", dollar_quote(include_str!("made_anew/up.sql"))),
    }
}

/// Puts `moves`, which exchange the names of `columns`, between what takes down and what makes anew.
pub(super) fn surround(context: &Context<'_>, columns: &[&str], moves: Moves) -> Moves {
    let around = around(context, columns, false);
    let between = |statements: Vec<String>| {
        let before = std::iter::once(around.before.clone());
        before.chain(statements).chain(std::iter::once(around.after.clone())).collect()
    };
    Moves { forth: between(moves.forth), back: between(moves.back) }
}

/// Returns what locks the views above `columns` of `table` (quoted for SQL), the outermost first, before the table is locked:
/// as statements of applications do. Who holds some of them waits for the table no longer than 300 ms, so that PostgreSQL never
/// has to choose a victim.
pub(crate) fn lock_views(table: &str, columns: &[String]) -> String {
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    let values = [quote_literal(table), array(&columns)];
    format!("DO {}", dollar_quote(&with_values(include_str!("made_anew/lock.sql"), &values)))
}

fn array(columns: &[&str]) -> String {
    let columns: Vec<_> = columns.iter().map(|column| quote_literal(column)).collect();
    format!("ARRAY[{}]::pg_catalog.name[]", columns.join(", "))
}
