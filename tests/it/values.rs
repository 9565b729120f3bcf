//! Values that are awkward: types without a usable `=`, values that are equal and not the same, bad values under each
//! policy, names that need quotes.

use crossfade::plan::Plan;
use crossfade::runner::Tool;

use crate::harness::{Database, tool, versions};

async fn start(database: &Database, text: &str) -> (Tool, Plan) {
    let plan = crossfade::plan::parse("plan", text).unwrap();
    let tool = tool(&database.url);
    tool.run(&plan, text, Some(crossfade::run::Phase::Verify)).await.unwrap_or_else(|error| panic!("{error:?}"));
    (tool, plan)
}

/// A change that `=` does not see is a change, in the trigger and in the check (docs/postgres.md, "Values that are equal but
/// not the same").
#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_equal_but_not_the_same_are_kept_in_sync() {
    for version in versions() {
        let database = Database::on(&version).await;
        database
            .execute(
                "CREATE TABLE t (id int PRIMARY KEY, n numeric, j json, b box, p point, f float8, i interval, x xml, d jsonb, c char(5), big text);
                 INSERT INTO t SELECT g, 1.0, '{\"a\": 1}', '((0,0),(2,1))', '(1,2)', 0.0, '1 mon', '<a/>', '1.0', 'ab', repeat('x', 100000)
                 FROM generate_series(1, 50) g",
            )
            .await;
        let columns = ["n", "j", "b", "p", "f", "i", "x", "d", "c", "big"];
        let changes: Vec<String> =
            columns.iter().map(|c| format!("  - rename_column: {{ from: {c}, to: {c}_new }}\n")).collect();
        let changes = changes.concat();
        let text =
            format!("version: 1\nname: values\ntable: t\nchanges:\n{changes}contract: {{ grace: 0s, quiet: 0s }}\n");
        let (tool, plan) = start(&database, &text).await;
        // Each value equals the one before, or has no `=` to ask.
        database
            .execute(
                "UPDATE t SET n = 1.00, j = '{\"a\":1}', b = '((0,0),(1,2))', p = '(3,4)', f = -0.0, i = '30 days', x = '<a></a>', d = '1.00' WHERE id = 1;
                 UPDATE t SET n_new = 1.00, j_new = '{\"a\":1}', b_new = '((0,0),(1,2))', p_new = '(3,4)', f_new = -0.0, i_new = '30 days', x_new = '<a></a>', d_new = '1.00' WHERE id = 2;
                 UPDATE t SET big = repeat('y', 50000) WHERE id = 3; UPDATE t SET id = 1004 WHERE id = 4",
            )
            .await;
        let differ: Vec<String> = columns.iter().map(|c| format!("{c}::text IS DISTINCT FROM {c}_new::text")).collect();
        let sql = format!("SELECT count(*) FROM t WHERE {}", differ.join(" OR "));
        assert_eq!(database.scalar::<i64>(&sql).await, 0, "on {}", version.major);
        let written = "SELECT n_new::text || j::text || i::text FROM t WHERE id = 2";
        assert_eq!(database.scalar::<String>(written).await, "1.00{\"a\":1}30 days");
        // And the check sees a difference that `=` does not.
        database
            .execute("ALTER TABLE t DISABLE TRIGGER USER; UPDATE t SET n_new = 1.000 WHERE id = 9; ALTER TABLE t ENABLE TRIGGER USER")
            .await;
        let outcome = tool.verify("values", None).await.unwrap();
        assert_eq!((outcome.counts.different, outcome.keys[0].key["id"].as_str()), (1, Some("9")));
        tool.verify("values", Some(crossfade::run::Side::Old)).await.unwrap();
        let finish = tool.run(&plan, &text, None).await.unwrap();
        assert_eq!(finish.state, crossfade::run::Standing::Done);
    }
}

fn number(on_error: &str) -> String {
    format!(
        "version: 1\nname: number\ntable: t\nchanges:\n  - change_type: {{ column: v, to: integer, reverse: \"n::text\", via: n, on_error: {on_error} }}\ncontract: {{ grace: 0s, quiet: 0s }}\n"
    )
}

/// W2: by default no write fails because of us; the row is counted, and verify stops at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_is_left_and_counted_or_rejected_as_the_plan_says() {
    let left = Database::new().await;
    left.execute("CREATE TABLE t (id int PRIMARY KEY, v text, u int); INSERT INTO t VALUES (1, '1', 0), (2, '2', 0)")
        .await;
    let (tool, plan) = start(&left, &number("leave")).await;
    left.execute("INSERT INTO t VALUES (3, 'x', 0); UPDATE t SET v = 'y' WHERE id = 2; UPDATE t SET u = 1").await;
    assert_eq!(left.scalar::<i64>("SELECT count(*) FROM t WHERE n IS NULL").await, 2);
    let error = tool.run(&plan, &number("leave"), None).await.unwrap_err();
    let crossfade::runner::Error::Mismatch(outcome) = error else { panic!("{error:?}") };
    assert_eq!((outcome.counts.unconverted, outcome.counts.empty, outcome.counts.different), (2, 0, 0));
    let keys: Vec<_> = outcome.keys.iter().map(|key| (key.key["id"].as_str().unwrap(), key.class.as_str())).collect();
    assert!(keys.contains(&("2", "unconverted")) && keys.contains(&("3", "unconverted")), "{keys:?}");
    // The names are swapped by now.
    left.execute("UPDATE t SET n = '5' WHERE v IS NULL").await;
    assert_eq!(tool.run(&plan, &number("leave"), None).await.unwrap().state, crossfade::run::Standing::Done);

    let rejected = Database::new().await;
    rejected
        .execute("CREATE TABLE t (id int PRIMARY KEY, v text, u int); INSERT INTO t VALUES (1, '1', 0), (2, 'x', 0)")
        .await;
    let text = number("reject");
    let plan = crossfade::plan::parse("plan", &text).unwrap();
    let tool = crate::harness::tool(&rejected.url);
    tool.run(&plan, &text, Some(crossfade::run::Phase::Backfill)).await.unwrap();
    for write in ["INSERT INTO t VALUES (3, 'z', 0)", "UPDATE t SET v = 'y' WHERE id = 1"] {
        let error = sqlx::raw_sql(write).execute(&rejected.pool).await.unwrap_err().to_string();
        assert!(error.contains("invalid input syntax for type integer"), "{error}");
    }
    // An old row that does not convert does not keep anybody from writing another column of it.
    rejected.execute("UPDATE t SET u = 1").await;
}

/// Without a policy, rows that do not convert keep the run from beginning.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_convert_are_listed_before_anything_changes() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, CASE WHEN g % 40 = 0 THEN 'x' ELSE g::text END FROM generate_series(1, 100) g")
        .await;
    let text = number("leave").replace(", on_error: leave", "");
    let plan = crossfade::plan::parse("plan", &text).unwrap();
    let error = tool(&database.url).run(&plan, &text, None).await.unwrap_err();
    let crossfade::runner::Error::Refused { findings } = error else { panic!("{error:?}") };
    let message = &findings[0].message;
    assert!(message.contains("2 rows") && message.contains("40") && message.contains("80"), "{message}");
    assert!(!database.scalar::<bool>("SELECT to_regnamespace('crossfade') IS NOT NULL").await, "something was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_settled_as_the_plan_says_and_counted() {
    for (policy, expected) in [("new_wins", Some("new")), ("old_wins", Some("old")), ("error", None)] {
        let database = Database::new().await;
        database.execute("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'was')").await;
        let text = format!(
            "version: 1\nname: conflict\ntable: t\nchanges:\n  - rename_column: {{ from: a, to: b, on_conflict: {policy} }}\ncontract: {{ grace: 0s, quiet: 0s }}\n"
        );
        let (tool, _plan) = start(&database, &text).await;
        let result = sqlx::raw_sql("UPDATE t SET a = 'old', b = 'new'").execute(&database.pool).await;
        let Some(expected) = expected else {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("\"a\" and \"b\"") && error.contains("public.t"), "{error}");
            continue;
        };
        result.unwrap();
        assert_eq!(database.scalar::<String>("SELECT a || '/' || b FROM t").await, format!("{expected}/{expected}"));
        assert_eq!(tool.status("conflict").await.unwrap().conflicts, 1);
    }
}

/// Names with capitals, quotes, dots, percent signs, other scripts, and PL/pgSQL's own words.
#[tokio::test(flavor = "multi_thread")]
async fn awkward_names_survive() {
    for (table, old, new) in [
        ("Select", "old", "new"),
        ("we\"ird.t", "a.b", "a%b"),
        ("naïve tæble", "Größe", "größe"),
        ("t", "it's", "$cf$"),
        ("order", "user", "ééééééééééééééééééééééééééééééé"),
    ] {
        let database = Database::new().await;
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (table_sql, old_sql, new_sql) = (quoted(table), quoted(old), quoted(new));
        database
            .execute(&format!(
                "CREATE TABLE {table_sql} (\"primary\" int PRIMARY KEY, {old_sql} text NOT NULL DEFAULT 'd' UNIQUE, \"desc\" int);
                 CREATE INDEX {} ON {table_sql} (lower({old_sql}), \"desc\" DESC) WHERE {old_sql} <> 'x';
                 COMMENT ON COLUMN {table_sql}.{old_sql} IS 'it''s';
                 INSERT INTO {table_sql} SELECT g, g FROM generate_series(1, 20) g",
                quoted(&format!("ix {old}"))
            ))
            .await;
        let yaml = |text: &str| serde_json::to_string(text).unwrap();
        let text = format!(
            "version: 1\nname: names\ntable: {}\nchanges:\n  - rename_column: {{ from: {}, to: {} }}\ncontract: {{ grace: 0s, quiet: 0s }}\n",
            yaml(&format!("public.{}", if table.contains('.') { table_sql.clone() } else { table.to_owned() })),
            yaml(old),
            yaml(new)
        );
        let before = database.schema().await;
        let (tool, plan) = start(&database, &text).await;
        database.execute(&format!("INSERT INTO {table_sql} (\"primary\", {new_sql}) VALUES (100, 'n'); UPDATE {table_sql} SET {old_sql} = 'o' WHERE \"primary\" = 3")).await;
        let differ = format!("SELECT count(*) FROM {table_sql} WHERE {old_sql} IS DISTINCT FROM {new_sql}");
        assert_eq!(database.scalar::<i64>(&differ).await, 0);
        tool.rollback("names", None).await.unwrap();
        assert_eq!(database.schema().await, before);
        assert_eq!(tool.run(&plan, &text, None).await.unwrap().state, crossfade::run::Standing::Done);
        let twin = Database::new().await;
        twin.execute(&format!(
            "CREATE TABLE {table_sql} (\"primary\" int PRIMARY KEY, {old_sql} text NOT NULL DEFAULT 'd' UNIQUE, \"desc\" int);
             CREATE INDEX {} ON {table_sql} (lower({old_sql}), \"desc\" DESC) WHERE {old_sql} <> 'x';
             COMMENT ON COLUMN {table_sql}.{old_sql} IS 'it''s';
             ALTER TABLE {table_sql} RENAME COLUMN {old_sql} TO {new_sql}",
            quoted(&format!("ix {old}"))
        ))
        .await;
        assert_eq!(database.schema().await, twin.schema().await);
    }
}

/// A change that PostgreSQL makes in the catalog alone is made there.
#[tokio::test(flavor = "multi_thread")]
async fn a_longer_varchar_is_changed_in_place() {
    let database = Database::new().await;
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(5)); INSERT INTO t VALUES (1, 'a')").await;
    let file: i64 = database.scalar("SELECT pg_relation_filenode('t')::bigint").await;
    let text = "version: 1\nname: longer\ntable: t\nchanges:\n  - change_type: { column: v, to: varchar(50) }\nindexes: { add: [{ name: t_v, columns: [v] }] }\n";
    let plan = crossfade::plan::parse("plan", text).unwrap();
    let tool = tool(&database.url);
    let preview = tool.preview(&plan).await.unwrap();
    assert!(preview.in_place);
    let finish = tool.run(&plan, text, None).await.unwrap();
    assert_eq!(finish.state, crossfade::run::Standing::Done);
    let now =
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'v'";
    assert_eq!(database.scalar::<String>(now).await, "character varying(50)");
    assert_eq!(database.scalar::<i64>("SELECT pg_relation_filenode('t')::bigint").await, file);
    let index = "SELECT pg_get_indexdef('t_v'::regclass)";
    assert!(database.scalar::<String>(index).await.ends_with("(v)"));
    let error = tool.rollback("longer", None).await.unwrap_err();
    assert!(matches!(error, crossfade::runner::Error::PointOfNoReturn { .. }), "{error:?}");
}

/// A default that gives another value each time cannot be told from a value that was written; the new release's INSERT
/// still wins, and does not look like a write through the old column.
#[tokio::test(flavor = "multi_thread")]
async fn a_volatile_default_does_not_win() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, a uuid DEFAULT gen_random_uuid()); INSERT INTO t VALUES (1)")
        .await;
    for policy in ["new_wins", "old_wins", "error"] {
        let text = format!(
            "version: 1\nname: volatile\ntable: t\nchanges:\n  - rename_column: {{ from: a, to: b, on_conflict: {policy} }}\ncontract: {{ grace: 0s, quiet: 0s }}\n"
        );
        let (tool, _plan) = start(&database, &text).await;
        database
            .execute(
                "DELETE FROM t WHERE id = 2; INSERT INTO t (id, b) VALUES (2, '00000000-0000-0000-0000-000000000007')",
            )
            .await;
        let both = "SELECT a = b AND b = '00000000-0000-0000-0000-000000000007' FROM t WHERE id = 2";
        assert!(database.scalar::<bool>(both).await, "{policy}");
        let status = tool.status("volatile").await.unwrap();
        assert_eq!((status.old_column_write_seconds, status.conflicts), (0, 0), "{policy}");
        tool.rollback("volatile", None).await.unwrap();
    }
}

/// After the swap the default is the new column's; a release that writes the other name keeps what it wrote.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_swap_a_default_does_not_win_over_the_other_name() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL DEFAULT 5); INSERT INTO t VALUES (1, 1)")
        .await;
    let text = "version: 1\nname: swapped\ntable: t\nchanges:\n  - change_type: { column: v, to: bigint, reverse: \"w::int\", via: w }\ncontract: { grace: 0s, quiet: 0s }\n";
    let (tool, plan) = start(&database, text).await;
    tool.run(&plan, text, Some(crossfade::run::Phase::Switch)).await.unwrap();
    database
        .execute(
            "INSERT INTO t (id, w) VALUES (2, 42); INSERT INTO t (id) VALUES (3); INSERT INTO t (id, v) VALUES (4, 7)",
        )
        .await;
    let rows: String = database.scalar("SELECT string_agg(v || '/' || w, ' ' ORDER BY id) FROM t").await;
    assert_eq!(rows, "1/1 42/42 5/5 7/7");
    assert_eq!(tool.run(&plan, text, None).await.unwrap().state, crossfade::run::Standing::Done);
}

/// An empty new column says nothing about the old one: a repair in its favour leaves rows alone that are not filled.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_never_empties_what_is_only_not_filled() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t SELECT g, g FROM generate_series(1, 9) g")
        .await;
    let text = "version: 1\nname: repair\ntable: t\nchanges:\n  - rename_column: { from: a, to: b }\ncontract: { grace: 0s, quiet: 0s }\n";
    let plan = crossfade::plan::parse("plan", text).unwrap();
    let tool = tool(&database.url);
    tool.run(&plan, text, Some(crossfade::run::Phase::Index)).await.unwrap();
    let error = tool.verify("repair", Some(crossfade::run::Side::New)).await.unwrap_err().to_string();
    assert!(error.contains("backfill"), "{error}");
    tool.run(&plan, text, Some(crossfade::run::Phase::Verify)).await.unwrap();
    database
        .execute("ALTER TABLE t DISABLE TRIGGER USER; UPDATE t SET b = NULL WHERE id = 3; UPDATE t SET b = 'x' WHERE id = 4; ALTER TABLE t ENABLE TRIGGER USER")
        .await;
    let outcome = tool.verify("repair", Some(crossfade::run::Side::New)).await.unwrap();
    assert_eq!((outcome.counts.empty, outcome.counts.different), (1, 0));
    assert_eq!(database.scalar::<String>("SELECT string_agg(a, '' ORDER BY id) FROM t").await, "123x56789");
    tool.verify("repair", Some(crossfade::run::Side::Old)).await.unwrap();
    assert_eq!(database.scalar::<String>("SELECT string_agg(b, '' ORDER BY id) FROM t").await, "123x56789");
}
