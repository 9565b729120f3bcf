//! Quoting and the strongest lock of a statement. The only places that make SQL text are `compile`, `backfill`
//! and `verify`; they build it from static text, quoted names, typed literals and the plan's own expressions.

pub(crate) mod token;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Returns `name` as a quoted identifier. Quoting is unconditional, so reserved words and case never matter.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns `text` as a string literal that reads the same whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// Returns `body` between dollar quotes whose tag does not occur in it.
pub fn dollar_quote(body: &str) -> String {
    let mut tag = "$cf$".to_owned();
    while body.contains(&tag) {
        tag.insert(tag.len() - 1, '_');
    }
    format!("{tag}{body}{tag}")
}

/// Returns a fixed query with `values` in place of `$1`, `$2` and so on: where it is a part of a message that can carry no
/// values of its own. In a comment a value is one line: a name with a line break would end the comment.
pub fn with_values(query: &str, values: &[String]) -> String {
    let mut text = String::new();
    let mut rest = query;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: Option<usize> = after[..digits].parse().ok();
        match number.and_then(|number| values.get(number.checked_sub(1)?)) {
            Some(value) if text.rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with("--")) => {
                text.push_str(&one_line(value));
            }
            Some(value) => text.push_str(value),
            None => text.push_str(&rest[before.len()..=before.len() + digits]),
        }
        rest = &after[digits..];
    }
    text.push_str(rest);
    text
}

/// Returns `text` as one line in which every character is what it looks like, for comments and for terminals: a name may hold
/// a line break, which would end a comment, or a character that a terminal obeys or that turns the direction of writing.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if is_hidden(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    line
}

/// Returns whether a character is not seen, or changes how others are: control characters, separators of lines, and those
/// that turn the direction of writing or have no width.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// PostgreSQL's table lock modes, weakest first, so that the strongest of several is their maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// No lock on the table.
    None,
    /// SELECT.
    AccessShare,
    /// UPDATE, INSERT, DELETE.
    RowExclusive,
    /// VALIDATE CONSTRAINT, CREATE INDEX CONCURRENTLY, ANALYZE: writes continue.
    ShareUpdateExclusive,
    /// CREATE TRIGGER: writers wait.
    ShareRowExclusive,
    /// ALTER TABLE: everybody waits.
    AccessExclusive,
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::AccessShare => "ACCESS SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_places_of_their_numbers() {
        let values: Vec<String> = (1..=10).map(|n| format!("<{n}$1>")).collect();
        assert_eq!(with_values("a = $1 AND $10 > $2", &values), "a = <1$1> AND <10$1> > <2$1>");
        assert_eq!(with_values("$11 $0 $$ $cf$ é$", &values), "$11 $0 $$ $cf$ é$");
        let values = ["'a\nb'".to_owned()];
        assert_eq!(with_values("SELECT $1\n  -- of $1\n", &values), "SELECT 'a\nb'\n  -- of 'a\\nb'\n");
    }

    #[test]
    fn quotes_are_doubled_and_backslashes_survive() {
        assert_eq!(quote_ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\b"), r"E'a\\b'");
        assert_eq!(dollar_quote("x $cf$ y"), "$cf_$x $cf$ y$cf_$");
    }

    #[test]
    fn a_name_stays_in_its_line_and_is_what_it_looks_like() {
        assert_eq!(
            one_line("x\ndrop table payroll;\r--\t\u{1b}[2J\u{202e}é"),
            r"x\ndrop table payroll;\r--\t\u{1b}[2J\u{202e}é"
        );
    }
}
