//! An index of a partitioned table: CREATE INDEX CONCURRENTLY knows no such table (docs/postgres.md, "Partitioned tables"), so it is
//! built in one partition after the other and joined at the end.

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
/// meanwhile. Once the table has the index, PostgreSQL makes that of each partition that comes.
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
        };
        // Without gates and a signature there is nothing that might not hold.
        let (Ended::Done | Ended::Guard(_)) = ddl::transaction(work, session, &join).await?;
        if missing(work, session, &step.done_when).await?.is_empty() {
            return Ok(());
        }
    }
    Err(Error::DoesNotLast { step: step.key.clone(), tries: gate::MENDS })
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
