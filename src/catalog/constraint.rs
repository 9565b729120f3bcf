//! The CHECK constraints and foreign keys on columns that get another type: each gets a twin on the new column.

use serde::Deserialize;
use sqlx::PgConnection;

use super::add_constraint::{Referenced, other_table};
use super::copy::{COPY, Outcome, Part, all_changes, change_one, give_back};
use super::query::{self, Objection, attempt, run};
use super::{CatalogError, Inspection};
use crate::ident::TableName;
use crate::run::{CarriedConstraint, OwnConstraint, ReferringKey, RelationId, Stage, TableFacts};
use crate::sql::quote_ident;

const WHAT: &str = "rehearse a constraint";

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Constraint {
    pub(super) name: String,
    /// Its name on its own table.
    pub(super) own_name: String,
    /// Schema and name of the partition, or of the table that inherits, that has it alone.
    member: Option<(String, String)>,
    /// Columns that this has besides those of the run's table, as ADD COLUMN says them.
    beside: Vec<String>,
    /// What stands behind its name, as it is now; of a CHECK without whether it is validated.
    definition: String,
    validated: bool,
    comment: Option<String>,
    /// The columns of the table that it mentions.
    attnums: Vec<i16>,
    /// What a foreign key is made of.
    key: Option<Key>,
}

#[derive(Debug, Clone, Deserialize)]
struct Key {
    own_schema: String,
    own_table: String,
    own_columns: Vec<(i16, String)>,
    schema: String,
    table: String,
    referenced: Vec<(i16, String)>,
    /// Whether both tables belong to the same role.
    same_owner: bool,
    /// Whether its own table is neither partitioned nor part of an inheritance.
    plain: bool,
    /// MATCH, ON UPDATE and ON DELETE.
    actions: String,
    /// The columns that ON DELETE SET NULL empties, where not all.
    emptied: Vec<(i16, String)>,
    /// DEFERRABLE and the like.
    attributes: String,
    temporal: bool,
}

/// A constraint after the changes.
#[derive(Debug, Clone)]
pub(super) struct Twin {
    /// Its definition while both columns are there.
    soak: String,
    /// Its definition once the new column has its final name.
    last: String,
    /// The original's definition after the swap, where its twin takes its place later.
    parked: String,
    references: Option<RelationId>,
    member: Option<RelationId>,
}

impl Key {
    /// Returns the definition of the foreign key to `table` (quoted for SQL), with the names (quoted) of its own columns and of those
    /// that it refers to.
    fn sql(
        &self,
        table: &str,
        own: impl Fn(&(i16, String)) -> String,
        referenced: impl Fn(&(i16, String)) -> String,
    ) -> String {
        let list = |columns: &[(i16, String)]| columns.iter().map(&own).collect::<Vec<_>>().join(", ");
        let emptied = if self.emptied.is_empty() { String::new() } else { format!(" ({})", list(&self.emptied)) };
        let referenced: Vec<_> = self.referenced.iter().map(referenced).collect();
        format!(
            "FOREIGN KEY ({}) REFERENCES {table} ({}){}{emptied}{}",
            list(&self.own_columns),
            referenced.join(", "),
            self.actions,
            self.attributes
        )
    }

    fn refers_to(&self, attnum: i16) -> bool {
        self.referenced.iter().any(|(column, _)| *column == attnum)
    }
}

impl Constraint {
    /// Returns those of the table that mention one of these columns, by name.
    pub(super) async fn read_all(
        conn: &mut PgConnection,
        table: i64,
        attnums: &[i32],
    ) -> Result<Vec<Self>, CatalogError> {
        let query = query::fixed(include_str!("constraints.sql")).bind(table).bind(attnums.to_vec()).bind(false);
        query::read(conn, "read the table's constraints", query).await
    }

    /// Returns the foreign keys, of any table, that refer to one of these columns, by table and name.
    pub(super) async fn read_incoming(
        conn: &mut PgConnection,
        table: i64,
        attnums: &[i32],
    ) -> Result<Vec<Self>, CatalogError> {
        let query = query::fixed(include_str!("constraints.sql")).bind(table).bind(attnums.to_vec()).bind(true);
        query::read(conn, "read the foreign keys to the table", query).await
    }

    /// Returns whether it is the foreign key of `table` that `key` describes, as it was; `proved` says whether it is to hold for all rows
    /// by now, if it did.
    pub(super) fn is_key(&self, table: &TableName, key: &ReferringKey, proved: bool) -> bool {
        let here = self.key.as_ref().is_some_and(|own| own.own_schema == table.schema && own.own_table == table.name);
        let definition = self.definition.strip_suffix(" NOT VALID").filter(|_| key.validated && !proved);
        here && self.name == key.name && definition.unwrap_or(&self.definition) == key.definition
    }

    /// Whether a partition, or a table that inherits, has it alone.
    pub(super) fn is_of_member(&self) -> bool {
        self.member.is_some()
    }

    pub(super) fn comment(&self) -> Option<&String> {
        self.comment.as_ref()
    }

    /// Whether it is a foreign key that refers to this column.
    pub(super) fn refers_to(&self, attnum: i16) -> bool {
        self.key.as_ref().is_some_and(|key| key.refers_to(attnum))
    }

    /// Whether it is a foreign key of the table itself to one of these columns: it is among those that come in.
    pub(super) fn comes_in(&self, table: &TableName, attnums: &[i32]) -> bool {
        self.key.as_ref().is_some_and(|key| {
            key.schema == table.schema
                && key.table == table.name
                && attnums.iter().any(|attnum| key.refers_to(i16::try_from(*attnum).unwrap_or_default()))
        })
    }

    pub(super) fn mentions(&self, attnum: i16) -> bool {
        self.attnums.contains(&attnum)
    }

    /// Returns whether it is still what `facts` say of it at `stage`: `is_last` says whether it is its own twin by then. Where it is not,
    /// the old column has the name after the swap that the new one had before.
    pub(super) fn is(&self, facts: &CarriedConstraint, stage: Stage, is_last: bool) -> bool {
        let expected = match stage {
            _ if is_last => &facts.last,
            Stage::Soak => &facts.definition,
            Stage::Swapped | Stage::Retired => &facts.parked,
        };
        match &self.key {
            Some(key) if is_last || stage != Stage::Soak => key.sql(&key.place(), plainly, plainly) == *expected,
            _ => self.definition == *expected,
        }
    }

    /// Returns the statement that puts it on the copy as it is now, under the name `crossfade_constraint_<number>`.
    pub(super) fn on_copy(&self, number: usize) -> Option<String> {
        let add = || self.add_to_copy(&format!("crossfade_constraint_{number} {}", self.definition));
        self.key.is_none().then(add)
    }

    fn add_to_copy(&self, constraint: &str) -> String {
        let beside = self.beside.iter().map(|column| format!("ADD COLUMN IF NOT EXISTS {column}, "));
        format!("ALTER TABLE {COPY} {}ADD CONSTRAINT {constraint}", beside.collect::<String>())
    }

    /// Returns the facts; `olds` are the changes' positions in the plan with their old columns.
    pub(super) fn facts(&self, number: usize, twin: Twin, olds: &[(usize, i16)]) -> CarriedConstraint {
        CarriedConstraint {
            number,
            name: self.name.clone(),
            member: twin.member.map(|table| OwnConstraint { table, name: self.own_name.clone() }),
            definition: self.definition.clone(),
            soak: twin.soak,
            last: twin.last,
            parked: twin.parked,
            foreign_key: self.key.is_some(),
            validated: self.validated,
            references: twin.references,
            comment: self.comment.clone(),
            changes: olds.iter().filter(|(_, old)| self.mentions(*old)).map(|(position, _)| *position).collect(),
        }
    }

    /// Returns it as it is, with what else is known of it from `was`.
    pub(super) fn seen(&self, was: &CarriedConstraint, renamed: bool) -> CarriedConstraint {
        // A twin is validated later than its original.
        let validated = if renamed { was.validated } else { self.validated };
        CarriedConstraint { comment: self.comment.clone(), validated, ..was.clone() }
    }

    /// Has PostgreSQL write its twin, on the copy before the changes; refuses what it would refuse.
    pub(super) async fn twin(
        &self,
        conn: &mut PgConnection,
        (parts, outcomes): (&[Part<'_>], &[Outcome]),
        tables: &mut Vec<TableFacts>,
        found: &mut Inspection,
    ) -> Result<Option<Twin>, CatalogError> {
        let mut member = None;
        if let Some(table) = self.member.as_ref().and_then(|(schema, name)| TableName::new(schema, name).ok()) {
            member = referring_table(conn, &table, tables, found).await?;
            if member.is_none() {
                return Ok(None);
            }
        }
        let mut references = None;
        if let Some(key) = &self.key {
            if key.temporal {
                found.refuse(
                    "catalog::foreign_key",
                    format!("foreign key \"{}\" has a PERIOD", self.name),
                    "crossfade cannot carry it yet: drop it for the run",
                );
                return Ok(None);
            }
            if let Some(column) = self.set_to_default(parts, outcomes) {
                found.refuse(
                    "catalog::foreign_key",
                    format!("foreign key \"{}\" has SET DEFAULT, and column \"{column}\" has a default", self.name),
                    "while there are two columns, only one of them has the default, and the other would become NULL: drop the foreign key \
                     for the run, or give it another action",
                );
                return Ok(None);
            }
            let Ok(name) = TableName::new(&key.schema, &key.table) else { return Ok(None) };
            references = other_table(conn, &name, tables, found).await?;
            if references.is_none() {
                return Ok(None);
            }
        }
        run(conn, WHAT, "SAVEPOINT crossfade_constraint".to_owned()).await?;
        let made = self.on_changed_copy(conn, parts, outcomes).await?;
        run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_constraint".to_owned()).await?;
        run(conn, WHAT, "RELEASE SAVEPOINT crossfade_constraint".to_owned()).await?;
        match made {
            Ok([soak, last, parked]) => Ok(Some(Twin { soak, last, parked, references, member })),
            Err(objection) => {
                let said = objection.message.replace("crossfade_constraint_0", &self.name);
                let said = said.replace(Referenced::NAME, self.key.as_ref().map_or("", |key| &key.table));
                found.refuse(
                    "catalog::constraint",
                    format!("constraint \"{}\" does not fit the new type: {said}", self.name),
                    "drop the constraint, or change it so that plain ALTER TABLE would accept it",
                );
                Ok(None)
            }
        }
    }

    /// Returns the column of a foreign key that gets a second one, if the key may set it to a default other than NULL.
    fn set_to_default<'a>(&self, parts: &'a [Part<'_>], outcomes: &[Outcome]) -> Option<&'a str> {
        self.key.as_ref().filter(|key| key.actions.contains("SET DEFAULT"))?;
        let goes = parts.iter().zip(outcomes).filter(|(part, out)| !out.metadata_only && !part.change.borrows());
        let mut of_it = goes.map(|(part, _)| part.old).filter(|old| self.mentions(old.attnum));
        let given = of_it.find(|old| old.default.is_some() || old.type_default.is_some())?;
        Some(&given.name)
    }

    /// Returns the definitions in the soak and in the end, and that of the original between the swap and the end.
    async fn on_changed_copy(
        &self,
        conn: &mut PgConnection,
        parts: &[Part<'_>],
        outcomes: &[Outcome],
    ) -> Result<Result<[String; 3], Objection>, CatalogError> {
        const NAME: &str = "crossfade_constraint_0";
        let active = || parts.iter().zip(outcomes).filter(|(_, outcome)| !outcome.metadata_only).map(|(part, _)| part);
        // What is wrong with the changes themselves is reported without a constraint.
        if let Some(key) = &self.key {
            let named = |of: fn(&Part<'_>) -> String| {
                move |(attnum, name): &(i16, String)| {
                    active().find(|part| part.old.attnum == *attnum).map_or_else(|| quote_ident(name), of)
                }
            };
            let changed = key.sql(Referenced::COPY, named(|part| part.change.new.sql()), plainly);
            let add = self.add_to_copy(&format!("{NAME} {changed}"));
            if attempt(conn, WHAT, all_changes(parts, outcomes)).await?.is_ok()
                && let Err(objection) = attempt(conn, WHAT, [add]).await?
            {
                return Ok(Err(objection));
            }
            let place = key.place();
            let soak = key.sql(&place, named(in_soak), plainly);
            let last = key.sql(&place, named(|part| part.change.final_name().sql()), plainly);
            let parked = key.sql(&place, named(after_swap), plainly);
            return Ok(Ok([soak, last, parked]));
        }
        if let Err(objection) = attempt(conn, WHAT, self.on_copy(0)).await? {
            return Ok(Err(objection));
        }
        let parked = self.after_swap(conn, parts, outcomes).await?;
        if let Err(objection) = attempt(conn, WHAT, all_changes(parts, outcomes)).await? {
            let without = format!("ALTER TABLE {COPY} DROP CONSTRAINT {NAME}");
            let alone = attempt(conn, WHAT, std::iter::once(without).chain(all_changes(parts, outcomes))).await?;
            // The change alone is refused too, and that is said elsewhere.
            return Ok(if alone.is_ok() { Err(objection) } else { Ok(<[String; 3]>::default()) });
        }
        let back = give_back(parts.iter().map(|part| part.change));
        let soak = read(conn, back).await?;
        // The twin is made of these words, and once PostgreSQL has read them it may write others (docs/postgres.md, "Definitions come
        // from PostgreSQL").
        let again = [
            format!("ALTER TABLE {COPY} DROP CONSTRAINT {NAME}"),
            format!("ALTER TABLE {COPY} ADD CONSTRAINT {NAME} {soak}"),
        ];
        if let Err(objection) = attempt(conn, WHAT, again).await? {
            return Ok(Err(objection));
        }
        let last = active().map(|part| {
            let first = if part.change.borrows() { part.change.old } else { part.change.new };
            (first, if part.change.borrows() { part.change.new } else { part.change.final_name() })
        });
        let last = last.filter(|(first, last)| first != last);
        let last =
            last.map(|(first, last)| format!("ALTER TABLE {COPY} RENAME COLUMN {} TO {}", first.sql(), last.sql()));
        let last = read(conn, last.collect()).await?;
        Ok(Ok([soak, last, parked]))
    }

    /// Returns the definition of the copy's constraint, whose columns keep their types, once others have their names.
    async fn after_swap(
        &self,
        conn: &mut PgConnection,
        parts: &[Part<'_>],
        outcomes: &[Outcome],
    ) -> Result<String, CatalogError> {
        run(conn, WHAT, "SAVEPOINT crossfade_parked".to_owned()).await?;
        let moved = parts.iter().zip(outcomes).flat_map(|(part, outcome)| {
            if outcome.metadata_only {
                change_one(part, true)
            } else if part.change.keeps_name() {
                vec![format!("ALTER TABLE {COPY} RENAME COLUMN {} TO {}", part.change.old.sql(), part.change.new.sql())]
            } else {
                vec![]
            }
        });
        // What cannot be changed in place is refused elsewhere.
        let moved: Vec<_> = moved.collect();
        let moved = attempt(conn, WHAT, moved).await?;
        let definition = if moved.is_ok() { read(conn, vec![]).await? } else { String::new() };
        run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_parked; RELEASE SAVEPOINT crossfade_parked".to_owned())
            .await?;
        Ok(definition)
    }
}

fn plainly((_, name): &(i16, String)) -> String {
    quote_ident(name)
}

/// The name of the old column while another has its own.
fn after_swap(part: &Part<'_>) -> String {
    if part.change.keeps_name() { part.change.new } else { part.change.old }.sql()
}

/// The name of the column that a twin is on while both columns are there.
fn in_soak(part: &Part<'_>) -> String {
    if part.change.borrows() { part.change.old } else { part.change.new }.sql()
}

impl Key {
    fn place(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.table))
    }
}

/// Returns the definition of the copy's CHECK constraint after these statements.
async fn read(conn: &mut PgConnection, statements: Vec<String>) -> Result<String, CatalogError> {
    for statement in statements {
        run(conn, WHAT, statement).await?;
    }
    let copy = query::oid(conn, COPY).await?;
    let all = Constraint::read_all(conn, copy, &(1..=1600).collect::<Vec<_>>()).await?;
    Ok(all
        .into_iter()
        .find(|made| made.name == "crossfade_constraint_0")
        .map_or_else(String::new, |made| made.definition))
}

/// A column that another one takes the name of, and what foreign keys refer to.
pub(super) struct Referred {
    /// Its number.
    pub(super) attnum: i16,
    /// The name of the other one while both are there, quoted.
    pub(super) beside: String,
    /// The type of the other one, with its collation, if it is to be tried.
    pub(super) to: Option<String>,
}

/// Returns the foreign keys that refer to `columns`, with their twins; refuses what cannot be carried. Their tables are added to
/// `tables`.
pub(super) async fn incoming(
    conn: &mut PgConnection,
    all: &[(usize, Constraint)],
    columns: &[Referred],
    tables: &mut Vec<TableFacts>,
    found: &mut Inspection,
) -> Result<Vec<ReferringKey>, CatalogError> {
    let beside = |(attnum, name): &(i16, String)| {
        let other = columns.iter().find(|column| column.attnum == *attnum);
        other.map_or_else(|| quote_ident(name), |column| column.beside.clone())
    };
    let mut facts = Vec::new();
    for (number, constraint) in all {
        let Some(key) = &constraint.key else { continue };
        let Ok(own) = TableName::new(&key.own_schema, &key.own_table) else { continue };
        let name = format!("foreign key \"{}\" of {own}", constraint.name);
        let refused = if key.temporal {
            Some(("has a PERIOD", "crossfade cannot carry it yet: drop it for the run"))
        } else if !key.plain {
            Some(("is that of an inherited table", "crossfade cannot carry it yet: drop it for the run"))
        } else if !key.same_owner {
            let help = "give both tables the same owner, or drop it for the run";
            Some(("belongs to another role than the table that it refers to", help))
        } else {
            None
        };
        if let Some((why, help)) = refused {
            found.refuse("catalog::foreign_key", format!("{name} {why}"), help);
            continue;
        }
        let Some(table) = referring_table(conn, &own, tables, found).await? else { continue };
        let here = table == RelationId::MAIN;
        // There is nothing to refer to before the swap.
        let late = tables.first().is_some_and(|table| table.partitioned);
        if !fits(conn, (key, &constraint.name, here), columns, &name, found).await? {
            continue;
        }
        let place = key.place();
        facts.push(ReferringKey {
            number: *number,
            name: constraint.name.clone(),
            table,
            definition: constraint.definition.clone(),
            twin: match (late, here) {
                (true, _) => key.sql(&place, plainly, plainly),
                (false, true) => key.sql(&place, beside, beside),
                (false, false) => key.sql(&place, plainly, beside),
            },
            validated: constraint.validated,
            comment: constraint.comment.clone(),
        });
    }
    Ok(facts)
}

/// Returns the place among `tables` of the table that a foreign key belongs to.
async fn referring_table(
    conn: &mut PgConnection,
    name: &TableName,
    tables: &mut Vec<TableFacts>,
    found: &mut Inspection,
) -> Result<Option<RelationId>, CatalogError> {
    let Some(table) = super::table::Table::read(conn, name, found).await? else { return Ok(None) };
    let place = tables.iter().position(|known| known.oid == table.oid).unwrap_or_else(|| {
        tables.push(table.facts(name));
        tables.len() - 1
    });
    Ok(u16::try_from(place).ok().map(RelationId))
}

/// Whether PostgreSQL accepts the foreign key between the types that there will be; `here` says whether it is of the table that it
/// refers to.
async fn fits(
    conn: &mut PgConnection,
    (key, called, here): (&Key, &str, bool),
    changed: &[Referred],
    name: &str,
    found: &mut Inspection,
) -> Result<bool, CatalogError> {
    let types = |columns: &[(i16, String)], table: String| {
        let names: Vec<_> = columns.iter().map(plainly).collect();
        format!("(SELECT {} FROM {table} LIMIT 0)", names.join(", "))
    };
    let own = TableName::new(&key.own_schema, &key.own_table).map(|name| name.sql()).unwrap_or_default();
    let mut make = vec![
        format!("CREATE TEMPORARY TABLE crossfade_own AS {}", types(&key.own_columns, own)),
        format!("CREATE TEMPORARY TABLE crossfade_key AS {}", types(&key.referenced, key.place())),
    ];
    let altered = |table: &str, columns: &[(i16, String)]| -> Vec<String> {
        let altered = columns.iter().filter_map(|(attnum, name)| {
            let to = changed.iter().find(|column| column.attnum == *attnum)?.to.as_ref()?;
            let name = quote_ident(name);
            Some(format!("ALTER TABLE pg_temp.{table} DROP COLUMN {name}, ADD COLUMN {name} {to}"))
        });
        altered.collect()
    };
    make.extend(altered("crossfade_key", &key.referenced));
    if here {
        make.extend(altered("crossfade_own", &key.own_columns));
    }
    let list = |columns: &[(i16, String)]| columns.iter().map(plainly).collect::<Vec<_>>().join(", ");
    let (own, referenced) = (list(&key.own_columns), list(&key.referenced));
    make.push(format!("ALTER TABLE pg_temp.crossfade_key ADD UNIQUE ({referenced})"));
    make.push(format!(
        "ALTER TABLE pg_temp.crossfade_own ADD CONSTRAINT {} FOREIGN KEY ({own}) REFERENCES pg_temp.crossfade_key ({referenced})",
        quote_ident(called)
    ));
    run(conn, WHAT, "SAVEPOINT crossfade_incoming".to_owned()).await?;
    let tried = attempt(conn, WHAT, make).await?;
    run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_incoming".to_owned()).await?;
    run(conn, WHAT, "RELEASE SAVEPOINT crossfade_incoming".to_owned()).await?;
    if let Err(objection) = &tried {
        found.refuse(
            "catalog::foreign_key",
            format!("{name} does not fit the new type: {}", objection.message),
            "change the type of its own columns first, in a plan of their own, or drop it for the run",
        );
    }
    Ok(tried.is_ok())
}
