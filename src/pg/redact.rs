//! Statements of applications, without their literals: no customer's data may end up in a log or on a screen.

use crate::sql::token::token;

/// How many characters of a statement are shown.
const SHOWN: usize = 120;

/// Replaces literals by `?`, leaves comments out, and shortens long statements. What is not finished (the server cuts off long
/// statements) counts as a literal to its end.
pub(crate) fn redact(query: &str) -> String {
    let mut text = String::new();
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        let (length, shown) = token(rest, c);
        // A literal right behind another one is its continuation, or close enough.
        if !(shown == "?" && text.trim_end().ends_with('?')) {
            if c.is_whitespace() || shown.is_empty() {
                if !text.ends_with(' ') {
                    text.push(' ');
                }
            } else {
                text.push_str(shown);
            }
        }
        rest = &rest[length..];
    }
    let text = text.trim();
    if text.chars().count() > SHOWN { text.chars().take(SHOWN - 1).chain(['…']).collect() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_are_redacted() {
        for (query, shown) in [
            ("UPDATE t1 SET a = 'O''Hara', b=12.5\nWHERE id2 = $1", "UPDATE t1 SET a = ?, b=? WHERE id2 = $1"),
            ("SELECT 1 -- don't\n, 'secret'", "SELECT ? , ?"),
            ("SELECT /* it's /* nested */ */ 'secret'", "SELECT ?"),
            ("SELECT $$it's secret$$, $a$ $$ secret $a$, x", "SELECT ?, ?, x"),
            (r"SELECT E'\'secret', 'a\', b", "SELECT ?, ?, b"),
            ("SELECT e'\\\\', 'x' FROM \"it's\"", "SELECT ?, ? FROM \"it's\""),
            ("SELECT U&'d\\0061t', x'1f', B'01', n'secret'", "SELECT ?, ?, ?, ?"),
            ("SELECT 'secret'\n'goes on'", "SELECT ?"),
            ("SELECT 1e-5, 0xFF, 1_000, .5, a1, t.b2", "SELECT ?, ?, ?, ?, a1, t.b2"),
            ("SELECT 'cut off in the midd", "SELECT ?"),
            ("SELECT $q$cut off", "SELECT ?"),
            ("SELECT é1, straße2 = 'x'", "SELECT é1, straße2 = ?"),
            ("SELECT type'secret'", "SELECT type?"),
        ] {
            assert_eq!(redact(query), shown, "{query}");
        }
        assert!(redact(&"x ".repeat(200)).chars().count() <= SHOWN);
    }

    proptest! {
        /// Whatever stands around it, a literal is not shown.
        #[test]
        fn no_literal_is_shown(
            before in prop::collection::vec(prop::sample::select(vec!["a ", "'b' ", "-- it's\n", "/* ' */ ", "$$'$$ ", "E'\\'' ", "\"'\" ", "$1 ", "12 "]), 0..6),
            quotes in prop::sample::select(vec![("'", "'"), ("E'\\'", "'"), ("$$", "$$"), ("$t$'", "$t$"), ("U&'", "'")]),
        ) {
            let query = format!("{}{}secret{} FROM t", before.concat(), quotes.0, quotes.1);
            let shown = redact(&query);
            prop_assert!(!shown.contains("secret"), "{} {}", query, shown);
            prop_assert!(shown.chars().count() >= SHOWN || shown.ends_with("FROM t"), "{} {}", query, shown);
        }

        #[test]
        fn anything_is_read_to_its_end(query in ".{0,80}") {
            redact(&query);
        }
    }
}
