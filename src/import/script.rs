//! As much of Python and Ruby as it takes to read migrations: words, texts, numbers, signs and the ends of lines; calls and their
//! arguments. Nothing is run, so whatever is computed stays unknown.

use super::Trouble;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    Ruby,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'t> {
    /// From 1.
    pub(super) line: usize,
    pub(super) what: What<'t>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What<'t> {
    Word(&'t str),
    /// A string, as the program has it; a symbol of Ruby.
    Text(String),
    /// A string with parts that only the program knows.
    Computed,
    Number(&'t str),
    Sign(char),
    /// The end of a line outside of brackets, and how far the next one is indented.
    Line(usize),
}

impl<'t> Token<'t> {
    pub(super) fn is(&self, sign: char) -> bool {
        self.what == What::Sign(sign)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.what == What::Word(word)
    }

    pub(super) fn word(&self) -> Option<&'t str> {
        if let What::Word(word) = self.what { Some(word) } else { None }
    }

    pub(super) fn is_end(&self) -> bool {
        matches!(self.what, What::Line(_)) || self.is(';')
    }
}

/// Returns the tokens of a file.
///
/// # Errors
/// A string that is not closed.
pub(super) fn tokens(text: &str, language: Language) -> Result<Vec<Token<'_>>, Trouble> {
    let mut reader = Reader { text, at: 0, line: 1, depth: 0, language, found: Vec::new(), heredocs: Vec::new() };
    while reader.step()? {}
    Ok(reader.found)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    /// How many brackets are open.
    depth: usize,
    language: Language,
    found: Vec<Token<'t>>,
    /// The heredocs whose text begins on the next line: their places in `found`.
    heredocs: Vec<(usize, Heredoc<'t>)>,
}

/// How a text that has lines of its own ends.
#[derive(Clone, Copy)]
struct Heredoc<'t> {
    end: &'t str,
    /// The indentation that all lines share is no part of it.
    squiggly: bool,
    /// It has no escapes, and nothing in it is computed.
    raw: bool,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn push(&mut self, line: usize, what: What<'t>) {
        // Strings beside each other are one.
        let joined = match (self.found.last_mut().map(|token| &mut token.what), &what) {
            (Some(What::Text(text)), What::Text(more)) => {
                text.push_str(more);
                true
            }
            (Some(last @ What::Text(_)), What::Computed) => {
                *last = What::Computed;
                true
            }
            (Some(What::Computed), What::Text(_) | What::Computed) => true,
            _ => false,
        };
        if !joined {
            self.found.push(Token { line, what });
        }
    }

    /// Goes on by so many bytes.
    fn skip(&mut self, length: usize) {
        self.line += self.text[self.at..self.at + length].matches('\n').count();
        self.at += length;
    }

    fn step(&mut self) -> Result<bool, Trouble> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(false) };
        let line = self.line;
        match first {
            '\n' => self.end_of_line()?,
            '\\' if rest.starts_with("\\\n") || rest.starts_with("\\\r\n") => {
                self.skip(rest.find('\n').map_or(rest.len(), |at| at + 1));
            }
            c if c.is_whitespace() => self.skip(c.len_utf8()),
            '#' => self.skip(rest.find('\n').unwrap_or(rest.len())),
            '"' | '\'' => {
                let what = self.string(self.language == Language::Ruby && first == '\'', "")?;
                self.push(line, what);
            }
            ':' if self.is_symbol() => {
                self.skip(1);
                if self.rest().starts_with(['"', '\'']) {
                    let what = self.string(false, "")?;
                    self.found.push(Token { line, what });
                } else {
                    let word = self.take(|c| is_word(c) || matches!(c, '?' | '!'));
                    self.found.push(Token { line, what: What::Text(word.to_owned()) });
                }
            }
            '<' if self.heredoc(line) => {}
            c if c.is_ascii_digit() => {
                let number = self.take(|c| is_word(c) || c == '.');
                self.push(line, What::Number(number));
            }
            c if is_word(c) => {
                let ruby = self.language == Language::Ruby;
                let word = self.take(|c| is_word(c) || (ruby && matches!(c, '?' | '!')));
                let is_prefix = self.language == Language::Python
                    && word.len() <= 2
                    && self.rest().starts_with(['"', '\''])
                    && word.chars().all(|c| "rRbBuUfF".contains(c));
                let what = if is_prefix { self.string(false, word)? } else { What::Word(word) };
                self.push(line, what);
            }
            c => {
                match c {
                    '(' | '[' => self.depth += 1,
                    '{' if self.language == Language::Python => self.depth += 1,
                    ')' | ']' => self.depth = self.depth.saturating_sub(1),
                    '}' if self.language == Language::Python => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                self.skip(c.len_utf8());
                self.push(line, What::Sign(c));
            }
        }
        Ok(true)
    }

    /// Returns what comes next of such characters.
    fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn is_symbol(&self) -> bool {
        let next = self.rest()[1..].starts_with(|c: char| is_word(c) || c == '"' || c == '\'');
        // Behind a word it ends the key of a map, and a second one is a part of a name.
        let before = self.text[..self.at].ends_with(|c: char| is_word(c) || c == ':' || c == '"' || c == '\'');
        self.language == Language::Ruby && next && !before
    }

    fn end_of_line(&mut self) -> Result<(), Trouble> {
        self.skip(1);
        for (place, heredoc) in std::mem::take(&mut self.heredocs) {
            self.found[place].what = self.body(heredoc, self.found[place].line)?;
        }
        // Block comments of Ruby.
        if self.language == Language::Ruby && self.rest().starts_with("=begin") {
            let rest = self.rest();
            let end = rest.find("\n=end").map_or(rest.len(), |at| at + 5);
            self.skip(end);
        }
        // A comma goes on in the next line.
        let goes_on = self.language == Language::Ruby && self.found.last().is_some_and(|token| token.is(','));
        if self.depth == 0 && !goes_on {
            let rest = self.rest();
            let indent = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            self.found.push(Token { line: self.line, what: What::Line(indent) });
        }
        Ok(())
    }

    /// Reads a string, whose first quote is next.
    fn string(&mut self, simple: bool, prefix: &str) -> Result<What<'t>, Trouble> {
        let has = |letters: [char; 2]| prefix.contains(letters);
        let (begin, rest) = (self.line, self.rest());
        let quote = match (self.language, rest.get(..3)) {
            (Language::Python, Some(three @ ("\"\"\"" | "'''"))) => three,
            _ => &rest[..1],
        };
        let mut text = String::new();
        let mut computed = has(['f', 'F']) || has(['b', 'B']);
        let mut at = quote.len();
        loop {
            let here = &rest[at..];
            let Some(c) = here.chars().next() else {
                return Err(unclosed(begin));
            };
            if here.starts_with(quote) {
                self.skip(at + quote.len());
                return Ok(if computed { What::Computed } else { What::Text(text) });
            }
            if c == '\n' && quote.len() == 1 && self.language == Language::Python {
                return Err(unclosed(begin));
            }
            computed |= self.language == Language::Ruby && !simple && here.starts_with("#{");
            at += c.len_utf8();
            if c != '\\' || has(['r', 'R']) {
                text.push(c);
                // In a raw string, too, a backslash keeps a quote from closing it.
                if c == '\\' {
                    let next = rest[at..].chars().next();
                    text.extend(next);
                    at += next.map_or(0, char::len_utf8);
                }
                continue;
            }
            let next = rest[at..].chars().next();
            at += next.map_or(0, char::len_utf8);
            match next {
                Some('\\' | '\'') => text.extend(next),
                Some('"') if !simple => text.push('"'),
                Some('n') if !simple => text.push('\n'),
                Some('t') if !simple => text.push('\t'),
                Some('\n') if !simple => {}
                Some(other) if simple => text.extend(['\\', other]),
                // Other escapes differ between the languages.
                _ => computed = true,
            }
        }
    }

    /// Reads the head of a heredoc, if this is one.
    fn heredoc(&mut self, line: usize) -> bool {
        let Some(after) = self.rest().strip_prefix("<<").filter(|_| self.language == Language::Ruby) else {
            return false;
        };
        let mark = after.starts_with(['~', '-']);
        let name = &after[usize::from(mark)..];
        let quote = name.chars().next().filter(|c| matches!(c, '"' | '\''));
        let inner = &name[usize::from(quote.is_some())..];
        let length = inner.find(|c: char| !is_word(c)).unwrap_or(inner.len());
        let closed = quote.is_none_or(|quote| inner[length..].starts_with(quote));
        if length == 0 || !closed || !(mark || inner.starts_with(|c: char| c.is_ascii_uppercase())) {
            return false;
        }
        let heredoc = Heredoc { end: &inner[..length], squiggly: after.starts_with('~'), raw: quote == Some('\'') };
        self.skip(2 + usize::from(mark) + length + 2 * usize::from(quote.is_some()));
        self.heredocs.push((self.found.len(), heredoc));
        self.found.push(Token { line, what: What::Computed });
        true
    }

    /// Reads the text of a heredoc.
    fn body(&mut self, heredoc: Heredoc<'_>, begin: usize) -> Result<What<'t>, Trouble> {
        let mut lines = Vec::new();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return Err(unclosed(begin));
            }
            let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
            self.skip(length);
            if rest[..length].trim() == heredoc.end {
                break;
            }
            lines.push(&rest[..length]);
        }
        let text = |line: &&str| !line.trim().is_empty();
        let indent = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
        let shared = lines.iter().filter(|line| text(line)).map(indent).min().unwrap_or(0);
        let shared = if heredoc.squiggly { shared } else { 0 };
        let whole: String = lines.iter().map(|line| line.get(shared..).unwrap_or("\n")).collect();
        let computed = !heredoc.raw && (whole.contains("#{") || whole.contains('\\'));
        Ok(if computed { What::Computed } else { What::Text(whole) })
    }
}

fn unclosed(line: usize) -> Trouble {
    Trouble::new(line, "the string that begins here is not closed", "close it")
}

/// A call: a name with its receivers, and arguments.
#[derive(Debug, Clone)]
pub(super) struct Call<'a, 't> {
    /// From 1.
    pub(super) line: usize,
    /// With the dots in it.
    pub(super) name: String,
    pub(super) arguments: Vec<Argument<'a, 't>>,
}

/// An argument of a call.
#[derive(Debug, Clone)]
pub(super) struct Argument<'a, 't> {
    pub(super) key: Option<String>,
    pub(super) value: &'a [Token<'t>],
}

/// Returns the call that the tokens are, from the first to the last. In Ruby it may have no parentheses.
pub(super) fn call<'a, 't>(all: &'a [Token<'t>], language: Language) -> Option<Call<'a, 't>> {
    let mut name = all.first()?.word()?.to_owned();
    let mut at = 1;
    while all.get(at).is_some_and(|token| token.is('.')) {
        name.push('.');
        name.push_str(all.get(at + 1)?.word()?);
        at += 2;
    }
    let rest = &all[at..];
    let inner = match rest {
        [open, inner @ .., close] if open.is('(') && close.is(')') && closing(rest) == Some(rest.len() - 1) => inner,
        _ if language == Language::Ruby && !rest.first().is_some_and(|token| token.is('(')) => rest,
        _ => return None,
    };
    let arguments = elements(inner).into_iter().map(argument).collect();
    Some(Call { line: all[0].line, name, arguments })
}

/// Returns where the bracket closes that the tokens begin with.
pub(super) fn closing(all: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    all.iter().position(|token| {
        match token.what {
            What::Sign('(' | '[' | '{') => depth += 1,
            What::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

/// Returns what stands between commas.
pub(super) fn elements<'a, 't>(all: &'a [Token<'t>]) -> Vec<&'a [Token<'t>]> {
    let mut depth = 0_usize;
    let parts = all.split(|token| {
        match token.what {
            What::Sign('(' | '[' | '{') => depth += 1,
            What::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is(',')
    });
    parts.filter(|part| !part.is_empty()).collect()
}

fn argument<'a, 't>(all: &'a [Token<'t>]) -> Argument<'a, 't> {
    match all {
        [key, sign, value @ ..]
            if sign.is('=') && key.word().is_some() && !value.first().is_some_and(|next| next.is('=')) =>
        {
            Argument { key: key.word().map(str::to_owned), value }
        }
        [key, sign, value @ ..] if sign.is(':') && key.word().is_some() => {
            Argument { key: key.word().map(str::to_owned), value }
        }
        [Token { what: What::Text(key), .. }, equals, greater, value @ ..] if equals.is('=') && greater.is('>') => {
            Argument { key: Some(key.clone()), value }
        }
        value => Argument { key: None, value },
    }
}

/// Returns the text that the value is, if it is one.
pub(super) fn text<'a>(value: &'a [Token<'_>]) -> Option<&'a str> {
    if let [Token { what: What::Text(text), .. }] = value { Some(text) } else { None }
}

/// Returns the number that the value is, if it is a whole one.
pub(super) fn number(value: &[Token<'_>]) -> Option<u32> {
    if let [Token { what: What::Number(number), .. }] = value { number.replace('_', "").parse().ok() } else { None }
}

/// Returns the elements of a list or a tuple.
pub(super) fn list<'a, 't>(value: &'a [Token<'t>]) -> Option<Vec<&'a [Token<'t>]>> {
    match value {
        [open, inner @ .., close]
            if (open.is('[') || open.is('('))
                && (close.is(']') || close.is(')'))
                && closing(value) == Some(value.len() - 1) =>
        {
            Some(elements(inner))
        }
        _ => None,
    }
}

/// Returns the tokens as a line for a message.
pub(super) fn shown(all: &[Token<'_>]) -> String {
    const SHOWN: usize = 60;
    let mut line = String::new();
    let mut before = false;
    for token in all.iter().take(SHOWN) {
        // Words and texts have a space between them.
        let word = matches!(token.what, What::Word(_) | What::Number(_) | What::Text(_) | What::Computed);
        if word && before {
            line.push(' ');
        }
        before = word;
        match &token.what {
            What::Word(word) | What::Number(word) => line.push_str(word),
            What::Text(text) => line.extend(["'", &crate::sql::one_line(text), "'"]),
            What::Computed => line.push_str("'...'"),
            What::Sign(',') => line.push_str(", "),
            What::Sign(sign) => line.push(*sign),
            What::Line(_) => line.push(' '),
        }
    }
    let cut = line.chars().count() > SHOWN || all.len() > SHOWN;
    let line: String = line.trim().chars().take(SHOWN).collect();
    format!("`{line}{}`", if cut { " ..." } else { "" })
}
