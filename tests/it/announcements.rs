//! What happens in a run is told, at least once and by whoever is there, and never delays or fails the run.

use std::collections::BTreeSet;
use std::time::Duration;

use crossfade::testkit::fleet;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Manner, Output, Receiver, wait_for};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATIENCE: Duration = Duration::from_mins(1);
const OK: Manner = Manner::Status(204, None);

/// A fleet, and a plan that tells `ops`.
struct Stage {
    database: Database,
    file: tempfile::NamedTempFile,
}

fn plan(notify: &str) -> String {
    format!(
        "version: 1\nname: rename\ntable: public.vehicles\nchanges:\n  - rename_column: {{ from: status, to: state }}\n\
         contract: {{ quiet: 1h, grace: 2h }}\nnotify: {notify}\n"
    )
}

impl Stage {
    async fn new(notify: &str) -> Self {
        let database = Database::new().await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 100).await.unwrap();
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), plan(notify)).unwrap();
        Self { database, file }
    }

    fn cli(&self, ops: &str, args: &[&str]) -> Cli {
        let cli = Cli::new(&self.database.url).args(args.iter().copied());
        let cli = if ops.is_empty() { cli } else { cli.env("CROSSFADE_NOTIFY_OPS_URL", ops) };
        cli.env("CROSSFADE_NOTIFY_OPS_SECRET", SECRET)
    }

    async fn start(&self, ops: &str) -> Output {
        let output = self.cli(ops, &["start", self.file.path().to_str().unwrap()]).run().await;
        assert_eq!(output.code, Some(0), "{output:#?}");
        output
    }

    async fn tick(&self, ops: &str, code: i32) -> Output {
        let output = self.cli(ops, &["advance", "rename"]).run().await;
        assert_eq!(output.code, Some(code), "{output:#?}");
        output
    }

    /// Makes everything due that is not delivered.
    async fn later(&self) {
        self.database.execute("UPDATE crossfade.delivery SET next_at = clock_timestamp() - interval '1 second' WHERE delivered_at IS NULL").await;
    }

    async fn undelivered(&self) -> i64 {
        self.database.scalar("SELECT count(*) FROM crossfade.delivery WHERE delivered_at IS NULL").await
    }

    async fn last_error(&self) -> String {
        let sql = "SELECT coalesce(string_agg(DISTINCT last_error, '; '), '') FROM crossfade.delivery";
        self.database.scalar(sql).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_is_told_once_with_what_to_type_and_a_signature() {
    let stage = Stage::new("[{ to: ops }, { to: chat, shape: slack, on: [phase_done, waiting] }]").await;
    let (ops, chat) = (Receiver::start(OK).await, Receiver::start(Manner::Status(200, None)).await);
    let run = |args: &[&str]| stage.cli(&ops.url, args).env("CROSSFADE_NOTIFY_CHAT_URL", chat.url.as_str());
    let path = stage.file.path().to_str().unwrap();
    let output = run(&["run", path, "--to", "verify"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    for _ in 0..3 {
        let output = run(&["advance", "rename"]).run().await;
        assert_eq!(output.code, Some(5), "{output:#?}");
    }
    let (started, done) = ("phase_started", "phase_done");
    let mut expected: Vec<_> = [started, done].into_iter().cycle().take(8).collect();
    expected.extend([started, "waiting"]);
    assert_eq!(ops.topics(), expected);
    let received = ops.received();
    let ids: BTreeSet<_> = received.iter().map(|received| received.id().to_owned()).collect();
    assert_eq!(ids.len(), received.len());
    let last = received.last().unwrap();
    let data = &last.body["data"];
    let message = data["message"].as_str().unwrap();
    assert!(message.contains("old column"), "{message}");
    let database: String = stage.database.scalar("SELECT current_database()").await;
    assert_eq!(
        [&data["run"], &data["database"], &data["table"], &data["phase"], &data["state"], &data["command"]],
        [
            &json!("rename"),
            &json!(database),
            &json!("public.vehicles"),
            &json!("switch"),
            &json!("waiting"),
            &json!("crossfade status rename")
        ]
    );
    assert!(last.headers["webhook-signature"].starts_with("v1,"));
    assert_eq!(last.headers["content-type"], "application/json");
    let timestamp: i64 = last.headers["webhook-timestamp"].parse().unwrap();
    assert!((chrono::Utc::now().timestamp() - timestamp).abs() < 600);
    verified_by_the_documented_program(last);
    let texts: Vec<_> = chat.received().iter().map(|of| of.body["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts.len(), 5, "{texts:#?}");
    assert!(texts[0].contains("*rename*") && texts[0].contains("```crossfade advance rename```"), "{texts:#?}");
    assert_eq!(stage.undelivered().await, 0);
    let of_log = "SELECT count(*) FROM crossfade.announcement AS a JOIN crossfade.event AS e USING (run_id, seq)
        WHERE a.payload ->> 'head' = e.hash";
    assert_eq!(stage.database.scalar::<i64>(of_log).await, 10);
}

/// The receiver of docs/notifications.md accepts the message, and not one that was changed.
fn verified_by_the_documented_program(received: &crate::harness::Received) {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/notifications.md")).unwrap();
    let program = docs.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let call = "\nimport json, sys\nh, b = json.load(sys.stdin)\nprint(verified(h, b.encode(), sys.argv[1:]))\n";
    let says = |text: &str| {
        use std::io::Write as _;
        let mut python = std::process::Command::new("python3")
            .args(["-c", &format!("{program}{call}"), SECRET])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .ok()?;
        let input = json!([received.headers, text]).to_string();
        python.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Some(String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap().trim().to_owned())
    };
    let Some(answer) = says(&received.text) else { return crate::harness::missing("python3") };
    assert_eq!(answer, "True");
    assert_eq!(says(&received.text.replace("rename", "renamed")).unwrap(), "False");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_slow_or_broken_gets_it_later_under_the_same_id() {
    let stage = Stage::new("[{ to: ops, on: [phase_done] }]").await;
    let other = Receiver::start(OK).await;
    let receiver = Receiver::start(Manner::Status(500, None)).await;
    let output = stage.start(&receiver.url).await;
    assert!(output.stderr.contains("it answered 500"), "{output:#?}");
    assert!(!format!("{output:?}").contains("secret"), "{output:#?}");
    assert_eq!(stage.last_error().await, "it answered 500");
    let first = receiver.received()[0].id().to_owned();
    let status = stage.cli(&receiver.url, &["status", "rename"]).run().await;
    assert!(status.stdout.contains("not told") && status.stdout.contains("it answered 500"), "{status:#?}");
    let manners = [
        (Manner::Silence, "no answer in 5 s"),
        (Manner::Garbage, "the answer was not HTTP"),
        (Manner::Status(302, Some(("location", other.url.clone()))), "it answered 302"),
        (Manner::Status(503, Some(("retry-after", "7200".to_owned()))), "it answered 503"),
    ];
    for (manner, error) in manners {
        receiver.answers(manner);
        stage.later().await;
        stage.cli(&receiver.url, &["advance", "--all"]).run().await;
        let of_first = format!("SELECT last_error FROM crossfade.delivery WHERE announcement = '{first}'");
        assert_eq!(stage.database.scalar::<String>(&of_first).await, error);
    }
    assert_eq!(other.received().len(), 0, "a redirect was followed");
    let far = format!(
        "SELECT next_at > clock_timestamp() + interval '100 minutes' FROM crossfade.delivery WHERE announcement = '{first}'"
    );
    assert!(stage.database.scalar::<bool>(&far).await, "Retry-After is ignored");
    // Down.
    stage.later().await;
    let gone = Receiver::start(OK).await.url.clone();
    stage.cli(&gone, &["advance", "--all"]).run().await;
    assert!(stage.last_error().await.contains("refused"), "{}", stage.last_error().await);
    receiver.answers(OK);
    stage.later().await;
    let before = receiver.received().len();
    stage.cli(&receiver.url, &["advance", "--all"]).run().await;
    assert_eq!(stage.undelivered().await, 0);
    assert!(receiver.received()[before..].iter().any(|received| received.id() == first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_gone_is_told_nothing_more_and_the_others_are() {
    let stage = Stage::new("[{ to: ops }, { to: other }]").await;
    let (ops, other) = (Receiver::start(Manner::Status(410, None)).await, Receiver::start(OK).await);
    let run = |args: &[&str]| {
        let cli = stage.cli(&ops.url, args).env("CROSSFADE_NOTIFY_OTHER_URL", other.url.as_str());
        cli.env("CROSSFADE_NOTIFY_OTHER_SECRET", SECRET)
    };
    let output = run(&["run", stage.file.path().to_str().unwrap(), "--to", "verify"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("410"), "{output:#?}");
    run(&["advance", "rename"]).run().await;
    assert_eq!(ops.received().len(), 1);
    assert_eq!(other.received().len(), 10, "{:?}", other.topics());
    let pending = "SELECT count(*) FROM crossfade.delivery WHERE delivered_at IS NULL AND given_up_at IS NULL";
    assert_eq!(stage.database.scalar::<i64>(pending).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_commit_and_delivery_loses_nothing_and_changes_no_id() {
    for place in ["notify.look", "notify.taken", "notify.sent"] {
        let stage = Stage::new("[{ to: ops, on: [phase_done] }]").await;
        let receiver = Receiver::start(OK).await;
        let start = stage.cli(&receiver.url, &["start", stage.file.path().to_str().unwrap()]);
        let running = start.env("CROSSFADE_FAILPOINT", place).spawn();
        let committed = async || {
            let there = stage.database.scalar::<bool>("SELECT to_regclass('crossfade.delivery') IS NOT NULL").await;
            let attempts = i32::from(place != "notify.look");
            let sql = format!("SELECT count(*) FROM crossfade.delivery WHERE attempts = {attempts}");
            there && stage.database.scalar::<i64>(&sql).await == 1
        };
        wait_for("an announcement is committed", PATIENCE, committed).await;
        if place == "notify.sent" {
            wait_for("it is sent", PATIENCE, async || !receiver.received().is_empty()).await;
        }
        running.kill().await;
        assert_eq!(stage.undelivered().await, 1, "{place}");
        let id: String = stage.database.scalar("SELECT id::text FROM crossfade.announcement").await;
        stage.later().await;
        stage.cli(&receiver.url, &["advance", "--all"]).run().await;
        let got: Vec<_> = receiver.received().iter().filter(|of| of.id() == id).cloned().collect();
        // What was sent and not recorded is sent again: at least once.
        assert_eq!(got.len(), if place == "notify.sent" { 2 } else { 1 }, "{place}");
        assert_eq!(got[0].text, got.last().unwrap().text);
        assert_eq!(stage.undelivered().await, 0, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hosts_deliver_at_once_and_nothing_twice() {
    let stage = Stage::new("[{ to: ops }]").await;
    let output = stage.cli("", &["run", stage.file.path().to_str().unwrap(), "--to", "verify"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("CROSSFADE_NOTIFY_OPS_URL is not set"), "{output:#?}");
    let waiting = stage.undelivered().await;
    assert_eq!(waiting, 8);
    let more = "WITH made AS (INSERT INTO crossfade.announcement (run_id, seq, topic, payload) \
                  SELECT 1, -n, 'failed', '{\"message\": \"x\"}' FROM generate_series(1, 60) AS n RETURNING id) \
                INSERT INTO crossfade.delivery (announcement, destination, shape, run_id) SELECT id, 'ops', 'standard', 1 FROM made";
    stage.database.execute(more).await;
    let receiver = Receiver::start(OK).await;
    // None of them works on the run: the first holds its lease.
    let hosts: Vec<_> = (0..3).map(|_| stage.cli(&receiver.url, &["advance", "--all"]).spawn()).collect();
    for host in hosts {
        host.wait(PATIENCE).await;
    }
    stage.cli(&receiver.url, &["advance", "--all"]).run().await;
    let ids: Vec<_> = receiver.received().iter().map(|received| received.id().to_owned()).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "told twice");
    assert!(ids.len() >= 68, "{}", ids.len());
    assert_eq!(stage.undelivered().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mismatch_a_failure_and_the_way_back_are_told() {
    let stage = Stage::new("[{ to: ops, on: [mismatch, failed, rolled_back, drift, point_of_no_return] }]").await;
    let receiver = Receiver::start(OK).await;
    let run = |args: &[&str]| stage.cli(&receiver.url, args);
    let output = run(&["run", stage.file.path().to_str().unwrap(), "--to", "backfill"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    stage
        .database
        .execute("SET session_replication_role = replica; UPDATE vehicles SET state = 'other' WHERE id < 4")
        .await;
    for _ in 0..2 {
        stage.tick(&receiver.url, 6).await;
    }
    assert_eq!(receiver.topics(), ["mismatch"]);
    assert!(receiver.received()[0].body["data"]["message"].as_str().unwrap().starts_with("3 of 100 rows"));
    for args in [&["verify", "rename", "--repair", "old"][..], &["rollback", "rename", "--yes"]] {
        let output = run(args).run().await;
        assert_eq!(output.code, Some(0), "{output:#?}");
    }
    assert_eq!(receiver.topics(), ["mismatch", "rolled_back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_of_no_return_is_told_a_day_before() {
    let stage = Stage::new("[{ to: ops, on: [point_of_no_return, approval_needed, done] }]").await;
    let receiver = Receiver::start(OK).await;
    let run = |args: &[&str]| stage.cli(&receiver.url, args);
    let output = run(&["run", stage.file.path().to_str().unwrap(), "--to", "verify"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    run(&["tune", "rename", "quiet=0s"]).run().await;
    for code in [0, 9, 9] {
        stage.tick(&receiver.url, code).await;
    }
    assert_eq!(receiver.topics(), ["point_of_no_return"]);
    assert_eq!(receiver.received()[0].body["data"]["command"], "crossfade rollback rename");
    run(&["tune", "rename", "grace=0s"]).run().await;
    for _ in 0..2 {
        stage.tick(&receiver.url, 10).await;
    }
    assert_eq!(receiver.topics(), ["point_of_no_return", "approval_needed"]);
    assert_eq!(receiver.received()[1].body["data"]["command"], "crossfade advance rename --yes");
    let output = run(&["advance", "rename", "--yes"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(receiver.topics(), ["point_of_no_return", "approval_needed", "done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_can_be_tried_without_a_database() {
    let receiver = Receiver::start(OK).await;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), plan("[{ to: ops }, { to: nobody, shape: slack }]")).unwrap();
    let cli = Cli::new("").args(["notify", "test", "--plan", file.path().to_str().unwrap()]);
    let cli = cli.env("CROSSFADE_NOTIFY_OPS_URL", receiver.url.as_str()).env("CROSSFADE_NOTIFY_OPS_SECRET", SECRET);
    let output = cli.run().await;
    assert_eq!(output.code, Some(5), "{output:#?}");
    assert!(output.stdout.contains("accepted (204)"), "{output:#?}");
    assert!(output.stdout.contains("CROSSFADE_NOTIFY_NOBODY_URL is not set"), "{output:#?}");
    assert!(!output.stdout.contains("secret/path"), "{output:#?}");
    assert_eq!(receiver.topics(), ["test"]);
    let output = cli.args(["--format", "json"]).run().await;
    let tested: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&tested[0]["ok"], &tested[1]["ok"]), (&json!(true), &json!(false)));
}
