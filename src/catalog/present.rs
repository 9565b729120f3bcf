//! What the catalog says in the middle of a run of what the run was compiled from.

mod constraints;
mod defaults;

use sqlx::{Connection as _, PgConnection};

use self::constraints::Seen;
use super::bodies;
use super::children::{self, Heir};
use super::columns::Column;
use super::conversion::Retyped;
use super::copy::Part;
use super::dependants::{Bond, Dependant, is_made_anew};
use super::functions::{self, Function};
use super::index::{self, Index, Twin, shape};
use super::inspect::{enter, settle};
use super::made_anew;
use super::neighbours::Neighbours;
use super::partitions;
use super::publications::Published;
use super::rehearsal::{self, Asked, rehearse};
use super::server::Server;
use super::table::Table;
use super::{CatalogError, Inspection, dependants, drop_column, drop_index, query, trigger_arguments};
use crate::change::{Leftovers, Other, Ruin, has_moved, is_exchanged, names_at};
use crate::ident::TableName;
use crate::names::LedgerSchema;
use crate::plan::{Change, Pair, Plan};
use crate::run::{
    ChangeFacts, Facts, Generated, IndexFacts, PairFacts, Phase, Program, Relation, Stage, State, StepKey, What,
};
use crate::sql::{quote_ident, quote_literal, with_values};

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
    /// What others made on a column that only lends its name: it would stay there.
    pub(crate) left: Vec<String>,
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

/// Returns the condition that this is still their signature, for a script.
pub(crate) fn has_signature(relations: &[Relation], signature: &str) -> String {
    format!("({}) OPERATOR(pg_catalog.=) {}", signature_of(relations), quote_literal(signature))
}

/// Returns the query for their signature at the end of a script; its answer is empty where an event trigger may have changed
/// what the script did.
pub(crate) fn signature_left(relations: &[Relation]) -> String {
    format!(
        "SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D') THEN '' ELSE ({}) END",
        signature_of(relations)
    )
}

fn signature_of(relations: &[Relation]) -> String {
    let oids: Vec<_> = relations.iter().map(|relation| relation.oid.to_string()).collect();
    let tables = format!("ARRAY[{}]::pg_catalog.int8[]", oids.join(", "));
    with_values(include_str!("signature.sql"), &[tables])
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
    settle(conn).await?;
    query::run(conn, "set limits", "SET LOCAL search_path = pg_catalog, pg_temp".to_owned()).await?;
    let nothing =
        |ruin| Present { facts: was.clone(), others: vec![], obstacles: vec![], lost: vec![], left: vec![], ruin };
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
    let mut plan = plan.clone();
    plan.table = name;
    let mut found = Inspection::empty();
    // Before the first step the plan is judged anew.
    if !state.done.is_empty() {
        present.obstacles.extend(bodies::changed(conn, &plan, &was.functions, state).await?);
        present.obstacles.extend(trigger_arguments::changed(conn, (&plan, oid), &was.triggers, state).await?);
    }
    if !state.is_done(&StepKey::new(Phase::Contract, What::Retire)) {
        dropped(conn, (&plan, was), program, &mut present, &mut found).await?;
    }
    if let Some(stage) = state.stage() {
        let look = Look { plan: &plan, was, program, state, stage, ledger };
        look.at(conn, &mut present, &mut found).await?;
    }
    // A run adds columns itself, and began when there was room for them.
    let refusals = found.refusals.into_iter().filter(|finding| finding.code != "catalog::too_many_columns");
    present.obstacles.extend(refusals.map(|finding| finding.message));
    Ok(present)
}

/// Columns that the plan drops, until they are retired: the way back gives them what they had then.
async fn dropped(
    conn: &mut PgConnection,
    (plan, was): (&Plan, &Facts),
    program: &Program,
    present: &mut Present,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let oid = was.main().oid;
    for (at, change) in plan.changes.iter().enumerate() {
        let (Change::DropColumn(change), Some(ChangeFacts::DropColumn(before))) = (change, was.changes.get(at)) else {
            continue;
        };
        let columns = Column::read_all(conn, oid).await?;
        let attnums = [i32::from(before.column.attnum)];
        let hanging = dependants::read(conn, oid, &attnums).await?;
        let indexes = Index::read_all(conn, oid, &attnums).await?;
        let repeatable = before.column.default_is_repeatable;
        let now = drop_column::facts(change, &plan.table, &columns, (&hanging, &indexes), repeatable, found);
        let Some(mut now) = now.filter(|now| now.column.attnum == before.column.attnum) else {
            present.obstacles.push(format!("column \"{}\" is not there any more", change.column));
            continue;
        };
        // Twins of indexes on other columns, too.
        let own = program.tag.name("");
        now.goes_along.retain(|name| !name.starts_with(&own));
        present.facts.changes[at] = ChangeFacts::DropColumn(now);
    }
    Ok(())
}

struct Look<'a> {
    /// The plan, with the name that its table has now.
    plan: &'a Plan,
    was: &'a Facts,
    program: &'a Program,
    state: &'a State,
    stage: Stage,
    ledger: &'a LedgerSchema,
}

/// A pair with both of its columns.
struct Both<'a> {
    position: usize,
    change: Pair<'a>,
    was: &'a PairFacts,
    moved: bool,
    /// Whether the old column has got the new name.
    renamed: bool,
    old: &'a Column,
    new: &'a Column,
}

impl Both<'_> {
    /// The column that has the place of the plan's, and the other.
    fn sides(&self) -> (&Column, &Column) {
        if self.moved { (self.new, self.old) } else { (self.old, self.new) }
    }

    /// The number of the old column, and whether it stays.
    fn side(&self) -> (i16, bool) {
        (self.old.attnum, self.change.borrows())
    }

    /// The facts of the pair as they are found to be.
    fn facts<'p>(&self, present: &'p mut Present) -> Option<&'p mut PairFacts> {
        match present.facts.changes.get_mut(self.position) {
            Some(ChangeFacts::Pair(facts)) => Some(facts),
            _ => None,
        }
    }

    /// What the new column is, for the rehearsal.
    fn retyped(&self) -> Option<Retyped> {
        let column = self.change.retype.map(|_| self.new.clone())?;
        let PairFacts { forward, reverse, new_default, .. } = self.was.clone();
        let default = self.has_given_default().then(|| new_default.unwrap_or_else(|| "NULL".to_owned()));
        Some(Retyped { column, forward, reverse, default })
    }
}

/// Whether it is a trigger made by hand that crossfade's has taken the place of.
fn is_replaced(pairs: &[Both<'_>], what: &Dependant) -> bool {
    let adopted = pairs.iter().filter_map(|pair| pair.was.adopted.as_ref());
    what.kind == "trigger" && adopted.flat_map(|adopted| &adopted.triggers).any(|trigger| trigger.name == what.name)
}

/// How a column's values come about, in words.
fn made(generated: Option<&Generated>) -> String {
    generated.map_or_else(|| "not generated".to_owned(), |generated| format!("generated as {}", generated.sql))
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
        let server = Server::read(conn, self.ledger).await?;
        read.judge(self.plan, &server.role, false, found);
        present.facts.tables[0].key.clone_from(&read.key);
        present.facts.tables[0].children = read.children();
        let columns = Column::read_all(conn, oid).await?;
        let Some(pairs) = self.pairs(&columns, present) else { return Ok(()) };
        for pair in &pairs {
            self.judge(pair, present, found);
        }
        if read.partitioned() && !self.plan.only_borrows() {
            let tag = &self.program.tag;
            let names: Vec<_> = pairs.iter().map(|pair| pair.old.name.clone()).collect();
            partitions::judge_own(conn, (table, oid), &names, tag, found).await?;
            let names: Vec<_> = pairs.iter().map(|pair| pair.new.name.clone()).collect();
            let mut on_new = Inspection::empty();
            partitions::judge_own(conn, (table, oid), &names, tag, &mut on_new).await?;
            present.lost.extend(on_new.refusals.iter().map(|finding| finding.message.clone()));
            found.refusals.extend(on_new.refusals);
        }
        let functions = Function::read_all(conn, oid, self.ledger).await?;
        if pairs.iter().any(|pair| pair.change.keeps_name()) {
            present.facts.tables[0].functions_to_touch = functions::to_touch(&functions, table);
        }
        let neighbours = Neighbours::read(conn, oid).await?;
        neighbours.judge(self.plan, found);
        let second: Vec<_> = pairs.iter().map(|pair| pair.sides().1.name.clone()).collect();
        let published = Published::read(conn, oid).await?;
        present.obstacles.extend(published.changed(self.plan, &self.was.main().publications, &second));
        // Their lists are narrowed again when the column gets its name.
        if !self.is_retired() {
            // One that somebody has made anew for the old column alone does not listen to both any more.
            let listens = self.state.is_done(&StepKey::new(Phase::Backfill, What::Listen));
            let both = |pair: &Both<'_>| {
                let (own, other) = pair.sides();
                [own.attnum].into_iter().chain(listens.then_some(other.attnum)).collect()
            };
            let of_both = pairs.iter().filter(|pair| pair.change.borrows() || pair.change.keeps_name());
            present.facts.tables[0].listeners = neighbours.listeners(&of_both.map(both).collect::<Vec<_>>());
        }
        if self.plan.only_retypes() {
            let children = read.children();
            let heirs = Heir::read_all(conn, &children).await?;
            self.children(conn, &heirs, &pairs, present, found).await?;
        }
        self.dependants(conn, &pairs, present, found).await?;
        self.indexes(conn, &pairs, &server, present, found).await?;
        self.referring(conn, (&pairs, &server), present, found).await?;
        for pair in &pairs {
            pair.lose_moved(present);
        }
        Ok(())
    }

    fn is_retired(&self) -> bool {
        self.stage == Stage::Retired
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
                let renamed = change.borrows() && self.is_retired();
                both.push(Both { position, change, was, moved: has_moved(&change, self.stage), renamed, old, new });
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
        let seen = visible.facts(pair.was.old.default_is_repeatable);
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
        now.old.identity = visible.identity;
        if pair.old.generated != pair.was.old.generated {
            present.obstacles.push(format!(
                "column \"{}\" is {}, and was {}",
                pair.old.name,
                made(pair.old.generated.as_ref()),
                made(pair.was.old.generated.as_ref())
            ));
        }
        now.old.type_default.clone_from(&pair.old.type_default);
        now.new_type_default.clone_from(&pair.new.type_default);
        if !pair.moved {
            now.old.default.clone_from(&visible.default);
            if pair.renamed {
                now.new_default.clone_from(&visible.default);
            }
            visible.judge(&pair.change, &self.plan.table.to_string(), found);
            pair.judge_replaced(&now, present);
        } else if visible.default != pair.was.new_default {
            // On the way back PostgreSQL has to accept it for the old type.
            now.old.default.clone_from(&visible.default);
            now.new_default.clone_from(&visible.default);
        }
        present.others.push((pair.position, Other::new(other.facts(true), visible.type_storage.clone())));
        if let Some(facts) = pair.facts(present) {
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
        let tag = &self.program.tag;
        let own = [tag.name(""), tag.first_trigger(""), tag.last_trigger("")];
        let ours = |name: &str| own.iter().any(|own| name.starts_with(own));
        let attnums: Vec<_> = pairs.iter().filter(|pair| !pair.moved).map(|pair| i32::from(pair.old.attnum)).collect();
        let mut hanging = dependants::read(conn, oid, &attnums).await?;
        hanging.retain(|h| !ours(&h.what.name) && !is_replaced(pairs, &h.what));
        let column = |attnum| {
            let pair = pairs.iter().find(|pair| pair.old.attnum == attnum);
            pair.map_or_else(|| (String::new(), Bond::Goes), |pair| (pair.old.name.clone(), Bond::of(&pair.change)))
        };
        dependants::judge(&hanging, column, found);
        self.made_anew(conn, pairs, present, found).await?;
        // One that was there before the run is not dropped.
        let made: Vec<_> = pairs.iter().filter(|pair| pair.was.adopted.is_none()).collect();
        let attnums: Vec<_> = made.iter().map(|pair| i32::from(pair.new.attnum)).collect();
        let planned = self.planned_names();
        let listeners = &present.facts.main().listeners;
        for hanging in dependants::read(conn, oid, &attnums).await? {
            let what = hanging.what;
            let listens = what.kind == "trigger" && listeners.contains(&what.name);
            // On the way back it is made anew on the column that has the name then.
            let carried = |pair: &&&Both<'_>| pair.moved && Bond::of(&pair.change) == Bond::Carried;
            let comes_back = match what.kind.as_str() {
                // One of the table itself may be of the very column that it refers to.
                "referenced" | "foreign_key" => self.was.main().referring.iter().any(|key| key.name == what.name),
                kind => is_made_anew(kind),
            };
            let goes_back = comes_back && made.iter().filter(carried).any(|pair| pair.new.attnum == hanging.attnum);
            // One that is not filled yet from the column that had the name before.
            let waits = is_made_anew(&what.kind) && self.was.main().made_anew.contains(&what.description);
            if waits && !self.was.main().materialized_views.is_empty() {
                continue;
            }
            if what.kind != "not_null" && !goes_back && !ours(&what.name) && !planned.contains(&what.name) && !listens {
                if made.iter().any(|pair| pair.new.attnum == hanging.attnum && pair.change.borrows()) {
                    present.left.push(what.description.clone());
                }
                present.lost.push(what.description);
            }
        }
        Ok(())
    }

    /// What others have hung on the columns of tables that inherit.
    async fn children(
        &self,
        conn: &mut PgConnection,
        heirs: &[Heir<'_>],
        pairs: &[Both<'_>],
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let place = (&self.plan.table, self.was.main().oid);
        let tag = &self.program.tag;
        let own = [tag.name(""), tag.first_trigger(""), tag.last_trigger("")];
        let planned = self.planned_names();
        let names = |moved: bool| -> Vec<String> {
            pairs.iter().filter(|pair| pair.moved == moved).map(|pair| pair.sides().0.name.clone()).collect()
        };
        children::judge(conn, place, heirs, &names(false), tag, found).await?;
        let mut on_new = Inspection::empty();
        children::judge(conn, place, heirs, &names(true), tag, &mut on_new).await?;
        present.lost.extend(on_new.refusals.into_iter().map(|finding| finding.message));
        // Whoever inherits from a child has its constraints too.
        let constraints = self.was.main().constraints.iter().filter_map(|constraint| constraint.member.as_ref());
        let constraints: Vec<_> = constraints.map(|own| own.name.as_str()).collect();
        for heir in heirs {
            for pair in pairs {
                let Some(attnum) = heir.attnum(&pair.new.name) else { continue };
                for hanging in dependants::read(conn, heir.child.oid, &[i32::from(attnum)]).await? {
                    let what = hanging.what;
                    let is_ours = own.iter().any(|own| what.name.starts_with(own))
                        || planned.contains(&what.name)
                        || constraints.contains(&what.name.as_str());
                    // On the way back it is made anew on the column that has the name then.
                    let comes_back = pair.moved && is_made_anew(&what.kind);
                    let listens = what.kind == "trigger" && present.facts.main().listeners.contains(&what.name);
                    let waits = is_made_anew(&what.kind) && self.was.main().made_anew.contains(&what.description);
                    // Each index is looked at on its own, and each constraint that is inherited goes with the table's.
                    if !is_ours
                        && !comes_back
                        && !waits
                        && !listens
                        && !matches!(what.kind.as_str(), "not_null" | "index")
                    {
                        present.lost.push(what.description);
                    }
                }
            }
        }
        Ok(())
    }

    /// What the swap, or its way back, has to make anew.
    async fn made_anew(
        &self,
        conn: &mut PgConnection,
        pairs: &[Both<'_>],
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let oid = self.was.main().oid;
        let carried = self.plan.pairs().filter(|(_, change)| Bond::of(change) == Bond::Carried);
        let visible = carried.filter_map(|(position, _)| {
            let pair = pairs.iter().find(|pair| pair.position == position);
            // One that was changed in place.
            pair.map(|pair| pair.sides().0.attnum).or_else(|| Some(self.was.pair(position)?.old.attnum))
        });
        let visible: Vec<i16> = visible.collect();
        let mut hanging =
            dependants::read(conn, oid, &visible.iter().copied().map(i32::from).collect::<Vec<_>>()).await?;
        hanging.retain(|h| !is_replaced(pairs, &h.what));
        let mut made_anew = made_anew::judge(conn, oid, &visible, &hanging, found).await?;
        if self.plan.only_retypes() && !present.facts.main().children.is_empty() {
            let columns = Column::read_all(conn, oid).await?;
            let names: Vec<_> =
                columns.iter().filter(|c| visible.contains(&c.attnum)).map(|c| c.name.clone()).collect();
            let heirs = Heir::read_all(conn, &present.facts.main().children).await?;
            made_anew.join(children::made_anew(conn, &heirs, &names, found).await?);
        }
        let facts = &mut present.facts.tables[0];
        (facts.made_anew, facts.materialized_views) = (made_anew.objects, made_anew.materialized_views);
        Ok(())
    }

    /// The names on the new column that the run gives.
    fn planned_names(&self) -> Vec<String> {
        let exchanged = self.was.main().indexes.iter().filter(|index| self.exchanged(index));
        let mut names: Vec<_> = exchanged.map(|index| index.name.clone()).collect();
        let constraints = self.was.main().constraints.iter().filter(|constraint| self.is_last(constraint));
        names.extend(constraints.map(|constraint| constraint.name.clone()));
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
        is_exchanged(self.plan, index, self.stage)
    }

    async fn indexes(
        &self,
        conn: &mut PgConnection,
        pairs: &[Both<'_>],
        server: &Server,
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let oid = self.was.main().oid;
        let own = self.program.tag.name("");
        let schema = quote_ident(&self.plan.table.schema);
        let attnums: Vec<_> = pairs.iter().flat_map(|p| [i32::from(p.old.attnum), i32::from(p.new.attnum)]).collect();
        let mut all = Index::read_all(conn, oid, &attnums).await?;
        if !self.was.main().partitioned && !self.plan.only_retypes() {
            // Those of tables that inherit follow their columns.
            all.retain(|index| !index.is_of_partition());
        }
        all.retain(|index| !drop_index::drops(self.plan, index));
        let olds: Vec<_> = pairs.iter().map(|pair| (pair.position, pair.old.attnum)).collect();
        let twin = |was: &IndexFacts| Twin {
            tail: was.twin.clone(),
            mirror: was.mirror.clone(),
            shape: was.twin_shape.clone(),
        };
        // Those on columns alone whose type was changed in place are as they were for all that the run does with them.
        let in_place =
            |index: &&IndexFacts| !index.changes.iter().any(|n| pairs.iter().any(|pair| pair.position == *n));
        let mut now: Vec<_> = self.was.main().indexes.iter().filter(in_place).cloned().collect();
        let mut added = Vec::new();
        for index in all.iter().filter(|index| !index.name.starts_with(&own)) {
            let was = self.was.main().indexes.iter().find(|was| was.name == index.name);
            match was {
                Some(was)
                    if self.exchanged(was)
                        && shape(conn, &format!("{schema}.{}", quote_ident(&index.name))).await? == was.twin_shape =>
                {
                    // It is its own twin now.
                    let seen = index.facts(was.number, twin(was), &olds);
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
                Some(was) if !self.exchanged(was) && index.has_twin_of(was, self.is_retired()) => {
                    let (changes, definition) = (was.changes.clone(), was.definition.clone());
                    now.push(IndexFacts { definition, changes, ..index.facts(was.number, twin(was), &olds) });
                }
                // Nobody uses the name that was lent any more.
                _ if self.is_retired() && index.stays(pairs.iter().map(Both::side)) => {}
                _ if pairs.iter().any(|pair| !pair.moved && index.mentions(pair.old.attnum)) => {
                    added.push(index.clone());
                }
                // On a new column alone; what is on the table itself was found above.
                _ if index.is_of_partition() && !self.plan.only_borrows() => {
                    present.lost.push(format!("index {}", index.name));
                }
                _ => {}
            }
        }
        let mut constraints = self.constraints(conn, pairs).await?;
        present.lost.append(&mut constraints.lost);
        let known = (&mut now, &mut constraints);
        self.rehearse(conn, (pairs, server), (&added, &olds), known, present, found).await?;
        constraints.known.sort_by(|a, b| a.name.cmp(&b.name));
        present.facts.tables[0].constraints = constraints.known;
        now.sort_by(|a, b| a.name.cmp(&b.name));
        present.facts.tables[0].indexes = now;
        Ok(())
    }

    /// Has PostgreSQL write the definitions of new twins, and of changed defaults.
    async fn rehearse(
        &self,
        conn: &mut PgConnection,
        (pairs, server): (&[Both<'_>], &Server),
        (added, olds): (&[Index], &[(usize, i16)]),
        (now, constraints): (&mut Vec<IndexFacts>, &mut Seen),
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let defaults = |present: &Present| pairs.iter().any(|pair| pair.default_differs(present) || pair.is_odd());
        if added.is_empty() && constraints.added.is_empty() && !defaults(present) {
            return Ok(());
        }
        for index in added {
            index.judge(&self.plan.table, found);
        }
        let Some(_) = enter(conn, &self.plan.table, self.was.main().oid, server, found).await? else { return Ok(()) };
        for pair in pairs {
            if pair.moved && pair.default_differs(present) {
                pair.follow_moved(conn, present).await?;
            } else if pair.renamed && pair.default_differs(present) {
                pair.follow_renamed(conn, present).await?;
            }
        }
        for pair in pairs.iter().filter(|pair| pair.renamed && pair.is_odd()) {
            pair.judge_odd(conn, present).await?;
        }
        let soaking: Vec<_> = pairs.iter().filter(|pair| !pair.moved && !pair.renamed).collect();
        if soaking.is_empty() {
            return Ok(());
        }
        let parts: Vec<_> =
            soaking.iter().map(|pair| Part { change: pair.change, old: pair.old, retyped: pair.retyped() }).collect();
        let ours: Vec<_> = soaking.iter().map(|pair| pair.new.name.clone()).collect();
        if !rehearsal::copy(conn, &self.plan.table, &ours, found).await? {
            return Ok(());
        }
        let hanging = (added, &constraints.added[..]);
        let tables = &mut present.facts.tables;
        let rehearsed = rehearse(conn, self.plan, &parts, hanging, Asked::Facts, tables, found).await?;
        let Some(rehearsed) = rehearsed else { return Ok(()) };
        index::judge_exclusions((self.plan, tables[0].rows), added, (&parts, &rehearsed.outcomes), found);
        for (pair, outcome) in soaking.iter().zip(rehearsed.outcomes) {
            if let Some(facts) = pair.facts(present) {
                facts.new_default = outcome.new_default;
                facts.new_default_is_repeatable = outcome.new_default_is_repeatable;
                facts.old.default_is_repeatable = outcome.default_is_repeatable;
            }
        }
        for pair in &soaking {
            if pair.is_odd() {
                pair.judge_odd(conn, present).await?;
            }
        }
        let next = self.was.main().indexes.iter().map(|index| index.number + 1).max().unwrap_or(0);
        let twins = added.iter().zip(rehearsed.twins).filter_map(|(index, twin)| Some((index, twin?)));
        now.extend((next..).zip(twins).map(|(number, (index, twin))| index.facts(number, twin, olds)));
        let next = self.was.main().constraints.iter().map(|constraint| constraint.number + 1).max().unwrap_or(0);
        let twins = constraints.added.iter().zip(rehearsed.constraints);
        let twins = twins.filter_map(|(constraint, twin)| Some((constraint, twin?)));
        let made = (next..).zip(twins).map(|(number, (constraint, twin))| constraint.facts(number, twin, olds));
        constraints.known.extend(made);
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
        .bind(vec![tag.first_trigger(""), tag.last_trigger("")]);
    // Names are qualified where they are not in the search_path.
    query::run(conn, "look for what is left", "SET search_path = pg_catalog, pg_temp".to_owned()).await?;
    query::read(conn, "look for what is left", query).await
}
