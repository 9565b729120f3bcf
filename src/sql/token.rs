//! What a text of SQL consists of, by PostgreSQL's lexical rules: names, literals, comments, signs. What is not finished at the end of
//! the text is one token to its end.

/// A part of a statement.
#[derive(Debug, Clone)]
pub(crate) struct Token<'t> {
    /// Where it begins, in bytes.
    pub(crate) at: usize,
    /// As it is written.
    pub(crate) raw: &'t str,
    pub(crate) what: What,
}

/// What a token is.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A name or a keyword, folded as PostgreSQL folds it.
    Name { name: String, quoted: bool },
    /// A literal that is text.
    Text,
    /// Any other character; `0` for a number, `$` for a parameter.
    Sign(char),
}

impl Token<'_> {
    pub(crate) fn is(&self, sign: char) -> bool {
        matches!(self.what, What::Sign(c) if c == sign)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        if let What::Name { name, .. } = &self.what { Some(name) } else { None }
    }

    /// Returns what may be a keyword.
    pub(crate) fn word(&self) -> Option<&str> {
        if let What::Name { name, quoted: false } = &self.what { Some(name) } else { None }
    }

    /// Returns where it ends, in bytes.
    #[cfg(feature = "cli")]
    pub(crate) fn end(&self) -> usize {
        self.at + self.raw.len()
    }

    /// Returns what a literal says, without regard to escapes; nothing where this is none.
    pub(crate) fn code(&self) -> String {
        if !matches!(self.what, What::Text) {
            return String::new();
        }
        match self.raw.split_once('\'') {
            Some((_, inside)) if !self.raw.starts_with('$') => {
                inside.strip_suffix('\'').unwrap_or(inside).replace("''", "'")
            }
            _ => {
                let tag = 1 + self.raw[1..].find('$').unwrap_or(0);
                self.raw.get(tag + 1..self.raw.len().saturating_sub(tag + 1)).unwrap_or_default().to_owned()
            }
        }
    }
}

/// Returns the tokens of `text` without white space and comments.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let (length, shown) = token(&text[at..], first);
        let raw = &text[at..at + length];
        let name = |name: String, quoted| What::Name { name, quoted };
        let what = if shown.is_empty() || first.is_whitespace() {
            None
        } else if first == '"' {
            Some(name(unquoted(raw), true))
        } else if shown == "?" && raw != "?" {
            Some(if raw.starts_with('$') || raw.contains('\'') { What::Text } else { What::Sign('0') })
        } else if raw.contains('"') {
            Some(name(unescaped(&unquoted(&raw[2..])), true))
        } else if first.is_alphabetic() || first == '_' || !first.is_ascii() {
            // Only ASCII, as in a database whose encoding is UTF-8.
            Some(name(raw.to_ascii_lowercase(), false))
        } else {
            Some(What::Sign(first))
        };
        found.extend(what.map(|what| Token { at, raw, what }));
        at += length;
    }
    found
}

/// Returns where a token begins that is not finished at the end of `text`: a literal, a quoted name or a comment.
#[cfg(feature = "cli")]
pub(crate) fn unfinished(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let (length, _) = token(&text[at..], first);
        if at + length == text.len() {
            let more = format!("{}\n", &text[at..]);
            return (token(&more, first).0 > length && !first.is_whitespace()).then_some(at);
        }
        at += length;
    }
    None
}

/// Takes the quotes off a quoted name.
fn unquoted(raw: &str) -> String {
    let inside = raw.strip_prefix('"').unwrap_or(raw);
    inside.strip_suffix('"').unwrap_or(inside).replace("\"\"", "\"")
}

/// Returns a name that was written as `U&"..."`, with the usual escape.
fn unescaped(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let (skip, digits) = if after.starts_with('+') { (1, 6) } else { (0, 4) };
        let code = after.get(skip..skip + digits).and_then(|code| u32::from_str_radix(code, 16).ok());
        if let Some(c) = code.and_then(char::from_u32) {
            text.push(c);
            rest = &after[skip + digits..];
        } else {
            text.push('\\');
            rest = after.strip_prefix('\\').unwrap_or(after);
        }
    }
    text + rest
}

/// Returns the length in bytes of the token at the beginning of `text`, whose first character is `first`, and what is shown of it.
pub(crate) fn token(text: &str, first: char) -> (usize, &str) {
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
