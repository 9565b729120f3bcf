//! What the catalog says in the middle of a run of what the run was compiled from.

use sqlx::{Connection as _, PgConnection};

use super::columns::Column;
use super::functions::{self, Function};
use super::index::Index;
use super::inspect::settle;
use super::neighbours::Neighbours;
use super::rehearsal::{Part, rehearse};
use super::table::Table;
use super::{CatalogError, Inspection, conversion, dependants, query};
use crate::change::{Leftovers, Other, Ruin, has_moved, names_at};
use crate::ident::TableName;
use crate::names::LedgerSchema;
use crate::plan::{Change, Pair, Plan};
use crate::run::{Facts, IndexFacts, PairFacts, Phase, Program, Relation, Stage, State, StepKey, What};

/// NOT NULL became a named constraint, and a proof is the constraint itself.
const NAMED_NOT_NULL: u32 = 180_000;

/// What the catalog says now.
#[derive(Debug)]
pub(crate) struct Present {
    /// What the run would be compiled from now. Of a pair it is what the column shows under its name: the old one before the
    /// new one has taken its place, the new one afterwards.
    pub(crate) facts: Facts,
    /// The other column of each pair, by the pair's position.
    pub(crate) others: Vec<(usize, Other)>,
    /// What no program can follow.
    pub(crate) obstacles: Vec<String>,
    /// What others made on the new column alone: it would be dropped with it.
    pub(crate) lost: Vec<String>,
    /// What is left, if the table or a column of a pair is gone.
    pub(crate) ruin: Option<Ruin>,
}

/// Returns a text that is another one as soon as something that hangs on a table of the program has changed. Takes no lock,
/// and may be called inside the caller's transaction.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub(crate) async fn signature(conn: &mut PgConnection, relations: &[Relation]) -> Result<String, CatalogError> {
    let tables: Vec<_> = relations.iter().map(|relation| relation.oid).collect();
    let query = query::fixed(include_str!("signature.sql")).bind(tables);
    query.fetch_one(conn).await.map_err(|source| CatalogError::Database { what: "look for changes", source })
}

/// Returns what the catalog says now of a run in `state` that was compiled from `was`. Changes nothing, as
/// [`super::inspect()`].
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub(crate) async fn present(
    conn: &mut PgConnection,
    (plan, was): (&Plan, &Facts),
    (program, state): (&Program, &State),
    ledger: &LedgerSchema,
) -> Result<Present, CatalogError> {
    const WHAT: &str = "begin reading the catalog";
    let begin = conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await;
    let mut transaction = begin.map_err(|source| CatalogError::Database { what: WHAT, source })?;
    let result = look(&mut transaction, (plan, was), (program, state), ledger).await;
    let end = transaction.rollback().await;
    let present = result?;
    end.map_err(|source| CatalogError::Database { what: "end reading the catalog", source })?;
    Ok(present)
}

async fn look(
    conn: &mut PgConnection,
    (plan, was): (&Plan, &Facts),
    (program, state): (&Program, &State),
    ledger: &LedgerSchema,
) -> Result<Present, CatalogError> {
    let user_path = settle(conn).await?;
    query::run(conn, "set limits", "SET LOCAL search_path = ''".to_owned()).await?;
    let nothing = |ruin| Present { facts: was.clone(), others: vec![], obstacles: vec![], lost: vec![], ruin };
    let oid = was.main().oid;
    let name: Option<(String, String)> =
        query::read(conn, "look for the table", query::fixed(include_str!("standing.sql")).bind(oid)).await?;
    let name = name.and_then(|(schema, name)| TableName::new(&schema, &name).ok());
    let Some(name) = name else {
        let gone = Present {
            obstacles: vec![format!("table {} (oid {oid}) was dropped", was.main().name)],
            ..nothing(Some(Ruin { table: None, pairs: vec![] }))
        };
        return Ok(gone);
    };
    let mut present = nothing(None);
    if name != plan.table {
        present.obstacles.push(format!("table {} is called {name} now", plan.table));
        present.facts.tables[0].name = name.clone();
    }
    let Some(reached) = state.stage() else { return Ok(present) };
    let mut plan = plan.clone();
    plan.table = name;
    let look = Look { plan: &plan, was, program, state, stage: reached, user_path: &user_path, ledger };
    let mut found = Inspection::empty();
    look.at(conn, &mut present, &mut found).await?;
    // A run adds columns itself, and began when there was room for them.
    let refusals = found.refusals.into_iter().filter(|finding| finding.code != "catalog::too_many_columns");
    present.obstacles.extend(refusals.map(|finding| finding.message));
    Ok(present)
}

struct Look<'a> {
    /// The plan, with the name that its table has now.
    plan: &'a Plan,
    was: &'a Facts,
    program: &'a Program,
    state: &'a State,
    stage: Stage,
    user_path: &'a str,
    ledger: &'a LedgerSchema,
}

/// A pair with both of its columns.
struct Both<'a> {
    position: usize,
    change: Pair<'a>,
    was: &'a PairFacts,
    moved: bool,
    old: &'a Column,
    new: &'a Column,
}

impl Both<'_> {
    /// The column that has the place of the plan's, and the other.
    fn sides(&self) -> (&Column, &Column) {
        if self.moved { (self.new, self.old) } else { (self.old, self.new) }
    }
}

impl Look<'_> {
    async fn at(
        &self,
        conn: &mut PgConnection,
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let table = &self.plan.table;
        let oid = self.was.main().oid;
        let Some(read) = Table::read(conn, table, found).await? else { return Ok(()) };
        let role: String =
            query::read(conn, "read the role", query::fixed("SELECT to_json(current_user)::text")).await?;
        read.judge(self.plan, &role, false, found);
        present.facts.tables[0].key.clone_from(&read.key);
        let columns = Column::read_all(conn, oid).await?;
        let Some(pairs) = self.pairs(&columns, present) else { return Ok(()) };
        for pair in &pairs {
            self.judge(pair, present, found);
        }
        let functions = Function::read_all(conn, oid, self.ledger).await?;
        if pairs.iter().any(|pair| pair.change.keeps_name()) {
            present.facts.tables[0].functions_to_touch = functions::to_touch(&functions, table);
        }
        let neighbours = Neighbours::read(conn, oid, &self.program.tag.trigger("1_insert")).await?;
        neighbours.judge(table, found);
        let names: Vec<_> = pairs.iter().map(|pair| pair.change.old.as_str()).collect();
        // Triggers made for others that change columns do no harm without them.
        present.facts.tables[0].other_before_triggers |= neighbours.change_before_us(&names);
        self.dependants(conn, &pairs, present, found).await?;
        self.indexes(conn, &pairs, present, found).await
    }

    /// Returns the pairs at work with their columns, or what is left if one is gone.
    fn pairs<'s>(&'s self, columns: &'s [Column], present: &mut Present) -> Option<Vec<Both<'s>>> {
        let active = || {
            let facts = |(position, change)| Some((position, change, self.was.pair(position)?));
            self.plan.pairs().filter_map(facts).filter(|(.., facts)| !facts.metadata_only)
        };
        let sides = |change: &Pair<'_>, was: &PairFacts| {
            let (old_name, new_name) = names_at(change, &self.program.tag, self.stage);
            let old = columns.iter().find(|column| column.attnum == was.old.attnum);
            let new = columns.iter().find(|column| column.name == new_name && column.attnum != was.old.attnum);
            (old_name, old, new_name, new)
        };
        let mut both = Vec::new();
        let mut left = Vec::new();
        for (position, change, was) in active() {
            let (old_name, old, new_name, new) = sides(&change, was);
            for (name, column, of_type) in [(&old_name, old, &was.old.type_name), (&new_name, new, &was.new_type)] {
                match column {
                    None => present.obstacles.push(format!("there is no column \"{name}\"")),
                    Some(column) if column.name != *name => {
                        present.obstacles.push(format!("column \"{name}\" is called \"{}\" now", column.name));
                    }
                    Some(column) if column.type_name != *of_type => present
                        .obstacles
                        .push(format!("column \"{name}\" has type {}, and not {of_type}", column.type_name)),
                    Some(_) => {}
                }
            }
            left.push((position, old.map(|old| old.name.clone()), new.map(|new| new.name.clone())));
            if let (Some(old), Some(new)) = (old, new) {
                both.push(Both { position, change, was, moved: has_moved(&change, self.stage), old, new });
            }
        }
        if left.len() > both.len() {
            present.ruin = Some(Ruin { table: Some(self.plan.table.clone()), pairs: left });
            return None;
        }
        Some(both)
    }

    /// What is written on the columns themselves.
    fn judge(&self, pair: &Both<'_>, present: &mut Present, found: &mut Inspection) {
        let (visible, other) = pair.sides();
        let mut now = pair.was.clone();
        let seen = visible.facts(pair.was.old.default_is_stable);
        now.old.statistics = seen.statistics;
        now.old.options = seen.options;
        now.old.comment = seen.comment;
        now.old.grants = seen.grants;
        // A type change carries neither.
        if pair.change.renames() {
            now.old.storage = seen.storage;
            now.old.compression = seen.compression;
        }
        if self.says_not_null(pair) {
            // Made NOT NULL on the column that stays: only a way back has to know.
            if pair.moved && visible.not_null && !pair.was.old.not_null {
                present.lost.push(format!("column \"{}\" is NOT NULL", visible.name));
            } else {
                now.old.not_null = visible.not_null;
                // The server may have been upgraded since; the run goes on as it began.
                let named = visible.not_null && self.was.server_version >= NAMED_NOT_NULL;
                now.old.not_null_constraint = seen.not_null_constraint.filter(|_| named);
                if pair.moved && visible.not_null {
                    now.old.not_null_constraint.clone_from(&pair.was.old.not_null_constraint);
                }
            }
        }
        if pair.moved {
            let was =
                pair.was.old.default.as_ref().and(pair.was.new_default.as_ref().or(pair.was.old.default.as_ref()));
            if visible.default.as_ref() != was {
                // On the way back PostgreSQL has to accept it for the old type.
                now.old.default.clone_from(&visible.default);
                now.new_default.clone_from(&visible.default);
            }
        } else {
            now.old.default.clone_from(&visible.default);
            visible.judge(&pair.change, &self.plan.table.to_string(), found);
            if let Some(default) = other.default.as_ref().filter(|default| !default.starts_with("NULL::")) {
                present.obstacles.push(format!(
                    "column \"{}\" has got the default {default}: an INSERT that gives only \"{}\" would lose its value",
                    other.name, visible.name
                ));
            }
        }
        present.others.push((pair.position, Other::new(other.facts(true), visible.type_storage.clone())));
        if let Some(crate::run::ChangeFacts::Pair(facts)) = present.facts.changes.get_mut(pair.position) {
            *facts = now;
        }
    }

    /// Whether the column that others see is NOT NULL because they want it so, or may be NULL for that reason: not while the
    /// run itself has made it nullable, or has not proved it yet.
    fn says_not_null(&self, pair: &Both<'_>) -> bool {
        let done = |phase, what| self.state.is_done(&StepKey::new(phase, what));
        if !pair.moved {
            let must_relax = pair.was.old.not_null && !pair.was.reverse.is_total();
            return !(must_relax && done(Phase::Verify, What::RelaxOld));
        }
        let phase = if pair.was.forward.is_total() { Phase::Verify } else { Phase::Contract };
        let last = if self.was.server_version < NAMED_NOT_NULL { What::NotNullSet } else { What::NotNullValidate };
        !pair.was.old.not_null || done(phase, last)
    }

    /// What others have hung on the columns.
    async fn dependants(
        &self,
        conn: &mut PgConnection,
        pairs: &[Both<'_>],
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let oid = self.was.main().oid;
        let (own, triggers) = (self.program.tag.name(""), self.program.tag.trigger(""));
        let ours = |name: &str| name.starts_with(&own) || name.starts_with(&triggers);
        let attnums: Vec<_> = pairs.iter().filter(|pair| !pair.moved).map(|pair| i32::from(pair.old.attnum)).collect();
        let mut hanging = dependants::read(conn, oid, &attnums).await?;
        hanging.retain(|hanging| !ours(&hanging.what.name));
        let name =
            |attnum| pairs.iter().find(|p| p.old.attnum == attnum).map_or_else(String::new, |p| p.old.name.clone());
        dependants::judge(&hanging, name, found);
        let attnums: Vec<_> = pairs.iter().map(|pair| i32::from(pair.new.attnum)).collect();
        let planned = self.planned_names();
        for hanging in dependants::read(conn, oid, &attnums).await? {
            let what = hanging.what;
            if what.kind != "not_null" && !ours(&what.name) && !planned.contains(&what.name) {
                present.lost.push(what.description);
            }
        }
        Ok(())
    }

    /// The names on the new column that the run gives.
    fn planned_names(&self) -> Vec<String> {
        let exchanged = self.was.main().indexes.iter().filter(|index| self.exchanged(index));
        let mut names: Vec<_> = exchanged.map(|index| index.name.clone()).collect();
        names.extend(self.plan.indexes.add.iter().map(|add| add.name.to_string()));
        names.extend(self.plan.changes.iter().filter_map(|change| match change {
            Change::AddIndex(index) => Some(index.name.to_string()),
            Change::AddConstraint(constraint) => constraint.name.as_ref().map(ToString::to_string),
            _ => None,
        }));
        names
    }

    /// Whether the twin of the index has its name.
    fn exchanged(&self, index: &IndexFacts) -> bool {
        index
            .changes
            .iter()
            .all(|position| self.plan.pairs().any(|(at, change)| at == *position && has_moved(&change, self.stage)))
    }

    async fn indexes(
        &self,
        conn: &mut PgConnection,
        pairs: &[Both<'_>],
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let oid = self.was.main().oid;
        let own = self.program.tag.name("");
        let attnums: Vec<_> = pairs.iter().flat_map(|p| [i32::from(p.old.attnum), i32::from(p.new.attnum)]).collect();
        let all = Index::read_all(conn, oid, &attnums).await?;
        let olds: Vec<_> = pairs.iter().map(|pair| (pair.position, pair.old.attnum)).collect();
        let (mut now, mut added) = (Vec::new(), Vec::new());
        for index in all.iter().filter(|index| !index.name.starts_with(&own)) {
            let was = self.was.main().indexes.iter().find(|was| was.name == index.name);
            match was {
                Some(was) if self.exchanged(was) => {
                    // It is its own twin now.
                    let seen = index.facts(was.number, was.twin.clone(), &olds);
                    let constraint = seen.constraint.and(was.constraint.clone());
                    let (definition, tablespace) = (was.definition.clone(), was.tablespace.clone());
                    now.push(IndexFacts {
                        constraint,
                        definition,
                        tablespace,
                        changes: was.changes.clone(),
                        unique: was.unique,
                        ..seen
                    });
                }
                Some(was) if index.has_twin_of(was) => {
                    now.push(IndexFacts {
                        changes: was.changes.clone(),
                        ..index.facts(was.number, was.twin.clone(), &olds)
                    });
                }
                _ if pairs.iter().any(|pair| !pair.moved && index.mentions(pair.old.attnum)) => {
                    added.push(index.clone());
                }
                // On a new column alone.
                _ => {}
            }
        }
        self.rehearse(conn, pairs, (&added, &mut now, &olds), present, found).await?;
        now.sort_by(|a, b| a.name.cmp(&b.name));
        present.facts.tables[0].indexes = now;
        Ok(())
    }

    /// Has PostgreSQL write the definitions of new twins, and of changed defaults.
    async fn rehearse(
        &self,
        conn: &mut PgConnection,
        pairs: &[Both<'_>],
        (added, now, olds): (&[Index], &mut Vec<IndexFacts>, &[(usize, i16)]),
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let soaking: Vec<_> = pairs.iter().filter(|pair| !pair.moved).collect();
        let changed = |pair: &&Both<'_>| pair.old.default != pair.was.old.default;
        if added.is_empty() && !soaking.iter().any(changed) {
            return Ok(());
        }
        for index in added {
            index.judge(&self.plan.table, found);
        }
        let mut parts = Vec::new();
        for pair in &soaking {
            let retyped = conversion::retype(conn, &pair.change, pair.old, self.user_path, found).await?;
            parts.push(Part { change: pair.change, old: pair.old, retyped });
        }
        let ours: Vec<_> = soaking.iter().map(|pair| pair.new.name.clone()).collect();
        let Some(rehearsed) = rehearse(conn, self.plan, &parts, added, &ours, found).await? else { return Ok(()) };
        for (pair, outcome) in soaking.iter().zip(rehearsed.outcomes) {
            if let Some(crate::run::ChangeFacts::Pair(facts)) = present.facts.changes.get_mut(pair.position) {
                facts.new_default = outcome.new_default;
                facts.old.default_is_stable = outcome.default_is_stable;
            }
        }
        let next = self.was.main().indexes.iter().map(|index| index.number + 1).max().unwrap_or(0);
        let twins = added.iter().zip(rehearsed.twins).filter_map(|(index, twin)| Some((index, twin?)));
        now.extend((next..).zip(twins).map(|(number, (index, twin))| index.facts(number, twin, olds)));
        Ok(())
    }
}

/// Returns what is left of the objects of the run of `program`.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read.
pub(crate) async fn leftovers(
    conn: &mut PgConnection,
    program: &Program,
    ledger: &LedgerSchema,
) -> Result<Leftovers, CatalogError> {
    let tag = &program.tag;
    let table = program.relations.first().map_or(0, |relation| relation.oid);
    let query = query::fixed(include_str!("left.sql"))
        .bind(ledger.as_str().to_owned())
        .bind(tag.to_string())
        .bind(table)
        .bind(tag.name(""))
        .bind(tag.trigger(""));
    // Names are qualified where they are not in the search_path.
    query::run(conn, "look for what is left", "SET search_path = pg_catalog, pg_temp".to_owned()).await?;
    query::read(conn, "look for what is left", query).await
}
