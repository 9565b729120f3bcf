//! How text is decorated: colour, symbols, and nothing that could harm the terminal.

use unicode_width::UnicodeWidthStr as _;

use crate::sql::one_line;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Colours.
    pub(crate) color: bool,
    /// Characters beyond ASCII.
    pub(crate) unicode: bool,
}

impl Look {
    fn paint(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Returns the mark for something done.
    pub(crate) fn done(self) -> String {
        self.green(if self.unicode { "✓" } else { "ok" })
    }

    /// Returns the mark of something that went wrong.
    pub(crate) fn failed(self) -> String {
        self.red(if self.unicode { "✗" } else { "FAILED" })
    }

    /// Returns the mark of something in between.
    pub(crate) fn waiting(self) -> String {
        self.yellow(if self.unicode { "…" } else { "..." })
    }
}

/// Returns `text` as one line: names, queries and messages from the database may hold characters that a terminal would obey,
/// or line breaks that would make one line look like two.
pub(crate) fn printable(text: &str) -> String {
    one_line(text)
}

/// Returns `text` with its line breaks; what comes after one is indented by `indent`, and so seen to belong to it.
pub(crate) fn printable_lines(text: &str, indent: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(|line| one_line(line.trim_end_matches('\r'))).collect();
    lines.join(&format!("\n{indent}"))
}

/// Between a number and its unit, where no line may end.
pub(crate) const NO_BREAK: char = '\u{a0}';

/// Writes a sentence as lines of a terminal of 80 columns: the first begins with one text, the others with another. A word
/// that is longer than a line has a line of its own.
pub(crate) fn wrap(text: &mut String, (first, next): (&str, &str), sentence: &str) {
    const COLUMNS: usize = 79;
    text.push_str(first);
    let mut column = width(first);
    let mut empty = true;
    for word in sentence.split(' ').filter(|word| !word.is_empty()) {
        let length = width(word);
        if !empty && column + 1 + length > COLUMNS {
            text.push('\n');
            text.push_str(next);
            column = width(next);
        } else if !empty {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word.replace(NO_BREAK, " "));
        column += length;
        empty = false;
    }
    text.push('\n');
}

/// Returns the columns that a text takes; its colours take none.
fn width(text: &str) -> usize {
    let mut parts = text.split('\u{1b}');
    let plain = parts.next().unwrap_or_default().width();
    plain + parts.map(|part| part.split_once('m').map_or(0, |(_, rest)| rest.width())).sum::<usize>()
}

/// Returns `text` with the password and the parameters of every URL in it replaced: whatever was typed in the wrong place must not end up
/// in a log.
pub(crate) fn redacted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let url = &after[..end];
        rest = &after[end..];
        let (credentials, place) = url.rsplit_once('@').map_or((None, url), |(before, after)| (Some(before), after));
        if let Some(credentials) = credentials {
            out.push_str(credentials.split(':').next().unwrap_or_default());
            out.push_str(if credentials.contains(':') { ":***@" } else { "@" });
        }
        match place.split_once('?') {
            Some((place, parameters)) => {
                out.push_str(place);
                let shown: Vec<_> = parameters.split('&').map(parameter).collect();
                out.push('?');
                out.push_str(&shown.join("&"));
            }
            None => out.push_str(place),
        }
    }
    out.push_str(rest);
    out
}

/// The parameters of a URL whose values are no secret.
const NO_SECRET: [&str; 10] =
    ["sslmode", "ssl-mode", "sslrootcert", "ssl-root-cert", "ssl-ca", "host", "hostaddr", "port", "dbname", "user"];

/// Returns a parameter of a URL, its value only if it is known to be no secret.
fn parameter(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _)) if !NO_SECRET.contains(&key) => format!("{key}=***"),
        Some(_) => pair.to_owned(),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_not_shown() {
        assert_eq!(redacted("no postgres://u:p@ss/w@host/db here"), "no postgres://u:***@host/db here");
        assert_eq!(redacted("postgres://u@host/db postgres://host"), "postgres://u@host/db postgres://host");
        assert_eq!(redacted("a 'postgres://u:p@h'"), "a 'postgres://u:***@h'");
        assert_eq!(redacted("postgres://u@h/db?password=p x"), "postgres://u@h/db?password=*** x");
        assert_eq!(
            redacted("postgres://u@h/db?sslmode=require&passwd=p&p"),
            "postgres://u@h/db?sslmode=require&passwd=***&***"
        );
        let help = "write postgres://user@host:port/database?sslmode=verify-full; the parameters are";
        assert_eq!(redacted(help), help);
    }

    #[test]
    fn the_terminal_is_not_spoken_to() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), r"a\u{1b}[2Jb\nc");
        assert_eq!(printable_lines("a\u{1b}\nok b\r\nc", "  "), "a\\u{1b}\n  ok b\n  c");
    }

    #[test]
    fn lines_end_between_words_before_column_80() {
        let mut text = String::new();
        let sentence = format!("{}12\u{a0}GB {} end", "word ".repeat(15), "x".repeat(90));
        wrap(&mut text, ("\u{1b}[1mhelp:\u{1b}[0m ", "      "), &sentence);
        let lines: Vec<_> = text.lines().collect();
        let words = |count| "word ".repeat(count).trim_end().to_owned();
        assert_eq!(lines[0], format!("\u{1b}[1mhelp:\u{1b}[0m {}", words(14)));
        assert_eq!(lines[1], "      word 12 GB");
        assert_eq!(lines[2..], [format!("      {}", "x".repeat(90)), "      end".to_owned()]);
    }

    #[test]
    fn nothing_is_coloured_unless_asked_for() {
        let plain = Look::default();
        assert_eq!((plain.done(), plain.failed(), plain.bold("x")), ("ok".into(), "FAILED".into(), "x".into()));
        assert_eq!(Look { color: true, unicode: true }.done(), "\u{1b}[32m✓\u{1b}[0m");
    }
}
