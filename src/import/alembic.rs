//! Alembic: the operations of `upgrade()`.

use super::script::{self, Argument, Call, Language, Token, call, list, number, shown, text, tokens};
use super::{Migration, Named, OTHER_HELP, Step, Table, Trouble, Using, What, sql};

/// A line of Python outside of brackets.
pub(super) struct Line<'a, 't> {
    pub(super) indent: usize,
    pub(super) tokens: &'a [Token<'t>],
}

/// Returns the lines that are not empty.
pub(super) fn lines<'a, 't>(all: &'a [Token<'t>]) -> Vec<Line<'a, 't>> {
    let mut lines = Vec::new();
    let (mut indent, mut start) = (0, 0);
    for (at, token) in all.iter().enumerate() {
        if token.is_end() {
            lines.push(Line { indent, tokens: &all[start..at] });
            start = at + 1;
        }
        if let script::What::Line(next) = token.what {
            indent = next;
        }
    }
    lines.push(Line { indent, tokens: &all[start..] });
    lines.retain(|line| !line.tokens.is_empty());
    lines
}

pub(super) fn read(text: &str, migration: &mut Migration, troubles: &mut Vec<Trouble>) {
    let all = match tokens(text, Language::Python) {
        Ok(all) => all,
        Err(trouble) => return troubles.push(trouble),
    };
    let lines = lines(&all);
    let is_upgrade = |line: &Line<'_, '_>| match line.tokens {
        [def, name, ..] => def.is_word("def") && name.is_word("upgrade"),
        _ => false,
    };
    let begins: Vec<_> = lines.iter().enumerate().filter(|(_, line)| is_upgrade(line)).map(|(at, _)| at).collect();
    let [begin] = begins.as_slice() else {
        let line = begins.get(1).map_or(1, |at| lines[*at].tokens[0].line);
        let message = format!("the file has {} functions `upgrade`, and one is read", begins.len());
        return troubles.push(Trouble::new(line, message, "name a revision of Alembic or a migration of Django"));
    };
    let head = &lines[*begin];
    if !head.tokens.last().is_some_and(|token| token.is(':')) {
        let line = head.tokens[0].line;
        return troubles.push(Trouble::new(
            line,
            "the body of `upgrade` is not read",
            "write it below, one operation a line",
        ));
    }
    // The tables that `with op.batch_alter_table` names: how far it is indented, its variable, and the table.
    let mut batches: Vec<(usize, &str, Named)> = Vec::new();
    for line in lines[begin + 1..].iter().take_while(|line| line.indent > head.indent) {
        batches.retain(|(indent, ..)| line.indent > *indent);
        if let Some((variable, table)) = batch(line.tokens) {
            batches.push((line.indent, variable, table));
            continue;
        }
        let batch = batches.last().map(|(_, variable, table)| (*variable, table));
        if let Err(trouble) = statement(line.tokens, batch, migration, troubles) {
            troubles.push(trouble);
        }
    }
}

/// Reads `with op.batch_alter_table("t") as batch_op:`.
fn batch<'t>(line: &[Token<'t>]) -> Option<(&'t str, Named)> {
    let [with, head @ .., as_word, variable, colon] = line else { return None };
    let opened = call(head, Language::Python)?;
    let is_it = with.is_word("with") && as_word.is_word("as") && colon.is(':') && opened.name == "op.batch_alter_table";
    let arguments = Arguments::of(&opened, &["table_name", "schema"]).ok().filter(|_| is_it)?;
    let table = Named { schema: arguments.maybe_text("schema").ok()?, name: arguments.text("table_name").ok()? };
    Some((variable.word()?, table))
}

fn statement(
    line: &[Token<'_>],
    batch: Option<(&str, &Named)>,
    migration: &mut Migration,
    troubles: &mut Vec<Trouble>,
) -> Result<(), Trouble> {
    // What says something and does nothing.
    if text(line).is_some() || matches!(line, [word] if word.is_word("pass")) {
        return Ok(());
    }
    let at = line[0].line;
    let other =
        || Trouble::new(at, format!("{} neither renames a column nor changes its type", shown(line)), OTHER_HELP);
    let call = call(line, Language::Python).ok_or_else(other)?;
    match (call.name.as_str(), batch) {
        ("op.execute", _) => {
            let (sql, first) = executed(&call).ok_or_else(|| {
                Trouble::new(
                    at,
                    "the text of the statement is computed",
                    "write it as one text, or use op.alter_column",
                )
            })?;
            sql::read(sql, first, migration, troubles);
            Ok(())
        }
        ("op.alter_column", _) => {
            let arguments = Arguments::of(&call, &["table_name", "column_name"])?;
            let table = Named { schema: arguments.maybe_text("schema")?, name: arguments.text("table_name")? };
            alter_column(&arguments, &table, migration)
        }
        (name, Some((variable, table))) if name.strip_prefix(variable) == Some(".alter_column") => {
            alter_column(&Arguments::of(&call, &["column_name"])?, table, migration)
        }
        _ => Err(other()),
    }
}

/// Returns the text of `op.execute("...")` or `op.execute(sa.text("..."))`, and its first line.
fn executed<'a>(executes: &'a Call<'_, '_>) -> Option<(&'a str, usize)> {
    let [Argument { key: None, value }] = executes.arguments.as_slice() else { return None };
    let inner = match value {
        [sa, dot, name, inner @ ..] if sa.is_word("sa") && dot.is('.') && name.is_word("text") => inner,
        [name, inner @ ..] if name.is_word("text") => inner,
        value => value,
    };
    let inner = if let [open, inner @ .., close] = inner
        && open.is('(')
        && close.is(')')
    {
        inner
    } else {
        inner
    };
    Some((text(inner)?, inner.first()?.line))
}

fn alter_column(arguments: &Arguments<'_, '_, '_>, table: &Named, migration: &mut Migration) -> Result<(), Trouble> {
    let line = arguments.call.line;
    let mut column = arguments.text("column_name")?;
    let (mut to, mut using, mut name, mut default) = (None, None, None, None);
    for argument in &arguments.call.arguments {
        let Some(key) = argument.key.as_deref() else { continue };
        let is_none = matches!(argument.value, [none] if none.is_word("None"));
        match key {
            "table_name" | "column_name" | "schema" => {}
            // What the column was like says nothing of what it becomes.
            key if key.starts_with("existing_") => {}
            "new_column_name" if !is_none => name = Some(arguments.text(key)?),
            "type_" if !is_none => {
                to = Some(type_name(argument.value).ok_or_else(|| unknown_type(line, argument.value))?);
            }
            "postgresql_using" if !is_none => using = Some(arguments.text(key)?),
            "nullable" | "comment" | "new_column_name" | "type_" | "postgresql_using" if is_none => {}
            "server_default" if matches!(argument.value, [no] if no.is_word("False")) => {}
            "server_default" => default = Some(server_default(line, argument.value)?),
            key => {
                let message =
                    format!("`{key}=` changes something other than the name and the type of the column {column}");
                return Err(Trouble::new(line, message, OTHER_HELP));
            }
        }
    }
    if using.is_some() && to.is_none() {
        return Err(Trouble::new(
            line,
            "there is `postgresql_using` and no `type_`",
            "add the type, or leave both out",
        ));
    }
    let mut push = |what| migration.steps.push(Step { line, table: Table::Named(table.clone()), what });
    if let Some(to) = to {
        let using = using.map_or(Using::Assignment, Using::Expression);
        push(What::Type { column: column.clone(), to, using });
    }
    if let Some(sql) = default {
        push(What::Default { column: column.clone(), sql });
    }
    if let Some(to) = name {
        push(What::Rename { column: std::mem::take(&mut column), to });
    }
    Ok(())
}

fn server_default(line: usize, value: &[Token<'_>]) -> Result<Option<String>, Trouble> {
    if matches!(value, [none] if none.is_word("None")) {
        return Ok(None);
    }
    if let Some(text) = text(value) {
        return Ok(Some(crate::sql::quote_literal(text)));
    }
    let code = call(value, Language::Python).filter(|call| matches!(call.name.as_str(), "sa.text" | "text"));
    match code.as_ref().map(|call| call.arguments.as_slice()) {
        Some([Argument { key: None, value }]) if text(value).is_some() => Ok(text(value).map(str::to_owned)),
        _ => Err(Trouble::new(
            line,
            format!("the default {} is computed", shown(value)),
            "write it as a text or as sa.text(\"...\")",
        )),
    }
}

fn unknown_type(line: usize, value: &[Token<'_>]) -> Trouble {
    Trouble::new(
        line,
        format!("which type of PostgreSQL {} is cannot be told from the file", shown(value)),
        "write the plan with `crossfade new type TABLE.COLUMN TYPE`, with the type as in CREATE TABLE",
    )
}

/// The classes of `SQLAlchemy` that take no arguments here, and their types.
const TYPES: [(&str, &str); 36] = [
    ("BIGINT", "bigint"),
    ("BYTEA", "bytea"),
    ("BigInteger", "bigint"),
    ("Boolean", "boolean"),
    ("BOOLEAN", "boolean"),
    ("CIDR", "cidr"),
    ("CITEXT", "citext"),
    ("DATE", "date"),
    ("DOUBLE_PRECISION", "double precision"),
    ("Date", "date"),
    ("Double", "double precision"),
    ("Float", "double precision"),
    ("HSTORE", "hstore"),
    ("INET", "inet"),
    ("INTEGER", "integer"),
    ("INTERVAL", "interval"),
    ("Integer", "integer"),
    ("Interval", "interval"),
    ("JSON", "json"),
    ("JSONB", "jsonb"),
    ("LargeBinary", "bytea"),
    ("MACADDR", "macaddr"),
    ("MONEY", "money"),
    ("OID", "oid"),
    ("REAL", "real"),
    ("SMALLINT", "smallint"),
    ("SmallInteger", "smallint"),
    ("TEXT", "text"),
    ("TSVECTOR", "tsvector"),
    ("Text", "text"),
    ("UUID", "uuid"),
    ("UnicodeText", "text"),
    ("Uuid", "uuid"),
    ("INT4RANGE", "int4range"),
    ("TSTZRANGE", "tstzrange"),
    ("DATERANGE", "daterange"),
];

/// Returns the type of PostgreSQL that a class of `SQLAlchemy` stands for.
fn type_name(value: &[Token<'_>]) -> Option<String> {
    let bare = value.iter().all(|token| token.word().is_some() || token.is('.'));
    let parts: Vec<_> = value.iter().filter_map(Token::word).collect();
    let call = if bare { None } else { Some(call(value, Language::Python)?) };
    let name = call.as_ref().map_or_else(|| parts.join("."), |call| call.name.clone());
    let class = name.rsplit('.').next()?;
    let arguments = call.as_ref().map(|call| call.arguments.as_slice()).unwrap_or_default();
    let place = |at: usize, keys: &[&str]| {
        let by_key = arguments.iter().find(|argument| argument.key.as_deref().is_some_and(|key| keys.contains(&key)));
        by_key
            .or_else(|| arguments.get(at).filter(|argument| argument.key.is_none()))
            .map(|argument| number(argument.value))
    };
    let zoned = |class: &str| -> Option<String> {
        Some(match arguments {
            [] => class.to_owned(),
            [Argument { key, value: [yes] }] if key.as_deref().is_none_or(|key| key == "timezone") => {
                match yes.word()? {
                    "True" => format!("{class} with time zone"),
                    "False" => class.to_owned(),
                    _ => return None,
                }
            }
            _ => return None,
        })
    };
    match class {
        "String" | "VARCHAR" | "Unicode" | "CHAR" => {
            let of_type = if class == "CHAR" { "char" } else { "varchar" };
            match (arguments, place(0, &["length"])) {
                ([], _) => Some(of_type.to_owned()),
                ([_], Some(Some(length))) => Some(format!("{of_type}({length})")),
                _ => None,
            }
        }
        "Numeric" | "NUMERIC" | "DECIMAL" => {
            let of = |at, key: &str| match place(at, &[key]) {
                Some(Some(number)) => Some(Some(number)),
                Some(None) => None,
                None => Some(None),
            };
            match (arguments.len(), of(0, "precision")?, of(1, "scale")?) {
                (0, ..) => Some("numeric".to_owned()),
                (1, Some(precision), None) => Some(format!("numeric({precision})")),
                (2, Some(precision), Some(scale)) => Some(format!("numeric({precision}, {scale})")),
                _ => None,
            }
        }
        "DateTime" | "TIMESTAMP" | "DATETIME" => zoned("timestamp"),
        "Time" | "TIME" => zoned("time"),
        "Enum" | "ENUM" => {
            let known = |key: &String| ["name", "schema", "create_type"].contains(&key.as_str());
            if arguments.iter().any(|argument| !argument.key.as_ref().is_none_or(known)) {
                return None;
            }
            let of = |key: &str| arguments.iter().find(|argument| argument.key.as_deref() == Some(key));
            let name = quoted(text(of("name")?.value)?);
            let schema = match of("schema") {
                Some(argument) => Some(quoted(text(argument.value)?)),
                None => None,
            };
            Some(schema.map_or_else(|| name.clone(), |schema| format!("{schema}.{name}")))
        }
        "ARRAY" => {
            let [Argument { key: None, value: inner }] = arguments else { return None };
            // One dimension deep: PostgreSQL makes no difference.
            let inner_class = inner.iter().take_while(|token| !token.is('(')).filter_map(Token::word).last()?;
            if inner_class == "ARRAY" { None } else { type_name(inner).map(|inner| format!("{inner}[]")) }
        }
        // Whether values are text or UUIDs in Python changes nothing in the database.
        "UUID" | "Uuid" if arguments.iter().all(|argument| argument.key.as_deref() == Some("as_uuid")) => {
            Some("uuid".to_owned())
        }
        "JSONB" | "JSON" if arguments.iter().all(|argument| argument.key.as_deref() == Some("astext_type")) => {
            Some(class.to_ascii_lowercase())
        }
        class => {
            let known = TYPES.iter().find(|(name, _)| *name == class).map(|(_, of_type)| (*of_type).to_owned());
            known.filter(|_| arguments.is_empty())
        }
    }
}

/// Returns the name of a type, in quotes where it needs them.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { crate::sql::quote_ident(name) }
}

/// The arguments of a call, by the names of those that have a place.
pub(super) struct Arguments<'c, 'a, 't> {
    pub(super) call: &'c Call<'a, 't>,
    places: &'c [&'c str],
}

impl<'c, 'a, 't> Arguments<'c, 'a, 't> {
    /// Returns them, if there are not more without a key than places.
    pub(super) fn of(call: &'c Call<'a, 't>, places: &'c [&'c str]) -> Result<Self, Trouble> {
        let count = call.arguments.iter().filter(|argument| argument.key.is_none()).count();
        if count > places.len() || call.arguments.iter().any(|argument| argument.value.is_empty()) {
            let message = format!("{} has other arguments than are known", call.name);
            return Err(Trouble::new(call.line, message, "write them with their names"));
        }
        Ok(Self { call, places })
    }

    /// Returns the value of an argument, if it is given.
    pub(super) fn value(&self, key: &str) -> Option<&'a [Token<'t>]> {
        let by_key = self.call.arguments.iter().find(|argument| argument.key.as_deref() == Some(key));
        let place = self.places.iter().position(|place| *place == key);
        let by_place = || self.call.arguments.get(place?).filter(|argument| argument.key.is_none());
        by_key.or_else(by_place).map(|argument| argument.value)
    }

    /// Returns a text that must be given.
    pub(super) fn text(&self, key: &str) -> Result<String, Trouble> {
        match self.value(key).map(|value| (value, text(value))) {
            Some((_, Some(text))) => Ok(text.to_owned()),
            Some((value, None)) => Err(Trouble::new(
                self.call.line,
                format!("`{key}` is {}, which only the program knows", shown(value)),
                "write it as a text",
            )),
            None => Err(Trouble::new(self.call.line, format!("{} has no `{key}`", self.call.name), "add it")),
        }
    }

    /// Returns a text that may be left out, or be None.
    fn maybe_text(&self, key: &str) -> Result<Option<String>, Trouble> {
        match self.value(key) {
            None => Ok(None),
            Some([none]) if none.is_word("None") => Ok(None),
            Some(_) => self.text(key).map(Some),
        }
    }
}

/// Returns the texts that a value is, one or a list of them, with their lines.
pub(super) fn texts<'a>(value: &'a [Token<'_>]) -> Option<Vec<(&'a str, usize)>> {
    let one = |value: &'a [Token<'_>]| Some((text(value)?, value.first()?.line));
    match list(value) {
        Some(items) => items.into_iter().map(one).collect(),
        None => Some(vec![one(value)?]),
    }
}
