//! What a plan says is so, and can be followed.

use crossfade::plan::{Plan, parse};
use crossfade::runner::Preview;

use crate::harness::{Database, Terminal, tool};

const RENAME: &str = "rename_column: { from: a, to: b }";

fn plan(change: &str) -> Plan {
    parse("plan", &format!("version: 1\nname: p\ntable: public.t\nchanges: [{{ {change} }}]\n")).unwrap()
}

async fn says(database: &Database, change: &str) -> Preview {
    tool(&database.url).preview(&plan(change)).await.unwrap()
}

fn warning(preview: &Preview, code: &str) -> Option<(String, String)> {
    let found = preview.warnings.iter().find(|finding| finding.code == code);
    found.map(|finding| (finding.message.clone(), finding.help.clone()))
}

/// The statistics of a small table may be those of the moment at which it was empty, or none.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_small_table_are_counted() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, a text) WITH (autovacuum_enabled = off); INSERT INTO t SELECT n, 'a' FROM generate_series(1, 300) n")
        .await;
    assert_eq!(says(&database, RENAME).await.estimates.rows, 300);
    // Analysed when all its rows had gone and its pages had stayed.
    database.execute("BEGIN; DELETE FROM t; ANALYZE t; COMMIT").await;
    database.execute("INSERT INTO t SELECT n, 'a' FROM generate_series(1, 500) n").await;
    let tuples: f32 = database.scalar("SELECT reltuples FROM pg_class WHERE oid = 't'::regclass").await;
    assert!(tuples < 1.0, "{tuples}");
    assert_eq!(says(&database, RENAME).await.estimates.rows, 500);
    assert_eq!(says(&database, "add_index: { name: i, columns: [a] }").await.estimates.rows, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_function_that_other_tables_have_is_not_to_be_changed() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := lower(NEW.a); RETURN NEW; END $$;
             CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE u (id int, a text); CREATE TABLE v (id int, a text);
             CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stamp();
             CREATE TRIGGER s BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION stamp();
             CREATE TRIGGER s BEFORE INSERT ON v FOR EACH ROW EXECUTE FUNCTION stamp()",
        )
        .await;
    let (message, help) = warning(&says(&database, RENAME).await, "catalog::function_text").unwrap();
    assert!(message.contains("stamp(), which triggers of public.u and public.v call too"), "{message}");
    assert!(help.contains("give the triggers of public.t a function of their own"), "{help}");
    database.execute("DROP TABLE u, v").await;
    let (message, help) = warning(&says(&database, RENAME).await, "catalog::function_text").unwrap();
    assert!(!message.contains("too") && help.contains("change them to use \"b\""), "{message}: {help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_has_the_name_among_its_arguments_is_warned_of() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text, \"ä\\\" text, words tsvector);
             CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON t FOR EACH ROW
               EXECUTE FUNCTION fill(words, 'pg_catalog.english', 'a', 'ä\\')",
        )
        .await;
    let (message, help) = warning(&says(&database, RENAME).await, "catalog::trigger_argument").unwrap();
    assert!(message.starts_with("trigger \"fill\" gives its function public.fill the name \"a\""), "{message}");
    assert!(
        help.contains("in `triggers` of the plan; without them, `contract` stops before the old name goes"),
        "{help}"
    );
    let other = "rename_column: { from: \"ä\\\\\", to: b }";
    let (message, _) = warning(&says(&database, other).await, "catalog::trigger_argument").unwrap();
    assert!(message.contains("the name \"ä\\\""), "{message}");
    // A type change that keeps the name is no concern of theirs, nor is a column that no argument names.
    for none in
        ["change_type: { column: a, to: varchar(90), reverse: a_v2, via: a_v2 }", "rename_column: { from: id, to: b }"]
    {
        assert_eq!(warning(&says(&database, none).await, "catalog::trigger_argument"), None, "{none}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_only_the_search_path_finds_is_warned_of() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text);
             CREATE FUNCTION public.clean(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT pg_catalog.btrim($1)'",
        )
        .await;
    let change =
        |using: &str| format!("change_type: {{ column: a, to: varchar(90), using: \"{using}\", reverse: b, via: b }}");
    let said = warning(&says(&database, &change("clean(a)")).await, "catalog::unqualified_name").unwrap().0;
    assert_eq!(said, "`using` of column \"a\" names function public.clean(text) without a schema");
    for qualified in ["public.clean(a)", "btrim(a)", "upper(a) || 'x'"] {
        let preview = says(&database, &change(qualified)).await;
        assert_eq!(warning(&preview, "catalog::unqualified_name"), None, "{qualified}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cast_that_depends_on_the_session_is_refused_in_words() {
    let database = Database::new().await;
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a timestamp)").await;
    let refusals = says(&database, "change_type: { column: a, to: timestamptz }").await.refusals;
    let message = &refusals[0].message;
    assert!(
        message.contains("depends on settings of the session, such as TimeZone") && !message.contains("immutable"),
        "{message}"
    );
    assert_eq!(refusals[0].help, "say in `using` which one is meant, for example: a AT TIME ZONE 'UTC'");
}

/// What stands in the way comes first, and no line of it is cut at the terminal's edge.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_plan_fits_the_terminal_and_says_why_first() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE RULE a_rule_about_everything_in_it AS ON UPDATE TO t WHERE NEW.a = '' DO ALSO NOTHING",
        )
        .await;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = format!("version: 1\nname: p\ntable: t\nchanges: [{{ {RENAME} }}]\n");
    std::fs::write(file.path(), text).unwrap();
    for command in ["plan", "run"] {
        let (code, shown) =
            Terminal::run(&database.url, &[command, "--no-color", file.path().to_str().unwrap()]).ends().await;
        assert_eq!(code, Some(4), "{shown}");
        let wide: Vec<_> = shown.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(wide, Vec::<&str>::new(), "{shown}");
        let refused = shown.find("refused[catalog::rule]").unwrap();
        assert!(command == "run" || refused < shown.find("Warnings").unwrap(), "{shown}");
        assert!(!shown.contains("ALTER TABLE"), "{shown}");
    }
}

/// What nobody can tell, no setting can decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_no_insert_can_have_is_told() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY, a uuid NOT NULL DEFAULT gen_random_uuid(), c uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000')")
        .await;
    let rename = |column: &str, how: &str| format!("rename_column: {{ from: {column}, to: b, on_conflict: {how} }}");
    let preview = says(&database, &rename("a", "error")).await;
    let said = warning(&preview, "catalog::on_conflict").unwrap().0;
    assert!(
        said.starts_with("`on_conflict: error` of column \"a\" does not act on INSERT: its default gen_random_uuid()"),
        "{said}"
    );
    let moved = "change_type: { column: c, to: text, via: b, reverse: \"b::uuid\", on_conflict: error, default: \"gen_random_uuid()::text\" }";
    let said = warning(&says(&database, moved).await, "catalog::on_conflict").unwrap().0;
    assert!(said.contains("(gen_random_uuid())::text"), "{said}");
    for silent in
        [rename("a", "new_wins"), rename("c", "error"), moved.replace(", default: \"gen_random_uuid()::text\"", "")]
    {
        assert_eq!(warning(&says(&database, &silent).await, "catalog::on_conflict"), None, "{silent}");
    }
}
