//! What a rename or a type change of each column of a table would meet: what [`inspect`](super::inspect()) finds for a plan with
//! that one change. What it reads of the table is read once for all columns, and no row is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::anew;
use super::children::{self, Heir};
use super::columns::{self, Column};
use super::constraint::{self, Constraint};
use super::conversion::{self, Retyped};
use super::copy::Part;
use super::dependants::{self, Hanging};
use super::index::Index;
use super::inspect::{self, carried, has_twin, judge_outcomes, judge_read, referred, refuse_hypertable, settle, sides};
use super::neighbours::Neighbours;
use super::partitions;
use super::publications::Published;
use super::query::{self, LIMITS, run};
use super::rehearsal::{self, Asked, rehearse};
use super::server::Server;
use super::table::Table;
use super::trigger_arguments::{self, Argument};
use super::{CatalogError, Finding, Inspection};
use crate::ident::{ColumnName, TableName};
use crate::names::LedgerSchema;
use crate::pg::{self, ErrorClass, Owner};
use crate::plan::{self, Change, ChangeType, OnConflict, Plan, RenameColumn};
use crate::run::Conversion;
use crate::sql::quote_ident;

const WHAT: &str = "look at a column";
/// After this time the table's lock is given back, between two columns: whoever waits for it comes first.
const HELD: Duration = Duration::from_secs(1);

/// The types that a column of a type is changed to where none is asked for, and the expression where a plain cast would depend
/// on settings of the session; `{c}` is the column.
const WIDER: [(&str, &str, Option<&str>); 21] = [
    ("smallint", "integer", None),
    ("integer", "bigint", None),
    ("bigint", "numeric", None),
    ("real", "double precision", None),
    ("double precision", "numeric", None),
    ("text", "character varying", None),
    ("date", "timestamp without time zone", None),
    ("timestamp without time zone", "timestamp with time zone", Some("{c} AT TIME ZONE 'UTC'")),
    ("timestamp with time zone", "timestamp without time zone", Some("{c} AT TIME ZONE 'UTC'")),
    ("time without time zone", "interval", None),
    ("interval", "numeric", Some("EXTRACT(EPOCH FROM {c})")),
    ("json", "jsonb", None),
    ("cidr", "inet", None),
    ("oid", "bigint", None),
    ("smallint[]", "integer[]", None),
    ("integer[]", "bigint[]", None),
    ("bigint[]", "numeric[]", None),
    ("real[]", "double precision[]", None),
    ("text[]", "character varying[]", None),
    ("character varying[]", "text[]", None),
    ("macaddr", "macaddr8", None),
];

/// Types that lose their limit instead, if they have one.
const LIMITED: [&str; 6] = [
    "character varying",
    "numeric",
    "bit varying",
    "timestamp with time zone",
    "timestamp without time zone",
    "interval",
];

/// What would become of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It gets the new name, and everything that hangs on it follows.
    Follows,
    /// PostgreSQL changes it without touching a row.
    MetadataOnly,
    /// Its values, and what hangs on it, are carried to a new column.
    Carried,
    /// Something rules the change out.
    Refused,
    /// It could not be looked at.
    Unknown,
}

impl Fate {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Follows, Self::MetadataOnly, Self::Carried, Self::Refused, Self::Unknown];

    /// Returns it in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Follows => "follows",
            Self::MetadataOnly => "metadata only",
            Self::Carried => "carried",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// What a change of a column would meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What would become of it.
    pub outcome: Fate,
    /// What rules the change out.
    pub refusals: Vec<Finding>,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is found of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnAnswers {
    /// The column.
    pub column: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// What a rename would meet.
    pub rename: Answer,
    /// The type that it would be changed to.
    pub to: String,
    /// The expression for that, where it is no plain cast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub using: Option<String>,
    /// What this change would meet.
    pub type_change: Answer,
}

/// A part of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of it, but system schemas and the ledger.
    Database,
    /// A schema.
    Schema(String),
    /// A table.
    Table(TableName),
}

/// What is in a part of a database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Scoped {
    /// The database.
    pub(crate) database: String,
    /// The server's version, as it writes it.
    pub(crate) server_version: String,
    /// The tables, by name: schema and table.
    pub(crate) tables: Vec<(String, String)>,
}

/// Returns the tables of `scope`: ordinary, partitioned and foreign ones.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub(crate) async fn scoped(
    conn: &mut PgConnection,
    scope: &Scope,
    ledger: &LedgerSchema,
) -> Result<Scoped, CatalogError> {
    let (schema, table) = match scope {
        Scope::Database => (None, None),
        Scope::Schema(schema) => (Some(schema.clone()), None),
        Scope::Table(table) => (Some(table.schema.clone()), Some(table.name.clone())),
    };
    let query = query::fixed(include_str!("scoped.sql")).bind(schema).bind(table).bind(ledger.as_str().to_owned());
    query::read(conn, "list the tables", query).await
}

/// Returns what a rename of each column of `table` would meet, and a change of its type to `to`, or without it to a wider type
/// of the same kind.
///
/// Changes nothing, and reads no row: works on empty temporary copies of the table, in transactions that are rolled back. Takes
/// ACCESS SHARE on the table, waiting at most 2 s for it, and gives it back every second. May be dropped at any point, with the
/// connection.
///
/// # Errors
/// [`CatalogError`] when the table cannot be looked at. What goes wrong with one column is its [`Answer::error`].
pub(crate) async fn inventory(
    conn: &mut PgConnection,
    table: &TableName,
    to: Option<&str>,
    ledger: &LedgerSchema,
    memo: &mut Memo,
) -> Result<Vec<ColumnAnswers>, CatalogError> {
    let mut answers = Vec::new();
    loop {
        let look = async |tx: &mut PgConnection| some_columns(tx, (table, to), ledger, (&mut answers, memo)).await;
        if pg::rolled_back(conn, LIMITS, look).await.map_err(|Failed(error)| error)? {
            return Ok(answers);
        }
    }
}

/// What was found of columns, and is so of others that are like them.
#[derive(Default)]
pub(crate) struct Memo {
    /// Of columns that are in no index and whose change is not refused: whether PostgreSQL only touches the catalog.
    cheap: HashMap<Vec<String>, bool>,
    /// Types and conversions that do not depend on the column's name.
    types: HashMap<Vec<String>, Retyped>,
}

/// The error of a transaction.
struct Failed(CatalogError);

impl From<sqlx::Error> for Failed {
    fn from(source: sqlx::Error) -> Self {
        Self(CatalogError::Database { what: WHAT, source })
    }
}

impl From<CatalogError> for Failed {
    fn from(error: CatalogError) -> Self {
        Self(error)
    }
}

/// Looks at columns behind those that have answers, for a second; returns whether it came to the last.
async fn some_columns(
    tx: &mut PgConnection,
    (table, to): (&TableName, Option<&str>),
    ledger: &LedgerSchema,
    (answers, memo): (&mut Vec<ColumnAnswers>, &mut Memo),
) -> Result<bool, Failed> {
    let begun = Instant::now();
    let Some(ground) = Ground::read(tx, table, ledger).await? else { return Ok(true) };
    for column in ground.columns.iter().filter(|column| column.attnum > 0).skip(answers.len()) {
        if begun.elapsed() > HELD && !answers.is_empty() {
            return Ok(false);
        }
        match ground.column(tx, table, column, to, memo).await {
            Ok(found) => answers.push(found),
            Err(CatalogError::Database { source, .. }) if pg::class_of(&source) == ErrorClass::Connection => {
                return Err(source.into());
            }
            // The transaction is of no more use.
            Err(error) => {
                answers.push(unseen(column, to, &error));
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// What is read of a table once for all of its columns.
struct Ground {
    server: Server,
    table: Table,
    columns: Vec<Column>,
    indexes: Vec<Index>,
    constraints: Vec<Constraint>,
    /// Foreign keys that refer to its columns.
    incoming: Vec<Constraint>,
    hanging: Vec<Hanging>,
    neighbours: Neighbours,
    trigger_arguments: Vec<Argument>,
    published: Published,
    user_path: String,
    /// What rules out every change, found before and after the table itself is judged.
    refusals: (Vec<Finding>, Vec<Finding>),
    /// The owner, where the session can act as them and the copy is there.
    owner: Option<Owner>,
}

impl Ground {
    async fn read(
        tx: &mut PgConnection,
        name: &TableName,
        ledger: &LedgerSchema,
    ) -> Result<Option<Self>, CatalogError> {
        let user_path = settle(tx).await?;
        run(tx, "set limits", "SET LOCAL search_path = pg_catalog, pg_temp".to_owned()).await?;
        let server = Server::read(tx, ledger).await?;
        let (mut before, mut after) = (Inspection::empty(), Inspection::empty());
        let Some(table) = Table::read(tx, name, &mut before).await? else { return Ok(None) };
        let columns = Column::read_all(tx, table.oid).await?;
        server.judge(ledger, &mut before);
        let attnums: Vec<_> = columns.iter().filter(|c| c.attnum > 0).map(|c| i32::from(c.attnum)).collect();
        let neighbours = Neighbours::read(tx, table.oid).await?;
        let names = columns.iter().map(|column| column.name.clone()).collect();
        let trigger_arguments = trigger_arguments::naming(tx, table.oid, names).await?;
        let published = Published::read(tx, table.oid).await?;
        let (mut indexes, mut hanging, mut owner) = (vec![], vec![], None);
        let (mut constraints, mut incoming) = (vec![], vec![]);
        if table.ordinary() {
            if server.has_hypertables {
                refuse_hypertable(tx, name, &mut before).await?;
            }
            indexes = Index::read_all(tx, table.oid, &attnums).await?;
            hanging = dependants::read(tx, table.oid, &attnums).await?;
            constraints = Constraint::read_all(tx, table.oid, &attnums).await?;
            incoming = Constraint::read_incoming(tx, table.oid, &attnums).await?;
            if server.supported() && server.may_create_temp {
                owner = enter(tx, (name, &table), &server, &mut after).await?;
            }
            if owner.is_some() && !rehearsal::copy(tx, name, &[], &mut after).await? {
                owner = None;
            }
        }
        let refusals = (before.refusals, after.refusals);
        Ok(Some(Self {
            server,
            table,
            columns,
            indexes,
            constraints,
            incoming,
            hanging,
            neighbours,
            trigger_arguments,
            published,
            user_path,
            refusals,
            owner,
        }))
    }

    async fn column(
        &self,
        tx: &mut PgConnection,
        table: &TableName,
        column: &Column,
        to: Option<&str>,
        memo: &mut Memo,
    ) -> Result<ColumnAnswers, CatalogError> {
        let (to, using) = target(column, to);
        let taken = |name: &str| self.columns.iter().any(|column| column.name == name);
        let free = (0..=self.columns.len()).map(|n| format!("new_{n}")).find(|name| !taken(name)).unwrap_or_default();
        let (Ok(old), Ok(new)) = (ColumnName::new(&column.name), ColumnName::new(&free)) else {
            // The server has no such names.
            return Ok(unseen(column, Some(&to), &"it has no name"));
        };
        let rename = Change::RenameColumn(RenameColumn {
            from: old.clone(),
            to: new.clone(),
            on_conflict: OnConflict::default(),
            adopt: None,
        });
        let retype = Change::ChangeType(ChangeType {
            column: old,
            via: new,
            to: to.clone(),
            using: using.clone(),
            reverse: None,
            default: None,
            keep_name: true,
            on_conflict: OnConflict::default(),
            on_error: None,
            adopt: None,
        });
        let rename = self.change(tx, &plan_of(table, rename), memo).await?;
        let type_change = self.change(tx, &plan_of(table, retype), memo).await?;
        let (name, type_name) = (column.name.clone(), column.type_name.clone());
        Ok(ColumnAnswers { column: name, type_name, rename, to, using, type_change })
    }

    /// Returns what a plan with one change would meet, and leaves the copy as it was.
    async fn change(&self, tx: &mut PgConnection, plan: &Plan, memo: &mut Memo) -> Result<Answer, CatalogError> {
        let mut found = Inspection::empty();
        let cheap = self.judge(tx, plan, memo, &mut found).await?;
        self.published.judge_any(plan, self.server.version, cheap, &mut found);
        let outcome = match cheap {
            _ if !found.refusals.is_empty() => Fate::Refused,
            _ if plan.only_borrows() => Fate::Follows,
            true => Fate::MetadataOnly,
            false => Fate::Carried,
        };
        Ok(Answer { outcome, refusals: found.refusals, error: None })
    }

    /// Finds what rules the plan out; returns whether PostgreSQL only touches the catalog.
    async fn judge(
        &self,
        tx: &mut PgConnection,
        plan: &Plan,
        memo: &mut Memo,
        found: &mut Inspection,
    ) -> Result<bool, CatalogError> {
        found.refusals.extend(self.refusals.0.iter().cloned());
        if !self.table.ordinary() {
            self.table.judge(plan, &self.server.role, false, found);
            return Ok(false);
        }
        let olds = columns::judge(plan, &self.columns, found);
        let sides = sides(plan, &olds);
        let on_it = |attnum: i16| sides.iter().any(|(old, _)| *old == attnum);
        let indexes = self.indexes.iter().filter(|index| sides.iter().any(|(old, _)| index.mentions(*old)));
        // Those of tables that inherit follow a column that stays.
        let indexes =
            indexes.filter(|index| !plan.only_borrows() || self.table.partitioned() || !index.is_of_partition());
        let indexes: Vec<_> = indexes.cloned().collect();
        self.table.judge(plan, &self.server.role, !indexes.is_empty(), found);
        for index in &indexes {
            index.judge(&plan.table, found);
        }
        if self.table.partitioned() && !plan.only_borrows() {
            let names: Vec<_> = olds.iter().flatten().map(|old| old.name.clone()).collect();
            partitions::judge_own(tx, (&plan.table, self.table.oid), &names, &plan.tag(), found).await?;
        }
        let hanging: Vec<_> = self.hanging.iter().filter(|hanging| on_it(hanging.attnum)).cloned().collect();
        let around = (&hanging[..], &self.neighbours);
        let mut made_anew = judge_read(tx, plan, (self.table.oid, &self.columns, &olds), around, found).await?;
        let children = if plan.only_retypes() { self.table.children() } else { vec![] };
        if !children.is_empty() {
            let names: Vec<_> = olds.iter().flatten().map(|old| old.name.clone()).collect();
            let heirs = Heir::read_all(tx, &children).await?;
            children::judge(tx, (&plan.table, self.table.oid), &heirs, &names, &plan.tag(), found).await?;
            made_anew.join(children::made_anew(tx, &heirs, &names, found).await?);
        }
        trigger_arguments::judge(plan, &self.trigger_arguments, found);
        let carried = carried(plan, &olds);
        let anew = if made_anew.objects.is_empty() { vec![] } else { carried.clone() };
        let constraints = self.constraints.iter().filter(|constraint| has_twin(constraint, plan, &sides, &carried));
        let constraints: Vec<_> = constraints.cloned().collect();
        let twice = |finding: &&Finding| !found.refusals.contains(finding);
        let after: Vec<_> = self.refusals.1.iter().filter(twice).cloned().collect();
        found.refusals.extend(after);
        let Some(owner) = &self.owner else { return Ok(false) };
        let Some(old) = olds.first().copied().flatten() else { return Ok(false) };
        let alone = children.is_empty()
            && indexes.is_empty()
            && constraints.is_empty()
            && hanging.is_empty()
            && old.identity.is_none();
        let key = alone.then(|| alike(plan, old, old.default.as_ref(), owner));
        if let Some(cheap) = key.as_ref().and_then(|key| memo.cheap.get(key)) {
            return Ok(*cheap);
        }
        let said = found.refusals.len();
        run(tx, WHAT, "SAVEPOINT crossfade_column".to_owned()).await?;
        let on_it = (&indexes[..], &constraints[..], &anew[..]);
        let cheap = Box::pin(self.rehearsed(tx, plan, (old, owner), on_it, memo, found)).await?;
        run(tx, WHAT, "ROLLBACK TO SAVEPOINT crossfade_column; RELEASE SAVEPOINT crossfade_column".to_owned()).await?;
        if let Some(key) = key.filter(|_| found.refusals.len() == said) {
            memo.cheap.insert(key, cheap);
        }
        Ok(cheap)
    }

    /// Rehearses the change of a plan; returns whether PostgreSQL only touches the catalog.
    async fn rehearsed(
        &self,
        tx: &mut PgConnection,
        plan: &Plan,
        (old, owner): (&Column, &Owner),
        (indexes, constraints, anew): (&[Index], &[Constraint], &[i32]),
        memo: &mut Memo,
        found: &mut Inspection,
    ) -> Result<bool, CatalogError> {
        let Some((_, change)) = plan.pairs().next() else { return Ok(false) };
        let key = alike(plan, old, None, owner);
        let retyped = match memo.types.get(&key) {
            Some(known) => Some(known.clone()),
            None => conversion::retype(tx, &change, old, (&self.user_path, owner), found).await?,
        };
        if change.retype.is_some() && retyped.is_none() {
            return Ok(false);
        }
        // Other conversions name the column.
        if let Some(retyped) =
            retyped.iter().find(|r| matches!(r.forward, Conversion::Identity | Conversion::InfallibleCast))
        {
            memo.types.insert(key, retyped.clone());
        }
        let parts = [Part { change, old, retyped }];
        let mut tables = vec![self.table.facts(&plan.table)];
        let on_it = (indexes, constraints);
        let rehearsed = rehearse(tx, plan, &parts, on_it, Asked::Refusals, &mut tables, found).await?;
        let Some(rehearsed) = rehearsed else { return Ok(false) };
        if !anew.is_empty() {
            let (name, oid, attnums) = (&plan.table, self.table.oid, anew.to_vec());
            let place = anew::Place { name, oid, attnums, beside: vec![] };
            anew::try_out(tx, place, (&parts, &rehearsed.outcomes), found).await?;
            for heir in &Heir::read_all(tx, &self.table.children()).await? {
                let attnums = heir.attnum(&old.name).map(i32::from).into_iter().collect();
                let (name, oid, beside) = (&heir.child.table, heir.child.oid, heir.beside(&self.columns));
                let place = anew::Place { name, oid, attnums, beside };
                anew::try_out(tx, place, (&parts, &rehearsed.outcomes), found).await?;
            }
        }
        let referred = referred(&parts, &rehearsed.outcomes);
        let comes_in = |constraint: &&Constraint| referred.iter().any(|column| constraint.refers_to(column.attnum));
        let incoming: Vec<_> = self.incoming.iter().filter(comes_in).cloned().enumerate().collect();
        constraint::incoming(tx, &incoming, &referred, &mut tables, found).await?;
        judge_outcomes((plan, tables[0].rows), indexes, (&parts, &rehearsed.outcomes), found);
        Ok(rehearsed.outcomes.iter().all(|outcome| outcome.metadata_only))
    }
}

/// Returns what a change of a column with this default depends on beside its indexes: another column that has the same ends in
/// the same way.
fn alike(plan: &Plan, old: &Column, default: Option<&String>, owner: &Owner) -> Vec<String> {
    let retype = plan.changes.first().and_then(Change::pair).and_then(|pair| pair.retype);
    let using = retype.and_then(|retype| retype.using.as_ref());
    let using = using.map(|using| using.replace(&quote_ident(&old.name), "{c}"));
    let to = retype.map(|retype| retype.to.clone());
    let (owner, of_type) = (Some(owner.role.clone()), Some(old.type_name.clone()));
    let all = [owner, of_type, old.collate.clone(), default.cloned(), to, using];
    all.into_iter().map(Option::unwrap_or_default).collect()
}

/// Prepares the session to run the owner's code as the owner; what is refused is added to `found`.
async fn enter(
    tx: &mut PgConnection,
    (name, table): (&TableName, &Table),
    server: &Server,
    found: &mut Inspection,
) -> Result<Option<Owner>, CatalogError> {
    // What the table says of row-level security is not said twice.
    let mut all = Inspection::empty();
    table.judge(&template(name), &server.role, false, &mut all);
    let said = all.refusals.len();
    let owner = inspect::enter(tx, name, table.oid, server, &mut all).await?;
    found.refusals.extend(all.refusals.drain(said..));
    Ok(owner)
}

/// Returns the type that a column is changed to, and the expression for it.
fn target(column: &Column, to: Option<&str>) -> (String, Option<String>) {
    if let Some(to) = to {
        return (to.to_owned(), None);
    }
    if let Some(base) = column.made_of() {
        return (base.to_owned(), None);
    }
    match WIDER.iter().find(|(of, _, _)| *of == column.base_type) {
        _ if column.type_mod >= 0 && LIMITED.contains(&column.base_type.as_str()) => (column.base_type.clone(), None),
        Some((_, to, using)) => {
            let using = using.map(|using| using.replace("{c}", &quote_ident(&column.name)));
            ((*to).to_owned(), using)
        }
        None if column.base_type.ends_with("[]") => ("text[]".to_owned(), None),
        None => ("text".to_owned(), None),
    }
}

/// Returns a plan of this one change.
fn plan_of(table: &TableName, change: Change) -> Plan {
    Plan { changes: vec![change], ..template(table) }
}

/// Returns a plan in which everything is as in a plan file that says nothing of it.
fn template(table: &TableName) -> Plan {
    const TEXT: &str =
        "version: 1\nname: inventory\ntable: public.t\nchanges: [{ rename_column: { from: a, to: b } }]\n";
    let plan = plan::parse("inventory", TEXT).expect("a plan that a unit test reads");
    Plan { table: table.clone(), ..plan }
}

fn unseen(column: &Column, to: Option<&str>, error: &impl ToString) -> ColumnAnswers {
    let unknown = || Answer { outcome: Fate::Unknown, refusals: vec![], error: Some(error.to_string()) };
    let (to, using) = target(column, to);
    let (name, type_name) = (column.name.clone(), column.type_name.clone());
    ColumnAnswers { column: name, type_name, rename: unknown(), to, using, type_change: unknown() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_one_change_has_the_defaults_of_a_plan_file() {
        let table = TableName::new("app", "vehicles").unwrap();
        assert_eq!(template(&table).table, table);
    }
}
