//! How text is decorated: colour, symbols, and nothing that could harm the terminal.

use std::fmt::Write as _;
use std::path::Path;

use crate::lines;
use crate::sql::one_line;

/// The columns of a terminal that does not say how many it has.
pub(crate) const COLUMNS: usize = 80;
/// Its rows.
pub(crate) const ROWS: usize = 24;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Colours.
    pub(crate) color: bool,
    /// Characters beyond ASCII.
    pub(crate) unicode: bool,
    /// Columns: sentences end before the last one. [`Look::ENDLESS`] for a file or a pipe, where each sentence is one line
    /// that `grep` finds.
    pub(crate) columns: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self { color: false, unicode: false, columns: COLUMNS }
    }
}

impl Look {
    /// Lines as long as they need to be.
    pub(crate) const ENDLESS: usize = usize::MAX;

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

    /// Returns the path of a file as a link to it (OSC 8), where colours are shown; a terminal that knows no links shows the path.
    pub(crate) fn file(self, path: &Path) -> String {
        let shown = printable(&path.display().to_string());
        let Some(whole) = std::path::absolute(path).ok().filter(|_| self.color) else { return shown };
        let mut url = "file://".to_owned();
        for byte in whole.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                    url.push(char::from(*byte));
                }
                byte => {
                    let _ = write!(url, "%{byte:02X}");
                }
            }
        }
        format!("\u{1b}]8;;{url}\u{1b}\\{shown}\u{1b}]8;;\u{1b}\\")
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

impl Look {
    /// Writes a sentence as lines of the terminal: the first begins with one text, the others with another.
    pub(crate) fn wrap(self, text: &mut String, around: (&str, &str), sentence: &str) {
        lines::wrap(text, self.columns, around, sentence);
    }

    /// As [`Look::wrap`], for a text that has lines of its own: each after the first begins with `next`, and one that is
    /// indented (an expression, a mark below it) stays as it is.
    pub(crate) fn wrap_lines(self, text: &mut String, (first, next): (&str, &str), lines: &str) {
        for (at, line) in lines.lines().enumerate() {
            let line = printable(line.trim_end());
            if line.starts_with(' ') {
                text.push_str(next);
                text.push_str(&line);
                text.push('\n');
            } else {
                self.wrap(text, (if at == 0 { first } else { next }, next), &line);
            }
        }
    }
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
        let mut text = String::new();
        Look::default().wrap_lines(&mut text, ("", "  "), "a\u{1b}\nok b\r\nc");
        assert_eq!(text, "a\\u{1b}\n  ok b\n  c\n");
    }

    #[test]
    fn an_expression_with_a_mark_below_it_stays_as_it_is() {
        let mut text = String::new();
        Look::default().wrap_lines(&mut text, ("error: ", "  "), &format!("{}\n  a +  b\n    ^", "word ".repeat(20)));
        let words = |count| "word ".repeat(count).trim_end().to_owned();
        assert_eq!(text, format!("error: {}\n  {}\n    a +  b\n      ^\n", words(14), words(6)));
    }

    #[test]
    fn nothing_is_coloured_unless_asked_for() {
        let plain = Look::default();
        assert_eq!((plain.done(), plain.failed(), plain.bold("x")), ("ok".into(), "FAILED".into(), "x".into()));
        let colored = Look { color: true, unicode: true, ..Look::default() };
        assert_eq!(colored.done(), "\u{1b}[32m✓\u{1b}[0m");
        assert_eq!(plain.file(Path::new("/a b/ä.html")), "/a b/ä.html");
        let link = colored.file(Path::new("/a b/ä.html"));
        assert_eq!(link, "\u{1b}]8;;file:///a%20b/%C3%A4.html\u{1b}\\/a b/ä.html\u{1b}]8;;\u{1b}\\");
        assert_eq!(lines::width(&link), "/a b/ä.html".chars().count());
    }
}
