//! The ways to fill a column, and how one of them is measured.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::common::args::Rows;
use crate::common::cpu::{self, Recorder};
use crate::common::crossfade::{self, Crossfade, assert_filled, plan};
use crate::common::database::Database;
use crate::common::stand::{NEW_INDEX, Stand};

/// Rows of a batch, for those that have batches of rows.
const BATCH: u32 = 5000;

/// When the index on the new column is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// After the fill
    After,
    /// Before it
    First,
}

/// A way to fill the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One statement.
    Update,
    /// The same on a table that has crossfade's sync trigger already. PostgreSQL locks each row before a BEFORE trigger, even
    /// one whose WHEN is false, and writes a WAL record for that.
    UpdateInSync,
    /// A PL/pgSQL procedure that updates a range of keys and commits, again and again.
    Procedure,
    /// The same from a client.
    Client,
    /// A client that sets the key to itself, and a PL/pgSQL trigger that fills the column.
    Touch,
    /// crossfade, with sub-passes as it chooses them itself unless they are given, and more keys of the plan's `backfill`.
    Ours { sub_passes: Option<u32>, workers: u16, keys: &'static str },
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    pub(crate) order: Order,
}

/// What was measured of a contestant. Sizes are in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Seconds of the fill.
    pub(crate) fill: f64,
    /// Seconds of the index on the new column.
    pub(crate) index: f64,
    /// CPU seconds of the server during the fill.
    pub(crate) cpu: f64,
    /// WAL of the fill.
    pub(crate) wal: f64,
    /// The table's main fork, after the fill and before.
    pub(crate) heap: f64,
    /// The indexes that were there, after the fill and before.
    pub(crate) indexes: f64,
    /// The index on the new column, in the end.
    pub(crate) new_index: f64,
    /// HOT updates in percent of all.
    pub(crate) hot: f64,
    /// Dead rows that are left, as ANALYZE counts them.
    pub(crate) dead: f64,
    /// Whether a checkpoint began during the fill.
    pub(crate) checkpoint: bool,
}

/// All contestants. The first of each order is what the others of that order are compared with.
pub(crate) fn all() -> Vec<Contestant> {
    let ours = |sub_passes, workers| Way::Ours { sub_passes, workers, keys: "" };
    let asking = |keys| Way::Ours { sub_passes: None, workers: 2, keys };
    let ways = [
        ("one UPDATE", Way::Update),
        ("one UPDATE, sync trigger", Way::UpdateInSync),
        ("plpgsql procedure", Way::Procedure),
        ("client batches", Way::Client),
        ("trigger-driven touch", Way::Touch),
        ("crossfade k=1", ours(Some(1), 1)),
        ("crossfade 1 worker", ours(None, 1)),
        ("crossfade 2 workers", ours(None, 2)),
        ("the same, triggers: skip", asking(", triggers: skip")),
        ("the same, and lz4", asking(", triggers: skip, wal_compression: lz4")),
    ];
    let of = |order| ways.into_iter().map(move |(name, way)| Contestant { name, way, order });
    // With the index first no update of the new column can be HOT, and what crossfade chooses is k = 1.
    let usual = |way| !matches!(way, Way::Ours { sub_passes, keys, .. } if sub_passes.is_some() || !keys.is_empty());
    of(Order::After).chain(of(Order::First).filter(|c| usual(c.way))).collect()
}

/// Counters of the server at one moment.
struct Reading {
    wal: f64,
    heap: f64,
    indexes: f64,
    updates: f64,
    hot: f64,
    redo: f64,
}

impl Reading {
    async fn take(database: &Database) -> Result<Self> {
        let n = database
            .numbers(&format!(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8, \
                   pg_relation_size('vehicles')::float8, \
                   (SELECT COALESCE(sum(pg_relation_size(indexrelid)), 0) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid \
                    WHERE indrelid = 'vehicles'::regclass AND relname <> '{NEW_INDEX}')::float8, \
                   s.n_tup_upd::float8, s.n_tup_hot_upd::float8, \
                   (SELECT pg_wal_lsn_diff(redo_lsn, '0/0')::float8 FROM pg_control_checkpoint()) \
                 FROM pg_stat_user_tables AS s WHERE relid = 'vehicles'::regclass"
            ))
            .await?;
        Ok(Self { wal: n[0], heap: n[1], indexes: n[2], updates: n[3], hot: n[4], redo: n[5] })
    }

    /// Backends report what they did when they end, or a little later.
    async fn after(database: &Database, before: &Self, rows: Rows) -> Result<Self> {
        let first = Self::take(database).await?;
        let mut reading = Self::take(database).await?;
        for _ in 0..200 {
            if reading.updates - before.updates >= rows.float() {
                return Ok(Self { wal: first.wal, ..reading });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            reading = Self::take(database).await?;
        }
        bail!("{rows} rows were to be updated, but the server counted {}", reading.updates - before.updates)
    }
}

impl Contestant {
    /// Measures the contestant on a fresh copy of the template.
    pub(crate) async fn measure(&self, stand: &Stand, template: &str, rows: Rows) -> Result<Outcome> {
        let database = stand.copy(template, "contestant").await?;
        let cpu = Recorder::start(stand.postmaster()?);
        let filler = Filler::prepare(self, &database).await?;
        let mut index = f64::NAN;
        if self.order == Order::First {
            index = filler.index(&database).await?;
            // What the index build left dirty is no business of the fill.
            database.execute("CHECKPOINT").await?;
        }
        let before = Reading::take(&database).await?;
        let (from, to) = filler.fill(&database, self.way, rows).await?;
        let after = Reading::after(&database, &before, rows).await?;
        let cpu = cpu.between(from, to);
        // ANALYZE counts the dead; it looks at every page of a table of up to 30,000.
        database.execute("ANALYZE vehicles").await?;
        let statistics = "SELECT n_dead_tup::float8 FROM pg_stat_user_tables WHERE relid = 'vehicles'::regclass";
        let dead = database.number(statistics).await?;
        if self.order == Order::After {
            index = filler.index(&database).await?;
        }
        assert_filled(&database, rows.float()).await?;
        let valid = format!(
            "SELECT count(*)::float8 FROM pg_index WHERE indexrelid = '{NEW_INDEX}'::regclass AND indisvalid AND indisready"
        );
        if database.number(&valid).await? < 1.0 {
            bail!("the index on the new column is not valid");
        }
        let new_index = database.number(&format!("SELECT pg_relation_size('{NEW_INDEX}')::float8")).await?;
        let outcome = Outcome {
            fill: to - from,
            index,
            cpu,
            wal: after.wal - before.wal,
            heap: after.heap / before.heap,
            indexes: after.indexes / before.indexes,
            new_index,
            hot: 100.0 * (after.hot - before.hot) / (after.updates - before.updates),
            dead,
            checkpoint: after.redo > before.redo,
        };
        stand.discard(database).await?;
        Ok(outcome)
    }
}

/// What a contestant needs besides the database.
enum Filler {
    Sql,
    Tool(Crossfade),
}

const TRIGGER: &str = "\
    CREATE FUNCTION fill_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.vehicle_status := NEW.status; RETURN NEW; END $$; \
    CREATE TRIGGER fill_status BEFORE INSERT OR UPDATE ON vehicles FOR EACH ROW EXECUTE FUNCTION fill_status()";

fn procedure() -> String {
    format!(
        "CREATE PROCEDURE fill(upto bigint) LANGUAGE plpgsql AS $$ DECLARE at bigint := 0; BEGIN \
         WHILE at < upto LOOP \
           UPDATE vehicles SET vehicle_status = status WHERE id > at AND id <= at + {BATCH}; COMMIT; at := at + {BATCH}; \
         END LOOP; END $$"
    )
}

impl Filler {
    /// Does what comes before the fill.
    async fn prepare(contestant: &Contestant, database: &Database) -> Result<Self> {
        if let Way::Ours { sub_passes, workers, keys } = contestant.way {
            let build = if contestant.order == Order::After { "after_backfill" } else { "before_backfill" };
            let tool = Crossfade::new(database, &plan(build, &format!("backfill: {{ workers: {workers}{keys} }}\n")))?;
            tool.start().await?;
            if let Some(k) = sub_passes {
                tool.tune(&format!("sub_passes={k}")).await?;
            }
            return Ok(Self::Tool(tool));
        }
        if contestant.way == Way::UpdateInSync {
            Crossfade::new(database, &plan("after_backfill", ""))?.start().await?;
            return Ok(Self::Sql);
        }
        database.execute("ALTER TABLE vehicles ADD COLUMN vehicle_status text").await?;
        match contestant.way {
            Way::Procedure => database.execute(&procedure()).await?,
            Way::Touch => database.execute(TRIGGER).await?,
            Way::Update | Way::UpdateInSync | Way::Client | Way::Ours { .. } => {}
        }
        Ok(Self::Sql)
    }

    /// Builds the index on the new column. Returns its seconds.
    async fn index(&self, database: &Database) -> Result<f64> {
        match self {
            Self::Tool(tool) => {
                tool.advance().await?;
                let (from, to) = tool.step(database, &format!("index.{NEW_INDEX}")).await?;
                Ok(to - from)
            }
            Self::Sql => {
                let mut session = database.session().await?;
                let from = cpu::now();
                session.execute(&format!("CREATE INDEX CONCURRENTLY {NEW_INDEX} ON vehicles (vehicle_status)")).await?;
                let seconds = cpu::now() - from;
                session.close().await?;
                Ok(seconds)
            }
        }
    }

    /// Fills the column. Returns when the fill began and ended: for the tool, what its ledger says of the step.
    async fn fill(&self, database: &Database, way: Way, rows: Rows) -> Result<(f64, f64)> {
        if let Self::Tool(tool) = self {
            tool.advance().await?;
            return tool.step(database, "backfill.rows").await;
        }
        let mut session = database.session().await?;
        let from = cpu::now();
        match way {
            Way::Update | Way::UpdateInSync => session.execute("UPDATE vehicles SET vehicle_status = status").await?,
            Way::Procedure => session.execute(&format!("CALL fill({})", rows.0)).await?,
            Way::Client => {
                let batch = "UPDATE vehicles SET vehicle_status = status WHERE id > $1 AND id <= $2";
                in_batches(&mut session.0, batch, rows).await?;
            }
            Way::Touch => {
                in_batches(&mut session.0, "UPDATE vehicles SET id = id WHERE id > $1 AND id <= $2", rows).await?;
            }
            Way::Ours { .. } => bail!("{} without the tool", crossfade::NAME),
        }
        let to = cpu::now();
        session.close().await?;
        Ok((from, to))
    }
}

/// Ranges of keys, each an implicit transaction of a prepared statement.
async fn in_batches(connection: &mut sqlx::PgConnection, statement: &'static str, rows: Rows) -> Result<()> {
    let mut at = 0;
    while at < rows.0 {
        let query = sqlx::query(statement).bind(i64::from(at)).bind(i64::from(at) + i64::from(BATCH));
        query.execute(&mut *connection).await?;
        at += BATCH;
    }
    Ok(())
}
