//! Who was seen to use the columns that a run takes away, as far as it was noted.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Progress;
use crate::catalog::{SeenClient, SeenStatement, Statements};
use crate::ident::RunId;
use crate::ledger::{BOOKKEEPING, LedgerError};
use crate::pg;
use crate::run::{Use, User};

/// A client is noted again after this time, or a tenth of the time for which nobody may use the column.
const EVERY: Duration = Duration::from_mins(1);

pg::columns!(
    /// A client that was seen.
    struct NotedClient {
        column_name: String,
        application: String,
        role_name: String,
        address: String,
        first_seen: DateTime<Utc>,
        last_seen: DateTime<Utc>,
        statement: String,
    }
);

pg::columns!(
    /// A statement, and how often it was called.
    #[derive(Debug)]
    struct NotedStatement {
        column_name: String,
        role_oid: i64,
        query_id: i64,
        role_name: String,
        statement: String,
        calls: i64,
        grown: i64,
        grown_at: Option<DateTime<Utc>>,
    }
);

pg::columns!(
    struct Baseline {
        began_at: DateTime<Utc>,
        reset_at: Option<DateTime<Utc>>,
        evicted: Option<i64>,
        lost: Option<String>,
    }
);

/// What is known of statements: since when, and what of it was lost.
#[derive(Debug)]
pub(crate) struct KnownStatements {
    pub(crate) began_at: DateTime<Utc>,
    reset_at: Option<DateTime<Utc>>,
    evicted: Option<i64>,
    pub(crate) lost: Option<String>,
    statements: Vec<NotedStatement>,
}

impl KnownStatements {
    /// Returns those that were called since the beginning.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let grown = self.statements.iter().filter(|of| of.grown_at.is_some());
        let used = grown.map(|of| {
            let (role, calls, statement) = (of.role_name.clone(), of.grown, of.statement.clone());
            Use { by: User::Statement { role, calls, statement }, column: of.column_name.clone(), last: of.grown_at }
        });
        used.collect()
    }

    /// Adds what the server says at `at`.
    pub(crate) fn look(&mut self, now: &Statements, at: DateTime<Utc>) {
        let was_reset = now.reset_at != self.reset_at;
        let has_evicted = now.evicted > self.evicted;
        (self.reset_at, self.evicted) = (now.reset_at, now.evicted);
        let mut gone = false;
        for known in &mut self.statements {
            let same = |seen: &&SeenStatement| {
                (seen.role_oid, seen.query_id, &seen.column) == (known.role_oid, known.query_id, &known.column_name)
            };
            // Whatever is there again after it had gone begins at nothing.
            let calls = now.seen.iter().find(same).map_or(0, |seen| seen.calls);
            gone |= calls < known.calls;
            let more = if calls < known.calls { calls } else { calls - known.calls };
            known.calls = calls;
            known.grow(more, at);
        }
        for seen in &now.seen {
            let known = self.statements.iter().any(|known| {
                (seen.role_oid, seen.query_id, &seen.column) == (known.role_oid, known.query_id, &known.column_name)
            });
            if !known {
                let mut new = NotedStatement::of(seen);
                new.grow(seen.calls, at);
                self.statements.push(new);
            }
        }
        if was_reset {
            let when = now.reset_at.map(|at| at.format(" at %Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
            self.lost = Some(format!("pg_stat_statements was reset{when}"));
        } else if has_evicted {
            self.lost = Some("pg_stat_statements has thrown statements out to make room".to_owned());
        } else if gone {
            self.lost =
                Some("a statement that names the old column can no longer be seen in pg_stat_statements".to_owned());
        }
    }

    /// Notes that nothing can be read any more, for this reason.
    fn cannot(&mut self, why: &str) {
        self.lost = Some(format!("no longer to be seen: {why}"));
    }
}

impl NotedClient {
    fn of(seen: SeenClient) -> Self {
        let SeenClient { column, application, role, address, at, statement } = seen;
        let (first_seen, last_seen) = (at, at);
        Self { column_name: column, application, role_name: role, address, first_seen, last_seen, statement }
    }

    fn who(&self) -> [&str; 4] {
        [&self.column_name, &self.application, &self.role_name, &self.address]
    }
}

impl From<NotedClient> for Use {
    fn from(client: NotedClient) -> Self {
        let NotedClient { column_name, application, role_name, address, first_seen, last_seen, statement } = client;
        let by = User::Client { application, role: role_name, address, first: first_seen, statement };
        Self { by, column: column_name, last: Some(last_seen) }
    }
}

impl NotedStatement {
    fn of(seen: &SeenStatement) -> Self {
        let SeenStatement { column, role_oid, query_id, role, calls, statement } = seen.clone();
        Self { column_name: column, role_oid, query_id, role_name: role, statement, calls, grown: 0, grown_at: None }
    }

    fn grow(&mut self, calls: i64, at: DateTime<Utc>) {
        if calls > 0 {
            self.grown += calls;
            self.grown_at = Some(at);
        }
    }
}

impl Progress<'_> {
    /// Notes clients. At most once a minute for each of them, in a transaction of its own.
    pub(crate) async fn note_clients(
        self,
        connection: &mut PgConnection,
        run: RunId,
        clients: &[SeenClient],
        window: Duration,
    ) -> Result<(), LedgerError> {
        if clients.is_empty() {
            return Ok(());
        }
        let upsert = self.ledger.sql(
            "INSERT INTO crossfade.column_client AS c (run_id, column_name, application, role_name, address, statement, first_seen, last_seen) \
             SELECT $1, d.column_name, d.application, d.role_name, d.address, d.statement, d.at, d.at \
             FROM ROWS FROM (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]), \
               pg_catalog.unnest($5::text[]), pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::timestamptz[])) \
               AS d (column_name, application, role_name, address, statement, at) \
             ORDER BY d.column_name, d.application, d.role_name, d.address \
             ON CONFLICT (run_id, column_name, application, role_name, address) DO UPDATE \
               SET last_seen = excluded.last_seen, statement = excluded.statement \
               WHERE excluded.last_seen >= c.last_seen + pg_catalog.make_interval(secs => $8)",
        );
        let texts =
            |of: fn(&SeenClient) -> &String| clients.iter().map(|client| of(client).clone()).collect::<Vec<_>>();
        pg::query(&upsert)
            .bind(run.0)
            .bind(texts(|client| &client.column))
            .bind(texts(|client| &client.application))
            .bind(texts(|client| &client.role))
            .bind(texts(|client| &client.address))
            .bind(texts(|client| &client.statement))
            .bind(clients.iter().map(|client| client.at).collect::<Vec<_>>())
            .bind(EVERY.min(window / 10).as_secs_f64())
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Returns the clients that were noted, together with those that are `seen` now.
    pub(crate) async fn clients(
        self,
        connection: &mut PgConnection,
        run: RunId,
        seen: Vec<SeenClient>,
    ) -> Result<Vec<Use>, LedgerError> {
        let select = self.ledger.sql(
            "SELECT column_name, application, role_name, address, first_seen, last_seen, statement FROM crossfade.column_client \
             WHERE run_id = $1 ORDER BY last_seen DESC",
        );
        let mut noted: Vec<NotedClient> = pg::query_as(&select).bind(run.0).fetch_all(connection).await?;
        for client in seen.into_iter().map(NotedClient::of) {
            match noted.iter_mut().find(|other| other.who() == client.who()) {
                Some(other) if other.last_seen >= client.last_seen => {}
                Some(other) => *other = NotedClient { first_seen: other.first_seen, ..client },
                None => noted.push(client),
            }
        }
        Ok(noted.into_iter().map(Use::from).collect())
    }

    /// Forgets what was noted: evidence begins now, with these statements.
    pub(crate) async fn begin_uses(
        self,
        connection: &mut PgConnection,
        run: RunId,
        statements: Option<&Statements>,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            for table in ["column_client", "column_statement", "statement_baseline"] {
                let delete = self.ledger.sql(&format!("DELETE FROM crossfade.{table} WHERE run_id = $1"));
                pg::query(&delete).bind(run.0).execute(&mut *tx).await?;
            }
            let Some(now) = statements else { return Ok(()) };
            self.store(tx, run, &KnownStatements::first(now, at)).await
        })
        .await
    }

    /// Notes what the server says now of statements, or why it says nothing.
    pub(crate) async fn note_statements(
        self,
        connection: &mut PgConnection,
        run: RunId,
        now: &Result<Statements, String>,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            // Two hosts that tick at the same time count the same calls once.
            let lock = self.ledger.sql("SELECT FROM crossfade.statement_baseline WHERE run_id = $1 FOR UPDATE");
            pg::query(&lock).bind(run.0).execute(&mut *tx).await?;
            let known = match (self.noted_statements(tx, run).await?, now) {
                (Some(mut known), Ok(now)) => {
                    known.look(now, at);
                    known
                }
                (Some(mut known), Err(why)) => {
                    known.cannot(why);
                    known
                }
                (None, Ok(now)) => KnownStatements::first(now, at),
                (None, Err(_)) => return Ok(()),
            };
            self.store(tx, run, &known).await
        })
        .await
    }

    /// Returns what was noted of statements; `None` where they could not be read yet.
    pub(crate) async fn noted_statements(
        self,
        connection: &mut PgConnection,
        run: RunId,
    ) -> Result<Option<KnownStatements>, LedgerError> {
        let select = self
            .ledger
            .sql("SELECT began_at, reset_at, evicted, lost FROM crossfade.statement_baseline WHERE run_id = $1");
        let baseline: Option<Baseline> = pg::query_as(&select).bind(run.0).fetch_optional(&mut *connection).await?;
        let Some(Baseline { began_at, reset_at, evicted, lost }) = baseline else {
            return Ok(None);
        };
        let select = self.ledger.sql(
            "SELECT column_name, role_oid, query_id, role_name, statement, calls, grown, grown_at FROM crossfade.column_statement \
             WHERE run_id = $1 ORDER BY grown_at DESC NULLS LAST, role_oid, query_id",
        );
        let statements = pg::query_as(&select).bind(run.0).fetch_all(connection).await?;
        Ok(Some(KnownStatements { began_at, reset_at, evicted, lost, statements }))
    }

    async fn store(self, tx: &mut PgConnection, run: RunId, known: &KnownStatements) -> Result<(), LedgerError> {
        let upsert = self.ledger.sql(
            "INSERT INTO crossfade.statement_baseline (run_id, began_at, reset_at, evicted, lost) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (run_id) DO UPDATE SET reset_at = excluded.reset_at, evicted = excluded.evicted, lost = excluded.lost",
        );
        let query = pg::query(&upsert).bind(run.0).bind(known.began_at).bind(known.reset_at).bind(known.evicted);
        query.bind(known.lost.clone()).execute(&mut *tx).await?;
        let upsert = self.ledger.sql(
            "INSERT INTO crossfade.column_statement AS c \
               (run_id, column_name, role_oid, query_id, role_name, statement, calls, grown, grown_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (run_id, column_name, role_oid, query_id) DO UPDATE \
               SET calls = excluded.calls, grown = excluded.grown, grown_at = excluded.grown_at \
               WHERE (c.calls, c.grown) IS DISTINCT FROM (excluded.calls, excluded.grown)",
        );
        for of in &known.statements {
            let query = pg::query(&upsert).bind(run.0).bind(of.column_name.clone()).bind(of.role_oid).bind(of.query_id);
            let query = query.bind(of.role_name.clone()).bind(of.statement.clone());
            query.bind(of.calls).bind(of.grown).bind(of.grown_at).execute(&mut *tx).await?;
        }
        Ok(())
    }
}

impl KnownStatements {
    pub(crate) fn first(now: &Statements, at: DateTime<Utc>) -> Self {
        let statements = now.seen.iter().map(NotedStatement::of).collect();
        Self { began_at: at, reset_at: now.reset_at, evicted: now.evicted, lost: None, statements }
    }
}
