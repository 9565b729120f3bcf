//! What a terminal of 80 columns shows: no line is wider, but for words that nobody can break.

use crossfade::testkit::fleet;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Database, Terminal};

const COLUMNS: usize = 80;

/// Returns the lines that a terminal shows of what it was sent: without colours, links and what was written over.
fn lines(sent: &str) -> Vec<String> {
    let mut text = String::new();
    let mut rest = sent;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        text += before;
        rest = if let Some(link) = after.strip_prefix(']') {
            link.split_once("\u{1b}\\").map_or("", |(_, rest)| rest)
        } else {
            let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |end| end + 1);
            &after[end..]
        };
    }
    text += rest;
    let shown = |line: &str| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default().to_owned();
    text.lines().map(shown).collect()
}

/// Whether a line sticks out although it could have ended earlier.
fn too_wide(line: &str) -> bool {
    line.chars().count() > COLUMNS && line.split_whitespace().count() > 1
}

#[tokio::test]
async fn no_command_writes_lines_that_a_terminal_breaks() {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, 300).await.unwrap();
    database
        .execute(
            "CREATE VIEW plates AS SELECT id, license_plate, upper(license_plate) AS u, substring(license_plate FROM 1 FOR 3) AS p \
             FROM vehicles WHERE license_plate IS NOT NULL AND weight > 100 AND fuel IS NOT NULL ORDER BY id",
        )
        .await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, plan: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("version: 1\n{plan}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let long = "a-plan-with-a-name-as-long-as-in-life";
    let rename = write(
        "rename.yaml",
        &format!(
            "name: {long}\ntable: public.vehicles\nchanges: [{{ rename_column: {{ from: status, to: vehicle_status_as_the_fleet_calls_it }} }}]\n\
             approve: [switch]\ncontract: {{ quiet: 0s, grace: 0s }}\n"
        ),
    );
    let retype = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/license-plate.yaml");
    let wrong = write("wrong.yaml", "name: p\ntabel: t\nchanges: [{ rename_column: { from: a, to: a } }]\n");
    let refused =
        write("refused.yaml", "name: p\ntable: vehicles\nchanges: [{ rename_column: { from: nothing, to: fuel } }]\n");
    let drafted = folder.path().join("fuel.yaml").to_str().unwrap().to_owned();
    let report = folder.path().join("report.html");
    let report = report.to_str().unwrap();
    let (mut wide, mut linked) = (Vec::new(), false);
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["status"],
        &["check", retype, &wrong],
        &["plan", retype],
        &["plan", retype, "--summary"],
        &["plan", &refused],
        &["plan", "--all", concat!(env!("CARGO_MANIFEST_DIR"), "/plans")],
        &["inventory", "public.vehicles", "--to", "bigint"],
        &["new", "rename", "public.vehicles", "fuel", "fuel_type", "-o", &drafted],
        &["run", &rename],
        &["run", retype, "--to", "verify", "-v"],
        &["status"],
        &["status", long],
        &["schedule", long],
        &["approve", long, "switch"],
        &["pause", long],
        &["run", &rename],
        &["resume", long],
        &["tune", long, "replica_lag=30s"],
        &["tune", long, "nothing=1"],
        &["verify", long],
        &["advance", "--all", "--dry-run"],
        &["history"],
        &["history", long],
        &["history", long, "--check"],
        &["report", long, "-o", report],
        &["rollback", long, "--yes"],
        &["show", long],
        &["run", "no-such-file.yaml"],
        &["status", "no-such-run"],
    ] {
        let (_, shown) = Terminal::run(&database.url, args).ends().await;
        linked |= shown.contains("\u{1b}]8;;file:///");
        let lines = lines(&shown).into_iter().filter(|line| too_wide(line));
        wide.extend(lines.map(|line| format!("crossfade {}:\n{line}", args.join(" "))));
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
    assert!(linked, "the path of the report is a link");
}

#[test]
fn a_line_is_measured_as_a_terminal_shows_it() {
    assert_eq!(lines("\u{1b}[1mbold\u{1b}[0m a\rb\r\n\u{1b}]8;;file:///x\u{1b}\\y\u{1b}]8;;\u{1b}\\"), ["b", "y"]);
    assert!(too_wide(&"word ".repeat(17)) && !too_wide(&"x".repeat(90)) && !too_wide(&"word ".repeat(16)));
}
