//! A plan that begins: what somebody wants of a column, turned into a plan file with values that are sensible for this table, and
//! tried.

use chrono::{DateTime, Datelike as _, Days, Utc};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use super::{Error, Preview, Tool, clock};
use crate::catalog::{self, Outline, OutlineColumn, OutlineType};
use crate::change::{Instead, Side, Way, instead, ways};
use crate::ident::{ColumnName, MAX_IDENT_BYTES, PlanName, RunTag, TableName, sha256_hex};
use crate::names::LedgerSchema;
use crate::plan::{self, Change, ChangeType, Comment, OnConflict, Plan, Referring, RenameColumn};
use crate::run::Phase;
use crate::sql::{quote_ident, quote_literal};

/// What somebody wants of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Another name.
    Rename {
        /// The column.
        column: String,
        /// Its new name.
        to: String,
    },
    /// Another type.
    Type {
        /// The column.
        column: String,
        /// The type, as in CREATE TABLE.
        to: String,
        /// The expression that converts values; one that fits is looked for where there is none.
        using: Option<String>,
        /// The default under the new type; one that fits is looked for where there is none.
        default: Option<String>,
        /// Another name, which the column gets along with its type.
        name: Option<String>,
    },
}

impl Wanted {
    /// Returns the wish for another type of a column, and nothing else.
    pub fn to_type(column: impl Into<String>, to: impl Into<String>) -> Self {
        Self::Type { column: column.into(), to: to.into(), using: None, default: None, name: None }
    }

    fn column(&self) -> &str {
        let (Self::Rename { column, .. } | Self::Type { column, .. }) = self;
        column
    }
}

/// A plan that begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// The same as a plan file, with comments.
    pub text: String,
    /// What a run of it would do, and what stands in its way.
    pub preview: Preview,
}

/// Returns the path of a change in the plan file.
fn path(number: usize) -> String {
    format!("changes/{number}/change_type")
}

impl Tool {
    /// Returns the tables that a plan could be about, those that need no schema first: no partitions, and nothing of the ledger. Changes
    /// nothing.
    ///
    /// # Errors
    /// The server's.
    pub async fn tables(&self) -> Result<Vec<TableName>, Error> {
        let mut connection = self.connect().await?;
        let mut tables = catalog::tables(&mut connection).await?;
        tables.retain(|table| table.schema != self.ledger.schema().as_str());
        Ok(tables)
    }

    /// Returns the table `name` of `schema`, or else of the first schema of the connection's `search_path` that has one. Changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::NotThere`]; the server's.
    pub async fn outline(&self, schema: Option<&str>, name: &str) -> Result<Outline, Error> {
        let mut connection = self.connect().await?;
        Ok(catalog::outline(&mut connection, schema, name).await??)
    }

    /// Returns a plan for what is `wanted` of columns of the table, one each, in a file that begins with the sentences `about` as
    /// comments. Tries expressions on an empty copy of the table, and then the plan as [`Tool::preview`] does, in transactions that are
    /// rolled back.
    ///
    /// # Errors
    /// [`Error::NotThere`]; [`Error::Unwritable`] where no plan can say what is wanted; the server's. What is wrong with plan or table is
    /// in the preview.
    pub async fn draft(&self, outline: &Outline, wanted: &[Wanted], about: &[String]) -> Result<Draft, Error> {
        let mut connection = self.connect().await?;
        let now = clock::server(&mut connection).await?;
        let taken = self.ledger.log().names(&mut connection).await?;
        let wanted = resolved(&mut connection, outline, wanted).await?;
        let name = name_for(&outline.table, &wanted, &taken);
        let (mut changes, mut comments) = (Vec::new(), of_file(about));
        for (number, wish) in wanted.iter().enumerate() {
            match wish {
                Wanted::Rename { column, to } => changes.push(rename(column, to)?),
                Wanted::Type { .. } => {
                    let (change, more) = self.retype(&mut connection, outline, wish, (&name, number)).await?;
                    changes.push(Change::ChangeType(change));
                    comments.extend(more);
                }
            }
        }
        drop(connection);
        comments.extend(of_renames(&wanted));
        // What is printed is tried, and nothing else.
        let plan = written(&Plan::new(name, outline.table.clone(), changes))?;
        let mut connection = self.connect().await?;
        let with_others = Plan { referring: Some(Referring::Change), ..plan.clone() };
        let refer = plan.changes.iter().any(|change| plan::widens(change).is_some())
            && !catalog::family(&mut connection, &with_others).await?.parts.is_empty();
        drop(connection);
        let plan = if refer { written(&with_others)? } else { plan };
        if refer {
            let sentence = "Columns of other tables refer to it: they get the type first, each table by itself. `leave` keeps their types.";
            comments.push(Comment::above("referring", sentence));
        }
        let preview = self.preview(&plan).await?;
        if let [Wanted::Type { column, to, .. }] = wanted.as_slice() {
            let outline = outline.column(column)?;
            comments.extend(self.instead(outline, to, (&plan, &preview)).await?);
        }
        comments.extend(around(outline, &plan, &preview, now));
        let text = plan::to_commented_yaml(&plan, &comments);
        Ok(Draft { plan, text, preview })
    }

    /// Returns the change of a plan for another type of a column, with comments. It is the one of this number in the plan `name`.
    async fn retype(
        &self,
        connection: &mut PgConnection,
        outline: &Outline,
        wish: &Wanted,
        (name, number): (&PlanName, usize),
    ) -> Result<(ChangeType, Vec<Comment>), Error> {
        let column = wish.column();
        let old = outline.column(column)?;
        let change = retyped(wish, &second_name(outline, column))?;
        let (to, via) = (change.to.as_str(), change.via.to_string());
        let (given, own_default) = (change.using.clone(), change.default.clone());
        let new = catalog::outline_type(connection, to).await??;
        let made = |change: &ChangeType| {
            Plan::new(name.clone(), outline.table.clone(), vec![Change::ChangeType(change.clone())])
        };
        let plain = catalog::inspect(connection, &made(&change), self.ledger.schema()).await?;
        let in_place = plain.facts.as_ref().and_then(|facts| facts.pair(0)).is_some_and(|pair| pair.metadata_only);
        let Some(new) = new.filter(|_| !in_place) else {
            // Such a name need not be written.
            let unwritten = ColumnName::new(&RunTag::new(name).name(column)).ok().filter(|_| change.keep_name);
            let via = unwritten.unwrap_or_else(|| change.via.clone());
            return Ok((ChangeType { via, ..change }, vec![]));
        };
        let mut best: Option<(usize, ChangeType, &'static str)> = None;
        for (way, of_default) in ways_of(old, &new, &via) {
            let of_default = match &own_default {
                Some(default) => vec![Some(default.clone())],
                None => defaults(connection, old, &new, of_default).await?,
            };
            for default in of_default {
                let (using, reverse) = (given.clone().or(way.using.clone()), way.reverse.clone());
                let change = ChangeType { using, reverse, default, ..change.clone() };
                let refused = refusals(connection, &made(&change), self.ledger.schema()).await?;
                if best.as_ref().is_none_or(|(least, ..)| refused < *least) {
                    best = Some((refused, change, if given.is_some() { "" } else { way.note }));
                }
                if refused == 0 {
                    break;
                }
            }
            if best.as_ref().is_some_and(|(refused, ..)| *refused == 0) {
                break;
            }
        }
        let (_, change, note) = best.unwrap_or((0, change, ""));
        let comments = of_change(&change, old, note, number);
        Ok((change, comments))
    }

    /// Returns what could be written in place of `using` where values do not convert, as comments.
    async fn instead(
        &self,
        old: &OutlineColumn,
        to: &str,
        (plan, preview): (&Plan, &Preview),
    ) -> Result<Vec<Comment>, Error> {
        let found = preview.refusals.iter().find(|finding| finding.code == "catalog::does_not_convert");
        let (Some(found), Some(Change::ChangeType(change))) = (found, plan.changes.first()) else { return Ok(vec![]) };
        let mut connection = self.connect().await?;
        let at = format!("{}/{}", path(0), if change.using.is_some() { "using" } else { "to" });
        let mut comments = vec![Comment::below(&at, format!("As it stands, {}.", found.message), vec![])];
        if let Ok(Some(new)) = catalog::outline_type(&mut connection, to).await? {
            let via = in_sql(change.via.as_str());
            let (old, new) = sides(old, &new, &via);
            let of_now = refusals(&mut connection, plan, self.ledger.schema()).await?;
            for Instead { using, note } in instead(old, new, length(to)) {
                let retyped = ChangeType { using: Some(using.clone()), ..change.clone() };
                let other = Plan { changes: vec![Change::ChangeType(retyped)], ..plan.clone() };
                if refusals(&mut connection, &other, self.ledger.schema()).await? <= of_now {
                    comments.push(Comment::below(&at, note, vec![("using".to_owned(), using.into())]));
                }
            }
        }
        let sentence =
            "Or the new column stays empty in those rows until somebody repairs them; `verify` stops at them:";
        comments.push(Comment::below(&at, sentence, vec![("on_error".to_owned(), "leave".into())]));
        Ok(comments)
    }
}

/// Returns how many refusals the catalog has for the plan.
async fn refusals(connection: &mut PgConnection, plan: &Plan, ledger: &LedgerSchema) -> Result<usize, Error> {
    Ok(catalog::inspect(connection, plan, ledger).await?.refusals.len())
}

/// Returns a plan for what is `wanted` of columns of a table that was not looked at, in a file that begins with the sentences `about`
/// as comments.
///
/// # Errors
/// [`Error::NoName`]; [`Error::Unwritable`] where no plan can say what is wanted.
#[cfg(feature = "cli")]
pub(crate) fn unseen(table: &TableName, wanted: &[Wanted], about: &[String]) -> Result<(Plan, String), Error> {
    let name = name_for(table, wanted, &[]);
    let (mut changes, mut comments) = (Vec::new(), of_file(about));
    for (number, wish) in wanted.iter().enumerate() {
        changes.push(match wish {
            Wanted::Rename { column, to } => rename(column, to)?,
            Wanted::Type { column, name: own, .. } => {
                let via = if own.is_some() { "" } else { "name the new column with `via`, and " };
                let sentence = format!("There is no way back in the plan: for one, {via}add `reverse` with an expression over the new column.");
                comments.push(Comment::below(&format!("{}/to", path(number)), sentence, vec![]));
                Change::ChangeType(retyped(wish, &RunTag::new(&name).name(column))?)
            }
        });
    }
    comments.extend(of_renames(wanted));
    comments.extend([
        Comment::above("", "Written without a look at a database: `crossfade plan` says what the plan does there, and what is missing."),
        Comment::above("", ""),
    ]);
    let plan = written(&Plan::new(name, table.clone(), changes))?;
    let text = plan::to_commented_yaml(&plan, &comments);
    Ok((plan, text))
}

/// Returns the plan as it is read from its file.
fn written(plan: &Plan) -> Result<Plan, Error> {
    plan::parse("the new plan", &plan::to_yaml(plan)).map_err(Error::Unwritable)
}

/// Returns what is wanted with types as everybody finds them, whatever their `search_path`: one of somebody's own with its schema.
async fn resolved(connection: &mut PgConnection, outline: &Outline, wanted: &[Wanted]) -> Result<Vec<Wanted>, Error> {
    let mut all = wanted.to_vec();
    for wish in &mut all {
        outline.column(wish.column())?;
        if let Wanted::Type { to, .. } = wish
            && let Some(new) = catalog::outline_type(connection, to).await??
            && !new.built_in
            && !to.contains('(')
        {
            *to = new.base_type;
        }
    }
    Ok(all)
}

fn rename(column: &str, to: &str) -> Result<Change, Error> {
    let (from, to) = (name_of(column)?, name_of(to)?);
    Ok(Change::RenameColumn(RenameColumn { from, to, on_conflict: OnConflict::default(), adopt: None }))
}

/// Returns the change of type that is wanted, as far as it was said. `via` is the name of the new column where it gets none for good.
fn retyped(wish: &Wanted, via: &str) -> Result<ChangeType, Error> {
    let (to, using, default, name) = match wish {
        Wanted::Type { to, using, default, name, .. } => (to.clone(), using.clone(), default.clone(), name.as_deref()),
        Wanted::Rename { .. } => (String::new(), None, None, None),
    };
    Ok(ChangeType {
        column: name_of(wish.column())?,
        via: name_of(name.unwrap_or(via))?,
        to,
        using,
        reverse: None,
        default,
        keep_name: name.is_none(),
        on_conflict: OnConflict::default(),
        on_error: None,
        adopt: None,
    })
}

/// Returns sentences that the file begins with, as comments.
fn of_file(about: &[String]) -> Vec<Comment> {
    about.iter().map(|sentence| Comment::above("", sentence.clone())).collect()
}

/// Returns the comment on changes that are all renames.
fn of_renames(wanted: &[Wanted]) -> Option<Comment> {
    let sentence = "For a while both names work, and a trigger keeps them equal, whichever of the two is written.";
    wanted.iter().all(|wish| matches!(wish, Wanted::Rename { .. })).then(|| Comment::above("changes", sentence))
}

/// Returns a name for a plan of these changes that no run has.
fn name_for(table: &TableName, wanted: &[Wanted], taken: &[String]) -> PlanName {
    let words = match wanted {
        [Wanted::Rename { column, to } | Wanted::Type { column, to, .. }] => vec![column.as_str(), "to", to.as_str()],
        several => several.iter().map(Wanted::column).collect(),
    };
    let words: Vec<_> = std::iter::once(table.name.as_str()).chain(words).collect();
    plan_name(&words, taken)
}

fn name_of(text: &str) -> Result<ColumnName, Error> {
    ColumnName::new(text).map_err(|why| Error::NoName { name: text.to_owned(), why })
}

/// Returns the name of the new column until the names are swapped: one that no column has.
fn second_name(outline: &Outline, column: &str) -> String {
    let numbered = |number: usize| {
        let end = format!("_v{number}");
        let mut name = column.to_owned();
        while name.len() + end.len() > MAX_IDENT_BYTES {
            name.pop();
        }
        name + &end
    };
    let free = |name: &String| outline.columns.iter().all(|other| other.name != *name);
    // As many names as there are columns, and one: one of them is free.
    (2..=outline.columns.len() + 2).map(numbered).find(free).unwrap_or_else(|| numbered(2))
}

/// Returns a name for a plan about these words that no run has.
fn plan_name(words: &[&str], taken: &[String]) -> PlanName {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let all: String = words.join("-").chars().map(plain).collect();
    let parts: Vec<_> = all.split('-').filter(|part| part.chars().any(|c| c.is_ascii_alphanumeric())).collect();
    let mut base = parts.join("-");
    base = base.trim_start_matches('_').to_owned();
    // Room for a number.
    base.truncate(MAX_IDENT_BYTES - 5);
    let hash = || format!("plan-{}", &sha256_hex(&words.join(" "))[..8]);
    let named = |name: &str| PlanName::new(name).ok().filter(|name| !taken.iter().any(|other| other == name.as_str()));
    let numbered = (2..10_000).map(|number| format!("{base}-{number}"));
    let candidates = std::iter::once(base.clone()).chain(numbered);
    candidates
        .chain([hash()])
        .find_map(|name| named(&name))
        .unwrap_or_else(|| PlanName::new(&hash()).expect("letters and digits are a name"))
}

/// Returns the name of a new column for SQL: with its number at the end it is no word of the grammar.
fn in_sql(via: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    let bare = via.starts_with(plain) && via.chars().all(|c| plain(c) || c.is_ascii_digit());
    if bare { via.to_owned() } else { quote_ident(via) }
}

/// Returns both columns of a type change.
fn sides<'a>(old: &'a OutlineColumn, new: &'a OutlineType, via: &'a str) -> (Side<'a>, Side<'a>) {
    (
        Side { sql: &old.sql, base_type: &old.base_type, labels: &old.labels },
        Side { sql: via, base_type: &new.base_type, labels: &new.labels },
    )
}

/// Returns the ways from the old column to the new one, the best first, and what each makes of the old default.
fn ways_of(old: &OutlineColumn, new: &OutlineType, via: &str) -> Vec<(Way, Option<String>)> {
    let via = in_sql(via);
    let (side, new) = sides(old, new, &via);
    let default = format!("({})", old.default.as_deref().unwrap_or("NULL"));
    let of_default = ways(Side { sql: &default, ..side }, new).into_iter().map(|way| way.using);
    ways(side, new).into_iter().zip(of_default).collect()
}

/// Returns what `default` of the plan could be, the best first. `converted` is the old default on its way to the new type.
async fn defaults(
    connection: &mut PgConnection,
    old: &OutlineColumn,
    new: &OutlineType,
    converted: Option<String>,
) -> Result<Vec<Option<String>>, Error> {
    let (Some(default), Some(converted)) = (&old.default, converted) else { return Ok(vec![None]) };
    // Nobody's own code is run for this.
    let own = |base_type: &str, labels: &[String]| !base_type.contains('.') || !labels.is_empty();
    if !own(&old.base_type, &old.labels) || !own(&new.base_type, &new.labels) || !is_constant(default, old) {
        return Ok(vec![None, Some(converted)]);
    }
    Ok(match catalog::constant(connection, &converted).await? {
        Some(value) => vec![None, Some(literal(&value, new))],
        // An INSERT that does not name the column has no value under the new type; a default that cannot be converted would make it fail.
        None if !old.not_null => vec![None, Some("NULL".to_owned())],
        None => vec![None],
    })
}

/// Returns whether a default, as PostgreSQL writes it, is a literal of the column's own type or of one of PostgreSQL's.
fn is_constant(default: &str, old: &OutlineColumn) -> bool {
    if ["true", "false"].contains(&default) || default.parse::<f64>().is_ok() {
        return true;
    }
    let Some(rest) = default.strip_prefix('E').unwrap_or(default).strip_prefix('\'') else { return false };
    let body = rest.replace("\\\\", "..").replace("\\'", "..").replace("''", "..");
    let Some((_, of_type)) = body.split_once('\'') else { return false };
    let Some(of_type) = of_type.strip_prefix("::") else { return of_type.is_empty() };
    of_type == old.base_type || of_type.chars().all(|c| c.is_ascii_alphanumeric() || " _()[],".contains(c))
}

/// Returns a value of the type as SQL.
fn literal(value: &str, of_type: &OutlineType) -> String {
    match of_type.base_type.as_str() {
        "boolean" => value.to_owned(),
        "smallint" | "integer" | "bigint" | "numeric" if value.parse::<f64>().is_ok_and(f64::is_finite) => {
            value.to_owned()
        }
        base_type => format!("{}::{base_type}", quote_literal(value)),
    }
}

/// Returns the length that a type such as `varchar(10)` has room for.
fn length(of_type: &str) -> Option<u32> {
    of_type.split_once('(')?.1.split_once(')')?.0.trim().parse().ok()
}

/// Returns comments on a type change.
fn of_change(change: &ChangeType, old: &OutlineColumn, note: &str, number: usize) -> Vec<Comment> {
    let at = path(number);
    let above = |key: &str, sentence: &str| Comment::above(&format!("{at}/{key}"), sentence);
    let via = if change.keep_name {
        "The new column's name until `switch` swaps the two names."
    } else {
        "The new column's name, for good."
    };
    let using = if note.is_empty() { "The value under the new type, from the old column." } else { note };
    let mut comments = vec![
        above("using", using),
        above(
            "reverse",
            "The way back: it fills the old column where a release writes only the new one, and makes a rollback possible.",
        ),
        above("via", via),
    ];
    if let Some(default) = &old.default {
        let sentence = format!("PostgreSQL does not carry the default {default} over to the new type by itself.");
        comments.push(above("default", &sentence));
    }
    if change.reverse.is_none() {
        let sentence = "There is no `reverse` that crossfade knows: from the moment when a release writes the new column there is no way back. \
                        To have one, add `reverse` with an expression over the new column (its name is `via`).";
        comments.push(Comment::below(&format!("{at}/via"), sentence, vec![]));
    }
    comments
}

/// Returns the comments on everything but the change.
fn around(outline: &Outline, plan: &Plan, preview: &Preview, now: DateTime<Utc>) -> Vec<Comment> {
    let below = |sentence: &str, keys: Vec<(String, Value)>| Comment::below("", sentence, keys);
    let said = |change: &Change| match change {
        Change::ChangeType(change) => {
            let name = if change.keep_name { String::new() } else { format!(", and its name to {}", change.via) };
            format!("change the type of column {} to {}{name}", change.column, change.to)
        }
        change => change.to_string(),
    };
    let said = plan.changes.iter().map(|change| Comment::above("", format!("{}: {}.", plan.table, said(change))));
    let mut comments: Vec<_> = said.collect();
    comments.extend([
        Comment::above("", "A first version, with values for this table as it is now. `crossfade plan` shows what it does, step by step."),
        Comment::above("", ""),
        Comment::above("name", "Unique in the database: `crossfade status` finds the run by it."),
    ]);
    let in_place = preview.in_place && preview.refusals.is_empty();
    if in_place {
        comments.push(below(
            "PostgreSQL makes this change in its catalog and touches no row, so there is no second column.",
            vec![],
        ));
        return comments;
    }
    let columns = plan.pairs().filter_map(|(_, pair)| outline.column(pair.old.as_str()).ok());
    let indexes: Vec<_> = columns.flat_map(|column| &column.indexes).map(String::as_str).collect();
    if !indexes.is_empty() {
        let sentence = format!(
            "The new column gets a copy of each index: {}. With `indexes: {{ copy: none }}` it gets none.",
            indexes.join(", ")
        );
        comments.push(Comment::below("changes", sentence, vec![]));
    }
    let phases = preview.program.as_ref().map_or_else(|| Phase::ALL.to_vec(), |program| program.phases.clone());
    comments.push(below("", vec![]));
    comments.push(below(
        "For how long nobody may have used the old column before it is retired, and for how long it is kept then:",
        vec![("contract".to_owned(), json!({ "quiet": "1h", "grace": "7d" }))],
    ));
    comments.push(below("", vec![]));
    comments.push(below(
        "When `crossfade advance` may do each phase; `crossfade run` does not wait:",
        vec![("schedule".to_owned(), schedule(&phases, now))],
    ));
    comments
}

/// Returns a schedule from the next Monday on.
fn schedule(phases: &[Phase], now: DateTime<Utc>) -> Value {
    let today = now.date_naive();
    let monday =
        today.checked_add_days(Days::new(7 - u64::from(today.weekday().num_days_from_monday()))).unwrap_or(today);
    let week = |phase: Phase| match phase {
        Phase::Expand | Phase::Index | Phase::Backfill => 1,
        Phase::Verify | Phase::Switch => 2,
        Phase::Contract => 4,
    };
    let weekly: Map<String, Value> = phases.iter().map(|phase| (phase.to_string(), week(*phase).into())).collect();
    json!({
        "timezone": "UTC",
        "start": monday.to_string(),
        "weekly": weekly,
        "window": { "days": ["mon", "tue", "wed", "thu"], "from": "22:00", "to": "04:00" },
        "soak": { "switch": "7d" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_gets_a_name_that_no_run_has() {
        let taken = ["vehicles-status-to-state".to_owned(), "vehicles-status-to-state-2".to_owned()];
        let name = |words: &[&str]| plan_name(words, &taken).to_string();
        assert_eq!(name(&["vehicles", "status", "to", "state"]), "vehicles-status-to-state-3");
        assert_eq!(name(&["My Table", "a.\"b\"", "to", "numeric(10, 2)"]), "my-table-a-b-to-numeric-10-2");
        assert!(name(&["表", "列", "", "名"]).starts_with("plan-"));
        assert_eq!(name(&[&"x".repeat(63), &"y".repeat(63), "to", "z"]).len(), 58);
        assert_eq!(name(&["_t", "_c"]), "t-_c");
    }

    #[test]
    fn only_literals_are_constants() {
        let old = OutlineColumn {
            name: "c".to_owned(),
            sql: "c".to_owned(),
            type_name: "app.mood".to_owned(),
            base_type: "app.mood".to_owned(),
            not_null: false,
            default: None,
            labels: vec![],
            indexes: vec![],
        };
        for text in
            ["0", "-1.5", "true", "'a'::text", "'it''s'::character varying(10)", "'x'::app.mood", "E'a\\'b'::text"]
        {
            assert!(is_constant(text, &old), "{text}");
        }
        for text in
            ["now()", "'a'::text || 'b'::text", "('x'::app.dom)::text", "'x'::app.dom", "nextval('s'::regclass)", "a'"]
        {
            assert!(!is_constant(text, &old), "{text}");
        }
    }
}
