//! The first write under the new names, tried in the transaction that gives them: PostgreSQL renames a column in everything that
//! it knows of, and knows nothing of the texts of PL/pgSQL functions and of the arguments of triggers. A trigger that names the
//! old column there would make every UPDATE of the applications fail.
//!
//! Before the renames, a row is looked for that can be updated; afterwards it is updated once more. What fails only afterwards
//! fails for the renames, and they are undone. Both updates change no value, make all deferred constraints immediate, and are
//! rolled back. They run with the rights of the table's owner, under the owner's `search_path`. They name the columns by names
//! that there are before and after, and are no write to an old column; nor are they counted as one to a new column, because what is
//! counted is what applications do.

use super::fragment::Stage;
use super::{Active, Context};
use crate::run::IdentityColumn;
use crate::sql::{dollar_quote, quote_ident};

/// What the two statements begin with, by which they are known when a stored program runs.
const BEFORE: &str = "-- look for a row that can be updated, and undo that\nDO ";
const AFTER: &str = "-- update that row under the new names, and undo that\nDO ";
/// The setting of the transaction that keeps the row's place.
pub(crate) const ROW: &str = "crossfade.row";
/// The setting of the transaction by which the sync trigger knows that nothing is to be counted: no rollback sets its counters back.
pub(super) const UNCOUNTED: &str = "crossfade.uncounted";
/// Ends what is undone. No class of PostgreSQL's begins with `CF`.
const UNDONE: &str = "CF002";
/// The update did not end in time.
const SLOW: &str = "CF003";
/// Rows are looked for in so many of the first pages, and of the last: a table may have had its rows deleted.
const PAGES: u32 = 64;
/// So many rows in each of them.
const ROWS: u32 = 5;
/// The table may have columns of our variables' names; theirs are always written behind the table's.
const VARIABLES: &str = "#variable_conflict use_variable";
/// Applications wait meanwhile. The first limit is for a lock that a trigger needs, the second for all that it does.
const LIMITS: [&str; 2] = ["SET LOCAL lock_timeout = '100ms'", "SET LOCAL statement_timeout = '2s'"];

/// Which of the two a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstWrite {
    /// It leaves the place of a row in [`ROW`].
    Before,
    /// It fails if that row cannot be updated any more.
    After,
}

impl FirstWrite {
    /// Returns which of the two `statement` is, if it is one.
    pub(crate) fn of(statement: &str) -> Option<Self> {
        match statement {
            _ if statement.starts_with(BEFORE) => Some(Self::Before),
            _ if statement.starts_with(AFTER) => Some(Self::After),
            _ => None,
        }
    }
}

/// Returns the statements for before the renames and for afterwards; none where no name changes.
pub(super) fn around(context: &Context<'_>) -> (Vec<String>, Vec<String>) {
    if context.active.iter().all(|a| a.change.keeps_name()) {
        return (vec![], vec![]);
    }
    let limited = |statement| LIMITS.iter().map(ToString::to_string).chain([statement]).collect();
    (limited(before(context)), limited(after(context)))
}

/// The condition that finds the row, and the declarations of what it needs.
fn here(context: &Context<'_>) -> &'static str {
    if context.facts.main().has_members() {
        "t.tableoid OPERATOR(pg_catalog.=) place AND t.ctid OPERATOR(pg_catalog.=) here"
    } else {
        "t.ctid OPERATOR(pg_catalog.=) here"
    }
}

/// The update, for the names before the renames or afterwards.
fn update(context: &Context<'_>, renamed: bool) -> String {
    let column = |a: &Active<'_>| {
        let always = a.facts.old.identity == Some(IdentityColumn::Always) || a.facts.old.generated.is_some();
        // A column that is always generated can only be set to DEFAULT; the other one of its pair is an ordinary one.
        let name = if renamed && always && a.change.borrows() {
            a.names(&context.tag, Stage::Retired).1
        } else {
            a.change.final_name().to_string()
        };
        let name = quote_ident(&name);
        format!("{name} = t.{name}")
    };
    let columns: Vec<_> = context.active.iter().map(column).collect();
    let (table, columns, here) = (context.table().sql(), columns.join(", "), here(context));
    let only = if context.facts.main().has_members() { "" } else { "ONLY " };
    format!(
        "UPDATE {only}{table} AS t SET {columns} WHERE {here};
      SET CONSTRAINTS ALL IMMEDIATE;
      RAISE EXCEPTION USING ERRCODE = '{UNDONE}', MESSAGE = 'undone';"
    )
}

fn before(context: &Context<'_>) -> String {
    if context.facts.main().has_members() {
        return before_in_partitions(context);
    }
    let (table, update) = (context.table().sql(), update(context, false));
    let regclass = crate::sql::quote_literal(&table);
    let body = format!(
        "
{VARIABLES}
DECLARE
  here pg_catalog.tid;
  pages pg_catalog.int8 := pg_catalog.pg_relation_size({regclass}::pg_catalog.regclass) OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::pg_catalog.int8;
BEGIN
  PERFORM pg_catalog.set_config('{ROW}', '', true), pg_catalog.set_config('{UNCOUNTED}', 'on', true);
  FOR here IN
    (SELECT t.ctid FROM ONLY {table} AS t WHERE t.ctid OPERATOR(pg_catalog.<) '({PAGES},0)'::pg_catalog.tid LIMIT {ROWS})
    UNION ALL
    (SELECT t.ctid FROM ONLY {table} AS t
      WHERE t.ctid OPERATOR(pg_catalog.>=) pg_catalog.format('(%s,0)', GREATEST(pages OPERATOR(pg_catalog.-) {PAGES}, 0))::pg_catalog.tid LIMIT {ROWS})
  LOOP
    BEGIN
      {update}
    EXCEPTION
      WHEN SQLSTATE '{UNDONE}' THEN
        PERFORM pg_catalog.set_config('{ROW}', here::pg_catalog.text, true);
        EXIT;
      -- Somebody has locked what a trigger needs: not the row's fault.
      WHEN lock_not_available OR deadlock_detected THEN RAISE;
      WHEN query_canceled THEN EXIT;
      WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END
"
    );
    format!("{BEFORE}{}", dollar_quote(&body))
}

/// As [`before`]: a row's place is a partition, or a table of those that inherit, and a place there.
fn before_in_partitions(context: &Context<'_>) -> String {
    let (table, update) = (context.table().sql(), update(context, false));
    let body = format!(
        "
{VARIABLES}
DECLARE
  place pg_catalog.oid;
  here pg_catalog.tid;
BEGIN
  PERFORM pg_catalog.set_config('{ROW}', '', true), pg_catalog.set_config('{UNCOUNTED}', 'on', true);
  FOR place, here IN
    SELECT t.tableoid, t.ctid FROM {table} AS t WHERE t.ctid OPERATOR(pg_catalog.<) '({PAGES},0)'::pg_catalog.tid LIMIT {ROWS}
  LOOP
    BEGIN
      {update}
    EXCEPTION
      WHEN SQLSTATE '{UNDONE}' THEN
        PERFORM pg_catalog.set_config('{ROW}', pg_catalog.concat(place, ' ', here), true);
        EXIT;
      -- Somebody has locked what a trigger needs: not the row's fault.
      WHEN lock_not_available OR deadlock_detected THEN RAISE;
      WHEN query_canceled THEN EXIT;
      WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END
"
    );
    format!("{BEFORE}{}", dollar_quote(&body))
}

fn after(context: &Context<'_>) -> String {
    let update = update(context, true);
    let said = format!("pg_catalog.current_setting('{ROW}', true)");
    let declared = if context.facts.main().has_members() {
        let part = |type_name: &str, n: u8| {
            format!(
                "CASE WHEN {said} OPERATOR(pg_catalog.<>) ''\n    THEN pg_catalog.split_part({said}, ' ', {n})::pg_catalog.{type_name} END"
            )
        };
        format!("place pg_catalog.oid := {};\n  here pg_catalog.tid := {};", part("oid", 1), part("tid", 2))
    } else {
        format!(
            "here pg_catalog.tid := CASE WHEN {said} OPERATOR(pg_catalog.<>) ''\n    THEN {said}::pg_catalog.tid END;"
        )
    };
    let body = format!(
        "
{VARIABLES}
DECLARE
  {declared}
BEGIN
  -- No row: there is nothing to try.
  IF here IS NOT NULL THEN
    PERFORM pg_catalog.set_config('{UNCOUNTED}', 'on', true);
    BEGIN
      {update}
    EXCEPTION
      WHEN SQLSTATE '{UNDONE}' THEN NULL;
      WHEN query_canceled THEN
        RAISE EXCEPTION USING ERRCODE = '{SLOW}', MESSAGE = 'it was cancelled, or did not end in 2 s as it did before';
    END;
  END IF;
END
"
    );
    format!("{AFTER}{}", dollar_quote(&body))
}
