//! Passes over a table's file.

use sqlx::PgConnection;

use super::{Progress, count, number};
use crate::ident::RunId;
use crate::ledger::{BOOKKEEPING, Lease, LedgerError};
use crate::pg;
use crate::run::{Relation, RelationId};

/// One pass of the backfill over one file of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Its number, from 1. A new table file starts a new one.
    pub(crate) number: i32,
    /// `pg_relation_filenode` of the table when the pass began.
    pub(crate) relfilenode: i64,
    /// Pages `[0, bound)` existed then.
    pub(crate) bound: u32,
}

pg::columns!(
    struct Current {
        pass: i32,
        relfilenode: i64,
        bound: i64,
        next_page: i64,
    }
);

impl Progress<'_> {
    /// Returns the current pass; the first call measures the table and begins pass 1.
    ///
    /// The measure must be taken after the sync trigger committed: then every row on a later page was written under it.
    pub(crate) async fn open_pass(
        self,
        connection: &mut PgConnection,
        lease: Lease,
        id: RelationId,
        relation: &Relation,
    ) -> Result<Pass, LedgerError> {
        self.measured_pass(connection, lease, id, relation, None).await.map(|(pass, _)| pass)
    }

    /// Begins the pass after `seen`, because the table has another file. The second part is false when another worker had
    /// done so already.
    pub(crate) async fn restart_pass(
        self,
        connection: &mut PgConnection,
        lease: Lease,
        id: RelationId,
        relation: &Relation,
        seen: i32,
    ) -> Result<(Pass, bool), LedgerError> {
        self.measured_pass(connection, lease, id, relation, Some(seen)).await
    }

    async fn measured_pass(
        self,
        connection: &mut PgConnection,
        lease: Lease,
        id: RelationId,
        relation: &Relation,
        seen: Option<i32>,
    ) -> Result<(Pass, bool), LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            // The lock keeps the file what it is while it is measured.
            pg::batch(tx, &format!("LOCK TABLE {} IN ACCESS SHARE MODE", relation.table.sql())).await?;
            self.ledger.leases().fence(tx, lease).await?;
            match (self.current_pass(tx, lease.run, id).await?, seen) {
                (Some((pass, _)), None) => return Ok((pass, false)),
                (Some((pass, _)), Some(seen)) if pass.number > seen => return Ok((pass, false)),
                _ => {}
            }
            let begin = self.ledger.sql(
                "INSERT INTO crossfade.backfill AS b (run_id, relation, pass, relfilenode, bound, next_page, started_at, \
                   heap_bytes, toast_bytes, index_bytes) \
                 SELECT $1, $2, 1, COALESCE(pg_catalog.pg_relation_filenode($3::bigint::oid), 0), \
                   COALESCE(pg_catalog.pg_relation_size($3::bigint::oid), 0) / pg_catalog.current_setting('block_size')::bigint, \
                   0, pg_catalog.clock_timestamp(), COALESCE(pg_catalog.pg_relation_size($3::bigint::oid), 0), \
                   COALESCE((SELECT pg_catalog.pg_relation_size(NULLIF(c.reltoastrelid, 0)) FROM pg_catalog.pg_class AS c \
                     WHERE c.oid = $3::bigint::oid), 0), \
                   COALESCE(pg_catalog.pg_indexes_size($3::bigint::oid), 0) \
                 ON CONFLICT (run_id, relation) DO UPDATE SET pass = b.pass + 1, relfilenode = excluded.relfilenode, \
                   bound = excluded.bound, next_page = 0, started_at = excluded.started_at",
            );
            pg::query(&begin).bind(lease.run.0).bind(number(id)).bind(relation.oid).execute(&mut *tx).await?;
            let current = self.current_pass(tx, lease.run, id).await?;
            current.map(|(pass, _)| (pass, true)).ok_or(LedgerError::Database(sqlx::Error::RowNotFound))
        })
        .await
    }

    /// Returns the current pass and its next page that no window holds, and locks them.
    pub(super) async fn current_pass(
        self,
        connection: &mut PgConnection,
        run: RunId,
        relation: RelationId,
    ) -> Result<Option<(Pass, u32)>, LedgerError> {
        let select = self.ledger.sql(
            "SELECT pass, relfilenode::bigint AS relfilenode, bound, next_page FROM crossfade.backfill \
             WHERE run_id = $1 AND relation = $2 FOR UPDATE",
        );
        let query = pg::query_as(&select).bind(run.0).bind(number(relation));
        let found: Option<Current> = query.fetch_optional(connection).await?;
        let pass = |Current { pass, relfilenode, bound, next_page }| {
            Ok((Pass { number: pass, relfilenode, bound: count(bound)? }, count(next_page)?))
        };
        found.map(pass).transpose()
    }

    /// Returns what is missing from the current pass: pages that no committed window covers, or a window that is not
    /// done. `None` when every page below the bound was in a committed window.
    pub(crate) async fn uncovered(
        self,
        connection: &mut PgConnection,
        run: RunId,
        relation: RelationId,
    ) -> Result<Option<String>, LedgerError> {
        let select = self.ledger.sql(include_str!("uncovered.sql"));
        Ok(pg::query_scalar(&select).bind(run.0).bind(number(relation)).fetch_one(connection).await?)
    }

    /// Returns whether anything of the current pass is not done that is not this process's own: a window of another
    /// process, a late page, or pages that nobody has.
    pub(crate) async fn others_fill(
        self,
        connection: &mut PgConnection,
        lease: Lease,
        relation: RelationId,
    ) -> Result<bool, LedgerError> {
        let select = self.ledger.sql(
            "SELECT b.next_page < b.bound OR EXISTS (SELECT FROM crossfade.page_window AS w WHERE w.run_id = $1 \
               AND w.relation = $2 AND w.pass = b.pass AND w.done_at IS NULL AND w.epoch <> $3) \
             FROM crossfade.backfill AS b WHERE b.run_id = $1 AND b.relation = $2",
        );
        let query = pg::query_scalar(&select).bind(lease.run.0).bind(number(relation)).bind(lease.epoch);
        Ok(query.fetch_optional(connection).await?.unwrap_or(false))
    }
}
