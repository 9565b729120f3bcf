//! Statements of applications, without their literals: no customer's data may end up in a log or on a screen.

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

/// Returns the length in bytes of the token at the beginning of `text`, whose first character is `first`, and what is shown of it.
pub(super) fn token(text: &str, first: char) -> (usize, &str) {
    let word = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
    let end_of_word = |text: &str| text.find(|c: char| !word(c) && c != '$').unwrap_or(text.len());
    match first {
        _ if text.starts_with("--") => (text.find('\n').unwrap_or(text.len()), ""),
        _ if text.starts_with("/*") => (block_comment(text), ""),
        '\'' => (quoted(text, 1, '\'', false), "?"),
        '"' => {
            let length = quoted(text, 1, '"', false);
            (length, &text[..length])
        }
        '$' => {
            if let Some(tag) = dollar_tag(text) {
                return (text[tag.len()..].find(tag).map_or(text.len(), |at| at + 2 * tag.len()), "?");
            }
            // A parameter.
            let length = 1 + text[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - 1);
            (length, &text[..length])
        }
        '0'..='9' => (end_of_number(text), "?"),
        '.' if text[1..].starts_with(|c: char| c.is_ascii_digit()) => (end_of_number(text), "?"),
        c if word(c) => {
            let length = end_of_word(text);
            let (prefix, behind) = text.split_at(length);
            match prefix.to_ascii_lowercase().as_str() {
                "e" if behind.starts_with('\'') => (quoted(text, length + 1, '\'', true), "?"),
                "b" | "x" | "n" if behind.starts_with('\'') => (quoted(text, length + 1, '\'', false), "?"),
                "u" if behind.starts_with("&'") => (quoted(text, length + 2, '\'', false), "?"),
                "u" if behind.starts_with("&\"") => {
                    let length = quoted(text, length + 2, '"', false);
                    (length, &text[..length])
                }
                _ => (length, prefix),
            }
        }
        c => (c.len_utf8(), &text[..c.len_utf8()]),
    }
}

/// Returns where what is quoted ends; it begins at `from`, behind its first quote. A doubled quote stands for one, and with
/// `escapes` a backslash takes the next character with it.
fn quoted(text: &str, from: usize, quote: char, escapes: bool) -> usize {
    let mut characters = text[from..].char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if escapes && c == '\\' {
            characters.next();
        } else if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return from + at + c.len_utf8();
        }
    }
    text.len()
}

/// Returns where a comment ends that may hold comments.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < text.len() {
        let rest = &text[at..];
        let step = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns the dollar quote that `text` begins with: `$$`, `$body$`.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = 1 + text[1..].find('$')?;
    let tag = &text[1..end];
    let good = |c: char| c.is_alphanumeric() || c == '_';
    (tag.chars().all(good) && !tag.starts_with(|c: char| c.is_ascii_digit())).then(|| &text[..=end])
}

/// Returns where a number ends: digits, a fraction, an exponent; `0x1F` and `1_000` are numbers too.
fn end_of_number(text: &str) -> usize {
    let mut before = ' ';
    let more = |c: char, before: char| {
        c.is_ascii_alphanumeric() || c == '.' || c == '_' || (matches!(c, '+' | '-') && matches!(before, 'e' | 'E'))
    };
    for (at, c) in text.char_indices() {
        if !more(c, before) {
            return at;
        }
        before = c;
    }
    text.len()
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
