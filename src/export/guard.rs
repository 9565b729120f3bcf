//! The SQL that all migrations share: one block of PL/pgSQL that looks at the table before it alters it.
//!
//! No migration tool finds anything in it to replace: no `${`, `%`, `#{`, `?`, backslash, backtick, and no `:name`. Names and expressions
//! are literals that `literal` made harmless, and all of them are run by EXECUTE.

use super::literal::literal;
use super::{Alter, Migration};
use crate::sql::{quote_ident, quote_literal};

/// How long the block waits for its lock.
const PATIENCE: &str = "5s";

/// Returns the block with a comment in front and a line break at its end.
pub(super) fn sql(migration: &Migration) -> String {
    let plan = &migration.plan;
    let (tables, too_large, body) = if migration.parts.is_empty() {
        ("table", "the table is", look_and_alter(migration, "RETURN"))
    } else {
        // What is in order is passed over, and what is not fails the whole.
        let one = |(part, number): (&Migration, usize)| {
            let body = look_and_alter(part, &format!("EXIT table_{number}"));
            format!("  <<table_{number}>>\n  BEGIN\n{body}  END table_{number};\n")
        };
        ("tables", "one of them is", migration.all().zip(1..).map(one).collect())
    };
    format!(
        r"-- Written by crossfade for its run {plan}. It does nothing where that run has ended, alters the {tables}
-- where crossfade has never been, and fails while the run is under way or where {too_large} too large.
DO $crossfade$
DECLARE
  path text DEFAULT pg_catalog.current_setting('search_path');
  patience text DEFAULT pg_catalog.current_setting('lock_timeout');
  target oid;
  present jsonb;
  found text;
  bytes bigint;
BEGIN
{body}END
$crossfade$;
"
    )
}

/// Returns what looks at the table and alters it. `leave` is what is done where there is nothing to do.
fn look_and_alter(migration: &Migration, leave: &str) -> String {
    let Migration { plan, table, max_size, .. } = migration;
    let tag = crate::ident::RunTag::new(plan);
    let place = literal(&table.sql());
    let shown = table.to_string();
    let ours = literal(&format!("cf_{tag}_"));
    let first = literal(&format!("!!crossfade_{tag}_"));
    let last = literal(&format!("~~crossfade_{tag}_"));
    let any_first = literal("!!crossfade_");
    let any_last = literal("~~crossfade_");
    let claims = claims(migration);
    let [no_table, under_way, another, neither] = [
        format!("there is no table {shown}, which the run {plan} of crossfade changes"),
        format!("the run {plan} of crossfade is under way on {shown}, so nothing was altered"),
        format!("a run of crossfade other than {plan} is under way on {shown}, so nothing was altered"),
        format!("the columns of {shown} are neither as before the run {plan} of crossfade nor as after it"),
    ]
    .map(|text| literal(&text));
    let [too_large, run_it] = [
        format!("{shown} is too large for a plain ALTER TABLE, which may take {max_size}, because it has "),
        format!("Run the plan {plan} with crossfade here, and apply this migration again"),
    ]
    .map(|text| literal(&text));
    let (before, after) = (all(migration, before), all(migration, after));
    let lock = literal(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table.sql()));
    let alters: String =
        statements(migration).iter().fold(String::new(), |block, sql| block + "  EXECUTE " + &literal(sql) + ";\n");
    let bytes = max_size.0;
    format!(
        r"  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  FOR look IN 1..2 LOOP
    target = to_regclass({place});
    IF target IS NULL THEN
      RAISE EXCEPTION USING MESSAGE = {no_table},
        HINT = 'Run the migration that creates it first';
    END IF;
    SELECT jsonb_object_agg(attname, format_type(atttypid, atttypmod)) INTO present
      FROM pg_attribute WHERE attrelid = target AND attnum > 0 AND NOT attisdropped;
    -- What a run has on the table while it lasts, and what it has to itself in the ledger.
    SELECT string_agg(name, ', ') INTO found FROM (
      SELECT attname AS name FROM pg_attribute WHERE attrelid = target AND starts_with(attname, {ours})
      UNION ALL SELECT conname FROM pg_constraint WHERE conrelid = target AND starts_with(conname, {ours})
      UNION ALL SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = target AND starts_with(relname, {ours})
      UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = target
        AND (starts_with(tgname, {first}) OR starts_with(tgname, {last}))) AS of_run;
{claims}
    IF found IS NOT NULL THEN
      RAISE EXCEPTION USING MESSAGE = {under_way}, DETAIL = 'Found ' || found,
        HINT = 'Apply this migration again when the run has ended';
    END IF;
    IF {after} THEN
      PERFORM set_config('search_path', path, true);
      {leave};
    END IF;
    IF ({before}) IS NOT TRUE THEN
      RAISE EXCEPTION USING MESSAGE = {neither}, DETAIL = 'The columns are ' || coalesce(CAST(present AS text), 'none'),
        HINT = 'Compare them with the plan, and make them as they were before the run or as they are after it';
    END IF;
    SELECT string_agg(tgname, ', ') INTO found FROM pg_trigger WHERE tgrelid = target
      AND (starts_with(tgname, {any_first}) OR starts_with(tgname, {any_last}));
    IF found IS NOT NULL THEN
      RAISE EXCEPTION USING MESSAGE = {another}, DETAIL = 'Found ' || found,
        HINT = 'Apply this migration again when that run has ended';
    END IF;
    SELECT coalesce(sum(pg_table_size(relid)), pg_table_size(target)) INTO bytes FROM pg_partition_tree(target);
    IF bytes > {bytes} THEN
      RAISE EXCEPTION USING MESSAGE = {too_large} || pg_size_pretty(bytes), HINT = {run_it};
    END IF;
    IF look = 1 THEN
      -- Then it looks again, behind the lock.
      PERFORM set_config('lock_timeout', '{PATIENCE}', true);
      EXECUTE {lock};
      PERFORM set_config('lock_timeout', patience, true);
    END IF;
  END LOOP;
  PERFORM set_config('search_path', path, true);
{alters}"
    )
}

/// Returns what looks into the ledger, where there is one that the session may read.
fn claims(migration: &Migration) -> String {
    let relation = |name: &str| format!("{}.{}", quote_ident(&migration.ledger), quote_ident(name));
    let (claim, run) = (relation("claim"), relation("run"));
    let [claim_name, run_name] = [&claim, &run].map(|name| literal(name));
    let plan = quote_literal(migration.plan.as_str());
    let query = literal(&format!(
        "SELECT min(r.name) FROM {claim} AS c JOIN {run} AS r ON r.id = c.run_id WHERE r.name = {plan}"
    ));
    format!(
        r"    IF found IS NULL AND to_regclass({claim_name}) IS NOT NULL AND to_regclass({run_name}) IS NOT NULL THEN
      BEGIN
        EXECUTE {query} INTO found;
      EXCEPTION WHEN insufficient_privilege THEN
        NULL;
      END;
    END IF;"
    )
}

/// Returns the condition that all changes are in the same state.
fn all(migration: &Migration, one: impl Fn(&Alter) -> String) -> String {
    migration.alters.iter().map(one).collect::<Vec<_>>().join(" AND ")
}

fn is_there(column: &str) -> String {
    format!("present ->> {} IS NOT NULL", literal(column))
}

fn is_not_there(column: &str) -> String {
    format!("present ->> {} IS NULL", literal(column))
}

fn has_type(column: &str, type_name: &str) -> String {
    format!("present ->> {} IS NOT DISTINCT FROM {}", literal(column), literal(type_name))
}

fn before(alter: &Alter) -> String {
    match alter {
        Alter::Rename { from, to } => format!("{} AND {}", is_there(from), is_not_there(to)),
        Alter::Retype { column, from, name, .. } if name == column => has_type(column, from),
        Alter::Retype { column, from, name, .. } => format!("{} AND {}", has_type(column, from), is_not_there(name)),
        Alter::Add { name, .. } => is_not_there(name),
        Alter::Drop { name } => is_there(name),
    }
}

fn after(alter: &Alter) -> String {
    match alter {
        Alter::Rename { from, to } => format!("{} AND {}", is_there(to), is_not_there(from)),
        Alter::Retype { column, to, name, .. } if name == column => has_type(column, to),
        Alter::Retype { column, to, name, .. } => format!("{} AND {}", has_type(name, to), is_not_there(column)),
        Alter::Add { name, type_name, .. } => has_type(name, type_name),
        Alter::Drop { name } => is_not_there(name),
    }
}

/// Returns the statements of plain SQL.
fn statements(migration: &Migration) -> Vec<String> {
    let table = migration.table.sql();
    let mut statements = Vec::new();
    for alter in &migration.alters {
        match alter {
            Alter::Rename { from, to } => statements.push(rename(&table, from, to)),
            Alter::Retype { column, to, collate, using, default, name, .. } => {
                let alter = format!("ALTER COLUMN {}", quote_ident(column));
                // The old default need not convert.
                let (drop, set) = match default {
                    Some(default) => (format!("{alter} DROP DEFAULT, "), format!(", {alter} SET DEFAULT {default}")),
                    None => Default::default(),
                };
                statements.push(format!("ALTER TABLE {table} {drop}{alter} TYPE {to}{collate} USING ({using}){set}"));
                if name != column {
                    statements.push(rename(&table, column, name));
                }
            }
            Alter::Add { name, type_name, collate, default, not_null } => {
                let default = default.as_ref().map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
                let not_null = if *not_null { " NOT NULL" } else { "" };
                let name = quote_ident(name);
                statements
                    .push(format!("ALTER TABLE {table} ADD COLUMN {name} {type_name}{collate}{default}{not_null}"));
            }
            Alter::Drop { name } => statements.push(format!("ALTER TABLE {table} DROP COLUMN {}", quote_ident(name))),
        }
    }
    statements
}

fn rename(table: &str, from: &str, to: &str) -> String {
    format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", quote_ident(from), quote_ident(to))
}
