//! Phases that wait until a person has approved them.

use serde_json::Value;

use crate::harness::{Cli, Database, Output, PATIENCE, wait_for};

const PLAN: &str = "\
version: 1
name: rename
table: vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
contract: { grace: 0s, quiet: 0s }
";

/// A database with a table, and a plan's file.
struct Stage {
    database: Database,
    plan: tempfile::NamedTempFile,
    approver: String,
}

impl Stage {
    async fn new(more: &str) -> Self {
        let database = Database::new().await;
        let approver = format!("approver_{}", database.name);
        let table = format!(
            "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text);
             INSERT INTO vehicles SELECT i, 's' || i FROM generate_series(1, 100) AS i;
             CREATE ROLE {approver} LOGIN SUPERUSER"
        );
        database.execute(&table).await;
        let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(plan.path(), format!("{PLAN}{more}")).unwrap();
        Self { database, plan, approver }
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = Cli::new(&self.database.url).args(args).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
        output
    }

    /// Runs the plan with these arguments.
    async fn run(&self, code: i32, more: &[&str]) -> Output {
        self.ends(code, &[&["run", self.plan.path().to_str().unwrap(), "--yes"], more].concat()).await
    }

    /// Approves as another role, as `ann`.
    async fn approve(&self, code: i32, more: &[&str]) -> Output {
        let (scheme, rest) = self.database.url.split_once("://").unwrap();
        let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
        let url = format!("{scheme}://{}@{rest}", self.approver);
        let output = Cli::new(&url).args([&["approve", "rename"], more, &["--as", "ann"]].concat()).run().await;
        assert_eq!(output.code, Some(code), "{more:?}: {output:#?}");
        output
    }

    async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ends(0, &[args, &["--format", "json"]].concat()).await.stdout).unwrap()
    }

    /// Whether the run waits for the approval of `phase`, by `run` and by a tick.
    async fn waits_for(&self, phase: &str, reason: &str) {
        let said = self.run(5, &[]).await.stderr;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("gate::approved") && said.contains(reason), "{said}");
        assert!(said.contains(&format!("crossfade approve rename {phase}")), "{said}");
        let said = self.ends(10, &["advance", "rename"]).await.stderr;
        assert!(said.contains("gate::approved"), "{said}");
        let status = self.json(&["status", "rename"]).await;
        let gate = status["gates"].as_array().unwrap().iter().find(|gate| gate["gate"] == "approved").unwrap().clone();
        assert_eq!((&gate["verdict"], &status["phase"]), (&"fail".into(), &phase.into()), "{status}");
        assert_eq!(status["waiting_for"]["gate"], "approved", "{status}");
    }
}

#[tokio::test]
async fn a_phase_waits_until_somebody_else_has_approved_it() {
    let stage = Stage::new("approve: [switch, contract]\n").await;
    stage.waits_for("switch", "nobody has approved switch").await;
    // Whoever started the run may not, as whoever they say they are; nor is there anything else to approve.
    for person in [&["--as", "somebody"][..], &[]] {
        let said = stage.ends(2, &[&["approve", "rename", "switch"], person].concat()).await.stderr;
        assert!(said.contains("approval::own"), "{said}");
    }
    for phase in ["index", "expand", "verify"] {
        assert!(stage.approve(2, &[phase]).await.stderr.contains("approval::not_needed"));
    }
    let said = stage.approve(0, &["switch", "--comment", "after the release"]).await.stdout;
    assert!(said.contains("switch is approved by ann") && said.contains("a change of one voids"), "{said}");
    let status = stage.json(&["status", "rename"]).await;
    assert_eq!(
        (&status["approvals"][0]["approval"], &status["approvals"][1]["approval"]),
        (&"given".into(), &"missing".into())
    );
    // Taken back, it does not count; given again, it does, for its phase.
    stage.approve(0, &["switch", "--revoke"]).await;
    stage.waits_for("switch", "was revoked").await;
    assert!(stage.approve(2, &["switch", "--revoke"]).await.stderr.contains("approval::none"));
    stage.approve(0, &["switch"]).await;
    stage.run(5, &[]).await;
    stage.waits_for("contract", "nobody has approved contract").await;
    stage.approve(2, &["switch"]).await;
    // A rollback voids it.
    stage.approve(0, &["contract"]).await;
    stage.ends(0, &["rollback", "rename", "--to", "verify", "--yes"]).await;
    stage.waits_for("switch", "nobody has approved switch").await;
    stage.approve(0, &["switch"]).await;
    let said = stage.run(0, &["--to", "switch"]).await.stdout;
    assert!(said.contains("crossfade approve rename contract"), "{said}");
    stage.waits_for("contract", "older than the last rollback").await;
    stage.approve(0, &["contract"]).await;
    stage.run(0, &[]).await;
    let history = stage.ends(0, &["history", "rename"]).await.stdout;
    assert!(history.contains("switch was approved by ann: after the release"), "{history}");
    assert!(history.contains("ann took the approval of switch back"), "{history}");
    stage.ends(0, &["history", "rename", "--check"]).await;
}

#[tokio::test]
async fn what_was_approved_must_still_be_so() {
    let stage = Stage::new("approve: [switch]\napproval: { expiry: 2s }\n").await;
    stage.run(5, &[]).await;
    stage.approve(0, &["switch"]).await;
    wait_for("the approval to expire", PATIENCE, async || {
        stage.json(&["status", "rename"]).await["approvals"][0]["why"] == "expired"
    })
    .await;
    stage.waits_for("switch", "has expired").await;

    let stage = Stage::new("approve: [switch]\n").await;
    stage.run(5, &[]).await;
    stage.approve(0, &["switch"]).await;
    // The run follows a change of the table: the rest of it is another program.
    stage.database.execute("COMMENT ON COLUMN vehicles.status IS 'other'").await;
    let said = stage.run(5, &[]).await.stderr;
    assert!(said.contains("gate::approved"), "{said}");
    stage.waits_for("switch", "older than the last change of the table").await;
    stage.approve(0, &["switch"]).await;
    stage.ends(0, &["tune", "rename", "grace=1s"]).await;
    stage.waits_for("switch", "older than the last change of `quiet` or `grace`").await;
    stage.approve(0, &["switch"]).await;
    stage.ends(0, &["tune", "rename", "max_rows_per_second=1000"]).await;
    stage.run(0, &["--to", "switch"]).await;
}

/// An approval that is taken back after the tick has looked, and before the step commits, does not count.
#[tokio::test(flavor = "multi_thread")]
async fn it_must_hold_at_the_moment_of_the_step() {
    let stage = Stage::new("approve: [contract]\n").await;
    stage.run(5, &[]).await;
    stage.approve(0, &["contract"]).await;
    // Somebody has the table: the step waits for its lock.
    let mut holder = stage.database.pool.acquire().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE vehicles IN ACCESS SHARE MODE").execute(&mut *holder).await.unwrap();
    let running = Cli::new(&stage.database.url).args(["advance", "rename"]).spawn();
    wait_for("the step to wait for its lock", PATIENCE, async || {
        let waits = "SELECT EXISTS (SELECT FROM crossfade.event WHERE entry ->> 'kind' = 'lock_wait')";
        stage.database.scalar::<bool>(waits).await
    })
    .await;
    stage.approve(0, &["contract", "--revoke"]).await;
    sqlx::raw_sql("COMMIT").execute(&mut *holder).await.unwrap();
    let output = running.wait(PATIENCE).await;
    assert_eq!(output.code, Some(10), "{output:#?}");
    assert!(output.stderr.contains("was revoked"), "{output:#?}");
    let retired = "SELECT EXISTS (SELECT FROM crossfade.event WHERE entry ->> 'step' = 'contract.retire' AND entry ->> 'kind' = 'step_done')";
    assert!(!stage.database.scalar::<bool>(retired).await);
}

#[tokio::test]
async fn a_bypass_needs_a_reason_and_a_name_and_stands_out() {
    let stage = Stage::new("approve: [switch, contract]\n").await;
    stage.run(5, &[]).await;
    stage.run(2, &["--bypass-approval", "incident 7"]).await;
    stage.run(2, &["--as", "eve"]).await;
    stage.run(2, &["--bypass-approval", "", "--as", "eve"]).await;
    stage.ends(2, &["advance", "--all", "--bypass-approval", "x", "--as", "eve"]).await;
    stage.run(0, &["--to", "switch", "--bypass-approval", "incident 7", "--as", "eve"]).await;
    stage.waits_for("contract", "nobody has approved contract").await;
    let history = stage.ends(0, &["history", "rename"]).await.stdout;
    assert!(history.contains("APPROVAL BYPASSED: eve goes on with switch without one: incident 7"), "{history}");
    let status = stage.json(&["status", "rename"]).await;
    let bypassed = &status["bypassed"][0];
    assert_eq!(
        (&bypassed["phase"], &bypassed["person"], &bypassed["reason"]),
        (&"switch".into(), &"eve".into(), &"incident 7".into())
    );
    let words = stage.ends(0, &["status", "rename"]).await.stdout;
    assert!(words.contains("BYPASSED") && words.contains("incident 7"), "{words}");
    // It is of one phase, and is not used where there is an approval.
    stage.approve(0, &["contract"]).await;
    stage.run(0, &["--bypass-approval", "not needed", "--as", "eve"]).await;
    assert!(!stage.ends(0, &["history", "rename"]).await.stdout.contains("not needed"));
}

#[tokio::test]
async fn a_plan_can_let_whoever_started_it_approve() {
    let stage = Stage::new("approve: [expand]\napproval: { self: true }\n").await;
    let plan = stage.plan.path().to_str().unwrap();
    let said = stage.ends(10, &["start", plan]).await.stderr;
    assert!(said.contains("gate::approved"), "{said}");
    stage.ends(0, &["approve", "rename", "expand"]).await;
    stage.ends(0, &["advance", "rename"]).await;
    assert_eq!(stage.json(&["show", "rename"]).await["plan"]["approval"]["self"], true);
}
