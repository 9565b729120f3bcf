//! The sync trigger: keeps both columns equal, in the row and in the transaction of the write itself.
//!
//! One function per run, called from BEFORE ROW triggers whose names sort last (PostgreSQL fires them in byte order), so
//! that it sees what other triggers did. Everything is schema-qualified, operators included, because it runs under the
//! application's `search_path`. The WHEN clauses are parsed once, here, and keep the backfill and unrelated updates from
//! entering PL/pgSQL at all.

use std::fmt::Write as _;

use super::conversion::{Way, forward, reverse};
use super::fragment::Stage;
use super::{Active, Context};
use crate::names::Counters;
use crate::plan::{OnConflict, OnError};
use crate::run::Is;
use crate::sql::{dollar_quote, quote_ident, quote_literal};

/// While this setting is `on`, the sync trigger changes nothing: only `verify --repair` sets it, in its own transaction.
pub(crate) const REPAIR_SETTING: &str = "crossfade.repair";

/// Whether UPDATE triggers may name columns. They may not when another BEFORE trigger can change the column of a row
/// whose statement does not name it (docs/postgres.md, "Triggers with a column list").
fn by_column(context: &Context<'_>) -> bool {
    !context.facts.main().other_before_triggers
}

pub(super) fn trigger_names(context: &Context<'_>) -> Vec<String> {
    let mut names = vec!["1_insert", "2_update"];
    if by_column(context) {
        names.push("3_heal");
    }
    names.into_iter().map(|what| context.tag.trigger(what)).collect()
}

/// Counters, helper functions, the sync function and the triggers, in the order in which they can be created.
pub(super) fn create(context: &Context<'_>) -> Vec<String> {
    let counters = Counters::of(&context.tag);
    let mut statements = Vec::new();
    for name in [&counters.old, &counters.new, &counters.conflict] {
        let sequence = context.ledger.qualify(name);
        // A sequence never makes two writers wait for each other's commit, unlike a row that both would update.
        statements.push(format!("CREATE SEQUENCE {sequence} MINVALUE 0 START 0"));
        statements.push(format!("SELECT pg_catalog.nextval({}::pg_catalog.regclass)", quote_literal(&sequence)));
        statements.push(format!("GRANT USAGE ON SEQUENCE {sequence} TO PUBLIC"));
    }
    for a in &context.active {
        statements.extend(forward(context, a).create());
        statements.extend(reverse(context, a).create());
    }
    statements.push(function(context, Stage::Soak));
    let function = context.ledger.qualify(&context.tag.sync_function());
    statements.push(format!("GRANT EXECUTE ON FUNCTION {function}() TO PUBLIC"));
    let table = context.table().sql();
    let trigger = |what| quote_ident(&context.tag.trigger(what));
    statements.push(format!(
        "CREATE TRIGGER {} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()",
        trigger("1_insert")
    ));
    let written = any(context, |a| written(context, a));
    let unfilled = any(context, |a| unfilled(context, a));
    if by_column(context) {
        let columns: Vec<_> = context.active.iter().flat_map(|a| [a.change.old.sql(), a.change.new.sql()]).collect();
        statements.push(format!(
            "CREATE TRIGGER {} BEFORE UPDATE OF {} ON {table} FOR EACH ROW WHEN ({written}) EXECUTE FUNCTION {function}()",
            trigger("2_update"),
            columns.join(", ")
        ));
        // IS NULL does not fetch a large value, so unrelated updates stay cheap (docs/postgres.md, "Healing").
        statements.push(format!(
            "CREATE TRIGGER {} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({unfilled}) EXECUTE FUNCTION {function}('heal')",
            trigger("3_heal")
        ));
    } else {
        statements.push(format!(
            "CREATE TRIGGER {} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({written} OR {unfilled}) EXECUTE FUNCTION {function}()",
            trigger("2_update")
        ));
    }
    statements
}

/// Drops what [`create`] made; each statement may be repeated.
pub(super) fn drop(context: &Context<'_>) -> Vec<String> {
    let table = context.table().sql();
    let mut statements: Vec<_> = trigger_names(context)
        .iter()
        .map(|name| format!("DROP TRIGGER IF EXISTS {} ON {table}", quote_ident(name)))
        .collect();
    let function = context.ledger.qualify(&context.tag.sync_function());
    statements.push(format!("DROP FUNCTION IF EXISTS {function}()"));
    for a in &context.active {
        statements.extend(forward(context, a).drop());
        statements.extend(reverse(context, a).drop());
    }
    let counters = Counters::of(&context.tag);
    for name in [&counters.old, &counters.new, &counters.conflict] {
        statements.push(format!("DROP SEQUENCE IF EXISTS {}", context.ledger.qualify(name)));
    }
    statements
}

/// Whether the triggers of one would not do for the other.
pub(super) fn shape_differs(was: &Context<'_>, now: &Context<'_>) -> bool {
    by_column(was) != by_column(now)
}

/// What makes the function of `was` at `stage`, and the triggers in [`Stage::Soak`], those of `now`.
pub(super) fn adapted(was: &Context<'_>, now: &Context<'_>, stage: Stage) -> Vec<String> {
    let mut statements = Vec::new();
    if function(was, stage) != function(now, stage) {
        statements.push(function(now, stage));
    }
    if shape_differs(was, now) && stage == Stage::Soak {
        let table = now.table().sql();
        let drop = |name: &String| format!("DROP TRIGGER IF EXISTS {} ON {table}", quote_ident(name));
        statements.extend(trigger_names(was).iter().map(drop));
        statements.extend(create(now).into_iter().filter(|statement| statement.starts_with("CREATE TRIGGER")));
    }
    statements
}

/// The statement that creates or replaces the sync function for the columns' names at `stage`.
pub(super) fn function(context: &Context<'_>, stage: Stage) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}",
        context.ledger.qualify(&context.tag.sync_function()),
        dollar_quote(&body(context, stage))
    )
}

/// That the sync function is the one for `stage`, untouched.
pub(super) fn function_is(context: &Context<'_>, stage: Stage) -> Is {
    Is::Function { name: context.tag.sync_function(), sha256: crate::ident::sha256_hex(&body(context, stage)) }
}

fn any(context: &Context<'_>, condition: impl Fn(&Active<'_>) -> String) -> String {
    let conditions: Vec<_> = context.active.iter().map(condition).collect();
    conditions.join(" OR ")
}

fn differ(plain: bool, a: &str, b: &str) -> String {
    if plain { format!("{a} IS DISTINCT FROM {b}") } else { format!("pg_catalog.record_image_ne(ROW({a}), ROW({b}))") }
}

/// True where a statement changed either side, except by filling an empty new side with what it should be: that is the
/// backfill, which therefore never enters PL/pgSQL.
fn written(context: &Context<'_>, a: &Active<'_>) -> String {
    let (old, new) = (a.change.old.sql(), a.change.new.sql());
    let (new_old, new_new, old_old, old_new) =
        (format!("NEW.{old}"), format!("NEW.{new}"), format!("OLD.{old}"), format!("OLD.{new}"));
    format!(
        "({} OR ({} AND ({old_new} IS NOT NULL OR NOT {})))",
        differ(a.facts.old.plain_compare, &new_old, &old_old),
        differ(a.facts.new_plain_compare, &new_new, &old_new),
        forward(context, a).same(&new_new, &new_old)
    )
}

/// True where the new side is empty and should not be.
fn unfilled(context: &Context<'_>, a: &Active<'_>) -> String {
    let new = format!("NEW.{} IS NULL", a.change.new.sql());
    if forward(context, a).null_to_null() {
        format!("({new} AND NEW.{} IS NOT NULL)", a.change.old.sql())
    } else {
        format!("({new})")
    }
}

fn body(context: &Context<'_>, stage: Stage) -> String {
    let counters = Counters::of(&context.tag);
    let count = |flag: &str, name: &str| {
        let sequence = quote_literal(&context.ledger.qualify(name));
        format!("  IF {flag} THEN PERFORM pg_catalog.nextval({sequence}::pg_catalog.regclass); END IF;\n")
    };
    let mut text = String::from(
        "\nDECLARE\n  o boolean; n boolean;\n  wrote_old boolean := false; wrote_new boolean := false; conflict boolean := false;\nBEGIN\n",
    );
    let _ = writeln!(
        text,
        "  IF pg_catalog.current_setting('{REPAIR_SETTING}', true) OPERATOR(pg_catalog.=) 'on' THEN RETURN NEW; END IF;"
    );
    for a in &context.active {
        text.push_str(&one_change(context, a, stage));
    }
    text.push_str(&count("wrote_old", &counters.old));
    text.push_str(&count("wrote_new", &counters.new));
    text.push_str(&count("conflict", &counters.conflict));
    text.push_str("  RETURN NEW;\nEND\n");
    text
}

/// The truth table of one change. Changes are seen by image (docs/postgres.md, "Values that are equal but not the same").
fn one_change(context: &Context<'_>, a: &Active<'_>, stage: Stage) -> String {
    let (old, new) = a.names(&context.tag, stage);
    let (n_old, n_new) = (format!("NEW.{}", quote_ident(&old)), format!("NEW.{}", quote_ident(&new)));
    let (o_old, o_new) = (format!("OLD.{}", quote_ident(&old)), format!("OLD.{}", quote_ident(&new)));
    let (forward, reverse) = (forward(context, a), reverse(context, a));
    let reject = a.change.on_error == Some(OnError::Reject);
    let value = |way: &Way<'_>, source: &str| if reject { way.strict_value(source) } else { way.value(source) };
    let to_new = format!("{n_new} := {};", value(&forward, &n_old));
    let to_old = format!("{n_old} := {};", value(&reverse, &n_new));
    // Healing an old row must not make an unrelated update fail, whatever the plan says of bad writes.
    let heal = format!("{n_new} := {};", forward.value(&n_old));
    let consistent = format!("{} OR {}", forward.same_image(&n_new, &n_old), reverse.same_image(&n_old, &n_new));
    let filled_by_backfill = forward.same_image(&n_new, &n_old);
    let conflict = match a.change.on_conflict {
        OnConflict::NewWins => format!("conflict := true; {to_old}"),
        OnConflict::OldWins => format!("conflict := true; {to_new}"),
        OnConflict::Error => format!(
            "RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = {}, HINT = 'Write one of the two columns, or values that agree.';",
            quote_literal(&format!(
                "columns \"{old}\" and \"{new}\" of table {} were set to values that do not agree",
                context.table()
            ))
        ),
    };
    let by_default = filled_by_default(a, stage, &n_old);
    // What a default that differs at each look gave cannot be told from what a statement gave: then new is what counts.
    let old_not_given =
        if a.facts.old.default.is_some() && !a.facts.old.default_is_stable { "true" } else { by_default.as_str() };
    let new_not_given = new_filled_by_default(a, stage, &n_new).map_or_else(String::new, |by_default| {
        format!(
            "    ELSIF {by_default} THEN\n      wrote_old := true;\n      IF NOT ({consistent}) THEN {to_new} END IF;\n"
        )
    });
    let unfilled = if forward.null_to_null() {
        format!("{n_new} IS NULL AND {n_old} IS NOT NULL")
    } else {
        format!("{n_new} IS NULL")
    };
    format!(
        "  IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
    IF {n_new} IS NULL THEN
      {to_new} wrote_old := wrote_old OR NOT ({by_default});
    ELSIF {old_not_given} THEN
      wrote_new := true;
      IF NOT ({consistent}) THEN {to_old} END IF;
{new_not_given}    ELSE
      wrote_old := true; wrote_new := true;
      IF NOT ({consistent}) THEN {conflict} END IF;
    END IF;
  ELSE
    o := pg_catalog.record_image_ne(ROW({n_old}), ROW({o_old}));
    n := pg_catalog.record_image_ne(ROW({n_new}), ROW({o_new}));
    IF TG_NARGS OPERATOR(pg_catalog.>) 0 OR NOT (o OR n) THEN
      IF {unfilled} THEN {heal} END IF;
    ELSIF o AND n THEN
      wrote_old := true; wrote_new := true;
      IF NOT ({consistent}) THEN {conflict} END IF;
    ELSIF o THEN
      wrote_old := true; {to_new}
    ELSIF {o_new} IS NOT NULL OR NOT ({filled_by_backfill}) THEN
      wrote_new := true; {to_old}
    END IF;
  END IF;
"
    )
}

/// True where an INSERT did not give the old column: it is empty, or holds what its default gives.
fn filled_by_default(a: &Active<'_>, stage: Stage, n_old: &str) -> String {
    let old_has_default = match stage {
        Stage::Soak => true,
        Stage::Swapped => !a.change.keeps_name(),
        Stage::Retired => false,
    };
    match &a.facts.old.default {
        Some(default) if old_has_default && a.facts.old.default_is_stable => {
            let base = &a.facts.old.base_type;
            format!("{n_old} IS NULL OR pg_catalog.record_image_eq(ROW({n_old}), ROW(CAST({default} AS {base})))")
        }
        _ => format!("{n_old} IS NULL"),
    }
}

/// True where an INSERT gave the old column and the new one holds what its default gives: after the swap the default is
/// the new column's, and a release may still write the other name.
fn new_filled_by_default(a: &Active<'_>, stage: Stage, n_new: &str) -> Option<String> {
    if stage != Stage::Swapped || !a.change.keeps_name() || !a.facts.old.default_is_stable {
        return None;
    }
    let default = a.facts.new_default.as_ref()?;
    let base = &a.facts.new_base_type;
    Some(format!("pg_catalog.record_image_eq(ROW({n_new}), ROW(CAST({default} AS {base})))"))
}
