//! A key with parts: what commands make of the plan's name, which columns are left as they are, and columns that come to refer to the key later.

use crossfade::run::{GateKind, Phase, WaitingFor};
use crossfade::{Error, Need, NotYet};

use crate::harness::{Cli, Database, Output, tool};
use crate::widen::{PLAN, SETUP};

/// Types of the columns that hold a key of an order, by table and name.
const TYPES: &str = "SELECT string_agg(format('%s.%s %s', attrelid::regclass, attname, format_type(atttypid, NULL)), ', ' ORDER BY attrelid::regclass::text, attname)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    AND (attname IN ('up', 'order_id') OR attname = 'id' AND relname = 'orders') AND NOT attisdropped";

/// A database with a plan in a file.
struct Stage {
    database: Database,
    plan: tempfile::NamedTempFile,
}

impl Stage {
    async fn new(plan: &str) -> Self {
        let database = Database::new().await;
        database.execute(SETUP).await;
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), plan).unwrap();
        Self { database, plan: file }
    }

    /// Types a command, which ends with this exit code.
    async fn types(&self, code: i32, args: &[&str]) -> Output {
        let output = Cli::new(&self.database.url).args(args.iter().copied()).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
        output
    }

    async fn run(&self, code: i32, to: &str) -> Output {
        self.types(code, &["run", "--yes", "--to", to, self.plan.path().to_str().unwrap()]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_the_key_take_its_parts_along() {
    let stage = Stage::new(&(PLAN.to_owned() + "approve: [switch]\napproval: { self: true }\n")).await;
    let (plan, tool) = (crossfade::plan::parse("plan.yaml", PLAN).unwrap(), tool(&stage.database.url));
    // What a statement is shortened to is shown by a format that there is.
    let preview = tool.preview(&plan).await.unwrap();
    assert!(preview.refusals.is_empty(), "{:?}", preview.refusals);
    let shown = stage.types(0, &["plan", stage.plan.path().to_str().unwrap()]).await.stdout;
    assert!(shown.contains("see --format json") && !shown.contains("see --format sql"), "{shown}");

    stage.run(5, "switch").await;
    // The first part waits for somebody, and so does the key.
    let view = tool.status("wide").await.unwrap();
    assert_eq!((view.part.as_deref(), view.needs), (Some("wide-notes"), Need::Person));
    let waits = |waiting: &Option<WaitingFor>| matches!(waiting, Some(WaitingFor::Gate { reading, .. }) if reading.gate == GateKind::Approved);
    assert!(waits(&view.waiting_for), "{view:?}");
    stage.types(10, &["status", "wide", "--exit-code"]).await;
    let said = stage.types(0, &["status", "wide"]).await.stdout;
    assert!(said.contains("(its turn)") && said.contains("crossfade approve wide switch"), "{said}");
    // One command approves them all, and takes that back.
    let said = stage.types(0, &["approve", "wide", "switch"]).await.stdout;
    for run in ["wide", "wide-notes", "wide-parcels", "wide-lines"] {
        assert!(said.contains(&format!("{run}: switch is approved by")), "{said}");
    }
    assert!(!waits(&tool.status("wide").await.unwrap().waiting_for));
    let said = stage.types(0, &["approve", "wide", "switch", "--revoke"]).await.stdout;
    assert!(said.starts_with("wide-notes, wide-parcels, wide-lines, wide: switch is not approved"), "{said}");
    assert!(waits(&tool.status("wide").await.unwrap().waiting_for));
    stage.types(0, &["approve", "wide", "switch"]).await;
    stage.types(2, &["approve", "wide", "contract"]).await;
    // Tables with both columns are compared, and the others are named.
    let said = stage.types(0, &["verify", "wide"]).await.stdout;
    assert!(said.contains("wide-notes: 900 rows compared") && said.contains("run wide-lines does not have"), "{said}");
    let json = stage.types(0, &["verify", "wide", "--format", "json"]).await.stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["runs"][0]["name"], &json["runs"][0]["rows"]), (&"wide-notes".into(), &900.into()), "{json}");
    let notes = "UPDATE notes SET cf_TAG_order_id = 1 WHERE ctid = (SELECT min(ctid) FROM notes WHERE order_id = 2)";
    let tag = crossfade::plan::parse("p", &PLAN.replace("name: wide", "name: wide-notes")).unwrap().tag().to_string();
    let broken = format!(
        "ALTER TABLE notes DISABLE TRIGGER USER; {}; ALTER TABLE notes ENABLE TRIGGER USER",
        notes.replace("TAG", &tag)
    );
    stage.database.execute(&broken).await;
    stage.types(6, &["verify", "wide"]).await;
    stage.types(0, &["verify", "wide", "--repair", "old"]).await;

    let said = stage.types(0, &["history", "wide"]).await.stdout;
    assert!(said.contains("its part wide-lines\n") && said.matches("the run was registered").count() == 4, "{said}");
    let json = stage.types(0, &["history", "wide", "--format", "json"]).await.stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["runs"].as_array().unwrap().len(), json["parts"].as_array().unwrap().len()), (1, 3));
    let said = stage.types(0, &["history", "wide", "--check"]).await.stdout;
    assert_eq!(said.matches("the chain holds").count(), 4, "{said}");
    let said = stage.types(0, &["report", "wide", "-o", "-"]).await.stdout;
    assert!(said.contains("<h2>Parts</h2>") && said.contains("wide-parcels"), "{said}");
    let said = stage.types(0, &["show", "wide", "--program"]).await.stdout;
    assert!(said.contains("crossfade show wide-lines --program"), "{said}");

    exported(&stage).await;

    // A part is at work when the key is done; who watches the key sees it.
    loop {
        let approve = stage.types(0, &["approve", "wide", "switch"]).await.stdout;
        assert!(approve.contains("switch is approved by"), "{approve}");
        match tool.run(&plan_of(&stage), &text_of(&stage), Some(Phase::Switch)).await {
            Ok(_) => break,
            Err(Error::NotYet(NotYet::Gate { reading, .. })) if reading.gate == GateKind::Approved => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    stage.run(0, "contract").await;
    let said = stage.types(0, &["status", "wide", "--watch"]).await.stdout;
    assert_eq!(said.matches("contract, done").count(), 4, "{said}");
    assert!(tool.status("wide").await.unwrap().is_over());
}

fn text_of(stage: &Stage) -> String {
    std::fs::read_to_string(stage.plan.path()).unwrap()
}

fn plan_of(stage: &Stage) -> crossfade::plan::Plan {
    crossfade::plan::parse("plan.yaml", &text_of(stage)).unwrap()
}

/// One migration alters all tables where crossfade has never been, and fails where the run is under way.
async fn exported(stage: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    stage.types(0, &["export", "wide", "--to", "sqlx", path]).await;
    let again = stage.types(0, &["export", "wide", "--to", "sqlx", path]).await.stdout;
    assert!(again.contains("nothing to write"), "{again}");
    let said = stage.types(2, &["export", "wide-notes", "--to", "sqlx", path]).await.stderr;
    assert!(said.contains("crossfade export wide"), "{said}");
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let sql = std::fs::read_to_string(file).unwrap();
    let apply = async |database: &Database| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&database.pool).await.map_err(|error| error.to_string())
    };
    let error = apply(&stage.database).await.unwrap_err();
    assert!(error.contains("the run wide-notes of crossfade is under way"), "{error}");
    let fresh = Database::new().await;
    // A view has to go by hand first, as for any ALTER TABLE.
    fresh.execute(&format!("{SETUP}; DROP VIEW totals")).await;
    // Of several tables one may be as it should be already.
    fresh.execute("ALTER TABLE parcels ALTER order_id TYPE bigint").await;
    for _ in 0..2 {
        apply(&fresh).await.unwrap();
        assert_eq!(
            fresh.scalar::<String>(TYPES).await,
            "lines.order_id bigint, notes.order_id bigint, orders.id bigint, orders.up bigint, parcels.order_id bigint"
        );
    }
}

const LEAVES: &str = "referring: { leave: [{ table: public.notes, column: order_id }] }";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_stays_and_what_comes_later_stops_the_run_by_name() {
    let text = PLAN.replace("referring: change", LEAVES);
    let stage = Stage::new(&text).await;
    let (database, tool) = (&stage.database, tool(&stage.database.url));
    let preview = async |text: &str| tool.preview(&crossfade::plan::parse("plan.yaml", text).unwrap()).await.unwrap();
    let wrong = preview(&text.replace("column: order_id", "column: said")).await.refusals;
    assert!(
        wrong.iter().any(|finding| finding.code == "catalog::referring_leave"
            && finding.help.contains("column order_id of public.notes")),
        "{wrong:?}"
    );
    // What a key that changes by hand would meet is said before.
    database.execute("ALTER TABLE lines DROP CONSTRAINT lines_order_id_fkey, ADD CONSTRAINT lines_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders ON UPDATE CASCADE ON DELETE CASCADE").await;
    let whole = preview(&text).await;
    let parts: Vec<_> = whole.parts.iter().map(|part| part.plan.name.to_string()).collect();
    assert_eq!(parts, ["wide-parcels", "wide-lines"]);
    let warns = |code: &str, word: &str| {
        whole.warnings.iter().any(|finding| finding.code == code && finding.message.contains(word))
    };
    assert!(warns("catalog::referring_columns", "column order_id of public.notes (integer)"), "{:?}", whole.warnings);
    assert!(warns("catalog::cascade_too_wide", "lines_order_id_fkey"), "{:?}", whole.warnings);
    // What is shown of it again is the plan.
    let shown = crossfade::plan::to_yaml(&crossfade::plan::parse("plan.yaml", &text).unwrap());
    assert_eq!(crossfade::plan::parse("p", &shown).unwrap().left.len(), 1, "{shown}");

    // Two tables come to refer to the key in mid-run, one through the other, and one to a part.
    stage.run(0, "expand").await;
    database
        .execute(
            "CREATE TABLE late (order_id int PRIMARY KEY REFERENCES orders ON DELETE CASCADE); INSERT INTO late SELECT id FROM orders;
             CREATE TABLE later (order_id int REFERENCES late); CREATE TABLE \"To Lines\" (order_id int, no int, FOREIGN KEY (order_id, no) REFERENCES lines)",
        )
        .await;
    let stops = async |at: Phase, places: &[&str]| {
        let stopped = tool.run(&plan_of(&stage), &text_of(&stage), None).await.unwrap_err();
        let Error::NotYet(NotYet::Gate { name, phase, reading }) = &stopped else { panic!("{stopped:?}") };
        assert_eq!((name.as_str(), *phase, reading.gate), ("wide", at, GateKind::Requires), "{reading:?}");
        for place in places {
            assert!(reading.reason.contains(place), "{reading:?}");
        }
        assert!(!reading.reason.contains("notes") && !reading.reason.contains("cf_"), "{reading:?}");
        let view = tool.status("wide").await.unwrap();
        assert_eq!(view.needs, Need::Others, "{view:?}");
    };
    let all =
        ["public.late.order_id (integer)", "public.later.order_id (integer)", "public.\"To Lines\".order_id (integer)"];
    stops(Phase::Switch, &all).await;
    // As the message says: a plan of its own, ALTER TABLE, and no foreign key until the end.
    database.execute("ALTER TABLE \"To Lines\" DROP CONSTRAINT \"To Lines_order_id_no_fkey\"").await;
    database.execute("ALTER TABLE later ALTER order_id TYPE bigint").await;
    stops(Phase::Switch, &all[..1]).await;
    let own = PLAN
        .replace("name: wide", "name: late")
        .replace("public.orders", "public.late")
        .replace("column: id,", "column: order_id,");
    let own = own.replace("referring: change\n", "");
    let finish = tool.run(&crossfade::plan::parse("own.yaml", &own).unwrap(), &own, None).await.unwrap();
    assert!(finish.state.is_over(), "{finish:?}");
    let finish = tool.run(&plan_of(&stage), &text_of(&stage), Some(Phase::Switch)).await.unwrap();
    assert_eq!((finish.phase, finish.part), (Phase::Contract, None));
    database.execute("CREATE TABLE latest (id smallint REFERENCES orders)").await;
    stops(Phase::Contract, &["public.latest.id (smallint)"]).await;
    database.execute("ALTER TABLE latest DROP CONSTRAINT latest_id_fkey").await;
    let finish = tool.run(&plan_of(&stage), &text_of(&stage), None).await.unwrap();
    assert!(finish.state.is_over() && finish.waiting_for.is_none(), "{finish:?}");
    database.execute("ALTER TABLE latest ADD FOREIGN KEY (id) REFERENCES orders").await;

    assert_eq!(
        database.scalar::<String>(TYPES).await,
        "\"To Lines\".order_id integer, late.order_id bigint, later.order_id bigint, lines.order_id bigint, notes.order_id integer, \
         orders.id bigint, orders.up bigint, parcels.order_id bigint"
    );
    database.execute("INSERT INTO orders (id) VALUES (3000000000); INSERT INTO lines (order_id, no, n) VALUES (3000000000, 1, 1)").await;
    let left = sqlx::query("INSERT INTO notes (order_id) VALUES (3000000000)").execute(&database.pool).await;
    assert!(left.unwrap_err().to_string().contains("integer out of range"));
    database.execute("INSERT INTO notes (order_id) VALUES (7)").await;
}
