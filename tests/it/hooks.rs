//! Programs that are run before and after phases.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crossfade::testkit::fleet;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, wait_for};

const PATIENCE: Duration = Duration::from_mins(1);

/// A fleet, a plan with hooks, and a directory of them.
struct Stage {
    database: Database,
    file: tempfile::NamedTempFile,
    directory: tempfile::TempDir,
}

impl Stage {
    async fn new(hooks: &str) -> Self {
        let database = Database::new().await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 100).await.unwrap();
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let plan = format!(
            "version: 1\nname: add\ntable: public.vehicles\nchanges:\n  - add_index: {{ name: i, columns: [status] }}\n\
             \x20 - add_column: {{ name: region, type: text }}\nhooks: {hooks}\n"
        );
        std::fs::write(file.path(), plan).unwrap();
        Self { database, file, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a hook, which finds the directory in `$0`.
    fn hook(&self, name: &str, script: &str) {
        executable(&self.directory.path().join(name), &format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{script}\n"));
    }

    fn lines(&self, name: &str) -> Vec<String> {
        std::fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(&self.database.url).args(args.iter().copied())
    }

    /// Starts the run, or continues it.
    fn run(&self) -> Cli {
        self.cli(&["run", self.file.path().to_str().unwrap(), "--hooks", self.directory.path().to_str().unwrap()])
    }

    async fn ends(&self, cli: &Cli, code: i32) -> Output {
        let output = cli.run().await;
        assert_eq!(output.code, Some(code), "{output:#?}");
        output
    }

    async fn has_column(&self) -> bool {
        let sql =
            "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attname = 'region')";
        self.database.scalar(sql).await
    }

    async fn history(&self) -> String {
        self.ends(&self.cli(&["history", "add"]), 0).await.stdout
    }
}

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_can_keep_a_phase_from_beginning_and_is_asked_again() {
    let stage = Stage::new("[{ before: expand, run: ask.sh }, { after: index, run: tell.sh }]").await;
    let say = "cat > asked.json; env > asked.env; echo first; printf '\\033[31mnot now\\007\\n' >&2; test -e yes";
    stage.hook("ask.sh", say);
    stage.hook("tell.sh", "echo \"$CROSSFADE_HOOK $CROSSFADE_EVENT_ID\" >> told; exit 3");
    for _ in 0..2 {
        let output = stage.ends(&stage.run().env("CROSSFADE_NOTIFY_X_SECRET", "hush"), 5).await;
        assert!(output.stderr.contains("gate::hook") || output.stderr.contains("exit code 1"), "{output:#?}");
        assert!(!output.stderr.contains('\u{1b}') && output.stderr.contains("not now"), "{output:#?}");
    }
    assert!(!stage.has_column().await);
    let status = stage.ends(&stage.cli(&["status", "add"]), 0).await.stdout;
    assert!(status.contains("hook") && status.contains("exit code 1"), "{status}");
    let told: Value = serde_json::from_str(&std::fs::read_to_string(stage.path("asked.json")).unwrap()).unwrap();
    assert_eq!((told["hook"].as_str(), told["run"].as_str()), (Some("before_expand"), Some("add")));
    let env = stage.lines("asked.env");
    for expected in ["CROSSFADE_RUN=add", "CROSSFADE_PHASE=expand", "CROSSFADE_HOOK=before_expand"] {
        assert!(env.iter().any(|line| line == expected), "{expected}: {env:#?}");
    }
    assert!(!env.iter().any(|line| line.contains("hush")), "{env:#?}");
    std::fs::write(stage.path("yes"), "").unwrap();
    let output = stage.ends(&stage.run(), 0).await;
    assert!(output.stderr.contains("tell.sh (after index) ended with exit code 3"), "{output:#?}");
    assert!(stage.has_column().await);
    assert_eq!(stage.lines("told").len(), 1);
    let history = stage.history().await;
    // Two pipes: which of them is read first is not certain.
    assert!(history.contains("first") && history.contains("u{1b}"), "{history}");
    assert!(!history.contains('\u{1b}'), "{history}");
    // All is done, and nothing is owed.
    stage.ends(&stage.run(), 0).await;
    assert_eq!(stage.lines("told").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_cannot_be_run_is_never_skipped() {
    let stage = Stage::new("[{ before: expand, run: ask.sh }, { after: expand, run: tell.sh }]").await;
    let path = stage.file.path().to_str().unwrap();
    let output = stage.ends(&stage.cli(&["run", path]), 5).await;
    assert!(output.stderr.contains("--hooks DIR"), "{output:#?}");
    let output = stage.ends(&stage.run(), 5).await;
    assert!(output.stderr.contains("has no such file"), "{output:#?}");
    std::fs::write(stage.path("ask.sh"), "exit 0").unwrap();
    let output = stage.ends(&stage.run(), 5).await;
    assert!(output.stderr.contains("could not be started"), "{output:#?}");
    assert!(!stage.has_column().await);
    // A link out of the directory is the operator's choice; a path in the plan is not possible.
    let wrong = std::fs::read_to_string(path).unwrap().replace("ask.sh", "../ask.sh");
    std::fs::write(stage.path("wrong.yaml"), wrong).unwrap();
    let output = stage.ends(&stage.cli(&["check", &stage.path("wrong.yaml")]), 3).await;
    assert!(output.stderr.contains("plan::bad_name"), "{output:#?}");
    let everybodys = stage.path("everybodys");
    std::fs::create_dir(&everybodys).unwrap();
    std::fs::set_permissions(&everybodys, std::fs::Permissions::from_mode(0o777)).unwrap();
    let output = stage.ends(&stage.cli(&["status", "--hooks", &everybodys]), 2).await;
    assert!(output.stderr.contains("everybody may write"), "{output:#?}");
    // What comes after the phase keeps the next one from beginning, if nobody can run it.
    stage.hook("ask.sh", "exit 0");
    let output = stage.ends(&stage.run(), 5).await;
    assert!(output.stderr.contains("tell.sh (after expand)"), "{output:#?}");
    assert!(stage.has_column().await);
    let indexed = "SELECT to_regclass('i') IS NOT NULL";
    assert!(!stage.database.scalar::<bool>(indexed).await);
    stage.hook("tell.sh", "touch told");
    stage.ends(&stage.run(), 0).await;
    assert!(stage.database.scalar::<bool>(indexed).await);
    assert!(Path::new(&stage.path("told")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_takes_too_long_is_killed_with_all_its_processes() {
    let stage = Stage::new("[{ before: expand, run: ask.sh, timeout: 2s }]").await;
    stage.hook("ask.sh", "sleep 1000 & echo $! > pid; echo waiting; wait");
    let output = stage.ends(&stage.run(), 5).await;
    assert!(output.stderr.contains("time limit") && output.stderr.contains("waiting"), "{output:#?}");
    let pid = stage.lines("pid")[0].clone();
    let gone = async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    wait_for("its child is gone", PATIENCE, gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_leaves_a_process_behind_or_prints_for_ever_holds_nothing_up() {
    let stage = Stage::new("[{ before: expand, run: daemon.sh }, { before: index, run: noise.sh, timeout: 2s }]").await;
    stage.hook("daemon.sh", "sleep 1000 & echo $! > pid");
    stage.hook("noise.sh", "yes");
    let output = stage.ends(&stage.run(), 5).await;
    assert!(output.stderr.contains("noise.sh (before index)"), "{output:#?}");
    assert!(output.stderr.len() < 20_000, "{}", output.stderr.len());
    let pid: i32 = stage.lines("pid")[0].parse().unwrap();
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_repeats_a_hook_with_the_same_id() {
    let stage = Stage::new("[{ before: expand, run: ask.sh }, { after: index, run: tell.sh }]").await;
    stage.hook("ask.sh", "echo \"$CROSSFADE_EVENT_ID\" >> asked");
    stage.hook("tell.sh", "echo \"$CROSSFADE_EVENT_ID\" >> told");
    let kill_once = async |file: &str| {
        let running = stage.run().env("CROSSFADE_FAILPOINT", "hook.ended").spawn();
        let before = stage.lines(file).len();
        wait_for("the hook has run", PATIENCE, async || stage.lines(file).len() > before).await;
        running.kill().await;
    };
    kill_once("asked").await;
    kill_once("asked").await;
    stage.ends(&stage.run().args(["--to", "expand"]), 0).await;
    let asked = stage.lines("asked");
    assert!(asked.len() == 3 && asked.iter().all(|id| *id == asked[0]), "{asked:?}");
    kill_once("told").await;
    // The run is done, and the hook is owed all the same.
    let standing: String = stage.database.scalar("SELECT state FROM crossfade.status").await;
    assert_eq!(standing, "done");
    stage.ends(&stage.run(), 0).await;
    stage.ends(&stage.run(), 0).await;
    let told = stage.lines("told");
    assert!(told.len() == 2 && told[0] == told[1], "{told:?}");
}
