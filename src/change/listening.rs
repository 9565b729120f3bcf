//! Triggers of the application for `UPDATE OF` a column that has a second one, under a name that goes: while there are both, they
//! fire for both.
//!
//! The columns that others list are found when the statement runs, so that what they change meanwhile is kept.

use super::Context;
use crate::ident::TableName;
use crate::sql::{dollar_quote, quote_literal};

/// Gives each trigger that listens to one of the old columns the new one as well; may be repeated. Only once every row is filled:
/// the backfill writes the new column.
pub(super) fn listen(context: &Context<'_>) -> Vec<String> {
    rewritten(context, "attnums || lent", "attnums @> ARRAY[own] AND NOT attnums @> ARRAY[lent]")
}

/// Takes those under the other names out of the lists again; may be repeated. None has been renamed away yet.
pub(super) fn narrow(context: &Context<'_>) -> Vec<String> {
    rewritten(context, "pg_catalog.array_remove(attnums, lent)", "attnums @> ARRAY[own, lent]")
}

/// Makes each trigger of which `when` is true anew with the columns `attnums`. What its definition does not say (whether it is
/// enabled, its comment, what extension it belongs to) is set again: a constraint trigger cannot be replaced.
fn rewritten(context: &Context<'_>, attnums: &str, when: &str) -> Vec<String> {
    context.with_children().map(|table| rewritten_on(context, table, attnums, when)).collect()
}

fn rewritten_on(context: &Context<'_>, table: &TableName, attnums: &str, when: &str) -> String {
    let table = table.sql();
    let pairs = context.active.iter().filter(|a| a.change.borrows() || a.change.keeps_name());
    let pairs: Vec<_> = pairs
        .map(|a| format!("({}, {})", quote_literal(a.change.old.as_str()), quote_literal(a.change.new.as_str())))
        .collect();
    let body = format!(
        r"
DECLARE
  found record; own int2; lent int2; attnums int2[]; columns text; listed text;
  definition text; head text; rest text; said text; enabled text;
BEGIN
  FOR found IN
    SELECT g.oid, g.tgname, g.tgenabled, g.tgconstraint, g.tgattr::int2[] AS attnums, o.attnum AS own, l.attnum AS lent
    FROM (VALUES {pairs}) AS p (own, lent)
    JOIN pg_catalog.pg_attribute AS o ON o.attrelid = {regclass} AND o.attname = p.own
    JOIN pg_catalog.pg_attribute AS l ON l.attrelid = o.attrelid AND l.attname = p.lent
    JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = o.attrelid AND NOT g.tgisinternal
    WHERE NOT pg_catalog.starts_with(g.tgname, '!!crossfade_') AND NOT pg_catalog.starts_with(g.tgname, '~~crossfade_')
    ORDER BY g.tgname, o.attnum
  LOOP
    -- Another pair may have changed it just now.
    SELECT g.oid, g.tgattr::int2[] INTO found.oid, attnums FROM pg_catalog.pg_trigger AS g
    WHERE g.tgrelid = {regclass} AND g.tgname = found.tgname AND NOT g.tgisinternal;
    own := found.own;
    lent := found.lent;
    CONTINUE WHEN NOT ({when});
    listed := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.attname), ', ' ORDER BY n)
      FROM pg_catalog.unnest(attnums) WITH ORDINALITY AS u (attnum, n)
      JOIN pg_catalog.pg_attribute AS c ON c.attrelid = {regclass} AND c.attnum = u.attnum);
    columns := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.attname), ', ' ORDER BY n)
      FROM pg_catalog.unnest({attnums}) WITH ORDINALITY AS u (attnum, n)
      JOIN pg_catalog.pg_attribute AS c ON c.attrelid = {regclass} AND c.attnum = u.attnum);
    definition := pg_catalog.pg_get_triggerdef(found.oid);
    -- Behind the name, which may be anything: events, of which UPDATE has the list.
    head := pg_catalog.concat('CREATE ', CASE WHEN found.tgconstraint <> 0 THEN 'CONSTRAINT ' END, 'TRIGGER ', pg_catalog.quote_ident(found.tgname));
    rest := pg_catalog.substr(definition, pg_catalog.length(head) + 1);
    listed := pg_catalog.concat(' UPDATE OF ', listed, ' ');
    IF NOT pg_catalog.starts_with(definition, head) OR pg_catalog.strpos(rest, listed) = 0 THEN
      RAISE EXCEPTION 'trigger % has an unexpected definition: %', pg_catalog.quote_ident(found.tgname), definition;
    END IF;
    definition := pg_catalog.concat(head, pg_catalog.overlay(rest, pg_catalog.concat(' UPDATE OF ', columns, ' '),
      pg_catalog.strpos(rest, listed), pg_catalog.length(listed)));
    said := pg_catalog.obj_description(found.oid, 'pg_trigger');
    IF found.tgconstraint <> 0 THEN
      EXECUTE pg_catalog.format('DROP TRIGGER %I ON {formatted}', found.tgname);
      EXECUTE definition;
      IF said IS NOT NULL THEN
        EXECUTE pg_catalog.format('COMMENT ON TRIGGER %I ON {formatted} IS %L', found.tgname, said);
      END IF;
    ELSE
      EXECUTE pg_catalog.regexp_replace(definition, '^CREATE', 'CREATE OR REPLACE');
    END IF;
    enabled := CASE found.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' END;
    IF enabled IS NOT NULL THEN
      EXECUTE pg_catalog.format('ALTER TABLE {formatted} %s TRIGGER %I', enabled, found.tgname);
    END IF;
  END LOOP;
END
",
        pairs = pairs.join(", "),
        regclass = format_args!("{}::pg_catalog.regclass", quote_literal(&table)),
        // Inside a text that `format` reads.
        formatted = table.replace('%', "%%").replace('\'', "''"),
    );
    format!("DO {}", dollar_quote(&body))
}
