//! `crossfade import`: a migration becomes a plan that leaves the table as the migration would.

use std::path::Path;

use crossfade::plan;

use crate::harness::{Cli, Database, Output, tool};

const TABLE: &str = "
CREATE TABLE vehicles (id bigint PRIMARY KEY, status text, odometer text NOT NULL DEFAULT '0', price text, seen timestamp);
CREATE INDEX ON vehicles (status);
INSERT INTO vehicles SELECT n, 'active', n, n || '.5', '2027-01-01' FROM generate_series(1, 50) AS n;
";

const MIGRATION: &str = "-- What we want; it's one transaction.
BEGIN;
ALTER TABLE vehicles RENAME COLUMN status TO state;
ALTER TABLE public.vehicles
  ALTER odometer DROP DEFAULT,
  ALTER odometer TYPE integer USING odometer::integer,
  ALTER odometer SET DEFAULT 7;
ALTER TABLE vehicles ALTER price TYPE numeric(12, 2) USING (replace(price, ',', '.')::numeric);
ALTER TABLE vehicles RENAME price TO amount;
COMMIT;
";

async fn import(url: &str, folder: &Path, code: i32, args: &[&str]) -> Output {
    let output = Cli::new(url).args(["import"]).args(args).folder(folder).run().await;
    assert_eq!(output.code, Some(code), "{args:?}: {}{}", output.stdout, output.stderr);
    output
}

async fn columns(database: &Database) -> String {
    database
        .scalar(
            "SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)), ', ' ORDER BY attname)
               FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
              WHERE attrelid = 'vehicles'::regclass AND attnum > 0 AND NOT attisdropped",
        )
        .await
}

#[tokio::test]
async fn the_plan_leaves_what_the_migration_leaves() {
    let (altered, database) = tokio::join!(Database::new(), Database::new());
    altered.execute(TABLE).await;
    altered.execute(MIGRATION).await;
    database.execute(TABLE).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("V7__state.sql"), MIGRATION).unwrap();
    let output = import(&database.url, folder.path(), 0, &["V7__state.sql", "-o", "plan.yaml"]).await;
    assert_eq!(output.stdout, "");
    assert!(
        output.stderr.contains("The plan is in plan.yaml. Nothing was changed in the database."),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("in place of the cast"), "{}", output.stderr);
    let text = std::fs::read_to_string(folder.path().join("plan.yaml")).unwrap();
    assert!(text.starts_with("# From V7__state.sql, lines 3, 5, 8.\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
    // What the file does not say was looked for: a way back for each type.
    assert_eq!(text.matches(" reverse: ").count(), 2, "{text}");
    let text = text.replace("# contract:\n#   quiet: 1h\n#   grace: 7d", "contract: { quiet: 0s, grace: 0s }");
    let plan = plan::parse("plan.yaml", &text).unwrap();
    tool(&database.url).run(&plan, &text, None).await.unwrap();
    assert_eq!(columns(&database).await, columns(&altered).await);
    let rows = "SELECT string_agg(concat_ws(' ', id, state, odometer, amount), ', ' ORDER BY id) FROM vehicles";
    assert_eq!(database.scalar::<String>(rows).await, altered.scalar::<String>(rows).await);
    // A cast that depends on the session's time zone becomes an expression that does not, which is said.
    std::fs::write(
        folder.path().join("8.sql"),
        "ALTER TABLE vehicles ALTER seen TYPE timestamptz USING seen::timestamptz",
    )
    .unwrap();
    let output = import(&database.url, folder.path(), 0, &["8.sql"]).await;
    let note = "note: 8.sql, line 1: in place of the cast seen::timestamptz, the plan uses seen AT TIME ZONE 'UTC'.\n";
    assert!(output.stderr.contains(note), "{}", output.stderr);
    // It is a second time, and the columns are not there any more.
    let output = import(&database.url, folder.path(), 2, &["V7__state.sql"]).await;
    assert!(output.stderr.contains("public.vehicles has no column \"status\""), "{}", output.stderr);
}

#[tokio::test]
async fn without_a_database_the_plan_is_what_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |name: &str, text: &[u8]| std::fs::write(at.join(name), text).unwrap();
    write("7_a.sql", b"ALTER TABLE vehicles RENAME a TO b;\nALTER TABLE vehicles ALTER c TYPE uuid USING c::uuid;\n");
    let output = import("", at, 0, &["7_a.sql"]).await;
    for line in [
        "# From 7_a.sql, lines 1, 2.",
        "# The schema of vehicles is not in the file: public is assumed.",
        "name: vehicles-a-c",
        "table: public.vehicles",
        "      using: c::uuid",
    ] {
        assert!(output.stdout.lines().any(|other| other == line), "{line}: {}", output.stdout);
    }
    let said = "  note: The schema of vehicles is not in the file: public is assumed.\nNo database was looked at. Next, with one: crossfade plan PLAN\n";
    assert_eq!(output.stderr, said);
    plan::parse("a.yaml", &output.stdout).unwrap();
    let output = import("", at, 0, &["7_a.sql", "--format", "json", "-o", "a.yaml"]).await;
    let value: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(value["plan"]["changes"][0]["rename_column"]["to"], "b");
    assert_eq!(value["text"], std::fs::read_to_string(at.join("a.yaml")).unwrap());
    import("", at, 2, &["7_a.sql", "-o", "a.yaml"]).await;

    write("8_b.sql", b"ALTER TABLE a RENAME a TO b;\nALTER TABLE x.b RENAME a TO b;\nDROP TABLE c;\n");
    let output = import("", at, 2, &["8_b.sql"]).await;
    let line = "  8_b.sql:3: `DROP TABLE c` neither renames a column nor changes its type\n    help: only renames";
    assert!(output.stderr.contains(line), "{}", output.stderr);
    let output = import("", at, 2, &["8_b.sql", "--format", "json"]).await;
    let value: serde_json::Value = serde_json::from_str(&output.stderr).unwrap();
    assert_eq!(
        (&value["error"]["code"], &value["error"]["problems"][0]["line"]),
        (&"import::refused".into(), &3.into())
    );
    write("9_c.sql", b"ALTER TABLE a RENAME a TO b;\nALTER TABLE x.b RENAME a TO b;\n");
    let output = import("", at, 0, &["9_c.sql", "--table", "x.b"]).await;
    assert!(output.stdout.contains("table: x.b\n"), "{}", output.stdout);
    assert!(output.stderr.contains("note: 9_c.sql, line 1: left out, because it is about a."), "{}", output.stderr);

    for (name, text, said) in [
        ("bytes.sql", &b"SELECT 1;\n\xff"[..], "bytes.sql:2: a byte here is not UTF-8"),
        ("a.txt", b"", "the file's name does not tell what reads it"),
        ("a.py", b"def upgrade():\n    op.drop_table('x')\n", "a.py:2: `op.drop_table('x')` neither renames"),
    ] {
        write(name, text);
        let output = import("", at, 2, &[name]).await;
        assert!(output.stderr.contains(said), "{}", output.stderr);
    }
    // A file that is not there is not said to be a plan.
    let output = import("", at, 2, &["missing.sql"]).await;
    assert!(
        output.stderr.contains("name a file of your migration tool") && !output.stderr.contains("YAML"),
        "{}",
        output.stderr
    );
}
