//! Publications of the table: a subscriber that gets a column which it does not have stops at the first row.
//!
//! Where the plan says `publications: narrow`, those that publish every column get a list without the new one in the transaction that
//! adds it, and lose the list in the one that drops the last column of the run. A list names columns by number, so it follows a
//! rename; where a column of another type takes the name, the list is made anew under the same names (docs/postgres.md, "Logical
//! replication").

use super::Context;
use super::fragment::{Drops, Fragment, Moves};
use crate::sql::{dollar_quote, quote_literal, with_values};

/// The first version with column lists.
const LISTS: u32 = 150_000;

/// Gives publications their lists when the new columns come, and takes the lists away when they, or the old ones, are gone.
pub(super) fn fragment(context: &Context<'_>) -> Fragment {
    let narrowed = narrowed(context);
    let Some(widen) = widen(context) else { return Fragment::default() };
    let table = quote_literal(&context.table().sql());
    let new: Vec<_> = context.active.iter().map(|a| a.change.new.as_str()).collect();
    let narrow = with_values(include_str!("publications/narrow.sql"), &[table, names(&narrowed), names(&new)]);
    let narrow = format!("DO {}", dollar_quote(&narrow));
    Fragment {
        expand: Moves { forth: vec![narrow], back: vec![widen.clone()] },
        drop: Drops { statements: vec![widen], ..Drops::default() },
        ..Fragment::default()
    }
}

fn narrowed<'a>(context: &Context<'a>) -> Vec<&'a str> {
    context.facts.main().publications.iter().filter(|of| of.narrowed).map(|of| of.name.as_str()).collect()
}

/// Returns what takes the lists away that the run has made, once the columns are gone; `None` where it makes none. May be repeated.
pub(super) fn widen(context: &Context<'_>) -> Option<String> {
    let narrowed = narrowed(context);
    let values = [quote_literal(&context.table().sql()), names(&narrowed)];
    let widen = with_values(include_str!("publications/widen.sql"), &values);
    (!narrowed.is_empty()).then(|| format!("DO {}", dollar_quote(&widen)))
}

/// Puts `moves`, which exchange the names of `columns`, between what takes the table out of the publications that list or filter by
/// one of them, and what puts it in again under the same names.
pub(super) fn surround(context: &Context<'_>, columns: &[&str], moves: Moves) -> Moves {
    let facts = context.facts;
    if facts.main().publications.is_empty() || facts.server_version < LISTS {
        return moves;
    }
    let table = quote_literal(&context.table().sql());
    let down = with_values(include_str!("publications/down.sql"), &[table, names(columns)]);
    let (down, up) = (format!("DO {}", dollar_quote(&down)), include_str!("publications/up.sql"));
    let up = format!("DO {}", dollar_quote(up));
    let between = |statements: Vec<String>| [down.clone()].into_iter().chain(statements).chain([up.clone()]).collect();
    Moves { forth: between(moves.forth), back: between(moves.back) }
}

fn names(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| quote_literal(name)).collect();
    format!("ARRAY[{}]::pg_catalog.name[]", names.join(", "))
}
