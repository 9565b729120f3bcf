//! What a plan requires of the database: each requirement met, not met, and not to be seen; before the start, and by every tick.

use std::path::Path;

use crossfade::event;
use crossfade::names::LedgerSchema;
use crossfade::pg::Connector;
use crossfade::plan::{Plan, parse};
use crossfade::run::{GateKind, Requirement, Verdict};
use crossfade::runner::{Error, NotYet, Tool};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cli, Database, PATIENCE, own_server, tool, versions, wait_for};

fn text(name: &str, requires: &str) -> String {
    format!(
        "version: 1\nname: {name}\ntable: t\nchanges: [{{ rename_column: {{ from: a, to: b }} }}]\ncontract: {{ grace: 0s, quiet: 0s }}\nrequires: {{ {requires} }}\n"
    )
}

fn plan(requires: &str) -> Plan {
    parse("p", &text("p", requires)).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

async fn with_table(database: Database) -> Database {
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t SELECT n, 'a' FROM generate_series(1, 500) n",
        )
        .await;
    database
}

/// A tool that has the rights of `role`.
fn tool_as(database: &Database, role: &str) -> Tool {
    let url = database.url.replace("postgres@", &format!("{role}@"));
    let connector = Connector::new(url.parse().unwrap());
    Tool::new(connector, LedgerSchema::default(), "test", event::silent(), CancellationToken::new())
}

async fn found(tool: &Tool, requires: &str) -> Vec<Requirement> {
    let preview = tool.preview(&plan(requires)).await.unwrap();
    let refused = preview.refusals.iter().filter(|finding| finding.message.starts_with("the plan requires")).count();
    assert_eq!(refused, preview.requirements.iter().filter(|requirement| !requirement.is_met()).count());
    preview.requirements
}

/// Returns what came of the only thing that is required.
async fn one(tool: &Tool, requires: &str) -> (Verdict, String) {
    let [requirement] = found(tool, requires).await.try_into().unwrap();
    assert_eq!(requirement.help.is_empty(), requirement.is_met(), "{requirement:?}");
    (requirement.verdict, requirement.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_objects_are_there_or_are_not() {
    for version in versions() {
        let database = with_table(Database::on(&version).await).await;
        database
            .execute(
                "CREATE TABLE u (c varchar(10), n numeric(10), m numeric(10,2), w timestamptz(3)[]); CREATE VIEW v AS SELECT * FROM u;
                 CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('good'); ALTER TABLE u ADD mood other.mood",
            )
            .await;
        let tool = tool(&database.url);
        let expected = [
            ("postgres: \">=14\"", Verdict::Pass, "PostgreSQL 14 or later: the server is"),
            ("postgres: \">=99\"", Verdict::Fail, "PostgreSQL 99 or later: the server is"),
            ("extensions: [plpgsql]", Verdict::Pass, "extension plpgsql: version 1.0 is installed"),
            ("extensions: [plpgsql >= 1]", Verdict::Pass, "extension plpgsql >= 1: version 1.0"),
            ("extensions: [plpgsql > 1.0]", Verdict::Fail, "extension plpgsql > 1.0: version 1.0"),
            ("extensions: [nosuch]", Verdict::Fail, "extension nosuch: it is not installed in database"),
            ("tables: [u]", Verdict::Pass, "table public.u: it is there"),
            ("tables: [v]", Verdict::Fail, "table public.v: it is a view"),
            ("tables: [nosuch.u]", Verdict::Fail, "table nosuch.u: there is no such table"),
            (
                "columns: [{ table: u, column: c }]",
                Verdict::Pass,
                "column c of public.u: it is there, of type character varying(10)",
            ),
            ("columns: [{ table: u, column: d }]", Verdict::Fail, "column d of public.u: there is no such column"),
            ("columns: [{ table: x, column: c }]", Verdict::Fail, "column c of public.x: there is no such table"),
            ("columns: [{ table: u, column: c, type: varchar(10) }]", Verdict::Pass, ""),
            ("columns: [{ table: u, column: c, type: varchar }]", Verdict::Pass, ""),
            (
                "columns: [{ table: u, column: c, type: varchar(11) }]",
                Verdict::Fail,
                "it is of type character varying(10)",
            ),
            ("columns: [{ table: u, column: c, type: text }]", Verdict::Fail, "it is of type"),
            ("columns: [{ table: u, column: n, type: numeric(10) }]", Verdict::Pass, ""),
            ("columns: [{ table: u, column: m, type: numeric(10) }]", Verdict::Fail, ""),
            ("columns: [{ table: u, column: w, type: \"timestamptz(3)[]\" }]", Verdict::Pass, ""),
            ("columns: [{ table: u, column: mood, type: other.mood }]", Verdict::Pass, ""),
            (
                "columns: [{ table: u, column: mood, type: mood }]",
                Verdict::Fail,
                "there is no type mood; the column is of type other.mood",
            ),
            ("columns: [{ table: u, column: c, type: \"'); DROP TABLE u; --\" }]", Verdict::Fail, "there is no type"),
            ("plans: [nosuch]", Verdict::Fail, "plan nosuch: it has no run in this database"),
        ];
        for (requires, verdict, says) in expected {
            if requires.starts_with("plans") {
                let preview = tool.preview(&plan(requires)).await.unwrap();
                assert_eq!((preview.refusals.len(), preview.requirements[0].verdict), (0, verdict));
                continue;
            }
            let (is, said) = one(&tool, requires).await;
            assert!(is == verdict && said.contains(says), "{requires}: {is:?}, {said}");
        }
        // All of them are listed at once.
        let all = found(&tool, "postgres: \">=99\", extensions: [nosuch, plpgsql], tables: [t, u, w], columns: [{ table: t, column: id, type: int }]").await;
        let met: Vec<_> = all.iter().map(Requirement::is_met).collect();
        assert_eq!(met, [false, false, true, true, true, false, true]);
    }
}

/// What an extension calls its versions is its own affair; which come first, nobody can tell then.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_be_compared_blocks() {
    let database = with_table(Database::new().await).await;
    database.execute("UPDATE pg_extension SET extversion = 'ANY' WHERE extname = 'plpgsql'").await;
    let tool = tool(&database.url);
    let (verdict, said) = one(&tool, "extensions: [plpgsql >= 1]").await;
    assert_eq!(verdict, Verdict::Unknown, "{said}");
    assert!(said.contains("nobody can tell, because version ANY"), "{said}");
    assert_eq!(one(&tool, "extensions: [plpgsql]").await.0, Verdict::Pass);
    let refused = tool.run(&plan("extensions: [plpgsql >= 1]"), &text("p", ""), None).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn free_disk_space_is_looked_at_or_asked_for_and_never_made_up() {
    let database = with_table(Database::new().await).await;
    let owner = tool(&database.url);
    for (requires, verdict, says) in [
        ("disk: { free: 1kB }", Verdict::Pass, "are free (on the file system of /"),
        ("disk: { free: 8000000TB }", Verdict::Fail, "are free (on the file system of /"),
        ("disk: { free: predicted }", Verdict::Pass, "free disk space for the predicted growth ("),
        ("disk: { free: 1GB, query: SELECT 2000000000 }", Verdict::Pass, "(the plan's query says so)"),
        ("disk: { free: 1GB, query: SELECT 2 }", Verdict::Fail, "2 B are free"),
        (
            "disk: { free: 1GB, query: SELECT NULL::bigint }",
            Verdict::Unknown,
            "the plan's query returns no number of bytes",
        ),
        ("disk: { free: 1GB, query: SELECT -1 }", Verdict::Unknown, "the plan's query returns no number of bytes"),
        ("disk: { free: 1GB, query: SELECT free FROM nosuch }", Verdict::Unknown, "the plan's query fails"),
        ("disk: { free: 1GB, query: \"SELECT nextval('s')\" }", Verdict::Unknown, "the plan's query fails"),
    ] {
        database.execute("CREATE SEQUENCE IF NOT EXISTS s").await;
        let (is, said) = one(&owner, requires).await;
        assert!(is == verdict && said.contains(says), "{requires}: {is:?}, {said}");
    }
    // An index alone is not predicted.
    let index = text("p", "disk: { free: predicted }")
        .replace("rename_column: { from: a, to: b }", "add_index: { name: i, columns: [a] }");
    let index = parse("p", &index.replace("contract: { grace: 0s, quiet: 0s }\n", "")).unwrap();
    let preview = owner.preview(&index).await.unwrap();
    assert_eq!(preview.requirements[0].verdict, Verdict::Unknown, "{:?}", preview.requirements);
    // Who may not see where the files are cannot tell.
    let name = &database.name;
    database
        .execute(&format!(
            "DO $$ BEGIN CREATE ROLE crossfade_blind LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             GRANT CREATE ON DATABASE {name} TO crossfade_blind; GRANT ALL ON SCHEMA public TO crossfade_blind; ALTER TABLE t OWNER TO crossfade_blind"
        ))
        .await;
    let blind = tool_as(&database, "crossfade_blind");
    let (verdict, said) = one(&blind, "disk: { free: 1kB }").await;
    assert!(verdict == Verdict::Unknown && said.contains("does not tell this role where"), "{verdict:?} {said}");
    assert_eq!(one(&blind, "disk: { free: 1kB, query: SELECT 5000 }").await.0, Verdict::Pass);
    database
        .execute(&format!("DROP OWNED BY crossfade_blind; REVOKE ALL ON DATABASE {name} FROM crossfade_blind"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replication_slots_keep_is_bounded() {
    let server = own_server();
    let database = with_table(Database::on_server(&server).await).await;
    let tool = tool(&database.url);
    for requires in ["slots: { wal: 1MB }", "slots: { inactive_wal: 1MB }"] {
        let (verdict, said) = one(&tool, requires).await;
        assert!(verdict == Verdict::Pass && said.contains("slot keeps any"), "{said}");
    }
    database.execute("SELECT pg_create_physical_replication_slot('forgotten', true)").await;
    database.execute("CREATE TABLE big AS SELECT repeat(n::text, 100) FROM generate_series(1, 30000) n").await;
    for (requires, verdict, says) in [
        ("slots: { wal: 1MB }", Verdict::Fail, "slot forgotten keeps "),
        ("slots: { inactive_wal: 1MB }", Verdict::Fail, "slot forgotten keeps "),
        ("slots: { wal: 10GB }", Verdict::Pass, "slot forgotten keeps "),
        ("slots: { inactive_wal: 10GB }", Verdict::Pass, "slot forgotten keeps "),
        ("slots: { bounded: true }", Verdict::Fail, "max_slot_wal_keep_size is -1"),
    ] {
        let (is, said) = one(&tool, requires).await;
        assert!(is == verdict && said.contains(says), "{requires}: {is:?}, {said}");
    }
    for statement in ["ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()"] {
        database.execute(statement).await;
    }
    let set = async || database.scalar::<String>("SHOW max_slot_wal_keep_size").await == "1MB";
    wait_for("the setting", PATIENCE, set).await;
    assert_eq!(one(&tool, "slots: { bounded: true }").await.0, Verdict::Pass);
    // Beyond that the server gives the slot up, whatever the plan allows.
    let (verdict, said) = one(&tool, "slots: { wal: 10GB }").await;
    let lost: String = database.scalar("SELECT wal_status FROM pg_replication_slots").await;
    assert!(lost == "lost" || verdict == Verdict::Fail && said.contains("max_slot_wal_keep_size"), "{lost} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_have_caught_up_or_hold_the_plan() {
    let server = own_server();
    let database = with_table(Database::on_server(&server).await).await;
    let tool = tool(&database.url);
    assert_eq!(one(&tool, "replicas: { behind: 1MB }").await.1, "replicas at most 1 MB behind: there is no replica");
    assert_eq!(one(&tool, "replicas: { count: 1 }").await.0, Verdict::Fail);
    let replica = tokio::task::block_in_place(|| server.replica()).unwrap();
    wait_for("the replica", PATIENCE, async || one(&tool, "replicas: { count: 1 }").await.0 == Verdict::Pass).await;
    wait_for("the replica to catch up", PATIENCE, async || {
        one(&tool, "replicas: { behind: 1MB }").await.0 == Verdict::Pass
    })
    .await;
    assert_eq!(one(&tool, "replicas: { count: 2 }").await.0, Verdict::Fail);
    let standby = sqlx::PgPool::connect(&replica.url(&database.name)).await.unwrap();
    sqlx::query("SELECT pg_wal_replay_pause()").execute(&standby).await.unwrap();
    database.execute("CREATE TABLE big AS SELECT repeat(n::text, 100) FROM generate_series(1, 30000) n").await;
    let (verdict, said) = one(&tool, "replicas: { behind: 1MB }").await;
    assert!(verdict == Verdict::Fail && said.contains("behind"), "{said}");
    let name = &database.name;
    database
        .execute(&format!(
            "CREATE ROLE crossfade_blind LOGIN; GRANT CREATE ON DATABASE {name} TO crossfade_blind;
             GRANT ALL ON SCHEMA public TO crossfade_blind; ALTER TABLE t OWNER TO crossfade_blind"
        ))
        .await;
    let blind = tool_as(&database, "crossfade_blind");
    for requires in ["replicas: { behind: 10GB }", "replicas: { count: 1 }"] {
        let (verdict, said) = one(&blind, requires).await;
        assert!(verdict == Verdict::Unknown && said.contains("may not see the state of replicas"), "{said}");
    }
    sqlx::query("SELECT pg_wal_replay_resume()").execute(&standby).await.unwrap();
    wait_for("the replica to catch up", PATIENCE, async || {
        one(&tool, "replicas: { behind: 1MB }").await.0 == Verdict::Pass
    })
    .await;
}

/// Nothing is begun before everything is there, and a run does not go on while something has gone, or cannot be seen.
#[tokio::test(flavor = "multi_thread")]
async fn every_tick_looks_again() {
    let database = with_table(Database::new().await).await;
    let requires = "tables: [needed], disk: { free: 1kB, query: SELECT free FROM disk }, plans: [first]";
    let (plan, text) = (plan(requires), text("p", requires));
    let tool = tool(&database.url);
    let first =
        parse("first", "version: 1\nname: first\ntable: u\nchanges: [{ add_column: { name: x, type: int } }]").unwrap();
    database.execute("CREATE TABLE u (id int); CREATE TABLE disk (free bigint)").await;
    // Another plan is waited for; what is not there is refused.
    let waits = tool.start(&plan, &text).await;
    assert!(matches!(waits, Err(Error::NotYet(NotYet::Plans { .. }))), "{waits:?}");
    tool.run(&first, "first", None).await.unwrap();
    let refused = tool.start(&plan, &text).await;
    let Err(Error::Refused { findings }) = refused else { panic!("{refused:?}") };
    let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["requires::table", "requires::disk"]);
    assert!(tool.status("p").await.is_err(), "nothing was registered");

    database.execute("CREATE TABLE needed (id int); INSERT INTO disk VALUES (4000)").await;
    tool.start(&plan, &text).await.unwrap();
    let closed = async || {
        let result = tool.advance("p").await;
        let Err(Error::NotYet(NotYet::Gate { reading, .. })) = result else { panic!("{result:?}") };
        assert_eq!(reading.gate, GateKind::Requires);
        let by_hand = tool.run(&plan, &text, None).await;
        assert!(matches!(by_hand, Err(Error::NotYet(NotYet::Gate { .. }))), "{by_hand:?}");
        (reading.verdict, reading.reason)
    };
    database.execute("ALTER TABLE needed RENAME TO needless").await;
    let (verdict, reason) = closed().await;
    assert!(
        verdict == Verdict::Fail && reason.starts_with("table public.needed: there is no such table ("),
        "{reason}"
    );
    database.execute("ALTER TABLE needless RENAME TO needed; TRUNCATE disk").await;
    let (verdict, reason) = closed().await;
    assert!(verdict == Verdict::Unknown && reason.contains("returns no number of bytes"), "{reason}");
    database.execute("INSERT INTO disk VALUES (4000)").await;
    let finish = tool.advance("p").await.unwrap();
    assert_eq!(finish.did.len(), 1);
    // What closes on the way back is nobody's concern.
    database.execute("DROP TABLE needed").await;
    tool.rollback("p", None).await.unwrap();
}

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).unwrap();
}

/// Plans of one folder are shown in an order in which they can run; what is wrong with one does not hide the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_plans_is_ordered_and_judged() {
    let database = with_table(Database::new().await).await;
    database.execute("CREATE TABLE u (id int PRIMARY KEY, c text, d text GENERATED ALWAYS AS (upper(c)) STORED)").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let plan = |name: &str, table: &str, change: &str, requires: &str| {
        format!("version: 1\nname: {name}\ntable: {table}\nchanges: [{{ {change} }}]\nrequires: {{ {requires} }}\n")
    };
    write(
        folder.path(),
        "10-narrow.yaml",
        &plan("narrow", "t", "change_type: { column: b, to: varchar(9) }", "plans: [rename]"),
    );
    write(folder.path(), "20-rename.yml", &plan("rename", "t", "rename_column: { from: a, to: b }", ""));
    write(folder.path(), "notes.txt", "not a plan");
    let run =
        async |format: &str| Cli::new(&database.url).args(["--format", format, "plan", "--all", &path]).run().await;
    let output = run("text").await;
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    insta::assert_snapshot!(output.stdout.replace(&path, "plans"), @"
    plans: 2 files
       1  rename  public.t  ready
       2  narrow  public.t  waits for rename
    ");
    write(
        folder.path(),
        "30-view.yaml",
        &plan("view", "u", "change_type: { column: c, to: varchar(9) }", "plans: [nobody]"),
    );
    write(folder.path(), "40-broken.yaml", "version: 1\nname: broken\ntabel: t\n");
    write(folder.path(), "50-again.yaml", &plan("rename", "u", "add_column: { name: e, type: text }", ""));
    write(folder.path(), "60-same.yaml", &plan("same", "t", "rename_column: { from: a, to: z }", ""));
    write(folder.path(), "70-egg.yaml", &plan("egg", "u", "add_column: { name: f, type: text }", "plans: [hen]"));
    write(folder.path(), "80-hen.yaml", &plan("hen", "u", "add_column: { name: g, type: text }", "plans: [egg]"));
    let output = run("text").await;
    assert_eq!(output.code, Some(4), "{}\n{}", output.stdout, output.stderr);
    insta::assert_snapshot!(output.stdout.replace(&path, "plans"), @r#"
    plans: 8 files
       1  rename          public.t  ready
       2  view            public.u  refused
          refused[catalog::generated_column]: column d of table public.u is generated from column "c"
            help: PostgreSQL refuses it too (cannot alter type of a column used by a generated column): drop the generated column before the run, and add it again once the column has the new type
          refused[requires::plan]: the plan requires plan nobody, which is not in this folder, and it has no run in this database
            help: run it first, or add its file
       3  rename          public.u  ready
       4  narrow          public.t  waits for rename
       5  same            public.t  ready
       6  egg             public.u  waits for hen
       7  hen             public.u  waits for egg
       -  40-broken.yaml            invalid
          line 1, column 1: [plan::missing_key] `changes` is missing (add `changes: ...`)
          line 3, column 1: [plan::unknown_key] unknown key `tabel` at the top of a plan (did you mean `table`?)

    Circles
      egg requires hen requires egg: none of them can be first

    Conflicts
      2 plans are called rename
        help: give each a name of its own: a database knows a run by its plan's name
      plans rename and same both change column a of public.t
        help: let one wait for the other (`requires: { plans: [rename] }` in same), or make them one plan
    "#);
    let output = run("json").await;
    assert_eq!(output.code, Some(4), "{}", output.stderr);
    let value: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let states: Vec<_> =
        value["plans"].as_array().unwrap().iter().map(|plan| format!("{} {}", plan["name"], plan["state"])).collect();
    insta::assert_snapshot!(states.join("\n"), @r#"
    "rename" "ready"
    "view" "refused"
    "rename" "ready"
    "narrow" "waits"
    "same" "ready"
    "egg" "waits"
    "hen" "waits"
    null "invalid"
    "#);
    std::fs::remove_file(folder.path().join("30-view.yaml")).unwrap();
    assert_eq!(run("text").await.code, Some(3), "files that are no plans, or do not go together");
}
