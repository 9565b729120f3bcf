//! Everything that the server says about a plan, in one go.

use sqlx::{Connection as _, PgConnection};

use super::adopt::{self, Adoption};
use super::anew;
use super::bodies;
use super::children::{self, Heir};
use super::columns::{self, Column};
use super::constraint::{self, Constraint, Referred};
use super::copy::{Outcome, Part};
use super::dependants::{self, Bond, Hanging};
use super::functions::{self, Function};
use super::index::{self, Index};
use super::integer_key;
use super::made_anew::{self, MadeAnew};
use super::neighbours::Neighbours;
use super::not_valid;
use super::partitions;
use super::publications::Published;
use super::rehearsal::{self, Asked, Rehearsed, rehearse};
use super::server::Server;
use super::table::Table;
use super::{CatalogError, Inspection, conversion, query, statements, trigger_arguments};
use super::{add_column, add_constraint, add_index, drop_column, drop_index};
use crate::change::knows_null;
use crate::ident::TableName;
use crate::names::LedgerSchema;
use crate::pg::{self, Owner};
use crate::plan::{AddConstraint, Change, DropColumn, OnConflict, Pair, Plan, Rule};
use crate::run::{
    CarriedConstraint, ChangeFacts, Conversion, DroppedColumn, Facts, FunctionFacts, IndexFacts, PairFacts,
    Publication, ReplacedFunction, TableFacts,
};

/// Returns what `plan` is compiled from, everything that rules it out, and everything worth knowing before it starts.
///
/// Changes nothing: works in its own transaction, which creates temporary tables and is rolled back. Takes ACCESS SHARE on
/// the table for that time (well under a second), waiting at most 2 s for it. The plan's types and expressions are parsed
/// under the connection's own `search_path`.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read. Reasons to refuse the plan are refusals, not errors.
pub async fn inspect(conn: &mut PgConnection, plan: &Plan, ledger: &LedgerSchema) -> Result<Inspection, CatalogError> {
    const WHAT: &str = "begin reading the catalog";
    let mut found = Inspection::empty();
    let recovering: bool =
        query::read(&mut *conn, WHAT, query::fixed("SELECT pg_catalog.pg_is_in_recovery()::pg_catalog.text")).await?;
    if recovering {
        found.refuse(
            "catalog::read_only",
            "the server is a standby, which cannot be changed",
            "connect to the primary",
        );
        return Ok(found);
    }
    let begin = conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await;
    let mut transaction = begin.map_err(|source| CatalogError::Database { what: WHAT, source })?;
    let result = look(&mut transaction, plan, ledger, &mut found).await;
    let end = transaction.rollback().await;
    match result {
        Err(CatalogError::Database { what, source }) if pg::is_not_utf8(&source) => {
            found.facts = None;
            found.refuse(
                "catalog::encoding",
                format!("could not {what}: the answer is not UTF-8"),
                "the database has the encoding SQL_ASCII; write comments, defaults and names of the table and its columns in UTF-8 or ASCII",
            );
        }
        result => result?,
    }
    end.map_err(|source| CatalogError::Database { what: "end reading the catalog", source })?;
    Ok(found)
}

/// Sets the transaction's limits and an empty `search_path`; returns the path there was.
pub(super) async fn settle(conn: &mut PgConnection) -> Result<String, CatalogError> {
    query::read(
        conn,
        "set limits",
        query::fixed(
            // Not the path that crossfade has pinned, but the one that the role, the database or the URL give its sessions.
            "SELECT pg_catalog.to_json((SELECT CASE WHEN p.setting = 'pg_catalog, pg_temp' THEN p.reset_val ELSE p.setting END FROM pg_catalog.pg_settings AS p WHERE p.name = 'search_path'))::pg_catalog.text FROM \
             (SELECT pg_catalog.set_config('lock_timeout', '2s', true), pg_catalog.set_config('statement_timeout', '30s', true), pg_catalog.set_config('jit', 'off', true)) s",
        ),
    )
    .await
}

#[expect(clippy::too_many_lines, reason = "one look after the other, in the order in which they need each other")]
async fn look(
    conn: &mut PgConnection,
    plan: &Plan,
    ledger: &LedgerSchema,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let user_path = settle(conn).await?;
    query::run(conn, "set limits", "SET LOCAL search_path = pg_catalog, pg_temp".to_owned()).await?;
    let server = Server::read(conn, ledger).await?;
    server.judge(ledger, found);
    let Some(mut table) = Table::read(conn, &plan.table, found).await? else { return Ok(()) };
    if !table.ordinary() {
        table.judge(plan, &server.role, false, found);
        return Ok(());
    }
    if server.has_hypertables {
        refuse_hypertable(conn, &plan.table, found).await?;
    }
    let columns = Column::read_all(conn, table.oid).await?;
    let olds = columns::judge(plan, &columns, found);
    let adoption = adopt::judge(conn, plan, (table.oid, &columns), found).await?;
    let (there, replaced) = Adoption::names(adoption.as_ref());
    let attnums: Vec<i32> = olds.iter().flatten().map(|old| i32::from(old.attnum)).collect();
    let mut indexes = Index::read_all(conn, table.oid, &attnums).await?;
    if !table.partitioned() && !plan.only_retypes() {
        // Those of tables that inherit follow their columns.
        indexes.retain(|i| !i.is_of_partition());
    }
    indexes.retain(|i| !drop_index::drops(plan, i) && !Adoption::refuses(adoption.as_ref(), &i.name));
    let sides = sides(plan, &olds);
    let copies = indexes.iter().any(|index| plan.indexes.copies(&index.name));
    let builds = copies || !plan.indexes.add.is_empty() || plan.changes.iter().any(builds_only);
    table.judge(plan, &server.role, builds, found);
    table.judge_child_indexes(plan, found);
    index::judge(plan, &indexes, found);
    judge_names(conn, plan, table.oid, ledger, found).await?;
    if table.partitioned() && !plan.only_borrows() {
        let names: Vec<_> = plan.pairs().map(|(_, change)| change.old.to_string()).collect();
        partitions::judge_own(conn, (&plan.table, table.oid), &names, &plan.tag(), found).await?;
    }
    let (neighbours, mut made_anew) = judge_around(conn, plan, (table.oid, &columns, &olds), &replaced, found).await?;
    let children = if plan.only_retypes() { table.children() } else { vec![] };
    let heirs = Heir::read_all(conn, &children).await?;
    if !heirs.is_empty() {
        let names: Vec<_> = olds.iter().flatten().map(|old| old.name.clone()).collect();
        children::judge(conn, (&plan.table, table.oid), &heirs, &names, &plan.tag(), found).await?;
        made_anew.join(children::made_anew(conn, &heirs, &names, found).await?);
    }
    if !server.supported() || !server.may_create_temp {
        return Ok(());
    }
    let replaced_functions = bodies::rehearse(conn, plan, &user_path, found).await?;
    let triggers = trigger_arguments::read(conn, table.oid, plan, found).await?;
    let Some(owner) = enter(conn, &plan.table, table.oid, &server, found).await? else { return Ok(()) };
    table.count(conn, &plan.table).await?;
    let Some(parts) = resolve(conn, plan, &olds, (&user_path, &owner), found).await? else { return Ok(()) };
    let mut tables = vec![table.facts(&plan.table)];
    let mut constraints = Constraint::read_all(conn, table.oid, &attnums).await?;
    constraints.retain(|constraint| has_twin(constraint, plan, &sides, &carried(plan, &olds)));
    let hanging = (&indexes[..], &constraints[..]);
    if !rehearsal::copy(conn, &plan.table, &there, found).await? {
        return Ok(());
    }
    let rehearsed = rehearse(conn, plan, &parts, hanging, Asked::Facts, &mut tables, found).await?;
    let Some(rehearsed) = rehearsed else { return Ok(()) };
    if !made_anew.objects.is_empty() {
        let (name, attnums) = (&plan.table, carried(plan, &olds));
        let place = anew::Place { name, oid: table.oid, attnums, beside: vec![] };
        anew::try_out(conn, place, (&parts, &rehearsed.outcomes), found).await?;
        for heir in &heirs {
            let attnums = parts.iter().filter_map(|part| heir.attnum(&part.old.name)).map(i32::from).collect();
            let (name, oid, beside) = (&heir.child.table, heir.child.oid, heir.beside(&columns));
            let place = anew::Place { name, oid, attnums, beside };
            anew::try_out(conn, place, (&parts, &rehearsed.outcomes), found).await?;
        }
    }
    let referred = referred(&parts, &rehearsed.outcomes);
    let incoming = Constraint::read_incoming(conn, table.oid, &attnums_of(&referred)).await?;
    let incoming: Vec<_> = incoming.into_iter().enumerate().collect();
    let referring = constraint::incoming(conn, &incoming, &referred, &mut tables, found).await?;
    let tried = (&parts[..], &rehearsed.outcomes[..]);
    judge_outcomes((plan, tables[0].rows), &indexes, tried, found);
    index::warn_of_lock(plan, &indexes, tried, found);
    let publications = judge_published(conn, plan, (table.oid, server.version), tried, found).await?;
    let of_others = (adoption.as_ref(), &replaced_functions[..]);
    let functions_to_touch = judge_functions(conn, plan, (table.oid, ledger), tried, of_others, found).await?;
    let second_column = adoption.is_none() && rehearsed.outcomes.iter().any(|outcome| !outcome.metadata_only);
    let adds_columns = second_column || plan.changes.iter().any(|change| matches!(change, Change::AddColumn(_)));
    if adds_columns || adoption.is_some() {
        not_valid::judge(conn, &plan.table, table.oid, found).await?;
        for child in &children {
            not_valid::judge(conn, &child.table, child.oid, found).await?;
        }
    }
    statements::warn(conn, plan, adds_columns, found).await?;
    integer_key::warn(conn, table.oid, &parts, found).await?;
    let names = columns.iter().map(|column| column.name.clone()).collect();
    trigger_arguments::judge(plan, &trigger_arguments::naming(conn, table.oid, names).await?, found);
    let pairs = parts.iter().zip(&rehearsed.outcomes);
    let in_place: Vec<_> = pairs.clone().filter(|(_, o)| o.metadata_only).map(|(part, _)| part.change).collect();
    let borrowed: Vec<_> = parts.iter().map(|part| part.change).filter(Pair::borrows).collect();
    let pairs = pairs.map(|(part, outcome)| (part.change, pair_facts(part, outcome))).collect();
    let mut pairs = Adoption::complete(adoption.as_ref(), plan, pairs, found).into_iter();
    let mut changes: Vec<Option<ChangeFacts>> = vec![None; plan.changes.len()];
    let mut taken: Vec<String> = plan.changes.iter().filter_map(constraint_name).collect();
    // Indexes and constraints are tried on the columns that there will be, wherever in the plan those come and go.
    for (change, facts) in plan.changes.iter().zip(&mut changes) {
        *facts = match change {
            Change::RenameColumn(_) | Change::ChangeType(_) => pairs.next().map(ChangeFacts::Pair),
            Change::AddColumn(change) => {
                let change = (change, &plan.table);
                add_column::rehearse(conn, change, &user_path, &mut taken, found).await?.map(ChangeFacts::AddColumn)
            }
            Change::DropColumn(change) => {
                let facts = dropped(conn, change, (&plan.table, table.oid), &columns, found).await?;
                facts.map(ChangeFacts::DropColumn)
            }
            Change::DropIndex(change) => {
                let facts = drop_index::facts(conn, change, (&plan.table, table.oid), found).await?;
                facts.map(ChangeFacts::DropIndex)
            }
            Change::AddIndex(_) | Change::AddConstraint(_) => None,
        };
    }
    let paths = (&in_place[..], &borrowed[..], user_path.as_str());
    for (change, facts) in plan.changes.iter().zip(&mut changes) {
        if let Some(added) = added(conn, (change, plan), paths, (&mut tables, &mut taken), found).await? {
            *facts = Some(added);
        }
    }
    let Some(changes) = changes.into_iter().collect::<Option<Vec<_>>>() else { return Ok(()) };
    tables[0] = TableFacts {
        indexes: index_facts(&indexes, &rehearsed, plan, &parts),
        constraints: constraint_facts(&constraints, &rehearsed, plan, &parts),
        referring,
        other_before_triggers: neighbours.fire_before(),
        listeners: neighbours.listeners(&heard_twice(&parts, &rehearsed.outcomes)),
        made_anew: made_anew.objects,
        materialized_views: made_anew.materialized_views,
        functions_to_touch,
        publications,
        ..table.facts(&plan.table)
    };
    found.facts =
        Some(Facts { server_version: server.version, tables, changes, functions: replaced_functions, triggers });
    Ok(())
}

/// Tries an index or a constraint that the plan adds; `None` for other changes, or with a refusal.
async fn added(
    conn: &mut PgConnection,
    (change, plan): (&Change, &Plan),
    paths: (&[Pair<'_>], &[Pair<'_>], &str),
    names: (&mut Vec<TableFacts>, &mut Vec<String>),
    found: &mut Inspection,
) -> Result<Option<ChangeFacts>, CatalogError> {
    let (in_place, borrowed, user_path) = paths;
    Ok(match change {
        Change::AddIndex(change) => {
            let tail = add_index::rehearse(conn, change, (in_place, borrowed), user_path, found).await?;
            tail.map(ChangeFacts::AddIndex)
        }
        Change::AddConstraint(change) => {
            let added = add_constraint::rehearse(conn, (change, plan), paths, names, found).await?;
            added.map(ChangeFacts::AddConstraint)
        }
        _ => None,
    })
}

/// Judges what hangs on the old columns, and what else is at work on the table but the triggers that are `replaced`.
async fn judge_around(
    conn: &mut PgConnection,
    plan: &Plan,
    (table, columns, olds): (i64, &[Column], &[Option<&Column>]),
    replaced: &[String],
    found: &mut Inspection,
) -> Result<(Neighbours, MadeAnew), CatalogError> {
    let attnums: Vec<i32> = bonds(plan, olds).iter().map(|(attnum, _)| i32::from(*attnum)).collect();
    let mut hanging = dependants::read(conn, table, &attnums).await?;
    hanging.retain(|h| h.what.kind != "trigger" || !replaced.contains(&h.what.name));
    let mut neighbours = Neighbours::read(conn, table).await?;
    neighbours.disable(replaced);
    let made_anew = judge_read(conn, plan, (table, columns, olds), (&hanging, &neighbours), found).await?;
    Ok((neighbours, made_anew))
}

/// As [`judge_around`], where both are read.
pub(super) async fn judge_read(
    conn: &mut PgConnection,
    plan: &Plan,
    (table, columns, olds): (i64, &[Column], &[Option<&Column>]),
    (hanging, neighbours): (&[Hanging], &Neighbours),
    found: &mut Inspection,
) -> Result<MadeAnew, CatalogError> {
    let bonds = bonds(plan, olds);
    let name = |attnum| columns.iter().find(|c| c.attnum == attnum).map_or_else(String::new, |c| c.name.clone());
    let bond = |attnum| bonds.iter().find(|(other, _)| *other == attnum).map_or(Bond::Goes, |(_, bond)| *bond);
    dependants::judge(hanging, |attnum| (name(attnum), bond(attnum)), found);
    let follow: Vec<_> =
        bonds.iter().filter(|(_, bond)| *bond == Bond::Follows).map(|(attnum, _)| vec![*attnum]).collect();
    neighbours.judge_listeners(&plan.table, &follow, found);
    let carried: Vec<_> = bonds.iter().filter(|(_, bond)| *bond == Bond::Carried).map(|(attnum, _)| *attnum).collect();
    let made_anew = made_anew::judge(conn, table, &carried, hanging, found).await?;
    // An index or a constraint changes no row and no row type.
    if plan.changes.iter().any(|change| !builds_only(change)) {
        neighbours.judge(plan, found);
    }
    Ok(made_anew)
}

/// The numbers of old columns, and what becomes of what hangs on them.
fn bonds(plan: &Plan, olds: &[Option<&Column>]) -> Vec<(i16, Bond)> {
    plan.pairs().zip(olds).filter_map(|((_, change), old)| Some(((*old)?.attnum, Bond::of(&change)))).collect()
}

/// The numbers of columns of which another takes the name.
pub(super) fn carried(plan: &Plan, olds: &[Option<&Column>]) -> Vec<i32> {
    let bonds = bonds(plan, olds).into_iter().filter(|(_, bond)| *bond == Bond::Carried);
    bonds.map(|(attnum, _)| i32::from(attnum)).collect()
}

/// Whether a constraint gets a twin: it is on a column that does not stay, and is no foreign key to one of them.
pub(super) fn has_twin(constraint: &Constraint, plan: &Plan, sides: &[(i16, bool)], carried: &[i32]) -> bool {
    let goes = sides.iter().any(|(attnum, stays)| !stays && constraint.mentions(*attnum));
    goes && !constraint.comes_in(&plan.table, carried)
}

fn attnums_of(columns: &[Referred]) -> Vec<i32> {
    columns.iter().map(|column| i32::from(column.attnum)).collect()
}

/// The old columns that foreign keys may refer to, unless they are changed in place.
pub(super) fn referred(parts: &[Part<'_>], outcomes: &[Outcome]) -> Vec<Referred> {
    let pairs = parts.iter().zip(outcomes).filter(|(part, outcome)| !outcome.metadata_only && !part.change.borrows());
    pairs
        .map(|(part, _)| Referred {
            attnum: part.old.attnum,
            beside: part.change.new.sql(),
            to: part
                .retyped
                .as_ref()
                .map(|retyped| format!("{}{}", retyped.column.type_name, retyped.column.collate())),
        })
        .collect()
}

pub(super) fn judge_outcomes(
    (plan, rows): (&Plan, i64),
    indexes: &[Index],
    (parts, outcomes): (&[Part<'_>], &[Outcome]),
    found: &mut Inspection,
) {
    index::judge_keys(indexes, parts, outcomes, found);
    index::judge_exclusions((plan, rows), indexes, (parts, outcomes), found);
    refuse_needless(parts, outcomes, found);
    warn_of_values(parts, outcomes, found);
}

/// Judges what subscribers of the table meet; returns its publications.
async fn judge_published(
    conn: &mut PgConnection,
    plan: &Plan,
    (table, version): (i64, u32),
    (parts, outcomes): (&[Part<'_>], &[Outcome]),
    found: &mut Inspection,
) -> Result<Vec<Publication>, CatalogError> {
    let in_place = |pair: &Pair<'_>| {
        parts.iter().zip(outcomes).any(|(part, outcome)| outcome.metadata_only && part.change.old == pair.old)
    };
    let published = Published::read(conn, table).await?;
    published.judge(plan, version, in_place, found);
    Ok(published.facts(plan, in_place))
}

/// Judges the functions that name the columns, but those that `adoption` or the plan replaces; returns those to touch in the swap.
async fn judge_functions(
    conn: &mut PgConnection,
    plan: &Plan,
    (table, ledger): (i64, &LedgerSchema),
    (parts, outcomes): (&[Part<'_>], &[Outcome]),
    (adoption, replaced): (Option<&Adoption>, &[ReplacedFunction]),
    found: &mut Inspection,
) -> Result<Vec<FunctionFacts>, CatalogError> {
    let mut functions = Function::read_all(conn, table, ledger).await?;
    Adoption::mark(adoption, &mut functions);
    bodies::mark(replaced, &mut functions);
    bodies::judge(plan, outcomes, found);
    Ok(functions::judge(&functions, &plan.table, parts, outcomes, found))
}

/// Returns the numbers of old columns, and whether each stays.
pub(super) fn sides(plan: &Plan, olds: &[Option<&Column>]) -> Vec<(i16, bool)> {
    let pairs = plan.pairs().zip(olds);
    pairs.filter_map(|((_, change), old)| Some(((*old)?.attnum, change.borrows()))).collect()
}

/// The columns that are written under a second name too while the run lasts, for [`Neighbours::listeners`].
fn heard_twice(parts: &[Part<'_>], outcomes: &[Outcome]) -> Vec<Vec<i16>> {
    let pairs = parts.iter().zip(outcomes).filter(|(_, outcome)| !outcome.metadata_only);
    let of_both = pairs.filter(|(part, _)| part.change.borrows() || part.change.keeps_name());
    of_both.map(|(part, _)| vec![part.old.attnum]).collect()
}

/// Drops the column of the copy, and returns what goes with it; `None` where there is no such column, or with a refusal.
async fn dropped(
    conn: &mut PgConnection,
    change: &DropColumn,
    (table, oid): (&TableName, i64),
    columns: &[Column],
    found: &mut Inspection,
) -> Result<Option<DroppedColumn>, CatalogError> {
    let of_it = |column: &&Column| column.name == change.column.as_str() && column.attnum > 0;
    let Some(column) = columns.iter().find(of_it) else { return Ok(None) };
    let attnums = [i32::from(column.attnum)];
    let hanging = dependants::read(conn, oid, &attnums).await?;
    let indexes = Index::read_all(conn, oid, &attnums).await?;
    let repeatable = rehearsal::is_repeatable(conn, column, column.default.as_deref()).await?;
    query::run(conn, "rehearse the drop", drop_column::from_copy(change)).await?;
    Ok(drop_column::facts(change, table, columns, (&hanging, &indexes), repeatable, found))
}

/// Prepares the session to run the owner's code as the owner. Returns `None`, with refusals, where that cannot be.
pub(super) async fn enter(
    conn: &mut PgConnection,
    table: &TableName,
    oid: i64,
    server: &Server,
    found: &mut Inspection,
) -> Result<Option<Owner>, CatalogError> {
    let failed = |source| CatalogError::Database { what: "read the table's owner", source };
    let Some(owner) = Owner::of(conn, oid).await.map_err(failed)? else { return Ok(None) };
    let role = &owner.role;
    if !owner.may_switch {
        found.refuse(
            "catalog::no_privilege",
            format!(
                "role \"{}\" may not act as \"{role}\", the owner of {table}, as whom the code of its triggers and functions runs",
                server.role
            ),
            format!(
                "connect as \"{role}\", or GRANT \"{role}\" TO \"{}\" (with SET, since PostgreSQL 16) and GRANT TEMPORARY ON DATABASE to \"{role}\"",
                server.role
            ),
        );
        return Ok(None);
    }
    let said = found.refusals.iter().any(|finding| finding.code == "catalog::row_security");
    if owner.is_another() && !owner.sees_all_rows && !said {
        found.refuse(
            "catalog::row_security",
            format!("row-level security of {table} is forced on its owner, as whom rows are filled, and would hide some of them"),
            format!("ALTER ROLE \"{role}\" BYPASSRLS, or ALTER TABLE ... NO FORCE ROW LEVEL SECURITY, for the run"),
        );
        return Ok(None);
    }
    if let Some(trigger) = owner.deferrable(conn).await.map_err(failed)? {
        found.refuse(
            "catalog::deferrable_trigger",
            format!(
                "trigger {trigger} can be deferred to COMMIT, where PostgreSQL before 18 would run it with the rights of \"{}\"",
                server.role
            ),
            format!("connect as \"{role}\", the owner of {table}: it then has no rights to gain"),
        );
        return Ok(None);
    }
    owner.prepare(conn).await.map_err(failed)?;
    Ok(Some(owner))
}

fn constraint_name(change: &Change) -> Option<String> {
    match change {
        Change::AddConstraint(constraint) => constraint.name.as_ref().map(ToString::to_string),
        _ => None,
    }
}

/// Whether a change leaves rows and columns as they are.
fn builds_only(change: &Change) -> bool {
    matches!(change, Change::AddIndex(_) | Change::DropIndex(_) | Change::AddConstraint(_))
}

pub(super) async fn refuse_hypertable(
    conn: &mut PgConnection,
    table: &TableName,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let query = query::fixed(
        "SELECT (count(*) > 0)::text FROM timescaledb_information.hypertables WHERE hypertable_schema = $1 AND hypertable_name = $2",
    );
    let query = query.bind(table.schema.clone()).bind(table.name.clone());
    if query::read(conn, "look for hypertables", query).await? {
        found.refuse(
            "catalog::table_kind",
            format!("{table} is a hypertable of TimescaleDB"),
            "only ordinary tables are supported yet",
        );
    }
    Ok(())
}

/// Refuses names that the run will need and that are taken.
async fn judge_names(
    conn: &mut PgConnection,
    plan: &Plan,
    table: i64,
    ledger: &LedgerSchema,
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let (mut indexes, mut constraints): (Vec<_>, Vec<_>) =
        (plan.indexes.add.iter().map(|add| add.name.to_string()).collect(), vec![]);
    for change in &plan.changes {
        match change {
            Change::AddIndex(index) => indexes.push(index.name.to_string()),
            Change::AddConstraint(AddConstraint { name: Some(name), rule }) => {
                constraints.push(name.to_string());
                if matches!(rule, Rule::Unique { .. }) {
                    indexes.push(name.to_string());
                }
            }
            _ => {}
        }
    }
    let query = query::fixed(include_str!("names.sql"))
        .bind(table)
        .bind(plan.tag().name(""))
        .bind(indexes)
        .bind(plan.tag().to_string())
        .bind(ledger.as_str().to_owned())
        .bind(vec![plan.tag().first_trigger(""), plan.tag().last_trigger("")])
        .bind(constraints);
    let taken: Vec<String> = query::read(conn, "look for names", query).await?;
    for object in taken {
        found.refuse(
            "catalog::name_taken",
            format!("{object} has a name that the run needs"),
            "rename or drop it; if an earlier run of this plan left it behind, roll that run back, or where its ledger is gone, `crossfade cleanup` removes it",
        );
    }
    Ok(())
}

/// Returns each change with its old column and new type; `None` if a refusal prevents that.
async fn resolve<'a>(
    conn: &mut PgConnection,
    plan: &'a Plan,
    olds: &[Option<&'a Column>],
    path_and_owner: (&str, &Owner),
    found: &mut Inspection,
) -> Result<Option<Vec<Part<'a>>>, CatalogError> {
    let mut parts = Vec::new();
    for ((_, change), old) in plan.pairs().zip(olds) {
        let Some(old) = *old else { continue };
        let retyped = conversion::retype(conn, &change, old, path_and_owner, found).await?;
        if change.renames() || retyped.is_some() {
            parts.push(Part { change, old, retyped });
        }
    }
    Ok((parts.len() == plan.pairs().count()).then_some(parts))
}

/// Refuses a change of a column's type to the type that it has, and a default that such a change has no use for.
pub(super) fn refuse_needless(parts: &[Part<'_>], outcomes: &[Outcome], found: &mut Inspection) {
    for (part, outcome) in parts.iter().zip(outcomes) {
        let (Some(retype), Some(retyped)) = (part.change.retype, &part.retyped) else { continue };
        let (new, name) = (&retyped.column, &part.old.name);
        let same = new.type_name == part.old.type_name && new.collate() == part.old.collate();
        if same && retype.using.is_none() && part.change.keeps_name() {
            found.refuse(
                "catalog::same_type",
                format!("column \"{name}\" has type {} already", new.type_name),
                "remove the change; a `using` would change the values",
            );
        }
        let given = [("using", retype.using.is_some()), ("reverse", retype.reverse.is_some())];
        let given: Vec<_> = given.into_iter().filter(|(_, given)| *given).map(|(key, _)| format!("`{key}`")).collect();
        if outcome.metadata_only && !given.is_empty() {
            found.warn(
                "catalog::in_place",
                format!(
                    "{} of column \"{name}\" will not be used: PostgreSQL changes the type to {} in place and touches no row, so there is \
                     no second column",
                    given.join(" and "),
                    new.type_name
                ),
                "nothing has to be done; `keep_name: false` asks for a second column",
            );
        }
        if outcome.metadata_only && retype.default.is_some() {
            found.refuse(
                "catalog::default",
                format!("`default` of column \"{name}\" has no use: PostgreSQL changes the type in place, and the column keeps its default"),
                "remove `default`; ALTER TABLE ... ALTER COLUMN ... SET DEFAULT gives the column another one at any time",
            );
        }
    }
}

/// Warns of a column that may be NULL and whose default the sync trigger cannot tell from a value (docs/postgres.md, "Explicit
/// NULL or no value").
fn warn_of_values(parts: &[Part<'_>], outcomes: &[Outcome], found: &mut Inspection) {
    for (part, outcome) in parts.iter().zip(outcomes) {
        let facts = pair_facts(part, outcome);
        let default = facts.old.effective_default().filter(|_| !part.old.not_null && !knows_null(&facts));
        if let (Some(default), false) = (default, outcome.metadata_only) {
            found.warn(
                "catalog::null_or_default",
                format!("column \"{}\" may be NULL and has the default {default}", part.old.name),
                "if a new release inserts an explicit NULL, it gets the default while both columns are in use",
            );
        }
        let known = facts.old.default_is_repeatable && facts.new_default_is_repeatable;
        if part.change.on_conflict == OnConflict::Error && !known && !outcome.metadata_only {
            let default =
                if facts.old.default_is_repeatable { facts.final_default() } else { facts.old.effective_default() };
            found.warn(
                "catalog::on_conflict",
                format!(
                    "`on_conflict: error` of column \"{}\" does not act on INSERT: its default {} may give another value each time, \
                     so nobody can tell which values a statement gave",
                    part.old.name,
                    default.unwrap_or_default()
                ),
                "of an INSERT that gives both columns values that do not agree, the one without that default counts; UPDATE is judged as \
                 the plan says",
            );
        }
    }
}

fn pair_facts(part: &Part<'_>, outcome: &Outcome) -> PairFacts {
    let (forward, reverse) = part
        .retyped
        .as_ref()
        .map_or((Conversion::Identity, Conversion::Identity), |r| (r.forward.clone(), r.reverse.clone()));
    let lender = part.old.lender();
    let new = match &part.retyped {
        Some(retyped) => &retyped.column,
        None if part.change.borrows() => &lender,
        None => part.old,
    };
    // Between a domain and what it is made of.
    let (forward, reverse) = if part.retyped.is_none() && new.type_name != part.old.type_name {
        (Conversion::InfallibleCast, Conversion::InfallibleCast)
    } else {
        (forward, reverse)
    };
    PairFacts {
        old: part.old.facts(outcome.default_is_repeatable),
        new_type: new.type_name.clone(),
        new_base_type: new.base_type.clone(),
        new_collate: new.collate(),
        new_default: outcome.new_default.clone(),
        new_type_default: new.type_default.clone(),
        new_default_is_repeatable: outcome.new_default_is_repeatable,
        new_plain_compare: new.plain_compare(),
        forward,
        reverse,
        metadata_only: outcome.metadata_only,
        adopted: None,
    }
}

fn constraint_facts(
    constraints: &[Constraint],
    rehearsed: &Rehearsed,
    plan: &Plan,
    parts: &[Part<'_>],
) -> Vec<CarriedConstraint> {
    let olds: Vec<_> = plan.pairs().zip(parts).map(|((position, _), part)| (position, part.old.attnum)).collect();
    let twins = constraints.iter().zip(&rehearsed.constraints);
    let twins = twins.filter_map(|(constraint, twin)| Some((constraint, twin.clone()?)));
    twins.enumerate().map(|(number, (constraint, twin))| constraint.facts(number, twin, &olds)).collect()
}

fn index_facts(indexes: &[Index], rehearsed: &Rehearsed, plan: &Plan, parts: &[Part<'_>]) -> Vec<IndexFacts> {
    let olds: Vec<_> = plan.pairs().zip(parts).map(|((position, _), part)| (position, part.old.attnum)).collect();
    let twins = indexes.iter().zip(&rehearsed.twins).filter_map(|(index, twin)| Some((index, twin.clone()?)));
    twins.enumerate().map(|(number, (index, twin))| index.facts(number, twin, &olds)).collect()
}
