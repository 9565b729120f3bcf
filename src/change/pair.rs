//! What a rename and a type change have in common: a new column next to the old one, which the sync trigger keeps equal,
//! the backfill fills and the check compares, until the old one is dropped.

use super::fragment::{ByStage, Drops, Fragment, Moves, Proof, Relax, Stage};
use super::sync_default::{Beside, beside};
use super::{Active, Context, adopt, children, constraints, conversion, indexes, not_null, sync_trigger};
use crate::run::{Action, Gate, Is, RelationId};
use crate::sql::{quote_ident, quote_literal};

/// Returns everything that a pair contributes; `kept` are statements for what ALTER would have kept on the column besides
/// statistics, options, comment and grants.
pub(super) fn fragment(context: &Context<'_>, a: &Active<'_>, kept: Vec<String>) -> Fragment {
    let not_null = a.facts.old.not_null;
    let given = must_be_given(context, a);
    Fragment {
        expand: match &a.facts.adopted {
            Some(adopted) => adopt::expand(context, a, adopted),
            None => expand(context, a, kept),
        },
        fill: Some(conversion::fill(context, a)),
        compare: Some(ByStage::new(|stage| conversion::pair(context, a, stage))),
        layout: ByStage::new(|stage| layout(context, a, stage)),
        not_null: not_null.then(|| proof(context, a)).into_iter().collect(),
        relax: (a.must_relax() && !given).then(|| relax(context, a)),
        before_back: if a.must_relax() && given { not_null_again(context, a) } else { vec![] },
        swap: swap(context, a),
        retire: retire(context, a),
        drop: drop(context, a),
        ..Fragment::default()
    }
}

pub(super) fn layout(context: &Context<'_>, a: &Active<'_>, stage: Stage) -> Vec<Is> {
    let (old, new) = a.names(&context.tag, stage);
    vec![
        Is::Column { name: old, type_name: a.facts.old.type_name.clone() },
        Is::Column { name: new, type_name: a.facts.new_type.clone() },
    ]
}

/// Adds the column, with what ALTER would have kept on it (docs/postgres.md, "What ALTER keeps on a column").
pub(super) fn expand(context: &Context<'_>, a: &Active<'_>, kept: Vec<String>) -> Moves {
    let table = context.table().sql();
    let (old, new) = (&a.facts.old, a.change.new.sql());
    let alter = format!("ALTER TABLE {table} ALTER COLUMN {new}");
    // The default of a domain would be stored in every row, and could not be told from what somebody wrote.
    let none = if a.facts.new_type_default.is_some() { " DEFAULT NULL" } else { "" };
    let definition = format!("{new} {}{}{none}", a.facts.new_type, a.facts.new_collate);
    let retypes = !a.change.borrows();
    let mut forth: Vec<_> = children::declare(context, a, &definition).filter(|_| retypes).into_iter().collect();
    forth.push(format!("ALTER TABLE {table} ADD COLUMN {definition}"));
    // Only for rows to come.
    forth.extend(default_in_soak(a).map(|default| format!("{alter} {default}")));
    forth.extend(kept);
    forth.extend(old.statistics.map(|target| format!("{alter} SET STATISTICS {target}")));
    if !old.options.is_empty() {
        forth.push(format!("{alter} SET ({})", old.options.join(", ")));
    }
    forth.extend(old.comment.iter().map(|text| format!("COMMENT ON COLUMN {table}.{new} IS {}", quote_literal(text))));
    forth.extend(old.grants.iter().map(|(grantee, privilege, grantable)| {
        let option = if *grantable { " WITH GRANT OPTION" } else { "" };
        format!("GRANT {privilege} ({new}) ON {table} TO {grantee}{option}")
    }));
    let mut back = vec![format!("ALTER TABLE {table} DROP COLUMN IF EXISTS {new}")];
    if retypes {
        forth.extend(children::dress(context, a.change.old.as_str(), a.change.new.as_str()));
        back.extend(children::drop_column(context, a.change.new.as_str()));
    }
    Moves { forth, back }
}

/// NOT NULL of the new column.
fn proof(context: &Context<'_>, a: &Active<'_>) -> Proof {
    let late = !a.facts.forward.is_total();
    let stage = if late { Stage::Swapped } else { Stage::Soak };
    Proof { constraint: context.tag.not_null(a.position), column: a.names(&context.tag, stage).1, late }
}

/// Whether the old column cannot be empty while it is what it is: part of a key, or an identity column. Then it may be from
/// the swap on.
fn must_be_given(context: &Context<'_>, a: &Active<'_>) -> bool {
    a.facts.old.identity.is_some() || indexes::in_key(context, a.position)
}

fn relax(context: &Context<'_>, a: &Active<'_>) -> Relax {
    // PostgreSQL 18 drops the named constraint; it comes back under its own name.
    let own = a.facts.old.not_null_constraint.clone();
    let constraint = own.unwrap_or_else(|| context.tag.old_not_null(a.position));
    let guard = a.may_lose_both().then(|| sync_trigger::never_empty(context, a));
    Relax { column: a.change.old.clone(), constraint, guard }
}

/// Proves that the old column, while it has the new one's name, can be NOT NULL again.
fn not_null_again(context: &Context<'_>, a: &Active<'_>) -> Vec<Action> {
    let proof = context.tag.parked_not_null(a.position);
    not_null::proof(context, &[(&proof, a.change.new.as_str())]).into()
}

/// Swaps the names of both columns, if the change keeps the old one.
fn swap(context: &Context<'_>, a: &Active<'_>) -> Moves {
    if !a.change.keeps_name() {
        return Moves::default();
    }
    let table = context.table().sql();
    let (old, new) = (a.change.old.sql(), a.change.new.sql());
    let between = quote_ident(&context.tag.between(a.position));
    let exchange = vec![
        format!("ALTER TABLE {table} RENAME COLUMN {old} TO {between}"),
        format!("ALTER TABLE {table} RENAME COLUMN {new} TO {old}"),
        format!("ALTER TABLE {table} RENAME COLUMN {between} TO {new}"),
    ];
    // The exchange is its own inverse. After it the old column has the new one's name.
    let dress = children::dress(context, a.change.old.as_str(), a.change.new.as_str());
    let exchange: Vec<_> = dress.into_iter().chain(exchange).collect();
    let mut moves = Moves { forth: exchange.clone(), back: exchange };
    moves.extend(default_moves(&table, a, &new, &old, &old, &new));
    moves.extend(rename_not_null(context, a, Stage::Swapped));
    moves
}

/// Renames the old column away. It stays in sync, so that the way back is one short transaction.
fn retire(context: &Context<'_>, a: &Active<'_>) -> Moves {
    let table = context.table().sql();
    let (old, new) = a.names(&context.tag, Stage::Swapped);
    let (old, new) = (quote_ident(&old), quote_ident(&new));
    let retired = quote_ident(&a.retired_name(&context.tag));
    let mut moves = Moves {
        forth: vec![format!("ALTER TABLE {table} RENAME COLUMN {old} TO {retired}")],
        back: vec![format!("ALTER TABLE {table} RENAME COLUMN {retired} TO {old}")],
    };
    if !a.change.keeps_name() {
        moves.extend(default_moves(&table, a, &retired, &new, &old, &new));
    }
    moves.extend(rename_not_null(context, a, Stage::Retired));
    moves
}

/// Drops the retired column. Never CASCADE: an unknown dependant must stop it.
fn drop(context: &Context<'_>, a: &Active<'_>) -> Drops {
    let table = context.table().sql();
    let retired = a.retired_name(&context.tag);
    let replaced = adopt::replaced(a);
    let triggers: Vec<_> = replaced.iter().map(|name| format!(", trigger {name} made by hand")).collect();
    let triggers = triggers.concat();
    let mut except = indexes::parked_names(context);
    except.extend(constraints::parked_names(context));
    except.extend(replaced);
    let mut statements = adopt::drop(context, a);
    statements.extend(indexes::drop_exclusions(context, a));
    statements.push(format!("ALTER TABLE {table} DROP COLUMN {}", quote_ident(&retired)));
    statements.extend(children::drop_column(context, &retired));
    Drops {
        goes: Some(format!(
            "the old column {} ({}, renamed to {retired}){triggers}",
            a.change.old, a.facts.old.type_name
        )),
        needs: vec![Gate::NoDependants { relation: RelationId::MAIN, column: retired.clone(), except }],
        statements,
        gone: vec![
            Is::NoColumn { name: retired },
            Is::Column { name: a.change.final_name().to_string(), type_name: a.facts.new_type.clone() },
        ],
    }
}

/// The default that the new column gets when it is added, as ALTER COLUMN says it.
fn default_in_soak(a: &Active<'_>) -> Option<String> {
    beside(a.facts).map(|default| match default {
        Beside::Own(default) => format!("SET DEFAULT {default}"),
        Beside::OfType => "DROP DEFAULT".to_owned(),
    })
}

/// Moves the default from the old column to the new one, and back. `old` and `new` are the names at the moment of the move,
/// `old_before` and `new_before` those before the step. A column whose type has a default of its own is without one only
/// where its default is NULL.
fn default_moves(table: &str, a: &Active<'_>, old: &str, new: &str, old_before: &str, new_before: &str) -> Moves {
    let facts = a.facts;
    let alter = |column: &str, what: &str| format!("ALTER TABLE {table} ALTER COLUMN {column} {what}");
    let without = |type_default: &Option<String>| {
        if type_default.is_some() { "SET DEFAULT NULL" } else { "DROP DEFAULT" }.to_owned()
    };
    let set = |default: &str| format!("SET DEFAULT {default}");
    let mut moves = Moves::default();
    if facts.old.effective_default().is_some() {
        moves.forth.push(alter(old, &without(&facts.old.type_default)));
    }
    if facts.final_default().is_some() {
        let last = facts.new_default.as_deref().map_or_else(|| "DROP DEFAULT".to_owned(), set);
        moves.forth.push(alter(new, &last));
        let first = default_in_soak(a).unwrap_or_else(|| without(&facts.new_type_default));
        moves.back.push(alter(new_before, &first));
    }
    if facts.old.effective_default().is_some() {
        let own = facts.old.default.as_deref().map_or_else(|| "DROP DEFAULT".to_owned(), set);
        moves.back.push(alter(old_before, &own));
    }
    moves
}

/// PostgreSQL 18 keeps a NOT NULL constraint's name through a rename: gives the new column's the old one's name, in the
/// swap where the column keeps its name and its proof is there already, else when the old column is retired.
fn rename_not_null(context: &Context<'_>, a: &Active<'_>, stage: Stage) -> Moves {
    let at_swap = a.change.keeps_name() && a.facts.forward.is_total();
    let Some(own) = a.facts.old.not_null_constraint.as_ref().filter(|_| at_swap == (stage == Stage::Swapped)) else {
        return Moves::default();
    };
    let table = context.table().sql();
    let twin = context.tag.not_null(a.position);
    let parked = context.tag.parked_not_null(a.position);
    let rename = |from: &str, to: &str| {
        format!("ALTER TABLE {table} RENAME CONSTRAINT {} TO {}", quote_ident(from), quote_ident(to))
    };
    // A relaxed column has no constraint to park.
    let parks = !a.must_relax() || must_be_given(context, a);
    let mut moves = Moves::default();
    moves.forth.extend(parks.then(|| rename(own, &parked)));
    moves.forth.push(rename(&twin, own));
    moves.back.push(rename(own, &twin));
    moves.back.extend(parks.then(|| rename(&parked, own)));
    moves
}

/// Lets old columns be empty that could not be until this swap, where a value of the new one may have no way back.
pub(super) fn relaxed_in_swap(context: &Context<'_>) -> Vec<String> {
    let of_key = context.active.iter().filter(|a| a.must_relax() && must_be_given(context, a));
    let of_key = of_key.filter(|a| a.change.keeps_name());
    // The old column has the new one's name by now.
    of_key.flat_map(|a| not_null::dropped(context, a.change.new.as_str())).collect()
}
