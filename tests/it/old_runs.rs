//! Every run can be reached, the earlier runs of a plan too, by every command that takes a name; and what is printed of it
//! reaches it again.

use crossfade::plan::parse;
use crossfade::run::Phase;

use crate::harness::{Cli, Database, Output, tool};

const PLAN: &str = "version: 1\nname: p\ntable: t\nchanges: [{ rename_column: { from: a, to: b } }]\n\
    contract: { grace: 0s, quiet: 0s }\n";

async fn crossfade(database: &Database, args: &[&str]) -> Output {
    Cli::new(&database.url).args(args.iter().copied()).run().await
}

/// The commands to type that are printed, without the first word.
fn commands(output: &Output) -> Vec<String> {
    let text = format!("{}{}", output.stdout, output.stderr);
    let after = |line: &str| {
        let (_, command) = line.split_once("crossfade ")?;
        let words = command.split(['`', ';']).next().unwrap_or_default().split_whitespace();
        Some(
            words
                .take_while(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || "@-_".contains(c)))
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    text.lines().filter_map(after).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_reaches_an_earlier_run() {
    let database = Database::new().await;
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a text)").await;
    let (plan, tool) = (parse("plan", PLAN).unwrap(), tool(&database.url));
    tool.run(&plan, PLAN, Some(Phase::Index)).await.unwrap();
    tool.rollback("p", None).await.unwrap();
    tool.run(&plan, PLAN, Some(Phase::Index)).await.unwrap();
    let is_over = "run p@1 is rolled back: there is nothing left to pause, resume or tune";
    for (args, code, said) in [
        (["status", "p@1", ""], 0, "p@1   expand, rolled back"),
        (["history", "p@1", ""], 0, "rollback finished"),
        (["show", "p@1", ""], 0, "name: p"),
        (["verify", "p@1", ""], 2, "run p@1 does not have both columns"),
        (["advance", "p@1", ""], 9, "p@1 is rolled back"),
        (["advance", "p@1", "--dry-run"], 0, "p@1: nothing: the run is rolled back"),
        (["rollback", "p@1", "--yes"], 0, "p@1 is rolled back"),
        (["pause", "p@1", ""], 2, is_over),
        (["resume", "p@1", ""], 2, is_over),
        (["tune", "p@1", "quiet=1s"], 2, is_over),
        (["status", "p", ""], 0, "p   backfill, waiting"),
        (["status", "p@2", ""], 0, "p   backfill, waiting"),
        (["advance", "p@2", "--dry-run"], 0, "p@2: finish backfill"),
        (["tune", "p@2", "quiet=1s"], 0, "p@2: quiet = 1s"),
        (["pause", "p@2", ""], 0, "p@2 is paused"),
        (["resume", "p@2", ""], 0, "p@2: resumed"),
    ] {
        let args: Vec<_> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
        let output = crossfade(&database, &args).await;
        assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
        assert!(format!("{}{}", output.stdout, output.stderr).contains(said), "{args:?}: {output:#?}");
        for command in commands(&output) {
            let words: Vec<_> = command.split_whitespace().collect();
            let of_first = args[1] == "p@1";
            assert!(
                words.len() < 2 || words[1] != "p" || !of_first,
                "{args:?} prints what reaches another run: {command}"
            );
        }
    }
    for name in ["p@3", "p@0", "p@-1", "q"] {
        let output = crossfade(&database, &["status", name]).await;
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(output.stderr.contains("ledger::no_such_run"), "{output:#?}");
    }
    for name in ["p@", "p@x", "@1", "p@1@1", "P@1"] {
        let output = crossfade(&database, &["status", name]).await;
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(output.stderr.contains("usage::run_name") && output.stderr.contains("NAME@1"), "{output:#?}");
    }
}
