//! SQL: ALTER TABLE that renames a column or changes its type, and the block that `crossfade export` writes.

use super::{Migration, Named, OTHER_HELP, Step, Table, Trouble, Using, What};
use crate::sql::one_line;
use crate::sql::token::{self, Token, tokens, unfinished};

/// How much of a statement is shown.
const SHOWN: usize = 60;

/// Settings that change nothing in the schema.
const SETTINGS: [&str; 6] = [
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "deadlock_timeout",
    "client_min_messages",
];

/// What a block of `crossfade export` is between.
const TAG: &str = "$crossfade$";

/// Adds what the statements of `text` do, whose first line is the line `first` of the file.
pub(super) fn read(text: &str, first: usize, migration: &mut Migration, troubles: &mut Vec<Trouble>) {
    let lines = Lines::new(text, first);
    let before = troubles.len();
    let placeholders = tokens(text).into_iter().filter(|token| token.raw.contains("${") || token.raw == "$");
    troubles.extend(placeholders.map(|token| {
        let what = "`${` begins a placeholder, whose value is not in the file";
        Trouble::new(lines.of(token.at), what, "write its value")
    }));
    if troubles.len() == before {
        statements(text, &lines, migration, troubles);
    }
}

fn statements(text: &str, lines: &Lines, migration: &mut Migration, troubles: &mut Vec<Trouble>) {
    if let Some(at) = unfinished(text) {
        let what = "what is opened here, a literal, a quoted name or a comment, is not closed before the end";
        troubles.push(Trouble::new(
            lines.of(at),
            what,
            "close it; outside of a quoted text a quote has no other meaning",
        ));
        return;
    }
    let all = tokens(text);
    for statement in all.split(|token| token.is(';')) {
        let Some(begin) = statement.first() else { continue };
        match read_one(statement) {
            Ok(Read { steps, table }) => {
                let table = table.map(Table::Named);
                let step = |(at, what)| Some(Step { line: lines.of(at), table: table.clone()?, what });
                migration.steps.extend(steps.into_iter().filter_map(step));
            }
            Err(Refused::Block(code)) => block(&code, lines.of(begin.at), migration, troubles),
            Err(Refused::Here { at, message, help }) => troubles.push(Trouble::new(lines.of(at), message, help)),
        }
    }
}

/// The lines of a text, which are asked for in order or nearly so.
struct Lines {
    first: usize,
    ends: Vec<usize>,
}

impl Lines {
    fn new(text: &str, first: usize) -> Self {
        Self { first, ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    fn of(&self, at: usize) -> usize {
        self.first + self.ends.partition_point(|end| *end < at)
    }
}

/// What a statement does to its table, with where it says so.
#[derive(Default)]
struct Read {
    table: Option<Named>,
    steps: Vec<(usize, What)>,
}

/// Why a statement is not read.
enum Refused {
    /// It is a block of `crossfade export` with this code.
    Block(String),
    Here {
        at: usize,
        message: String,
        help: String,
    },
}

fn refused(at: usize, message: impl Into<String>, help: impl Into<String>) -> Refused {
    Refused::Here { at, message: message.into(), help: help.into() }
}

/// Returns a statement in a few words.
fn shown(statement: &[Token<'_>]) -> String {
    let mut text = String::new();
    let mut cut = false;
    for token in statement {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(token.raw);
        cut = text.chars().count() > SHOWN;
        if cut {
            break;
        }
    }
    let text: String = one_line(&text).chars().take(SHOWN).collect();
    format!("`{text}{}`", if cut { " ..." } else { "" })
}

fn read_one(statement: &[Token<'_>]) -> Result<Read, Refused> {
    let words: Vec<_> = statement.iter().take(4).map(|token| token.word().unwrap_or_default()).collect();
    match words.as_slice() {
        ["begin" | "commit" | "end"]
        | ["begin" | "commit" | "end", "transaction" | "work"]
        | ["start", "transaction"] => Ok(Read::default()),
        ["set", "local" | "session", name, ..] | ["set", name, ..] if SETTINGS.contains(name) => Ok(Read::default()),
        ["alter", "table", ..] => match unbalanced(statement) {
            Some(at) => Err(refused(at, "this bracket has no other", "check the brackets of the statement")),
            None => alter(&mut Cursor { all: statement, at: 2 }),
        },
        ["do", ..] => match statement {
            [_, code] if code.raw.starts_with(TAG) => Err(Refused::Block(code.code())),
            _ => Err(refused(
                statement[0].at,
                "what a block of code does cannot be read",
                "write the ALTER TABLE that it runs as a statement",
            )),
        },
        ["rollback", ..] => {
            Err(refused(statement[0].at, "the file rolls back its transaction", "take ROLLBACK out of it"))
        }
        _ => {
            let help = if statement[0].is('\\') {
                "commands of psql are not read: keep the statements of SQL"
            } else {
                OTHER_HELP
            };
            Err(refused(
                statement[0].at,
                format!("{} neither renames a column nor changes its type", shown(statement)),
                help,
            ))
        }
    }
}

/// A place in a statement.
struct Cursor<'a, 't> {
    all: &'a [Token<'t>],
    at: usize,
}

impl<'a, 't> Cursor<'a, 't> {
    fn rest(&self) -> &'a [Token<'t>] {
        self.all.get(self.at..).unwrap_or_default()
    }

    /// Goes behind these words, if they come next.
    fn words(&mut self, words: &[&str]) -> bool {
        let rest = self.rest();
        let is_next =
            rest.len() >= words.len() && rest.iter().zip(words).all(|(token, word)| token.word() == Some(word));
        self.at += if is_next { words.len() } else { 0 };
        is_next
    }

    fn sign(&mut self, sign: char) -> bool {
        let is_next = self.rest().first().is_some_and(|token| token.is(sign));
        self.at += usize::from(is_next);
        is_next
    }

    fn name(&mut self) -> Result<String, Refused> {
        let name =
            self.rest().first().and_then(Token::name).map(str::to_owned).ok_or_else(|| self.unexpected("a name"))?;
        self.at += 1;
        Ok(name)
    }

    fn unexpected(&self, expected: &str) -> Refused {
        let token = self.rest().first().or(self.all.last());
        let (at, found) = token.map_or((0, String::new()), |token| (token.at, one_line(token.raw)));
        let found: String = found.chars().take(SHOWN).collect();
        let found = if self.rest().is_empty() { "the end of the statement".to_owned() } else { format!("`{found}`") };
        refused(
            at,
            format!("expected {expected}, found {found}"),
            "write it as PostgreSQL's manual has it under ALTER TABLE",
        )
    }

    fn end(&self) -> Result<(), Refused> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }
}

/// Reads what follows ALTER TABLE.
fn alter(cursor: &mut Cursor<'_, '_>) -> Result<Read, Refused> {
    cursor.words(&["if", "exists"]);
    // Where the table has partitions or heirs PostgreSQL refuses it, and elsewhere it means nothing.
    cursor.words(&["only"]);
    let first = cursor.name()?;
    let table = if cursor.sign('.') {
        Named { schema: Some(first), name: cursor.name()? }
    } else {
        Named { schema: None, name: first }
    };
    cursor.sign('*');
    let at = cursor.rest().first().map_or(0, |token| token.at);
    if cursor.words(&["rename"]) {
        let word = cursor.rest().first().and_then(Token::word);
        if matches!(word, Some("to" | "constraint")) {
            return Err(refused(at, format!("{} renames no column", shown(cursor.all)), OTHER_HELP));
        }
        cursor.words(&["column"]);
        let column = cursor.name()?;
        if !cursor.words(&["to"]) {
            return Err(cursor.unexpected("TO"));
        }
        let to = cursor.name()?;
        cursor.end()?;
        return Ok(Read { table: Some(table), steps: vec![(at, What::Rename { column, to })] });
    }
    let mut steps = Vec::new();
    for action in split(cursor.rest(), ',') {
        steps.extend(alter_column(action, cursor)?);
    }
    Ok(Read { table: Some(table), steps })
}

/// Reads `ALTER COLUMN ...`.
fn alter_column(action: &[Token<'_>], statement: &Cursor<'_, '_>) -> Result<Option<(usize, What)>, Refused> {
    let mut cursor = Cursor { all: action, at: 0 };
    let at = action.first().or(statement.rest().first()).or(statement.all.last()).map_or(0, |token| token.at);
    let other = || {
        let words = if action.is_empty() { statement.all } else { action };
        refused(at, format!("{} neither renames a column nor changes its type", shown(words)), OTHER_HELP)
    };
    if !cursor.words(&["alter"]) || cursor.rest().first().is_some_and(|token| token.word() == Some("constraint")) {
        return Err(other());
    }
    cursor.words(&["column"]);
    let column = cursor.name()?;
    if cursor.words(&["drop", "default"]) {
        cursor.end()?;
        return Ok(Some((at, What::Default { column, sql: None })));
    }
    if cursor.words(&["set", "default"]) {
        let sql = text_of(cursor.rest());
        return if sql.is_empty() {
            Err(cursor.unexpected("an expression"))
        } else {
            Ok(Some((at, What::Default { column, sql: Some(sql) })))
        };
    }
    if !cursor.words(&["set", "data", "type"]) && !cursor.words(&["type"]) {
        return Err(other());
    }
    let mut parts = split_at_word(cursor.rest(), "using");
    let to = text_of(parts.next().unwrap_or_default());
    if to.is_empty() {
        return Err(cursor.unexpected("a type"));
    }
    let using = match parts.next().map(text_of) {
        None => Using::Assignment,
        Some(sql) if sql.is_empty() => {
            return Err(refused(at, "there is no expression behind USING", "write one, or leave USING out"));
        }
        Some(sql) => Using::Expression(sql),
    };
    Ok(Some((at, What::Type { column, to, using })))
}

/// Returns where a bracket is that closes nothing, or that nothing closes.
fn unbalanced(statement: &[Token<'_>]) -> Option<usize> {
    let mut open: Vec<(usize, char)> = Vec::new();
    for token in statement {
        let closed = match token.what {
            token::What::Sign(sign @ ('(' | '[')) => {
                open.push((token.at, sign));
                continue;
            }
            token::What::Sign(')') => '(',
            token::What::Sign(']') => '[',
            _ => continue,
        };
        if open.pop().is_none_or(|(_, sign)| sign != closed) {
            return Some(token.at);
        }
    }
    open.first().map(|(at, _)| *at)
}

/// Returns the parts between signs that are in no brackets.
fn split<'a, 't>(all: &'a [Token<'t>], sign: char) -> impl Iterator<Item = &'a [Token<'t>]> {
    let mut depth = 0_usize;
    all.split(move |token| {
        if token.is('(') || token.is('[') {
            depth += 1;
        } else if token.is(')') || token.is(']') {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is(sign)
    })
}

/// Returns what is before the word, in no brackets, and what is behind it.
fn split_at_word<'a, 't>(all: &'a [Token<'t>], word: &'static str) -> impl Iterator<Item = &'a [Token<'t>]> {
    let mut depth = 0_usize;
    all.splitn(2, move |token| {
        if token.is('(') || token.is('[') {
            depth += 1;
        } else if token.is(')') || token.is(']') {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.word() == Some(word)
    })
}

/// Returns where the bracket closes that is at `open`.
pub(super) fn closing(all: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in all.iter().enumerate().skip(open) {
        if token.is('(') {
            depth += 1;
        } else if token.is(')') {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return (at > open).then_some(at);
        }
    }
    None
}

/// Returns the tokens as text: without comments, and with one space where there was space.
fn text_of(all: &[Token<'_>]) -> String {
    let mut text = String::new();
    let mut before = None;
    for token in all {
        if before.is_some_and(|end| end < token.at) {
            text.push(' ');
        }
        text.push_str(token.raw);
        before = Some(token.end());
    }
    text
}

/// Reads a block that `crossfade export` wrote: the statements that it runs where crossfade has never been.
fn block(code: &str, line: usize, migration: &mut Migration, troubles: &mut Vec<Trouble>) {
    let all = tokens(code);
    let changed = || {
        let help = "export it again (`crossfade export NAME --to TOOL DIR`), or write its ALTER TABLE as a statement";
        Trouble::new(line, "the block looks like one of `crossfade export`, and somebody has changed it", help)
    };
    let begins = token_words(&all).starts_with(&["declare", "path", "text", "default"].map(str::to_owned));
    // Behind its last look it sets the search_path back, and then come its statements, and nothing else.
    let look = all
        .windows(3)
        .rposition(|three| three[0].word() == Some("end") && three[1].word() == Some("loop") && three[2].is(';'));
    let Some(look) = look.filter(|_| begins) else {
        troubles.push(changed());
        return;
    };
    let mut behind = all[look + 3..].split(|token| token.is(';'));
    let path = behind.next().map(token_words).unwrap_or_default();
    let mut ended = false;
    if !path.starts_with(&["perform".to_owned(), "set_config".to_owned()]) {
        troubles.push(changed());
        return;
    }
    for statement in behind {
        let literal = match statement {
            [end] if end.word() == Some("end") && !ended => {
                ended = true;
                continue;
            }
            [execute, literal @ ..] if execute.word() == Some("execute") && !ended => value(literal),
            _ => None,
        };
        let Some(sql) = literal else {
            troubles.push(changed());
            return;
        };
        // Its lines are those of the block.
        let (mut inner, mut more) = (Migration::default(), Vec::new());
        statements(&sql, &Lines::new(&sql, line), &mut inner, &mut more);
        migration.steps.extend(inner.steps.into_iter().map(|step| Step { line, ..step }));
        troubles.extend(more.into_iter().map(|trouble| Trouble { line, ..trouble }));
    }
    if !ended {
        troubles.push(changed());
    }
}

fn token_words(all: &[Token<'_>]) -> Vec<String> {
    all.iter().take(4).map(|token| token.name().unwrap_or_default().to_owned()).collect()
}

/// Returns the text of `'a' || chr(36) || 'b'`, in parentheses or not, as `crossfade export` writes texts.
fn value(all: &[Token<'_>]) -> Option<String> {
    let inner = match closing(all, 0) {
        Some(end) if all[0].is('(') && end == all.len() - 1 => &all[1..end],
        _ => all,
    };
    let mut text = String::new();
    let mut parts = inner.split(|token| token.is('|'));
    loop {
        match parts.next()? {
            [literal] if matches!(literal.what, token::What::Text) && literal.raw.starts_with('\'') => {
                text.push_str(&literal.code());
            }
            [chr, open, number, close] if chr.word() == Some("chr") && open.is('(') && close.is(')') => {
                text.push(char::from_u32(number.raw.parse().ok()?)?);
            }
            _ => return None,
        }
        // The second sign of `||`.
        match parts.next() {
            None => return Some(text),
            Some([]) => {}
            Some(_) => return None,
        }
    }
}
