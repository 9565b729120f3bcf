//! What is done in one partition after the other (docs/postgres.md, "Partitioned tables"). An index: CREATE INDEX CONCURRENTLY knows no
//! partitioned table, so it is built in each, and joined at the end. The proof of a constraint: VALIDATE of the whole would keep all
//! partitions locked against other changes of the schema, and against VACUUM, until the last one is read.

use sqlx::PgConnection;

use super::conditions::missing;
use super::ddl::{self, Ended, Job};
use super::session::Session;
use super::{Error, gate};
use crate::engine::{Work, build_index};
use crate::ident::TableName;
use crate::pg;
use crate::run::{IndexName, PartitionedIndex, Step};

/// A partition without the index.
struct Leaf {
    oid: i64,
    table: TableName,
}

/// Builds the index in each partition that has none, and joins them, until the step's conditions hold: partitions come and go
/// meanwhile. Once the table has the index, PostgreSQL makes that of each partition that comes. Where nothing joins them, it ends
/// when each partition has the index.
///
/// # Errors
/// [`Error::DoesNotLast`] when partitions come each time; [`Error::Locked`] when the lock could not be acquired; what a build
/// failed with.
pub(super) async fn build(
    work: &Work,
    session: &mut Session,
    step: &Step,
    index: &PartitionedIndex,
) -> Result<(), Error> {
    for _ in 0..gate::MENDS {
        for leaf in leaves(&mut session.watch, index).await? {
            let name = index.name_in(leaf.oid);
            let statement = index.build_in(&leaf.table.sql(), &name);
            let name = IndexName { schema: leaf.table.schema.clone(), name };
            let (settings, watch) = (&index.settings, &mut session.watch);
            let built = build_index::run(work, watch, &step.key, settings, &statement, Some(&name)).await;
            // One that is gone, or has another name by now, is found by the next look.
            if let Err(error) = built
                && (work.stop.is_cancelled()
                    || leaves(&mut session.watch, index).await?.iter().any(|other| other.table == leaf.table))
            {
                return Err(error.into());
            }
        }
        if index.join.is_empty() {
            if leaves(&mut session.watch, index).await?.is_empty() {
                return Ok(());
            }
            continue;
        }
        let join = Job {
            above: &[],
            step: &step.key,
            targets: &step.targets,
            needs: &[],
            statements: std::slice::from_ref(&index.join),
            entries: &[],
            new_writes: None,
            signature: None,
            approved: Some(step.key.phase),
            locked_for: None,
        };
        // Without gates and a signature there is nothing that might not hold.
        let (Ended::Done | Ended::Guard(_)) = ddl::transaction(work, session, &join).await?;
        if missing(work, session, &step.done_when).await?.is_empty() {
            return Ok(());
        }
    }
    Err(Error::DoesNotLast { step: step.key.clone(), tries: gate::MENDS })
}

/// Runs a statement outside a transaction. One that proves constraints of a partitioned table does so in each partition first.
///
/// # Errors
/// Those of [`build_index::run`].
pub(super) async fn concurrent(
    work: &Work,
    session: &mut Session,
    step: &Step,
    (settings, statement): (&[(String, String)], &str),
    builds: Option<&IndexName>,
) -> Result<(), Error> {
    if let Some((table, rest)) = proof(work, step, statement) {
        for leaf in all_leaves(&mut session.watch, table).await? {
            let statement = format!("ALTER TABLE {} {rest}", leaf.sql());
            let proved = build_index::run(work, &mut session.watch, &step.key, settings, &statement, None).await;
            // One that is gone, or has it under another name, is left to the statement for all.
            let is_missing =
                |error: &sqlx::Error| matches!(pg::sqlstate(error).as_deref(), Some("42P01" | "42704" | "3F000"));
            match proved {
                Err(crate::engine::Error::Statement { error, .. }) if is_missing(&error) => {}
                proved => proved?,
            }
        }
    }
    Ok(build_index::run(work, &mut session.watch, &step.key, settings, statement, builds).await?)
}

/// Returns the oid of the partitioned table of which `statement` proves constraints, and the statement behind the table's name.
fn proof<'s>(work: &Work, step: &Step, statement: &'s str) -> Option<(i64, &'s str)> {
    let relation = work.run.program.relation(step.targets.first()?.relation).filter(|relation| relation.partitioned)?;
    let rest = statement.strip_prefix(&format!("ALTER TABLE {} ", relation.table.sql()))?;
    rest.starts_with("VALIDATE CONSTRAINT ").then_some((relation.oid, rest))
}

/// Returns the partitions of a table (oid) that have rows.
async fn all_leaves(connection: &mut PgConnection, table: i64) -> Result<Vec<TableName>, Error> {
    let leaves = "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text \
         FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) AS t \
         JOIN pg_catalog.pg_class AS c ON c.oid = t.relid::pg_catalog.oid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE t.isleaf AND t.level > 0 ORDER BY c.oid";
    let found: Vec<(String, String)> = pg::query_as(leaves).bind(table).fetch_all(connection).await?;
    Ok(found.into_iter().filter_map(|(schema, name)| TableName::new(&schema, &name).ok()).collect())
}

/// Returns the partitions of the index's table in which it has to be built.
async fn leaves(connection: &mut PgConnection, index: &PartitionedIndex) -> Result<Vec<Leaf>, Error> {
    let whole = IndexName { schema: index.table.schema.clone(), name: index.name.clone() };
    let query = pg::query_as(include_str!("partitions_to_build.sql"));
    let found: Vec<(i64, String, String)> =
        query.bind(index.table.sql()).bind(index.name.clone()).bind(whole.sql()).fetch_all(connection).await?;
    let leaf =
        |(oid, schema, name): (i64, String, String)| Some(Leaf { oid, table: TableName::new(&schema, &name).ok()? });
    Ok(found.into_iter().filter_map(leaf).collect())
}
