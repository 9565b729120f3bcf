//! SQL as lines of a terminal, which can be copied and run: lines end at white space, and never in what is quoted.

use std::borrow::Cow;

use super::look::{Look, printable};
use crate::lines::width;
use crate::sql::is_hidden;
use crate::sql::token::token;

/// What lines are made of.
enum Part {
    /// What has no white space outside of quotes, in pieces between which white space would change nothing.
    Word(Vec<String>),
    /// A comment to the end of its line.
    Comment(String),
    /// The end of a line of the statement, and the indent of the next one.
    End(String),
}

impl Look {
    /// Writes a statement as lines: each of its own begins with one text, and where one goes on in another, that begins with `next`. A word
    /// that is longer than a line ends it behind a comma or a parenthesis, before a cast, or else sticks out.
    pub(crate) fn statement(self, text: &mut String, (first, next): (&str, &str), statement: &str) {
        let mut line = Line { text, columns: self.columns, column: 0, empty: true };
        line.begin(first, "");
        let mut indent = String::new();
        // What a step does without SQL is told in a comment.
        let mut is_comment = false;
        for part in Parts::of(statement.trim()) {
            is_comment = matches!(part, Part::Comment(_));
            match part {
                Part::End(of_next) => {
                    line.text.push('\n');
                    indent = of_next;
                    line.begin(first, &indent);
                }
                Part::Comment(comment) => {
                    for word in comment.split_whitespace() {
                        if !line.has_room(1 + width(word)) {
                            line.text.push('\n');
                            line.begin(next, &indent);
                            line.push("--");
                        }
                        line.space();
                        line.push(word);
                    }
                }
                Part::Word(pieces) => {
                    let length: usize = pieces.iter().map(|piece| width(piece)).sum();
                    if line.has_room(1 + length) {
                        line.space();
                    } else {
                        line.text.push('\n');
                        line.begin(next, &indent);
                    }
                    for piece in &pieces {
                        if !line.has_room(width(piece)) {
                            line.text.push('\n');
                            line.begin(next, &indent);
                        }
                        line.push(piece);
                    }
                }
            }
        }
        let has_end = statement.trim_end().ends_with(';') || is_comment;
        line.text.push_str(if has_end { "\n" } else { ";\n" });
    }
}

/// A line that is being written.
struct Line<'t> {
    text: &'t mut String,
    columns: usize,
    column: usize,
    /// Whether nothing stands in it yet but what it begins with.
    empty: bool,
}

impl Line<'_> {
    fn begin(&mut self, with: &str, indent: &str) {
        self.text.extend([with, indent]);
        (self.column, self.empty) = (width(with) + width(indent), true);
    }

    fn push(&mut self, what: &str) {
        self.text.push_str(what);
        (self.column, self.empty) = (self.column + width(what), false);
    }

    fn space(&mut self) {
        if !self.empty {
            self.push(" ");
        }
    }

    fn has_room(&self, for_columns: usize) -> bool {
        self.empty || self.column + for_columns < self.columns
    }
}

/// Takes a statement apart.
#[derive(Default)]
struct Parts {
    found: Vec<Part>,
    /// Whether the next token stands at the last word.
    glued: bool,
    /// Whether the last token is a word after which the body of a function comes.
    before_body: bool,
}

impl Parts {
    fn of(statement: &str) -> Vec<Part> {
        let mut parts = Self::default();
        parts.add(statement);
        parts.found
    }

    fn add(&mut self, text: &str) {
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let (length, _) = token(&text[at..], c);
            let (before, rest) = text.split_at(at);
            let (raw, behind) = rest.split_at(length);
            at += length;
            if c.is_whitespace() {
                if c == '\n' {
                    let indent = behind.len() - behind.trim_start_matches(' ').len();
                    self.found.push(Part::End(" ".repeat(indent)));
                }
                self.glued = false;
            } else if raw.starts_with("--") {
                self.found.push(Part::Comment(printable(raw)));
                self.glued = false;
            } else if let Some(tag) = dollar_tag(raw).filter(|_| self.before_body) {
                self.push(tag, false);
                // The body of a function is SQL itself.
                self.before_body = false;
                self.add(&raw[tag.len()..raw.len() - tag.len()]);
                self.push(tag, false);
            } else {
                let can_end = before.ends_with(['(', ',']) || (raw == ":" && behind.starts_with(':'));
                let written = written(raw);
                // `date'...'` is a type and a literal, `dateE'...'` is not.
                let sticks = written != raw && before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
                self.glued &= !sticks;
                self.push(&written, can_end);
                self.before_body = ["as", "do"].iter().any(|word| raw.eq_ignore_ascii_case(word));
            }
        }
    }

    /// Adds a token; a line `can_end` before it even though no white space stands there.
    fn push(&mut self, token: &str, can_end: bool) {
        match self.found.last_mut() {
            Some(Part::Word(pieces)) if self.glued => match pieces.last_mut() {
                Some(piece) if !can_end => piece.push_str(token),
                _ => pieces.push(token.to_owned()),
            },
            _ => self.found.push(Part::Word(vec![token.to_owned()])),
        }
        self.glued = true;
    }
}

/// Returns the dollar quote that a whole literal begins and ends with.
fn dollar_tag(raw: &str) -> Option<&str> {
    let tag = raw.get(..raw.get(1..)?.find('$')? + 2).filter(|_| raw.starts_with('$'))?;
    (raw.len() >= 2 * tag.len() && raw.ends_with(tag)).then_some(tag)
}

/// Returns a token in which every character is what it looks like. A literal or a quoted name with others is written with escapes and means
/// the same.
fn written(raw: &str) -> Cow<'_, str> {
    if !raw.contains(is_hidden) {
        return Cow::Borrowed(raw);
    }
    if let Some(inside) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Cow::Owned(format!(
            "U&\"{}\"",
            escaped(&inside.replace('\\', "\\\\"), |code| format!("\\+{code:06X}"))
        ));
    }
    let escape = |code| if code == u32::from('\n') { "\\n".to_owned() } else { format!("\\U{code:08X}") };
    let escapes = |inside: &str| format!("E'{}'", escaped(inside, escape));
    let literal = |rest: &str| rest.strip_prefix('\'')?.strip_suffix('\'').map(str::to_owned);
    let inside = if let Some(tag) = dollar_tag(raw) {
        Some(raw[tag.len()..raw.len() - tag.len()].replace('\\', "\\\\").replace('\'', "''"))
    } else if let Some(rest) = raw.strip_prefix(['e', 'E']) {
        literal(rest)
    } else {
        literal(raw).map(|inside| inside.replace('\\', "\\\\"))
    };
    Cow::Owned(inside.map_or_else(|| printable(raw), |inside| escapes(&inside)))
}

/// Returns `text` with an escape in place of each character that is not seen.
fn escaped(text: &str, escape: impl Fn(u32) -> String) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if is_hidden(c) { out.push_str(&escape(u32::from(c))) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(columns: usize, statement: &str) -> String {
        let mut text = String::new();
        Look { columns, ..Look::default() }.statement(&mut text, ("", "  "), statement);
        text
    }

    #[test]
    fn lines_end_at_white_space_and_never_in_quotes() {
        let sql = "ALTER TABLE \"a  b\" ADD CHECK (c <> 'it''s  a long text')";
        assert_eq!(lines(20, sql), "ALTER TABLE \"a  b\"\n  ADD CHECK (c <>\n  'it''s  a long text');\n");
        assert_eq!(lines(usize::MAX, sql), format!("{sql};\n"));
        assert_eq!(lines(20, "SELECT $t$ a  b $t$, e'\\'  x'"), "SELECT\n  $t$ a  b $t$,\n  e'\\'  x';\n");
    }

    #[test]
    fn a_long_word_ends_its_line_where_white_space_changes_nothing() {
        let sql = "SELECT pg_catalog.setval('\"crossfade\".\"old_d6252253\"'::pg_catalog.regclass, 0)";
        let shown = "SELECT\n  pg_catalog.setval(\n  '\"crossfade\".\"old_d6252253\"'\n  ::pg_catalog.regclass, 0);\n";
        assert_eq!(lines(30, sql), shown);
        assert_eq!(lines(80, "-- waits"), "-- waits\n");
        assert_eq!(lines(10, "DROP aaaaaaaaaaaaaaaaaaa"), "DROP\n  aaaaaaaaaaaaaaaaaaa;\n");
    }

    #[test]
    fn the_body_of_a_function_keeps_its_lines_and_comments() {
        let sql = "CREATE FUNCTION f() RETURNS trigger AS $cf$\nBEGIN\n  -- Why it is so, in a few words.\n  RETURN NEW;\nEND$cf$ LANGUAGE plpgsql";
        let shown = "CREATE FUNCTION f() RETURNS\n  trigger AS $cf$\nBEGIN\n  -- Why it is so, in a few\n    -- words.\n  RETURN NEW;\nEND$cf$ LANGUAGE plpgsql;\n";
        assert_eq!(lines(30, sql), shown);
        assert_eq!(lines(usize::MAX, sql), format!("{sql};\n"));
    }

    #[test]
    fn what_is_not_seen_is_written_with_escapes() {
        let shown = lines(80, "COMMENT ON TABLE \"a\nb\\\" IS 'x\u{1b}\\''y\n', e'\\n\u{7}', $$'\r$$, date'\n', b'\n'");
        let escaped = "COMMENT ON TABLE U&\"a\\+00000Ab\\\\\" IS E'x\\U0000001B\\\\''y\\n', E'\\n\\U00000007',\n  \
                       E'''\\U0000000D', date E'\\n', b'\\n';\n";
        assert_eq!(shown, escaped);
    }
}
