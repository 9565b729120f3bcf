//! A new column that somebody has made by hand, with triggers that kept it equal to the old one, is taken over.
//!
//! The transaction that would add the column dresses the one that is there like the old one, and disables those triggers: the sync
//! trigger takes their place in the moment in which they stop. They are kept until the old column goes, so the way back gives
//! the column what it had and enables them. It never drops the column.

use super::alike::alike;
use super::fragment::Moves;
use super::sync_default::beside_text;
use super::{Active, Context};
use crate::run::{AdoptedColumn, ColumnFacts};
use crate::sql::{dollar_quote, quote_ident, quote_literal};

/// Of the transaction that expands.
pub(super) fn expand(context: &Context<'_>, a: &Active<'_>, adopted: &AdoptedColumn) -> Moves {
    let (table, new) = (context.table().sql(), a.change.new.sql());
    let (found, wanted) = (&adopted.column, wanted(a, adopted));
    let dress = |was: &ColumnFacts, now: &ColumnFacts| {
        let mut all = alike((&table, &new), (was, now), (was, &adopted.type_storage));
        if was.default != now.default {
            let set =
                now.default.as_ref().map_or_else(|| "DROP DEFAULT".to_owned(), |text| format!("SET DEFAULT {text}"));
            all.push(format!("ALTER TABLE {table} ALTER COLUMN {new} {set}"));
        }
        all
    };
    let mut moves = Moves { forth: dress(found, &wanted), back: dress(&wanted, found) };
    for trigger in &adopted.triggers {
        let Some(enabled) = &trigger.enabled else { continue };
        let name = quote_ident(&trigger.name);
        moves.forth.push(format!("ALTER TABLE {table} DISABLE TRIGGER {name}"));
        // Others may have dropped it since.
        let back = format!(
            "BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = {}::pg_catalog.regclass AND g.tgname = {}) THEN \
             ALTER TABLE {table} {enabled} TRIGGER {name}; END IF; END",
            quote_literal(&table),
            quote_literal(&trigger.name)
        );
        moves.back.push(format!("DO {}", dollar_quote(&back)));
    }
    moves
}

/// The column while both are in use.
fn wanted(a: &Active<'_>, adopted: &AdoptedColumn) -> ColumnFacts {
    let old = &a.facts.old;
    ColumnFacts {
        default: beside_text(a.facts),
        statistics: old.statistics,
        options: old.options.clone(),
        comment: old.comment.clone(),
        grants: old.grants.clone(),
        // A type change resets both, a rename keeps them.
        storage: old.storage.clone().filter(|_| a.change.renames()),
        compression: old.compression.clone().filter(|_| a.change.renames()),
        ..adopted.column.clone()
    }
}

/// The names of the triggers whose place crossfade's takes.
pub(super) fn replaced(a: &Active<'_>) -> Vec<String> {
    a.facts.adopted.iter().flat_map(|adopted| &adopted.triggers).map(|trigger| trigger.name.clone()).collect()
}

/// The statements that drop them.
pub(super) fn drop(context: &Context<'_>, a: &Active<'_>) -> Vec<String> {
    let table = context.table().sql();
    replaced(a).iter().map(|name| format!("DROP TRIGGER IF EXISTS {} ON {table}", quote_ident(name))).collect()
}

/// Whether values of the new column that are not what the old one converts to count as not filled.
pub(super) fn overwrites(a: &Active<'_>) -> bool {
    a.facts.adopted.is_some() && a.change.adopt.is_some_and(|adopt| adopt.overwrite)
}
