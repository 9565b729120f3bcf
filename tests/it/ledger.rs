//! What the ledger keeps: runs over several relations, and formats of other versions.

use std::time::Duration;

use crossfade::change::compile;
use crossfade::ident::TableName;
use crossfade::ledger::{Ledger, LedgerError, NewRun, Run};
use crossfade::names::LedgerSchema;
use crossfade::plan::parse;
use crossfade::run::{Counts, Identity, Outcome, Relation, RelationId};
use sqlx::{Connection as _, PgConnection};

use crate::harness::Database;

const PLAN: &str = "\
version: 1
name: ledger
table: vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
";

const TABLES: &str =
    "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text); CREATE TABLE trips (id bigint PRIMARY KEY);
                      INSERT INTO trips SELECT generate_series(1, 1000)";

/// Registers a run over two tables.
async fn registered(database: &Database, connection: &mut PgConnection, ledger: &Ledger) -> Run {
    database.execute(TABLES).await;
    ledger.create(connection).await.unwrap();
    let plan = parse("plan.yaml", PLAN).unwrap();
    let facts = crossfade::catalog::inspect(connection, &plan, ledger.schema()).await.unwrap().facts.unwrap();
    let mut program = compile(&plan, &facts, ledger.schema());
    let oid = database.scalar::<i64>("SELECT 'trips'::regclass::oid::bigint").await;
    program.relations.push(Relation { table: TableName::new("public", "trips").unwrap(), oid, partitioned: false });
    let new = NewRun { plan: &plan, plan_text: PLAN, facts: &facts, program: &program };
    ledger.log().register(connection, &[new], &"test".into()).await.unwrap();
    ledger.log().find(connection, "ledger").await.unwrap()
}

/// Progress of a run is the sum over its relations, and it is verified when each of them is.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_several_relations_adds_up() {
    const OTHER: RelationId = RelationId(1);
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let ledger = Ledger::new(LedgerSchema::default());
    let run = registered(&database, &mut connection, &ledger).await;
    let tables = "SELECT string_agg(relation || ' ' || schema_name || '.' || table_name || ' ' || (table_oid = table_name::regclass), ', ' \
                  ORDER BY relation) FROM crossfade.relation";
    assert_eq!(database.scalar::<String>(tables).await, "0 public.vehicles true, 1 public.trips true");

    let progress = ledger.progress();
    assert_eq!(progress.fill(&mut connection, run.id).await.unwrap(), None);
    assert_eq!(progress.filled(&mut connection, run.id).await.unwrap(), None);
    database
        .execute(
            "INSERT INTO crossfade.backfill (run_id, relation, pass, relfilenode, bound, next_page, started_at, heap_bytes)
             VALUES (1, 0, 1, 1, 100, 60, clock_timestamp(), 7), (1, 1, 2, 1, 10, 10, clock_timestamp(), 5);
             INSERT INTO crossfade.page_window (run_id, relation, pass, from_page, to_page, parts, slice_from, slice_to,
               sub_pass, next_page, rows, hot, epoch, worker, late, done_at)
             VALUES (1, 0, 1, 0, 60, 1, 1, 1, 1, 0, 600, 500, 1, 0, false, clock_timestamp()),
                    (1, 1, 1, 0, 10, 1, 1, 1, 1, 0, 30, 3, 1, 0, false, clock_timestamp()),
                    (1, 1, 2, 0, 10, 1, 1, 1, 1, 0, 70, 7, 1, 0, false, clock_timestamp())",
        )
        .await;
    let all = progress.fill(&mut connection, run.id).await.unwrap().unwrap();
    assert_eq!((all.bound, all.done, all.rows, all.hot), (110, 70, 700, 510));
    let other = progress.fill_of(&mut connection, run.id, OTHER).await.unwrap().unwrap();
    assert_eq!((other.bound, other.done, other.rows, other.hot), (10, 10, 100, 10));
    let filled = progress.filled(&mut connection, run.id).await.unwrap().unwrap();
    let now: i64 = database.scalar("SELECT pg_relation_size('vehicles') + pg_relation_size('trips')").await;
    assert_eq!((filled.rows, filled.heap_before, filled.heap_after), (700, 12, now));
    assert!(now > 0);

    let identity = |relfilenode| Identity { started_at: chrono::Utc::now(), body_hash: "b".to_owned(), relfilenode };
    let both = [(RelationId::MAIN, identity(1)), (OTHER, identity(2))];
    let age = Duration::from_mins(1);
    let outcome =
        |different| Outcome { counts: Counts { rows: 9, different, ..Counts::default() }, keys: vec![], seconds: 0.1 };
    let query = |relfilenode| format!("SELECT 'b'::text AS body_hash, {relfilenode}::bigint AS relfilenode");
    let verified = progress.verified(&run, &[(RelationId::MAIN, query(1)), (OTHER, query(2))], age);
    let clean = async |connection: &mut PgConnection| {
        sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(format!("SELECT {verified}"))).fetch_one(connection).await
    };
    assert!(!clean(&mut connection).await.unwrap());
    progress.store_check(&mut connection, &run, RelationId::MAIN, &both[0].1, &outcome(0), false).await.unwrap();
    assert!(!clean(&mut connection).await.unwrap(), "one relation was never checked");
    progress.store_check(&mut connection, &run, OTHER, &both[1].1, &outcome(2), false).await.unwrap();
    assert!(!clean(&mut connection).await.unwrap(), "one relation is not equal");
    let mismatches = "SELECT mismatches FROM crossfade.status";
    assert_eq!(database.scalar::<i64>(mismatches).await, 2);
    progress.store_check(&mut connection, &run, OTHER, &both[0].1, &outcome(0), false).await.unwrap();
    assert!(!clean(&mut connection).await.unwrap(), "the check was of another file");
    progress.store_check(&mut connection, &run, OTHER, &both[1].1, &outcome(0), false).await.unwrap();
    assert!(clean(&mut connection).await.unwrap());
    assert_eq!(progress.verified(&run, &[], age), "false", "nothing proves nothing");
    let status = "SELECT rows_filled || ' ' || mismatches FROM crossfade.status";
    assert_eq!(database.scalar::<String>(status).await, "700 0");
}

/// What a newer crossfade has stored is refused, and so is what no version has.
#[tokio::test(flavor = "multi_thread")]
async fn formats_of_other_versions_are_refused() {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let ledger = Ledger::new(LedgerSchema::default());
    let run = registered(&database, &mut connection, &ledger).await;
    for format in [2, 0] {
        database.execute(&format!("UPDATE crossfade.run SET format = {format}, program = '{{}}'")).await;
        let error = ledger.log().find(&mut connection, "ledger").await.unwrap_err();
        assert!(matches!(error, LedgerError::Format { what: "plan", found, .. } if found == format), "{error:?}");
        let set = format!(
            "ALTER TABLE crossfade.event DISABLE TRIGGER append_only;
             UPDATE crossfade.event SET format = {format}, entry = '{{\"kind\": \"unheard_of\"}}'"
        );
        database.execute(&set).await;
        let error = ledger.log().state(&mut connection, &run).await.unwrap_err();
        assert!(matches!(error, LedgerError::Format { what: "log", found, .. } if found == format), "{error:?}");
    }
}
