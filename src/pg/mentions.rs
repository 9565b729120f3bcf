//! Whether a statement, or the text of a function, names a column of a table. Names are read as PostgreSQL reads them; what they
//! stand for is found only as far as the text tells, and in doubt it is the column.

use crate::ident::TableName;
use crate::sql::token::{Token, tokens};

/// What a statement begins with that reads or writes rows.
const STATEMENTS: [&str; 9] = ["select", "insert", "update", "delete", "merge", "with", "copy", "declare", "prepare"];

/// What may stand behind the name of a table and is not its alias.
const NO_ALIAS: [&str; 33] = [
    "where",
    "set",
    "join",
    "left",
    "right",
    "inner",
    "full",
    "cross",
    "natural",
    "on",
    "using",
    "order",
    "group",
    "having",
    "limit",
    "offset",
    "union",
    "intersect",
    "except",
    "values",
    "select",
    "returning",
    "for",
    "tablesample",
    "from",
    "default",
    "overriding",
    "window",
    "fetch",
    "to",
    "loop",
    "into",
    "then",
];

/// What stands in front of the name of a table.
const SOURCES: [&str; 6] = ["from", "join", "update", "into", "using", "only"];

/// Returns whether an application's statement names the column of the table. Statements that change the schema do not count,
/// nor do crossfade's own, which look at rows by their place in the table's file.
pub(crate) fn statement_names(text: &str, table: &TableName, column: &str) -> bool {
    let tokens = tokens(text);
    let names = |tokens: &[Token<'_>]| Names::of(tokens, table);
    tokens.split(|token| token.is(';')).any(|statement| {
        let first = statement.iter().find_map(Token::word).unwrap_or_default();
        if first == "do" {
            return statement.iter().any(|token| function_names(&token.code(), table, column, false).is_some());
        }
        let ours = statement
            .windows(3)
            .any(|three| three[0].word() == Some("pg_catalog") && three[1].is('.') && three[2].word() == Some("tid"));
        let names = names(statement);
        STATEMENTS.contains(&first) && !ours && names.table && names.first_of(statement, column, false).is_some()
    })
}

/// Returns the line, from 1, in which the text of a function may name the column of the table: outside of comments, and in
/// literals where it runs such. With `of_trigger` it is called by a trigger of the table, whose row it then has.
pub(crate) fn function_names(text: &str, table: &TableName, column: &str, of_trigger: bool) -> Option<usize> {
    let tokens = tokens(text);
    let names = Names::of(&tokens, table);
    let line = |at: usize| 1 + text[..at].matches('\n').count();
    let outside = names.first_of(&tokens, column, of_trigger && !names.table);
    let outside = outside.filter(|_| names.table || of_trigger);
    let executes = tokens.iter().any(|token| token.word() == Some("execute"));
    let inside = || {
        tokens.iter().filter(|_| executes).find_map(|literal| {
            let code = literal.code();
            let inner = self::tokens(&code);
            let of = Names::of(&inner, table);
            (of.table || names.table || of_trigger)
                .then(|| of.first_of(&inner, column, false))
                .flatten()
                .map(|_| literal.at)
        })
    };
    outside.or_else(inside).map(line)
}

/// What the names of a text stand for.
struct Names {
    /// Whether it names the table.
    table: bool,
    /// What the table is called in it.
    ours: Vec<String>,
    /// What other tables are called in it.
    others: Vec<String>,
}

impl Names {
    fn of(tokens: &[Token<'_>], table: &TableName) -> Self {
        let mut names = Self { table: false, ours: vec![], others: vec![] };
        for (at, token) in tokens.iter().enumerate() {
            if token.name() == Some(&table.name) && qualifier(tokens, at).is_none_or(|of| of == table.schema) {
                names.table = true;
                names.ours.push(table.name.clone());
                names.ours.extend(alias(tokens, at));
            }
            if is_source(token) {
                // The last part of a name with its schema.
                let mut at = at + 1;
                while tokens.get(at + 1).is_some_and(|dot| dot.is('.')) {
                    at += 2;
                }
                let Some(name) = tokens.get(at).and_then(Token::name) else { continue };
                let is_ours = name == table.name && qualifier(tokens, at).is_none_or(|of| of == table.schema);
                if !is_ours {
                    names.others.push(alias(tokens, at).unwrap_or_else(|| name.to_owned()));
                }
            }
        }
        // What a common table expression is called may stand for the table.
        if tokens.iter().any(|token| token.word() == Some("with")) {
            names.others.clear();
        }
        let ours = std::mem::take(&mut names.ours);
        names.others.retain(|other| !ours.contains(other));
        Self { ours, ..names }
    }

    /// Returns where the column is named first; if `row_only`, as a column of the row of a trigger.
    fn first_of(&self, tokens: &[Token<'_>], column: &str, row_only: bool) -> Option<usize> {
        let is_it = |at: &usize| {
            let at = *at;
            let next = |sign| tokens.get(at + 1).is_some_and(|next| next.is(sign));
            if tokens[at].name() != Some(column) || next('.') || next('(') {
                return false;
            }
            let Some(of) = qualifier(tokens, at) else {
                let before = at.checked_sub(1).map(|before| &tokens[before]);
                // What a result is called, or a table.
                let called = before.is_some_and(|before| before.word() == Some("as") || is_source(before));
                return !called && !row_only;
            };
            let before = at.checked_sub(3).map(|before| &tokens[before]);
            if before.is_some_and(is_source) {
                return false;
            }
            if row_only { ["new", "old"].contains(&of) } else { !self.others.iter().any(|other| other == of) }
        };
        (0..tokens.len()).find(is_it).map(|at| tokens[at].at)
    }
}

fn is_source(token: &Token<'_>) -> bool {
    token.word().is_some_and(|word| SOURCES.contains(&word))
}

/// Returns the name in front of the dot in front of this one.
fn qualifier<'t>(tokens: &'t [Token<'_>], at: usize) -> Option<&'t str> {
    let dot = at.checked_sub(1)?;
    if !tokens[dot].is('.') {
        return None;
    }
    // What is not a name, such as `(row).`, is no other table.
    Some(dot.checked_sub(1).and_then(|of| tokens[of].name()).unwrap_or_default())
}

/// Returns the alias behind the name of a table.
fn alias(tokens: &[Token<'_>], at: usize) -> Option<String> {
    let mut next = tokens.get(at + 1)?;
    if next.word() == Some("as") {
        next = tokens.get(at + 2)?;
    }
    let is_keyword = next.word().is_some_and(|word| NO_ALIAS.contains(&word));
    next.name().filter(|_| !is_keyword).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableName {
        TableName::new("public", "vehicles").unwrap()
    }

    #[test]
    fn a_statement_names_the_column_of_the_table_and_of_no_other() {
        for (named, statement) in [
            (true, "SELECT status FROM vehicles"),
            (true, "select v.\"status\" from public.vehicles as v"),
            (true, "SELECT STATUS FROM \"vehicles\" WHERE id = $1"),
            (true, "SELECT U&\"st\\0061tus\" FROM vehicles"),
            (true, "UPDATE vehicles SET fuel = $1 WHERE status = 'x'"),
            (true, "INSERT INTO public.vehicles (id, status) VALUES ($1, $2)"),
            (true, "COPY vehicles (id, status) FROM STDIN"),
            (true, "BEGIN; SELECT id, status FROM vehicles"),
            (true, "WITH x AS (SELECT * FROM vehicles) SELECT x.status FROM x"),
            (true, "SELECT o.id, v.status FROM orders o JOIN vehicles v ON true"),
            (true, "SELECT s.status FROM orders, vehicles s"),
            (true, "DO $$ BEGIN UPDATE vehicles SET status = 'x'; END $$"),
            (false, "SELECT \"Status\" FROM vehicles"),
            (false, "SELECT vehicle_status, old_status FROM vehicles"),
            (false, "SELECT vehicle_status AS status FROM vehicles"),
            (false, "SELECT id FROM vehicles -- status\n WHERE fuel = 'status' /* status */"),
            (false, "SELECT id FROM vehicles WHERE note = $$ status $$"),
            (false, "SELECT status FROM orders"),
            (false, "SELECT status FROM archive.vehicles"),
            (false, "SELECT o.status FROM orders o JOIN vehicles v ON true"),
            (false, "SELECT orders.status FROM vehicles JOIN shop.orders ON true"),
            (false, "SELECT v.id FROM status JOIN vehicles v ON true"),
            (false, "SELECT status(id) FROM vehicles"),
            (false, "ALTER TABLE vehicles RENAME COLUMN status TO state"),
            (false, "SELECT t.\"status\" FROM public.vehicles t WHERE t.ctid >= $1::pg_catalog.tid"),
        ] {
            assert_eq!(statement_names(statement, &table(), "status"), named, "{statement}");
        }
        assert!(statement_names("SELECT \"Weird \"\"one\" FROM vehicles", &table(), "Weird \"one"));
    }

    #[test]
    fn a_function_is_searched_outside_of_comments_and_where_it_runs_text() {
        for (line, of_trigger, text) in [
            (Some(3), true, "\nBEGIN\n  NEW.status := 'x'; RETURN NEW;\nEND"),
            (None, true, "\nBEGIN\n  -- NEW.status\n  RETURN NEW;\nEND"),
            (None, true, "BEGIN UPDATE audit SET status = 'x'; RETURN NEW; END"),
            (Some(1), false, "SELECT status FROM vehicles"),
            (None, false, "SELECT status FROM orders"),
            (None, false, "SELECT id FROM vehicles WHERE fuel = 'status'"),
            (Some(2), false, "BEGIN\n EXECUTE 'UPDATE vehicles SET status = ''x'''; END"),
            (Some(1), false, "BEGIN EXECUTE format('UPDATE %I SET status = 1', 'vehicles') USING vehicles; END"),
            (Some(1), false, "DECLARE s vehicles.status%TYPE; BEGIN END"),
        ] {
            assert_eq!(function_names(text, &table(), "status", of_trigger), line, "{text}");
        }
    }
}
