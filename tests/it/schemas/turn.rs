//! One change of one column, or of several of a table, of a database that has many: there and back, and to the end beside plain ALTER TABLE.

use std::collections::{BTreeMap, BTreeSet};

use crossfade::plan::{Plan, TableName};
use crossfade::run::Phase;
use crossfade::runner::Tool;
use crossfade::sql::{quote_ident, quote_literal};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::harness::{Database, Version, plain_alter, tool};
use crate::oracle::{chain, difference, with_sorted_statistics};

/// The name that the `n`th of several columns gets.
fn new_name(n: usize) -> String {
    format!("New name {n}")
}

/// What a column is changed to.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Rename,
    Retype { from: String, to: String, using: Option<String> },
}

/// A change of one column or of several of a table.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) table: TableName,
    pub(crate) columns: Vec<(String, Change)>,
    /// Functions whose bodies name one of the columns and have to name it anew: number of the column, function.
    pub(crate) functions: Vec<(usize, &'static str)>,
}

impl std::fmt::Display for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.table)?;
        for (column, change) in &self.columns {
            match change {
                Change::Rename => write!(f, " {column} renamed")?,
                Change::Retype { from, to, .. } => write!(f, " {column} from {from} to {to}")?,
            }
        }
        Ok(())
    }
}

/// What became of the columns of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Refused, with the codes of the reasons.
    Refused(BTreeSet<&'static str>),
    /// Renamed.
    Follows,
    /// Every type changed by PostgreSQL without touching a row.
    InPlace,
    /// Carried to a new column.
    Carried,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(codes) => {
                let codes: Vec<_> =
                    codes.iter().map(|code| format!("`{}`", code.trim_start_matches("catalog::"))).collect();
                write!(f, "refused ({})", codes.join(" "))
            }
            Self::InPlace => write!(f, "in place"),
            Self::Follows | Self::Carried => write!(f, "{}", self.word()),
        }
    }
}

impl End {
    /// Returns it as the inventory says it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Follows => "follows",
            Self::InPlace => "metadata only",
            Self::Carried => "carried",
        }
    }
}

/// A database that each turn begins with a copy of.
pub(crate) struct Ground {
    pub(crate) version: Version,
    database: Database,
    /// What makes it.
    sql: String,
    schemas: Vec<&'static str>,
    /// What is in it.
    start: String,
    rows: String,
}

impl Ground {
    pub(crate) async fn new(version: &Version, sql: &str, schemas: &[&'static str]) -> Self {
        let database = Database::on(version).await;
        database.execute(sql).await;
        let (version, sql, schemas) = (version.clone(), sql.to_owned(), schemas.to_vec());
        let mut ground = Self { version, database, sql, schemas, start: String::new(), rows: String::new() };
        (ground.start, ground.rows) =
            (ground.state(&ground.database, true).await, ground.contents(&ground.database).await);
        ground.database.pool.close().await;
        ground
    }

    /// Returns a copy of the database.
    pub(crate) async fn copy(&self) -> Database {
        self.database.copy(&self.version).await
    }

    /// Returns all that PostgreSQL knows of the schemas: exactly, or without the order of columns.
    async fn state(&self, database: &Database, exact: bool) -> String {
        let mut all = vec![if exact { database.exact_schema().await } else { database.schema().await }];
        for schema in &self.schemas {
            let listing = include_str!("../oracle/listing.sql")
                .replace("{s}", &quote_literal(schema))
                .replace("{n}", if exact { "a.attnum" } else { "'-'" })
                .replace("{exact}", if exact { "true" } else { "false" });
            all.push(database.scalar::<String>(&listing).await);
        }
        let all = all.join("\n");
        if exact { all } else { with_sorted_statistics(&all) }
    }

    /// Returns all rows.
    async fn contents(&self, database: &Database) -> String {
        let names: Vec<_> = self.schemas.iter().map(|schema| quote_literal(schema)).collect();
        let each = format!(
            "SELECT string_agg(format('SELECT %L || coalesce(string_agg(E''\\n'' || to_jsonb(x)::text, '''' ORDER BY to_jsonb(x)::text), '''') AS rows FROM %s x',
                c.oid::regclass::text, c.oid::regclass), ' UNION ALL ' ORDER BY c.oid::regclass::text)
             FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ({}) AND relkind IN ('r', 'm')",
            names.join(", ")
        );
        let all: String = database.scalar(&each).await;
        database.scalar(&format!("SELECT string_agg(rows, E'\\n' ORDER BY rows) FROM ({all}) AS a")).await
    }

    /// Makes the change in copies of the database.
    ///
    /// # Errors
    /// What went wrong, or is not as plain ALTER TABLE leaves it.
    pub(crate) async fn take(&self, turn: &Turn) -> Result<End, String> {
        let ours = self.copy().await;
        let tool = tool(&ours.url);
        let (plan, text, filled) = match self.accepted(&ours, &tool, turn).await? {
            Ok(accepted) => accepted,
            Err(codes) => return Ok(End::Refused(codes)),
        };
        if filled {
            let to = tool.run(&plan, &text, Some(Phase::Switch)).await;
            to.map_err(|error| format!("to switch: {}", chain(&error)))?;
            let back = tool.rollback(plan.name.as_str(), None).await;
            back.map_err(|error| format!("back: {}", chain(&error)))?;
            same("rolled back", &self.start, &self.state(&ours, true).await)?;
            same("rows, rolled back", &self.rows, &self.contents(&ours).await)?;
        }
        let end = tool.run(&plan, &text, None).await;
        end.map_err(|error| format!("to the end: {}", chain(&error)))?;
        self.compare(turn, &plan, &ours).await?;
        Ok(match turn.renames() {
            true => End::Follows,
            false if filled => End::Carried,
            false => End::InPlace,
        })
    }

    /// Returns the plan of a turn and whether it fills a column, or what rules it out whatever else the plan says.
    async fn accepted(
        &self,
        database: &Database,
        tool: &Tool,
        turn: &Turn,
    ) -> Result<Result<(Plan, String, bool), BTreeSet<&'static str>>, String> {
        let change = |(n, (column, change)): (usize, &(String, Change))| match change {
            Change::Rename => json!({ "rename_column": { "from": column, "to": new_name(n) } }),
            Change::Retype { to, using, .. } => {
                let mut change = json!({ "column": column, "to": to, "via": format!("second {n}") });
                if let Some(using) = using {
                    change["using"] = using.clone().into();
                }
                json!({ "change_type": change })
            }
        };
        let changes: Vec<_> = turn.columns.iter().enumerate().map(change).collect();
        let mut text = json!({
            "version": 1, "name": "turn", "table": turn.table.to_string(), "changes": changes,
            "contract": { "grace": "0s", "quiet": "0s" }, "backfill": { "triggers": "skip" },
        });
        let functions = turn.bodies(database).await;
        if !functions.is_empty() {
            text["functions"] = functions.into();
        }
        let mut ways = vec!["subscriber_first", "narrow"];
        loop {
            let plan = crossfade::plan::parse("turn", &text.to_string()).map_err(|error| format!("{error:?}"))?;
            let preview = tool.preview(&plan).await.map_err(|error| format!("the preview: {}", chain(&error)))?;
            let codes: BTreeSet<_> = preview.refusals.iter().map(|finding| finding.code).collect();
            if codes.is_empty() {
                let filled = preview.program.is_some_and(|program| program.phases.contains(&Phase::Backfill));
                return Ok(Ok((plan, text.to_string(), filled)));
            }
            // What a plan can say against a reason, it says.
            if codes.contains("catalog::inherited_index") {
                text["indexes"] = json!({ "copy": "none" });
            } else if codes.contains("catalog::exclusion") && text.get("indexes").is_none() {
                text["indexes"] = json!({ "exclusion_lock": "1min" });
            } else if let Some(way) =
                codes.iter().any(|code| code.starts_with("catalog::publication")).then(|| ways.pop()).flatten()
            {
                text["publications"] = way.into();
            } else {
                return Ok(Err(codes));
            }
        }
    }

    /// Compares the end of a run with what plain ALTER TABLE leaves, or where PostgreSQL refuses that, with a database that had the type
    /// from the beginning.
    async fn compare(&self, turn: &Turn, plan: &Plan, ours: &Database) -> Result<(), String> {
        let exact = turn.renames();
        let found = self.state(ours, exact).await;
        let beside = self.copy().await;
        let mut statements = plain_alter(plan);
        statements.extend(turn.functions.iter().map(|(n, function)| {
            let body = turn.body_sql(*n);
            format!("UPDATE pg_proc SET prosrc = {body} WHERE oid = {}::regprocedure", quote_literal(function))
        }));
        let done = sqlx::raw_sql(AssertSqlSafe(statements.join("; "))).execute(&beside.pool).await;
        let Err(error) = done else {
            let expected = self.state(&beside, exact).await;
            if exact {
                same("the end", &expected, &found)?;
            } else {
                let [checks, others] = checks_apart(&expected);
                let [found_checks, found_others] = checks_apart(&found);
                same("the end", &others, &found_others)?;
                let (checks, found) =
                    (without_casts(&beside, &checks).await, without_casts(&beside, &found_checks).await);
                same("checks at the end", &checks, &found)?;
            }
            return same("rows at the end", &self.contents(&beside).await, &self.contents(ours).await);
        };
        let Some(sql) = with_types(&self.sql, turn) else {
            return Err(format!("plain ALTER TABLE: {error}; and no line makes the column"));
        };
        let beside = Database::on(&self.version).await;
        let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&beside.pool).await;
        made.map_err(|second| format!("plain ALTER TABLE: {error}; with the type from the beginning: {second}"))?;
        let expected = without_casts(&beside, &self.state(&beside, false).await).await;
        same("the end, beside a table made so", &expected, &without_casts(&beside, &found).await)
    }
}

impl Turn {
    fn renames(&self) -> bool {
        self.columns.iter().all(|(_, change)| matches!(change, Change::Rename))
    }

    /// The body, in SQL, of a function that names column number `n`.
    fn body_sql(&self, n: usize) -> String {
        let (column, name) = (quote_literal(&self.columns[n].0), quote_literal(&quote_ident(&new_name(n))));
        format!("regexp_replace(prosrc, '\\m' || {column} || '\\M', {name}, 'g')")
    }

    /// Returns the functions for the plan.
    async fn bodies(&self, database: &Database) -> Vec<Value> {
        let mut all: BTreeMap<&str, String> = BTreeMap::new();
        for (n, function) in &self.functions {
            let before = match all.remove(function) {
                Some(body) => quote_literal(&body),
                None => format!("(SELECT prosrc FROM pg_proc WHERE oid = {}::regprocedure)", quote_literal(function)),
            };
            let sql = format!("SELECT {} FROM (SELECT {before} AS prosrc) AS p", self.body_sql(*n));
            all.insert(function, database.scalar(&sql).await);
        }
        all.iter()
            .map(|(name, body)| json!({ "name": name.strip_suffix("()").unwrap_or(name), "body": body }))
            .collect()
    }
}

/// Returns what makes the schema, with other types for the columns.
fn with_types(sql: &str, turn: &Turn) -> Option<String> {
    let (schema, table) = (&turn.table.schema, &turn.table.name);
    let heads = [
        format!("CREATE TABLE {} (", turn.table.sql()),
        format!("CREATE TABLE {}.{} (", spelled(schema), spelled(table)),
        format!("CREATE TABLE {} (", spelled(table)),
    ];
    let mut lines: Vec<String> = sql.split('\n').map(str::to_owned).collect();
    let head = lines.iter().position(|line| heads.contains(line))?;
    let end = head + lines[head..].iter().position(|line| line.starts_with(')'))?;
    for (column, change) in &turn.columns {
        let Change::Retype { from, to, .. } = change else { continue };
        let names = [format!("    {} ", spelled(column)), format!("    {} ", quote_ident(column))];
        let is_it = |line: &&mut String| names.iter().any(|name| line.starts_with(name.as_str()));
        let line = lines[head..end].iter_mut().find(is_it)?;
        let column = names.iter().find(|name| line.starts_with(name.as_str()))?;
        let rest = line[column.len()..].strip_prefix(from.as_str())?;
        *line = format!("{column}{to}{rest}");
    }
    Some(lines.join("\n"))
}

/// Returns a name as the files of schemas spell it: with quotes where it needs them.
fn spelled(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { quote_ident(name) }
}

/// Returns the lines with a CHECK, and the others: PostgreSQL writes one for which it has changed a type otherwise than one that was made
/// of these words, as after a dump.
fn checks_apart(text: &str) -> [String; 2] {
    let (checks, others): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains("CHECK ("));
    [checks.join("\n"), others.join("\n")]
}

/// Returns a listing without casts, parentheses and midnights: a condition that was read again for another type has others than one
/// that was written for it.
async fn without_casts(database: &Database, text: &str) -> String {
    let cast = r#"::("[^"]*"|[a-z_]+)(\.[a-z_]+)?( varying| precision| with(out)? time zone)?(\([0-9,]+\))?(\[\])?"#;
    let sql = format!("SELECT regexp_replace({}, {}, '', 'g')", quote_literal(text), quote_literal(cast));
    let bare = database.scalar::<String>(&sql).await.replace(['(', ')'], "").replace(" 00:00:00'", "'");
    let mut lines: Vec<_> = bare.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn same(stage: &str, expected: &str, found: &str) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{stage}:\n{}", difference(expected, found))) }
}
