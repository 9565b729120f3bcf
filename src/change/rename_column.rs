//! `rename_column`: the column gets another name; for a while it can be read and written under both.
//!
//! The column itself stays, with everything that hangs on it. A second one, the mirror, lends the new name while applications
//! move; `contract` gives the name to the column, as plain RENAME would, and then the mirror goes.

use super::fragment::{ByStage, Drops, Fragment, Moves, Stage};
use super::{Active, Context, conversion, indexes, pair};
use crate::run::{Gate, Is, RelationId};
use crate::sql::quote_ident;

pub(super) fn fragment(context: &Context<'_>, a: &Active<'_>) -> Fragment {
    let (table, new) = (context.table().sql(), a.change.new.sql());
    let alter = |what: &str, word: &str| format!("ALTER TABLE {table} ALTER COLUMN {new} SET {what} {word}");
    // A type change resets storage and compression, a rename keeps them.
    let mut kept: Vec<_> = a.facts.old.storage.iter().map(|word| alter("STORAGE", word)).collect();
    kept.extend(a.facts.old.compression.iter().map(|word| alter("COMPRESSION", word)));
    if !a.change.borrows() {
        return pair::fragment(context, a, kept);
    }
    Fragment {
        expand: pair::expand(context, a, kept),
        fill: Some(conversion::fill(context, a)),
        compare: Some(ByStage::new(|stage| conversion::pair(context, a, stage))),
        layout: ByStage::new(|stage| pair::layout(context, a, stage)),
        retire: retire(context, a),
        drop: drop(context, a),
        ..Fragment::default()
    }
}

/// Gives the column its new name. The mirror stays in sync under another, so that the way back is one short transaction.
fn retire(context: &Context<'_>, a: &Active<'_>) -> Moves {
    let table = context.table().sql();
    let (old, new) = (a.change.old.sql(), a.change.new.sql());
    let mirror = quote_ident(&a.names(&context.tag, Stage::Retired).1);
    let rename = |from: &str, to: &str| format!("ALTER TABLE {table} RENAME COLUMN {from} TO {to}");
    if a.change.trades_names {
        let between = quote_ident(&context.tag.between(a.position));
        let exchange = vec![rename(&new, &between), rename(&old, &new), rename(&between, &old)];
        let back = vec![rename(&old, &between), rename(&new, &old), rename(&between, &new)];
        return Moves { forth: exchange, back };
    }
    Moves {
        forth: vec![rename(&new, &mirror), rename(&old, &new)],
        back: vec![rename(&new, &old), rename(&mirror, &new)],
    }
}

/// Drops the mirror. Never CASCADE: an unknown dependant must stop it.
fn drop(context: &Context<'_>, a: &Active<'_>) -> Drops {
    let (_, mirror) = a.names(&context.tag, Stage::Retired);
    Drops {
        goes: Some(format!("the mirror {mirror}, which lent the name {}", a.change.new)),
        needs: vec![Gate::NoDependants {
            relation: RelationId::MAIN,
            column: mirror.clone(),
            except: indexes::mirror_names(context),
        }],
        statements: context
            .with_children()
            .enumerate()
            // A table that has begun to inherit had it before, and keeps it when the parent's goes.
            .map(|(n, table)| (if n == 0 { "" } else { "IF EXISTS " }, table.sql()))
            .map(|(but, table)| format!("ALTER TABLE {table} DROP COLUMN {but}{}", quote_ident(&mirror)))
            .collect(),
        gone: vec![
            Is::NoColumn { name: mirror },
            Is::Column { name: a.change.new.to_string(), type_name: a.facts.old.type_name.clone() },
        ],
    }
}
