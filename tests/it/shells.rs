//! What shells, schedulers and readers of manuals get: names to complete, exit codes of `status`, a list of runs, man pages.

use std::process::Command;

use crossfade::testkit::fleet;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, PATIENCE};

struct Stage {
    database: Database,
    directory: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let database = Database::new().await;
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        fleet::create(&mut connection).await.unwrap();
        fleet::load(&mut connection, 100).await.unwrap();
        Self { database, directory: tempfile::tempdir().unwrap() }
    }

    /// Writes a plan that adds an index or renames a column, and returns its path.
    fn plan(&self, name: &str, change: &str, more: &str) -> String {
        let path = self.directory.path().join(format!("{name}.yaml"));
        let text = format!("version: 1\nname: {name}\ntable: public.vehicles\nchanges:\n  - {change}\n{more}");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = Cli::new(&self.database.url).args(args.iter().copied()).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
        output
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_by_its_exit_code_whether_somebody_is_needed() {
    let stage = Stage::new().await;
    let status = ["status", "--exit-code"];
    stage.ends(0, &status).await;
    let more = "contract: { quiet: 0s, grace: 1h }\napprove: [contract]\napproval: { self: true }\n";
    let plan = stage.plan("rename", "rename_column: { from: status, to: state }", more);
    stage.ends(0, &["run", &plan, "--to", "verify"]).await;
    stage.ends(0, &status).await;
    stage.ends(0, &["pause", "rename"]).await;
    stage.ends(10, &status).await;
    stage.ends(0, &["status"]).await;
    stage.ends(0, &["resume", "rename"]).await;
    stage
        .database
        .execute("SET session_replication_role = replica; UPDATE vehicles SET state = 'other' WHERE id = 7")
        .await;
    stage.ends(6, &["verify", "rename"]).await;
    let unequal = stage.ends(6, &["status", "rename", "--exit-code", "--format", "json"]).await;
    let unequal: Value = serde_json::from_str(&unequal.stdout).unwrap();
    assert_eq!(unequal["needs"], "unequal");
    stage.ends(0, &["verify", "rename", "--repair", "old"]).await;
    stage.ends(0, &["run", &plan, "--to", "switch"]).await;
    stage.ends(10, &status).await;
    stage.ends(0, &["approve", "rename", "contract"]).await;
    stage.ends(5, &["run", &plan, "--yes"]).await;
    stage.ends(0, &status).await;
    // Another one waits for it: of several the most urgent counts.
    stage
        .ends(10, &["start", &stage.plan("index", "add_index: { name: i, columns: [fuel] }", "approve: [index]\n")])
        .await;
    stage.ends(10, &status).await;
    stage.ends(0, &["status", "rename", "--exit-code"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_without_a_name_lists_the_latest_runs() {
    let stage = Stage::new().await;
    let none = stage.ends(0, &["history"]).await;
    assert!(none.stdout.starts_with("there are no runs"), "{none:#?}");
    for name in ["first", "second", "third"] {
        stage
            .ends(0, &["run", &stage.plan(name, &format!("add_index: {{ name: {name}, columns: [fuel] }}"), "")])
            .await;
    }
    let named = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.split_once("@1: ")?.0.to_owned())).collect()
    };
    let all = stage.ends(0, &["history"]).await.stdout;
    assert_eq!(named(&all), ["third", "second", "first"], "{all}");
    assert!(
        all.contains("third@1: public.vehicles, index, done") && all.contains("next: crossfade history third@1"),
        "{all}"
    );
    let two = stage.ends(0, &["history", "--limit", "2"]).await.stdout;
    assert!(named(&two) == ["third", "second"] && two.contains("and 1 older: --limit shows more"), "{two}");
    let json = stage.ends(0, &["history", "--limit", "1", "--format", "json"]).await.stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["runs"][0]["name"], &json["older"]), (&Value::from("third@1"), &Value::from(2)), "{json}");
    for wrong in [&["history", "--check"][..], &["history", "--limit", "0"], &["history", "third", "--limit", "3"]] {
        stage.ends(2, wrong).await;
    }
}

/// Runs bash with the script of `crossfade completions bash`, and returns what it offers after these words.
async fn offered(url: &str, words: &[&str]) -> String {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_crossfade")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let script = "source <(crossfade completions bash); COMP_WORDS=(crossfade \"$@\"); COMP_CWORD=$#; COMPREPLY=(); \
                  _crossfade_names crossfade \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; echo \"${COMPREPLY[*]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]).args(words).env_clear().env("PATH", path).env("DATABASE_URL", url);
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    assert!(output.stderr.is_empty(), "{output:#?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_runs_and_settings_are_completed_and_errors_are_not_seen() {
    let stage = Stage::new().await;
    stage.ends(0, &["run", &stage.plan("alpha", "add_index: { name: i, columns: [fuel] }", "")]).await;
    stage.ends(0, &["run", &stage.plan("beta", "add_index: { name: j, columns: [fuel] }", "")]).await;
    let url = stage.database.url.as_str();
    for (words, names) in [
        (&["status", ""][..], "beta alpha"),
        (&["status", "a"], "alpha"),
        (&["--format", "json", "tune", ""], "beta alpha"),
        (&["--format", "=", "json", "rollback", "b"], "beta"),
        (&["tune", "alpha", "gr"], "grace="),
        (&["tune", "alpha", "grace", "=", "7"], ""),
        (&["sta"], "start status"),
        (&["rollback", "--to", "ex"], "expand"),
    ] {
        assert_eq!(offered(url, words).await, names, "{words:?}");
    }
    // A name that a shell would run is none; whoever can write the ledger is not whoever presses the tab key.
    stage.database.execute("UPDATE crossfade.run SET name = '$(touch /tmp/no)' WHERE name = 'beta'").await;
    assert_eq!(stage.ends(0, &["complete-names", "runs"]).await.stdout, "alpha\n");

    // A server that never answers, one that is not there, and no database at all.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("postgres://u@{}/d?sslmode=disable", silent.local_addr().unwrap());
    for url in [silent.as_str(), "postgres://u@127.0.0.1:1/d", ""] {
        let asked = Cli::new(url).args(["complete-names", "runs"]).spawn().wait(PATIENCE).await;
        assert_eq!((asked.code, asked.stdout.as_str(), asked.stderr.as_str()), (Some(0), "", ""), "{url}");
    }
    for (shell, function) in [
        ("zsh", "'::name -- The run; without it, every run:_crossfade_runs'"),
        ("fish", "subcommand tune\" -f -a \"(crossfade complete-names settings 2>/dev/null)=\""),
    ] {
        let script = stage.ends(0, &["completions", shell]).await.stdout;
        assert!(script.contains(function), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_a_man_page() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("man");
    let written = Cli::new("").args(["man", into.to_str().unwrap()]).spawn().wait(PATIENCE).await;
    assert!(written.code == Some(0) && written.stdout.contains("crossfade.1"), "{written:#?}");
    let help = Cli::new("").args(["--help"]).run().await.stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let first = |line: &str| -> Option<String> {
        let rest = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        rest.split(' ').next().map(str::to_owned)
    };
    let names: Vec<_> = commands.lines().filter_map(first).filter(|name| name != "help").collect();
    assert!(names.len() > 20 && names.iter().any(|name| name == "cleanup"), "{names:?}");
    for name in names {
        let page = std::fs::read_to_string(into.join(format!("crossfade-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH DESCRIPTION"), "{page}");
    }
    assert!(!into.join("crossfade-complete-names.1").exists());
}
