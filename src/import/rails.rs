//! Rails: the calls in `change` or `up`.

use super::alembic::{Arguments, texts};
use super::script::{Argument, Call, Language, Token, What as Part, call, number, shown, text, tokens};
use super::{Migration, Named, Note, OTHER_HELP, Step, Table, Trouble, Using, What, sql};

/// Words that begin what ends with `end`, where a statement begins.
const OPENERS: [&str; 9] = ["def", "class", "module", "begin", "case", "if", "unless", "while", "until"];

/// Blocks whose statements are done when the migration goes forward.
const FORWARD: [&str; 4] = ["safety_assured", "reversible", "up_only", "up"];

pub(super) fn read(text: &str, migration: &mut Migration, troubles: &mut Vec<Trouble>) {
    let all = match tokens(text, Language::Ruby) {
        Ok(all) => all,
        Err(trouble) => return troubles.push(trouble),
    };
    let is_method = |two: &[Token<'_>]| two[0].is_word("def") && (two[1].is_word("change") || two[1].is_word("up"));
    let begins: Vec<_> = all.windows(2).enumerate().filter(|(_, two)| is_method(two)).map(|(at, _)| at).collect();
    let [begin] = begins.as_slice() else {
        let line = begins.get(1).map_or(1, |at| all[*at].line);
        let message = format!("the file has {} methods `change` or `up`, and one is read", begins.len());
        return troubles.push(Trouble::new(line, message, "name a migration of Rails"));
    };
    let mut reader =
        Reader { all: &all, at: begin + 2, blocks: Vec::new(), version: version(&all), migration, troubles };
    reader.body(all[*begin].line);
}

/// Returns the version of Rails that the class is written for, as two numbers.
fn version(all: &[Token<'_>]) -> Option<(u32, u32)> {
    let three = all.windows(3).find(|three| three[0].is_word("Migration") && three[1].is('['))?;
    let Part::Number(number) = three[2].what else { return None };
    let (major, minor) = number.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A block that is open.
struct Block<'t> {
    /// Whether it ends with a brace, and not with `end`.
    brace: bool,
    /// What it calls the table of `change_table`, and the table.
    table: Option<(&'t str, Named)>,
}

struct Reader<'a, 't, 'm> {
    all: &'a [Token<'t>],
    at: usize,
    blocks: Vec<Block<'t>>,
    version: Option<(u32, u32)>,
    migration: &'m mut Migration,
    troubles: &'m mut Vec<Trouble>,
}

impl<'a, 't> Reader<'a, 't, '_> {
    /// Reads the statements to the end of the method, which begins in this line.
    fn body(&mut self, begin: usize) {
        loop {
            while self.all.get(self.at).is_some_and(Token::is_end) {
                self.at += 1;
            }
            let Some(token) = self.all.get(self.at) else {
                return self.troubles.push(Trouble::new(begin, "the method that begins here has no `end`", "add it"));
            };
            if token.is_word("end") || token.is('}') {
                self.at += 1;
                match self.blocks.pop() {
                    None => return,
                    Some(block) if block.brace == token.is('}') => {}
                    Some(_) => {
                        let message = "this closes something that is not open";
                        return self.troubles.push(Trouble::new(token.line, message, "check the blocks of the method"));
                    }
                }
                continue;
            }
            if let Err(trouble) = self.statement() {
                self.troubles.push(trouble);
            }
        }
    }

    /// Returns the next statement, to its block, its end or that of the block around it.
    fn next(&mut self) -> &'a [Token<'t>] {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(token) = self.all.get(self.at) {
            let opens = token.is('(') || token.is('[');
            depth += usize::from(opens);
            depth = depth.saturating_sub(usize::from(token.is(')') || token.is(']')));
            let is_block = token.is_word("do") || token.is('{') || token.is('}') || token.is_word("end");
            if depth == 0 && (token.is_end() || is_block) {
                break;
            }
            self.at += 1;
        }
        &self.all[start..self.at]
    }

    fn statement(&mut self) -> Result<(), Trouble> {
        let line = self.all[self.at].line;
        let whole = self.next();
        let opener = self.all.get(self.at).filter(|token| token.is_word("do") || token.is('{'));
        if let Some(opener) = opener {
            self.at += 1;
            return self.block(line, whole, opener.is('{'));
        }
        let other = |whole: &[Token<'_>]| {
            Trouble::new(line, format!("{} neither renames a column nor changes its type", shown(whole)), OTHER_HELP)
        };
        if whole.first().and_then(Token::word).is_some_and(|word| OPENERS.contains(&word)) {
            // What depends on something is not known before it runs.
            self.skip(false);
            return Err(other(whole));
        }
        let Some(call) = call(whole, Language::Ruby) else {
            // So that it goes on in any case.
            self.at += usize::from(whole.is_empty());
            return Err(other(whole));
        };
        let of_block = self.blocks.iter().rev().find_map(|block| block.table.clone());
        match (call.name.as_str(), of_block) {
            ("rename_column", _) => {
                let arguments = Arguments::of(&call, &["table_name", "column_name", "new_column_name"])?;
                self.rename(&arguments, named(&arguments.text("table_name")?))
            }
            ("change_column", _) => {
                let arguments = Arguments::of(&call, &["table_name", "column_name", "type"])?;
                self.change(&arguments, named(&arguments.text("table_name")?))
            }
            ("execute", _) => self.execute(&call),
            (name, Some((variable, table))) if name.split_once('.') == Some((variable, "rename")) => {
                self.rename(&Arguments::of(&call, &["column_name", "new_column_name"])?, table)
            }
            (name, Some((variable, table))) if name.split_once('.') == Some((variable, "change")) => {
                self.change(&Arguments::of(&call, &["column_name", "type"])?, table)
            }
            _ => Err(other(whole)),
        }
    }

    /// Opens a block, or refuses and leaves it.
    fn block(&mut self, line: usize, head: &[Token<'t>], brace: bool) -> Result<(), Trouble> {
        let mut variable = None;
        if let Some([open, name, close]) = self.all.get(self.at..self.at + 3)
            && open.is('|')
            && close.is('|')
        {
            variable = name.word();
            self.at += 3;
        }
        let call = call(head, Language::Ruby);
        let name =
            call.as_ref().map(|call| call.name.rsplit('.').next().unwrap_or_default().to_owned()).unwrap_or_default();
        let arguments = call.as_ref().map(|call| call.arguments.as_slice()).unwrap_or_default();
        match (name.as_str(), arguments, variable) {
            // What goes back is done by crossfade's own way back.
            ("down", [], _) => self.skip(brace),
            (name, [], _) if FORWARD.contains(&name) => self.blocks.push(Block { brace, table: None }),
            ("change_table", [Argument { key: None, value }, options @ ..], Some(variable))
                if text(value).is_some() && options.iter().all(|option| option.key.as_deref() == Some("bulk")) =>
            {
                let table = text(value).map(|table| (variable, named(table)));
                self.blocks.push(Block { brace, table });
            }
            _ => {
                self.skip(brace);
                let message = format!("what the block of {} does is not read", shown(head));
                return Err(Trouble::new(line, message, "write its rename_column and change_column outside of it"));
            }
        }
        Ok(())
    }

    /// Goes behind the end of the block or of the condition that is open.
    fn skip(&mut self, brace: bool) {
        let mut depth = 1_usize;
        let mut begins = false;
        while let Some(token) = self.all.get(self.at) {
            self.at += 1;
            let word = token.word().unwrap_or_default();
            let opens = if brace { token.is('{') } else { word == "do" || (begins && OPENERS.contains(&word)) };
            let closes = if brace { token.is('}') } else { word == "end" };
            begins = token.is_end() || token.is('=');
            depth += usize::from(opens);
            depth -= usize::from(closes);
            if depth == 0 {
                return;
            }
        }
    }

    fn push(&mut self, line: usize, table: Named, what: What) {
        self.migration.steps.push(Step { line, table: Table::Named(table), what });
    }

    fn rename(&mut self, arguments: &Arguments<'_, '_, '_>, table: Named) -> Result<(), Trouble> {
        only_keys(arguments, &[])?;
        let (column, to) = (arguments.text("column_name")?, arguments.text("new_column_name")?);
        self.push(arguments.call.line, table, What::Rename { column, to });
        Ok(())
    }

    fn change(&mut self, arguments: &Arguments<'_, '_, '_>, table: Named) -> Result<(), Trouble> {
        only_keys(arguments, &["limit", "precision", "scale", "array", "collation", "using", "default"])?;
        let line = arguments.call.line;
        let column = arguments.text("column_name")?;
        let to = self.type_of(arguments)?;
        let using = match arguments.value("using") {
            Some(_) => Using::Expression(arguments.text("using")?),
            None => Using::Assignment,
        };
        let default = arguments.value("default").map(|value| literal(line, value)).transpose()?;
        self.push(line, table.clone(), What::Type { column: column.clone(), to, using });
        if let Some(sql) = default {
            self.push(line, table, What::Default { column, sql });
        }
        Ok(())
    }

    fn type_of(&mut self, arguments: &Arguments<'_, '_, '_>) -> Result<String, Trouble> {
        let line = arguments.call.line;
        let word = arguments.text("type")?;
        let unknown = |what: &str| {
            Trouble::new(
                line,
                format!("which type of PostgreSQL {word}{what} is cannot be told"),
                "write the plan with `crossfade new type TABLE.COLUMN TYPE`, with the type as in CREATE TABLE",
            )
        };
        let of = |key: &str| match arguments.value(key) {
            None => Ok(None),
            Some([nil]) if nil.is_word("nil") => Ok(None),
            Some(value) => number(value).map(Some).ok_or_else(|| unknown(&format!(" with the {key} {}", shown(value)))),
        };
        let (limit, precision, scale) = (of("limit")?, of("precision")?, of("scale")?);
        let base = match (word.as_str(), limit, precision, scale) {
            ("string", limit, None, None) => {
                limit.map_or_else(|| "varchar".to_owned(), |limit| format!("varchar({limit})"))
            }
            ("integer", limit, None, None) => match limit {
                None | Some(3 | 4) => "integer".to_owned(),
                Some(1 | 2) => "smallint".to_owned(),
                Some(5..=8) => "bigint".to_owned(),
                Some(_) => return Err(unknown(" of that limit")),
            },
            ("decimal" | "numeric", None, None, None) => "numeric".to_owned(),
            ("decimal" | "numeric", None, Some(precision), None) => format!("numeric({precision})"),
            ("decimal" | "numeric", None, Some(precision), Some(scale)) => format!("numeric({precision}, {scale})"),
            ("datetime" | "timestamp", None, precision, None) => {
                self.datetime(line, precision, arguments.value("precision").is_some())
            }
            ("timestamptz" | "time", None, Some(precision), None) => {
                let zone = if word == "time" { "" } else { " with time zone" };
                format!("{}({precision}){zone}", word.trim_end_matches("tz"))
            }
            (_, None, None, None) => plain_type(&word).ok_or_else(|| unknown(""))?,
            _ => return Err(unknown(" with these numbers")),
        };
        let array = match arguments.value("array") {
            None => "",
            Some([yes]) if yes.is_word("true") => "[]",
            Some([no]) if no.is_word("false") => "",
            Some(value) => return Err(unknown(&format!(" with the array {}", shown(value)))),
        };
        let collation = match arguments.value("collation") {
            None => String::new(),
            Some(_) => format!(" COLLATE {}", crate::sql::quote_ident(&arguments.text("collation")?)),
        };
        Ok(format!("{base}{array}{collation}"))
    }

    /// Returns the type of a `datetime`, which depends on the version of Rails and on a setting of the application.
    fn datetime(&mut self, line: usize, precision: Option<u32>, given: bool) -> String {
        let message = "a datetime is taken for timestamp without time zone; where the application sets `datetime_type`, change `to`";
        self.migration.notes.push(Note { line, message: message.to_owned() });
        let usual = (!given && self.version.is_none_or(|version| version >= (7, 0))).then_some(6);
        match precision.or(usual) {
            Some(precision) => format!("timestamp({precision})"),
            None => "timestamp".to_owned(),
        }
    }

    fn execute(&mut self, call: &Call<'_, '_>) -> Result<(), Trouble> {
        let sql = match call.arguments.as_slice() {
            [Argument { key: None, value }] => texts(value),
            _ => None,
        };
        let Some([(sql, first)]) = sql.as_deref() else {
            return Err(Trouble::new(call.line, "the text of the statement is computed", "write it as one text"));
        };
        sql::read(sql, *first, self.migration, self.troubles);
        Ok(())
    }
}

/// Refuses options that change something else.
fn only_keys(arguments: &Arguments<'_, '_, '_>, known: &[&str]) -> Result<(), Trouble> {
    let other = arguments.call.arguments.iter().filter_map(|argument| argument.key.as_deref());
    match other.into_iter().find(|key| !known.contains(key)) {
        Some(key) => {
            let message = format!("`{key}:` changes something other than the name and the type of the column");
            Err(Trouble::new(arguments.call.line, message, OTHER_HELP))
        }
        None => Ok(()),
    }
}

/// Returns the table of a name in which a dot stands behind its schema.
fn named(table: &str) -> Named {
    match table.split_once('.') {
        Some((schema, name)) => Named { schema: Some(schema.to_owned()), name: name.to_owned() },
        None => Named { schema: None, name: table.to_owned() },
    }
}

/// Returns a default as SQL; `None` for none.
fn literal(line: usize, value: &[Token<'_>]) -> Result<Option<String>, Trouble> {
    match value {
        [nil] if nil.is_word("nil") => Ok(None),
        [word] if word.is_word("true") || word.is_word("false") => Ok(word.word().map(str::to_owned)),
        [Token { what: Part::Number(number), .. }] => Ok(Some(number.replace('_', ""))),
        [minus, Token { what: Part::Number(number), .. }] if minus.is('-') => {
            Ok(Some(format!("-{}", number.replace('_', ""))))
        }
        value => {
            let computed = || {
                let message = format!("the default {} is computed", shown(value));
                Trouble::new(line, message, "write it as a text, a number, true, false or nil")
            };
            text(value).map(|text| Some(crate::sql::quote_literal(text))).ok_or_else(computed)
        }
    }
}

/// Returns the type of PostgreSQL of a word of Rails that takes no numbers, or a type written as in SQL.
fn plain_type(word: &str) -> Option<String> {
    const SAME: [&str; 22] = [
        "bigint",
        "boolean",
        "box",
        "cidr",
        "circle",
        "citext",
        "date",
        "daterange",
        "hstore",
        "inet",
        "int4range",
        "interval",
        "json",
        "jsonb",
        "macaddr",
        "money",
        "point",
        "text",
        "time",
        "tsvector",
        "uuid",
        "xml",
    ];
    const OTHER: [(&str, &str); 3] =
        [("binary", "bytea"), ("float", "double precision"), ("timestamptz", "timestamp with time zone")];
    if let Some((_, of_type)) = OTHER.iter().find(|(name, _)| *name == word) {
        return Some((*of_type).to_owned());
    }
    // A type as in SQL: Rails passes on what it does not know.
    let is_sql = word.contains(['(', ' ', '[']) || ["bytea", "real", "smallint", "varchar"].contains(&word);
    (SAME.contains(&word) || is_sql).then(|| word.to_owned())
}
