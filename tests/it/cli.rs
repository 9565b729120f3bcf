//! The command line: help, exit codes, messages, and what must never be printed.

use std::fmt::Write as _;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Cli, Database, Output, PATIENCE, own_server, wait_for};

const COMMANDS: [&str; 25] = [
    "new",
    "import",
    "check",
    "plan",
    "run",
    "inventory",
    "start",
    "advance",
    "approve",
    "status",
    "verify",
    "pause",
    "resume",
    "tune",
    "rollback",
    "history",
    "report",
    "serve",
    "metrics",
    "show",
    "export",
    "cleanup",
    "demo",
    "schema",
    "completions",
];

async fn crossfade(args: &[&str]) -> Output {
    Cli::new("").args(args).run().await
}

/// Returns the object that `--format json` prints for an error.
fn error_of(output: &Output) -> Value {
    let line = output.stderr.lines().last().unwrap_or_default();
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", output.stderr));
    value["error"].clone()
}

#[tokio::test]
async fn help_is_a_result() {
    let Output { code, stdout, stderr } = crossfade(&["--help"]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(stdout, @"
    Change the columns, indexes and constraints of a live PostgreSQL table: in phases, under traffic,
    with proof and a way back

    Usage: crossfade [OPTIONS] <COMMAND>

    Commands:
      new          Write a plan for a column of this database, and try it
      import       Write a plan for what a migration does that renames a column or changes its type
      check        Find mistakes in plan files, without a database
      plan         Show what a plan would do on the database: steps, SQL, locks, estimates, risks
      inventory    Show for every column what a rename or a type change would meet
      run          Run the phases of a plan now, to the end or to the end of a phase
      start        Register the run of a plan and do its first phase
      advance      Move a run, or every run, forward by at most one phase
      approve      Approve a phase of a run, or take the approval back
      status       Show the state of a run, or of every run
      schedule     Show the dates of a run: past ones, and those that its schedule has in store
      verify       Compare the old and the new column of every row
      pause        Pause a run after its current batch, whichever host is working on it
      resume       Resume a paused run
      tune         Change settings of a run while it is running, such as its rows per second
      rollback     Roll a run back, without losing what was written through either column
      history      Show the log of a run (who did what, and when), or list the runs
      report       Write a report of a run as an HTML file: what was asked, done, measured and decided
      serve        Show all runs in a browser, and decide there: approve, pause, resume, compare, tune
      metrics      Print the state of all runs in Prometheus' text format
      notify       Try who is told what happens in a run
      show         Print the plan of a run again, as a plan file that can be run
      export       Write the migration that tells your migration tool what a run has done
      cleanup      Remove everything that crossfade has created in the database, when no run is active
      demo         Watch a column being renamed under live traffic, on a throwaway server
      schema       Print the JSON Schema of plan files, for editors
      completions  Print a script for command completion in a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
          --database-url <URL>      The database, as postgres://user@host:port/database
          --ledger-schema <SCHEMA>  The schema that holds the ledger [default: crossfade]
          --ledger-owner <ROLE>     The role that may own crossfade's schema, besides your own and
                                    superusers; it gets your rights
          --hooks <DIR>             The directory of the hooks that plans may name; its executables are
                                    run with your rights
          --format <FORMAT>         How to print results, events and errors [default: text] [possible
                                    values: text, json]
      -v, --verbose...              Report every step; repeat it (-vv, -vvv) for the program's log
      -q, --quiet                   Print only the result and errors
          --no-color                Print without colours, as with the environment variable NO_COLOR

    The database: --database-url, or DATABASE_URL, or, as for psql, PGHOST, PGPORT,
    PGUSER, PGDATABASE, PGSSLMODE and PGPASSWORD or ~/.pgpass; or the same in .env,
    or database_url in crossfade.toml.

    Exit codes: 0 done, 1 internal error, 2 usage, 3 plan invalid, 4 database refused
    or unreachable, 5 blocked or not due, 6 rows not equal, 7 the database differs
    from the ledger, 8 stopped by its watchdog, 130 interrupted.

    To see it work: crossfade demo
    ");
}

#[tokio::test]
async fn every_command_explains_itself() {
    let mut all = String::new();
    let subcommands = [["new", "rename"], ["new", "type"]];
    for command in COMMANDS.iter().map(std::slice::from_ref).chain(subcommands.iter().map(<[_; 2]>::as_slice)) {
        let Output { code, stdout, stderr } = crossfade(&[command, &["-h"]].concat()).await;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{command:?}");
        let own = stdout.split("Global options:").next().unwrap();
        writeln!(all, "{own}").unwrap();
    }
    insta::assert_snapshot!("commands", all);
}

#[tokio::test]
async fn check_reports_every_problem_of_every_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.yaml");
    std::fs::write(&bad, "version: 1\nname: p\ntabel: t\nchanges:\n  - rename_column: { from: a, to: a }\n").unwrap();
    let missing = dir.path().join("missing.yaml");
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml");
    let files = [bad.to_str().unwrap(), missing.to_str().unwrap(), good];

    let output = Cli::new("").args(["check"]).args(files).run().await;
    assert_eq!(output.code, Some(3));
    assert_eq!(output.stdout, format!("ok {good}: rename column status to vehicle_status (public.vehicles)\n"));
    for expected in ["bad.yaml:3:1: error[plan::unknown_key]", "error[plan::same_name]", "error[usage::file]"] {
        assert!(output.stderr.contains(expected), "{expected} in {}", output.stderr);
    }

    let output = Cli::new("").args(["check", "--format", "json"]).args(files).run().await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(3), ""));
    let results: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(results.iter().map(|result| &result["valid"]).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(results[0]["problems"][0]["code"], "plan::unknown_key");
    assert_eq!(results[0]["problems"][0]["line"], 3);
    assert_eq!(results[2]["name"], "vehicle-status");

    let one = Cli::new("").args(["check", good]).run().await;
    assert_eq!(one.code, Some(0));
}

#[tokio::test]
async fn an_invalid_plan_is_refused_before_the_database_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.yaml");
    std::fs::write(&file, "version: 2\n").unwrap();
    let url = "postgres://u:secret@127.0.0.1:1/db";
    for command in ["plan", "run", "start"] {
        let output = Cli::new(url).args([command, file.to_str().unwrap()]).run().await;
        assert_eq!(output.code, Some(3), "{command}: {}", output.stderr);
        let output = Cli::new(url).args(["--format", "json", command, file.to_str().unwrap()]).run().await;
        let error = error_of(&output);
        assert_eq!(error["code"], "plan::invalid", "{command}");
        assert!(error["problems"].as_array().is_some_and(|problems| !problems.is_empty()), "{error}");
    }
}

#[tokio::test]
async fn schema_and_completions_need_no_database() {
    let output = crossfade(&["schema"]).await;
    assert_eq!(output.code, Some(0));
    let schema: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(schema["properties"]["version"]["const"], 1);
    for shell in ["bash", "zsh", "fish"] {
        let output = crossfade(&["completions", shell]).await;
        assert_eq!(output.code, Some(0), "{shell}");
        assert!(COMMANDS.iter().all(|command| output.stdout.contains(command)), "{shell}");
    }
}

#[tokio::test]
async fn usage_errors_say_what_to_do() {
    for args in [
        &["no-such-command"][..],
        &["run"],
        &["rollback", "p", "--to", "nowhere"],
        &["status", "--format", "sql"],
        &["advance", "p", "--all"],
        &["tune", "p", "batch_target"],
        &["tune", "p", "batch_targt=1s"],
        &["tune", "p", "max_rows_per_second=fast"],
        &["status", "Not A Name"],
        &["status", "--ledger-schema", "pg_x"],
        &["run", "no-such-file.yaml"],
    ] {
        let output = crossfade(args).await;
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{args:?}: {}", output.stderr);
        let helpful = output.stderr.contains("help: ") || output.stderr.contains("try '--help'");
        assert!(helpful, "{args:?}: {}", output.stderr);
        let json = Cli::new("").args(["--format=json"]).args(args).run().await;
        if !args.contains(&"--format") {
            assert!(error_of(&json)["help"].is_string(), "{args:?}: {}", json.stderr);
        }
    }
    // What the environment sets is not required.
    let output = Cli::new("postgres://nobody@localhost/none").args(["show"]).run().await;
    assert!(output.stderr.contains("\nUsage: crossfade show [OPTIONS] <NAME>\n"), "{}", output.stderr);
}

#[tokio::test]
async fn without_a_database_the_three_ways_to_name_one_are_told() {
    let output = crossfade(&["status"]).await;
    assert_eq!(output.code, Some(2));
    insta::assert_snapshot!(output.stderr, @"
    error[usage::no_database]: no database was given
      help: use --database-url postgres://user@host/database, or set DATABASE_URL, or set PGHOST, PGUSER and PGDATABASE (the password in PGPASSWORD or ~/.pgpass), in the environment or in .env
    ");
    let output = Cli::new("").env("DATABASE_URL", "").args(["status"]).run().await;
    assert!(output.stderr.contains("usage::no_database"), "{}", output.stderr);
    let output = Cli::new("").env("PGHOST", "127.0.0.1").env("PGPORT", "1").args(["status"]).run().await;
    assert!(output.stderr.contains("127.0.0.1:1 cannot be reached"), "{}", output.stderr);
    for (name, value) in [("PGSSLMODE", "verify_full"), ("PGPORT", "many")] {
        let output = Cli::new("").env("PGHOST", "h").env(name, value).args(["status"]).run().await;
        assert!(output.stderr.contains(&format!("{name} is not")), "{}", output.stderr);
        assert_eq!(output.code, Some(2));
    }
}

#[tokio::test]
async fn a_password_is_never_printed() {
    for url in [
        "postgres://u:secret@127.0.0.1:1/db",
        "postgres://u:secret@no-such-host.invalid/db",
        "postgres://u:sec#secret@h/db",
        "postgres://u:12/secret@h/db",
        "postgres://u:secret@h:port/db",
        "postgres://u@127.0.0.1:1/db?password=secret",
        "postgres://u@127.0.0.1:1/db?passwort=secret",
        "u:secret@h/db",
    ] {
        for args in [&["status", "-vvv", "--database-url", url][..], &["status", url], &[url], &["run", url]] {
            for format in ["--format=text", "--format=json"] {
                let output = Cli::new("").args([format]).args(args).run().await;
                let both = format!("{}{}", output.stdout, output.stderr);
                // `u:secret@h/db` is no URL: it is only known as one where a URL is expected.
                let known = url.contains("://") || args.contains(&"--database-url");
                assert!(!known || !both.contains("secret"), "{args:?}: {both}");
                assert!(matches!(output.code, Some(2 | 4)), "{args:?}: {both}");
            }
        }
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named() {
    let output = Cli::new("postgres://u:secret@127.0.0.1:1/db").args(["status"]).run().await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(4), ""));
    insta::assert_snapshot!(output.stderr, @"
    error[database::unreachable]: db at 127.0.0.1:1 cannot be reached: Connection refused (os error 111)
      help: check that the server is up and can be reached from here; a run that had begun continues where it stopped
    ");
    let output = Cli::new("postgres://u:secret@127.0.0.1:1/db").args(["status", "--format", "json"]).run().await;
    assert_eq!(error_of(&output)["code"], "database::unreachable");
}

#[tokio::test]
async fn a_database_without_runs_says_how_to_begin() {
    let database = Database::new().await;
    let output = Cli::new(&database.url).args(["status"]).run().await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(output.stdout.contains("no runs"), "{}", output.stdout);
    for args in [&["status"][..], &["history"], &["advance"], &["advance", "--all"]] {
        let said = Cli::new(&database.url).args(args).run().await.stdout;
        assert!(said.ends_with("\n  next: crossfade new  writes a plan for a column\n"), "{args:?}: {said}");
    }
    let output = Cli::new(&database.url).args(["status", "--format", "json"]).run().await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "[]\n"));
    let output = Cli::new(&database.url).args(["advance"]).run().await;
    assert_eq!(output.code, Some(9), "nothing is due");
    let output = Cli::new(&format!("{}_missing", database.url)).args(["status"]).run().await;
    assert_eq!(output.code, Some(4));
    assert!(output.stderr.contains("check the database's name"), "{}", output.stderr);
}

#[tokio::test]
async fn passwords_come_from_the_url_the_environment_or_a_file() {
    let mut server = own_server();
    let database = Database::on_server(&server).await;
    database.execute("ALTER ROLE postgres PASSWORD 'right'").await;
    let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(server.data_dir().join("pg_hba.conf"), hba).unwrap();
    server.restart().unwrap();
    let with = |password: &str| database.url.replace("postgres@", &format!("postgres:{password}@"));

    let output = Cli::new(&with("wrongsecret")).args(["status"]).run().await;
    assert_eq!(output.code, Some(4));
    assert!(output.stderr.contains("password authentication failed"), "{}", output.stderr);
    assert!(output.stderr.contains("help: ") && !output.stderr.contains("wrongsecret"), "{}", output.stderr);

    let file = server.data_dir().with_file_name("pgpass");
    std::fs::write(&file, "*:*:*:postgres:right\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for cli in [
        Cli::new(&with("right")),
        Cli::new(&database.url).env("PGPASSWORD", "right"),
        Cli::new(&database.url).env("PGPASSFILE", &file),
    ] {
        let output = cli.args(["status"]).run().await;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }
}

#[tokio::test]
async fn without_a_terminal_there_is_neither_colour_nor_unicode_unless_the_locale_has_it() {
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/vehicle-status.yaml");
    let output = Cli::new("").env("TERM", "xterm-256color").args(["check", good, "nope.yaml"]).run().await;
    let both = format!("{}{}", output.stdout, output.stderr);
    assert!(both.is_ascii() && !both.contains('\u{1b}'), "{both}");
    let output = Cli::new("").env("LANG", "de_DE.UTF-8").args(["check", good]).run().await;
    assert!(output.stdout.starts_with("✓ "), "{}", output.stdout);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_crossfade"))
        .arg("schema")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_demo_loses_nothing_and_says_so_in_json() {
    let output = Cli::new("").args(["demo", "--rows", "5000", "--format", "json"]).run().await;
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    let demo: Value = serde_json::from_str(&output.stdout).unwrap();
    for zero in ["failed_statements", "lost_writes", "mismatches"] {
        assert_eq!(demo[zero], 0, "{zero}: {demo}");
    }
    assert_eq!(demo["rows"], 5000);
    for positive in
        ["seconds", "rows_per_second", "statements", "p50_idle_ms", "p99_idle_ms", "p50_run_ms", "p99_run_ms"]
    {
        assert!(demo[positive].as_f64().is_some_and(|value| value > 0.0), "{positive}: {demo}");
    }
    let events: Vec<Value> = output.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done = |phase| events.iter().any(|event| event["event"] == "phase_done" && event["phase"] == phase);
    assert!(["expand", "index", "backfill", "verify", "switch", "contract"].into_iter().all(done), "{}", output.stderr);
}

#[tokio::test]
async fn the_demo_can_be_interrupted_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    // The server's user must be able to reach its directory.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let running = Cli::new("").env("TMPDIR", dir.path()).args(["demo", "--rows", "5000"]).spawn();
    wait_for("the idle measurement", PATIENCE, async || running.stderr().contains("fleet ")).await;
    running.signal(Signal::SIGINT);
    let output = running.wait(PATIENCE).await;
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(output.stderr.contains("press Ctrl-C again to stop at once"), "{}", output.stderr);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_demo_without_server_programs_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = Cli::new("").env("CROSSFADE_PG_BIN", dir.path()).args(["demo"]).run().await;
    assert_eq!(output.code, Some(4), "{}", output.stderr);
    assert!(output.stderr.contains("there is no `initdb` and `postgres` in"), "{}", output.stderr);
}
