//! The book: every block of a page that is marked `console` is typed into a shell, in order, and says what the page shows.
//!
//! A line that begins with `$ ` is a command (`# exit code 5` at its end says that it does not end with 0), the lines below it are what it
//! prints, `...` any lines. Lines may end elsewhere, and times, sizes, rates, hashes and people differ from run to run. Comments
//! that a reader does not see set the stage: `<!-- fleet: 500 -->` makes the table of examples/fleet.sql with so many rows,
//! `<!-- clock: 2027-01-05T22:10:00-05:00 -->` sets the server's clock, `<!-- file: NAME -->` writes the next block to a file,
//! `<!-- output: left out -->` says that the next block shows none of it, `<!-- stage: COMMAND -->` types what the page does not show,
//! and `<!-- not typed: REASON -->` says of the next block why no test can type it.
//! `UPDATE_BOOK=1 cargo test --test it -- book` writes what differs into the pages.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::DateTime;
use crossfade::testkit::fleet;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Clock, Database};

/// What a page asks for, in order.
#[derive(Debug, PartialEq)]
enum Part {
    Fleet(u32),
    Clock(DateTime<chrono::FixedOffset>),
    File(String, String),
    /// A command, its exit code, what the page shows of it, and the lines of the page that show it.
    Command {
        text: String,
        code: i32,
        shown: String,
        lines: std::ops::Range<usize>,
    },
}

/// Returns what is between `<!-- name: ` and ` -->`.
fn comment<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    line.strip_prefix("<!-- ")?.strip_prefix(name)?.strip_prefix(": ")?.strip_suffix(" -->")
}

fn parts(page: &str) -> Vec<Part> {
    let lines: Vec<_> = page.lines().collect();
    let (mut parts, mut file, mut left_out, mut not_typed, mut at) = (Vec::new(), None, false, false, 0);
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        if let Some(rows) = comment(line, "fleet") {
            parts.push(Part::Fleet(rows.parse().unwrap()));
        } else if let Some(time) = comment(line, "clock") {
            parts.push(Part::Clock(DateTime::parse_from_rfc3339(time).unwrap()));
        } else if let Some(name) = comment(line, "file") {
            file = Some(name.to_owned());
        } else if let Some(text) = comment(line, "stage") {
            parts.push(Part::Command { text: text.to_owned(), code: 0, shown: "...".to_owned(), lines: 0..0 });
        } else if comment(line, "output").is_some() {
            left_out = true;
        } else if comment(line, "not typed").is_some() {
            not_typed = true;
        } else if let Some(language) = line.strip_prefix("```") {
            let end = at + lines[at..].iter().position(|line| *line == "```").expect("a block ends");
            if let Some(name) = file.take() {
                parts.push(Part::File(name, lines[at..end].join("\n") + "\n"));
            } else if std::mem::take(&mut not_typed) {
                assert!(language == "console" || language == "sh", "only commands are typed, not {language}");
            } else if language == "console" {
                let from = parts.len();
                commands(&lines, at..end, &mut parts);
                for part in parts.iter_mut().skip(from).filter(|_| left_out) {
                    if let Part::Command { shown, .. } = part {
                        "...".clone_into(shown);
                    }
                }
                left_out = false;
            }
            at = end + 1;
        }
    }
    parts
}

/// The commands of one block.
fn commands(lines: &[&str], block: std::ops::Range<usize>, into: &mut Vec<Part>) {
    let mut at = block.start;
    while at < block.end {
        let mut text = lines[at].strip_prefix("$ ").expect("a block of commands begins with one").to_owned();
        while text.ends_with('\\') {
            at += 1;
            text = format!("{}\n{}", text, lines[at]);
        }
        let from = at + 1;
        at = (from..block.end).find(|line| lines[*line].starts_with("$ ")).unwrap_or(block.end);
        let code = text.rsplit_once("# exit code ").map_or(0, |(_, code)| code.trim().parse().unwrap());
        into.push(Part::Command { text, code, shown: lines[from..at].join("\n"), lines: from..at });
    }
}

/// Whether `said` is what the page shows; a line `...` of the page stands for any lines.
fn alike(shown: &str, said: &str) -> bool {
    // What a busy machine adds, where the page does not speak of it.
    const BUSY: [&str; 5] = ["held", "holding", "continuing", "slowed", "waits for a lock"];
    let of_busy = |line: &&str| BUSY.iter().any(|word| line.contains(word) && !shown.contains(word));
    let said = plain(&said.lines().filter(|line| !of_busy(line)).collect::<Vec<_>>().join("\n"));
    let pieces: Vec<_> =
        shown.split("...\n").map(|piece| plain(piece.strip_suffix("\n...").unwrap_or(piece))).collect();
    let open = shown == "..." || shown.ends_with("\n...");
    if shown == "..." {
        return true;
    }
    let mut rest = said.as_str();
    for (at, piece) in pieces.iter().enumerate() {
        match rest.find(piece.as_str()) {
            Some(0) => rest = &rest[piece.len()..],
            Some(found) if at > 0 => rest = &rest[found + piece.len()..],
            _ => return false,
        }
    }
    let ends = pieces.last().is_none_or(String::is_empty);
    open || (ends && pieces.len() > 1) || rest.trim().is_empty()
}

/// Returns a text without what differs from run to run, and without its line breaks.
fn plain(text: &str) -> String {
    const TIMES: [&str; 10] = ["ms", "s", "min", "h", "d", "us", "seconds", "minutes", "hours", "%"];
    const SIZES: [&str; 6] = ["B", "kB", "MB", "GB", "bytes", "KB"];
    let mut words: Vec<String> = Vec::new();
    for token in text.replace("less than ", "").replace("about ", "").split_whitespace() {
        let bare = token.trim_matches(|c: char| "()[],.;:'\"`".contains(c));
        let digits = bare.chars().filter(char::is_ascii_digit).count();
        let number = digits > 0 && bare.chars().all(|c| c.is_ascii_digit() || ".,+-%~".contains(c));
        // Of a file, the part of its name before the first `_`.
        let stem = bare.rsplit('/').next().and_then(|file| file.split('_').next()).unwrap_or_default();
        let hex = stem.len() >= 7 && digits > 0 && stem.chars().all(|c| c.is_ascii_hexdigit());
        let date = digits >= 3
            && bare.contains([':', '-'])
            && bare.chars().all(|c| c.is_ascii_digit() || ":-TZ.+".contains(c));
        let unit = bare.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '+' || c == '-');
        // A hash may have no letter.
        let word = if hex && (!number || digits >= 12) {
            "<hash>"
        } else if date {
            "<when>"
        } else if number && bare.contains(['%', '.', '+']) {
            "<number>"
        } else if digits > 0 && unit.len() < bare.len() && (TIMES.contains(&unit) || SIZES.contains(&unit)) {
            "<amount>"
        } else if bare.contains('@') && !bare.contains("://") {
            "<who>"
        } else if ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "UTC", "EST", "EDT"].contains(&bare) {
            "<when>"
        } else if bare.starts_with("postgres://") || bare.starts_with("test_") {
            "<database>"
        } else {
            ""
        };
        let unit = TIMES.contains(&bare) || SIZES.contains(&bare) || bare.ends_with("/s") || bare == "rows/s";
        match words.last_mut() {
            // A number is one of the run only if no time, size or rate follows.
            Some(last)
                if unit && last.trim_matches(|c: char| "(,.".contains(c)).chars().any(|c| c.is_ascii_digit()) =>
            {
                "<amount>".clone_into(last);
            }
            Some(last) if unit && (last == "<number>" || last == "<amount>") => "<amount>".clone_into(last),
            Some(last) if ["pid", "process", "transaction"].contains(&last.as_str()) && number => {
                words.push("<number>".to_owned());
            }
            // 1 min 3 s is an amount as well as 63 s.
            Some(last) if !word.is_empty() && last == word => {}
            _ => words.push(if word.is_empty() { token.to_owned() } else { word.to_owned() }),
        }
    }
    let mut once: Vec<String> = Vec::new();
    for word in words {
        if once.last() != Some(&word) || !word.starts_with('<') {
            once.push(word);
        }
    }
    once.join(" ")
}

/// Returns an output with its long lines folded; what follows is indented further.
fn folded(text: &str) -> String {
    const WIDTH: usize = 110;
    let mut out = Vec::new();
    for line in text.lines() {
        let words = line.trim_start();
        let indent = " ".repeat(line.len() - words.len());
        let (mut current, mut empty) = (indent.clone(), true);
        for word in words.split(' ') {
            if !empty && current.chars().count() + 1 + word.chars().count() > WIDTH {
                out.push(std::mem::replace(&mut current, format!("{indent}    ")));
            } else if !empty {
                current.push(' ');
            }
            current.push_str(word);
            empty = false;
        }
        out.push(current);
    }
    out.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// Returns the first lines of the blocks of a page whose commands nothing types: those of a page that is not `typed`, and those for another
/// shell (`sh`), unless a comment above says why.
fn nobody_types(page: &str, typed: bool) -> Vec<String> {
    let lines: Vec<_> = page.lines().collect();
    let open = lines.iter().enumerate().filter(|(at, line)| {
        let above = at.checked_sub(1).map_or("", |above| lines[above]);
        let excused = comment(above, "not typed").is_some_and(|reason| reason.split(' ').count() > 2);
        !excused && (**line == "```sh" || (**line == "```console" && !typed))
    });
    open.map(|(at, _)| lines[at + 1].to_owned()).collect()
}

/// Directories that a page speaks of, and what they are called in the directory of the shell.
const PLACES: [(&str, &str); 2] = [("/etc/crossfade", "etc"), ("/var/lib/node_exporter/textfile", "textfile")];

/// The directory of the tool, and those that every system has.
fn path() -> String {
    let tool = Path::new(env!("CARGO_BIN_EXE_crossfade")).parent().unwrap().display().to_string();
    format!("{tool}:/usr/local/bin:/usr/bin:/bin")
}

/// A directory with the ready plans, a database, and the shell that types.
struct Stage {
    folder: tempfile::TempDir,
    url: String,
    /// What `export` has set.
    exported: String,
}

impl Stage {
    fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for shared in ["plans", "examples"] {
            std::os::unix::fs::symlink(root.join(shared), folder.path().join(shared)).unwrap();
        }
        Self { folder, url: url.to_owned(), exported: String::new() }
    }

    /// Types a command, and returns what it says on both streams, and its exit code.
    fn types(&mut self, text: &str) -> (String, i32) {
        let mut here = text.to_owned();
        for (place, name) in PLACES {
            here = here.replace(place, &self.folder.path().join(name).display().to_string());
        }
        let script = format!("exec 2>&1\n{}{here}\n", self.exported);
        let mut command = Command::new("timeout");
        command.args(["120", "sh", "-c", &script]).current_dir(self.folder.path()).env_clear();
        command.env("PATH", path()).env("HOME", self.folder.path()).env("DATABASE_URL", &self.url);
        command.env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1").env("USER", "ann").stdin(Stdio::null());
        let output = tokio::task::block_in_place(|| command.output().unwrap());
        if text.starts_with("export ") {
            self.exported.push_str(text);
            self.exported.push('\n');
        }
        let said = String::from_utf8(output.stdout).unwrap();
        (self.renamed(said.trim_end()), output.status.code().unwrap())
    }

    /// Returns a text with names for the database and the host that say something to a reader.
    fn renamed(&self, text: &str) -> String {
        let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
        let (_, database) = self.url.rsplit_once('/').unwrap();
        let database = database.split('?').next().unwrap();
        let text = text.replace(&format!("root@{host}"), "ann@db-1").replace(&format!("on {host}\n"), "on db-1\n");
        let text = PLACES.iter().fold(text, |text, (place, name)| {
            text.replace(&self.folder.path().join(name).display().to_string(), place)
        });
        text.replace(database, "fleet").replace(&self.folder.path().display().to_string(), "/home/ann")
    }
}

/// Types everything of some pages, one after the other in one database, and compares; or writes what differs.
async fn follow(pages: &[&str]) {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs");
    let texts: Vec<_> = pages.iter().map(|page| std::fs::read_to_string(docs.join(page)).unwrap()).collect();
    let needs_clock = texts.iter().any(|text| parts(text).iter().any(|part| matches!(part, Part::Clock(_))));
    let clock = if needs_clock { tokio::task::block_in_place(Clock::start) } else { None };
    if needs_clock && clock.is_none() {
        return;
    }
    let database = match &clock {
        Some(clock) => Database::on_server(&clock.server).await,
        None => Database::new().await,
    };
    let mut stage = Stage::new(&database.url);
    for (page, text) in pages.iter().zip(texts) {
        type_page(page, &text, &database, clock.as_ref(), &mut stage).await;
    }
}

/// Types everything of one page.
async fn type_page(page: &str, text: &str, database: &Database, clock: Option<&Clock>, stage: &mut Stage) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let (mut wrong, mut new, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts(text) {
        match part {
            Part::Fleet(rows) => {
                let mut connection = PgConnection::connect(&database.url).await.unwrap();
                fleet::create(&mut connection).await.unwrap();
                fleet::load(&mut connection, rows).await.unwrap();
            }
            Part::Clock(time) => clock.unwrap().go_to(time.to_utc()),
            Part::File(name, content) => std::fs::write(stage.folder.path().join(name), content).unwrap(),
            Part::Command { text, code, shown, lines } => {
                let (said, ended) = stage.types(&text);
                if ended != code {
                    codes.push(format!("`{text}` ended with {ended}:\n{said}"));
                }
                if !alike(&shown, &said) {
                    wrong.push(format!("$ {text}\n--- the page\n{}\n--- what is said\n{said}\n", plain(&shown)));
                    new.push((lines, folded(&said)));
                }
            }
        }
    }
    if std::env::var_os("UPDATE_BOOK").is_some() && !new.is_empty() {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (place, said) in new.into_iter().rev() {
            lines.splice(place, (!said.is_empty()).then(|| said.clone()));
        }
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        wrong.clear();
    }
    assert!(codes.is_empty(), "docs/{page}: another exit code:\n{}", codes.join("\n"));
    assert!(wrong.is_empty(), "docs/{page} shows something else:\n{}", wrong.join("\n"));
}

macro_rules! pages {
    ($($test:ident: $($page:literal)&+,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                follow(&[$($page),+]).await;
            }
        )+

        /// A page with commands that nobody types would be wrong before long. What cannot be typed here says why, and of that the command
        /// line at least understands every command, see `cli::written`.
        #[test]
        fn every_command_of_the_book_is_typed_or_says_why_not() {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
            let (mut blocks, mut wrong) = (0, Vec::new());
            for entry in [docs.clone(), docs.join("recipes")].iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.extension().is_none_or(|extension| extension != "md") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                blocks += text.matches("\n```console\n").count();
                let typed = [$($($page),+),+].contains(&name.as_str());
                wrong.extend(nobody_types(&text, typed).into_iter().map(|block| format!("docs/{name}: {block}")));
            }
            assert!(wrong.is_empty(), "add the page to `pages!`, or `<!-- not typed: REASON -->` above:\n{}", wrong.join("\n"));
            assert!(blocks > 40, "only {blocks} blocks were found");
        }
    };
}

pages! {
    first_plan: "first-plan.md",
    inventory: "inventory.md",
    four_weeks: "four-weeks.md",
    operations: "operations.md",
    // They look at the run that the first of them has set up.
    pages_of_one_run: "report.md" & "monitoring.md" & "migration-tools.md" & "hooks.md",
}

#[test]
fn what_a_page_shows_is_compared_without_what_differs_from_run_to_run() {
    assert!(alike("12 rows in 1.2 s\n", "12 rows\n   in 350 ms"));
    assert!(!alike("12 rows in 1.2 s", "13 rows in 1.2 s"));
    assert!(alike("a\n...\nz", "a\nb\nc\nz") && !alike("a\n...\nz", "a\nb") && !alike("a", "a b"));
    assert!(alike("a\n...", "a\nb") && !alike("b\n...", "a\nb"));
    assert!(alike("until Tue 2027-01-19 00:00 EST", "until Wed 2027-01-20 01:00 EST"));
    assert!(!alike("0 rows differ", "3 rows differ"));
    assert!(alike("head 2c32685840e9", "head 031069702975"));
    let long = "word ".repeat(30);
    assert!(alike(&format!("  a   {long}"), &folded(&format!("  a   {long}"))));
    assert_eq!(folded("  a   b\n"), "  a   b");
    let page = "```console\n$ a\n```\n<!-- not typed: needs a collector -->\n```console\n$ b\n```\n<!-- not typed: no -->\n```sh\nc\n```";
    assert_eq!(nobody_types(page, true), ["c"]);
    assert_eq!(nobody_types(page, false), ["$ a", "c"]);
    assert_eq!(parts(page).len(), 1);
}

/// The names of a value's fields, and of those one level below.
fn fields(value: &Value, path: &str, deeper: u8, into: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => {
            for item in items {
                fields(item, &format!("{path}[]"), deeper, into);
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{name}");
                if deeper > 0 {
                    fields(value, &path, deeper - 1, into);
                }
                into.insert(path);
            }
        }
        _ => {}
    }
}

/// What `--format json` prints is listed in docs/scripts.md: no field is there that the page does not have, and none of the
/// first level has gone.
#[tokio::test(flavor = "multi_thread")]
async fn fields_of_json_are_listed() {
    const MARKS: (&str, &str) = ("<!-- json -->\n", "<!-- end of json -->");
    const PLAN: &str = "version: 1\nname: p\ntable: public.vehicles\nchanges: [{ rename_column: { from: status, to: state } }]\n\
                        contract: { quiet: 0s, grace: 0s }\n";
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fleet::create(&mut connection).await.unwrap();
    fleet::load(&mut connection, 200).await.unwrap();
    let mut stage = Stage::new(&database.url);
    std::fs::write(stage.folder.path().join("p.yaml"), PLAN).unwrap();
    let (mut listed, mut gone, mut new) = (String::new(), Vec::new(), Vec::new());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scripts.md");
    let page = std::fs::read_to_string(&file).unwrap();
    for command in [
        "crossfade check p.yaml",
        "crossfade plan p.yaml",
        "crossfade inventory public.vehicles",
        "crossfade run p.yaml --to verify",
        "crossfade status p",
        "crossfade schedule p",
        "crossfade history",
        "crossfade history p",
        "crossfade history p --check",
        "crossfade show p",
        "crossfade verify p",
        "crossfade pause p",
        "crossfade resume p",
        "crossfade tune p quiet=1s",
        "crossfade advance p --dry-run",
        "crossfade rollback p --yes",
        "crossfade cleanup --yes",
    ] {
        let (said, code) = stage.types(&format!("{command} --format json 2>/dev/null"));
        let value: Value =
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("{command} ({code}): {error}: {said}"));
        let mut found = BTreeSet::new();
        fields(&value, "", 1, &mut found);
        assert!(!found.is_empty(), "{command}: {said}");
        let names: Vec<_> = found.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(listed, "| `{command}` | {} |", names.join(", "));
        let row = page.lines().find_map(|line| line.strip_prefix(&format!("| `{command}` | "))).unwrap_or_default();
        let shown: BTreeSet<_> = row.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        new.extend(found.difference(&shown).map(|name| format!("{command}: {name}")));
        let first = |name: &&String| !name.trim_start_matches("[]").trim_start_matches('.').contains(['.', '[']);
        gone.extend(shown.difference(&found).filter(first).map(|name| format!("{command}: {name}")));
    }
    if std::env::var_os("UPDATE_BOOK").is_some() {
        let (before, rest) = page.split_once(MARKS.0).unwrap();
        let (_, after) = rest.split_once(MARKS.1).unwrap();
        let text = format!("{before}{}| command | fields |\n|---|---|\n{listed}{}{after}", MARKS.0, MARKS.1);
        std::fs::write(&file, text).unwrap();
        return;
    }
    assert!(new.is_empty() && gone.is_empty(), "docs/scripts.md lacks {new:#?}, and has what is gone: {gone:#?}");
}
