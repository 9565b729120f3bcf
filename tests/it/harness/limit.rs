//! A time limit for every test: a hang is a failure that says where everybody stands, not a silence.
//!
//! A test is known by its thread, from its first database or process on. When one begins nothing new for [`LIMIT`], or takes
//! longer than [`LONGEST`], a plain thread writes the stacks of all threads of this process and of the tools that it has
//! started, and what every session of the test servers is doing, and aborts the test binary.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::whole;

/// Between two databases or processes of a test: several times the longest on a busy machine. `CROSSFADE_TEST_LIMIT` (seconds)
/// replaces it.
const LIMIT: Duration = Duration::from_mins(10);
/// So many times that, where every long matrix is whole: a test whose steps are tasks shows no sign of life in between.
const WHOLE: u32 = 6;
/// How many such limits a test of many steps may take.
const LONGEST: u32 = 3;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of the tests that are running.
struct Known {
    tests: BTreeMap<String, Signs>,
    /// Processes of the tool.
    tools: BTreeSet<u32>,
    /// A database on each server.
    servers: BTreeSet<String>,
}

/// Signs of life of a test.
#[derive(Debug, Clone, Copy)]
struct Signs {
    first: Instant,
    last: Instant,
}

static KNOWN: Mutex<Known> =
    Mutex::new(Known { tests: BTreeMap::new(), tools: BTreeSet::new(), servers: BTreeSet::new() });

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The test of a thread; its end is the test's.
struct Test(String);

impl Drop for Test {
    fn drop(&mut self) {
        known().tests.remove(&self.0);
    }
}

thread_local! {
    static TEST: RefCell<Option<Test>> = const { RefCell::new(None) };
}

/// Begins to watch over the test that calls this.
pub(super) fn begin() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| drop(thread::Builder::new().name("time limit".to_owned()).spawn(watch).unwrap()));
    let thread = thread::current();
    match thread.name() {
        // With one test at a time they all run in the main thread.
        Some("main") => {
            let now = Instant::now();
            known().tests.insert("a test in the main thread".to_owned(), Signs { first: now, last: now });
        }
        Some(name) if name.contains("::") => TEST.with_borrow_mut(|test| {
            let now = Instant::now();
            known().tests.entry(name.to_owned()).or_insert(Signs { first: now, last: now }).last = now;
            test.get_or_insert_with(|| Test(name.to_owned()));
        }),
        // A task of a test that is known already.
        _ => {}
    }
}

/// Takes note of a server, by the URL of one of its databases.
pub(super) fn server(url: &str) {
    let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
    known().servers.insert(format!("{server}/postgres"));
}

/// Takes note of a process of the tool.
pub(super) fn tool_began(pid: u32) {
    known().tools.insert(pid);
}

/// Takes note of its end.
pub(super) fn tool_ended(pid: u32) {
    known().tools.remove(&pid);
}

fn watch() {
    let seconds = std::env::var("CROSSFADE_TEST_LIMIT").ok().and_then(|text| text.parse().ok());
    let limit = seconds.map_or(if whole() { LIMIT * WHOLE } else { LIMIT }, Duration::from_secs);
    loop {
        thread::sleep(LOOK);
        let too_late = |signs: &Signs| signs.last.elapsed() > limit || signs.first.elapsed() > limit * LONGEST;
        let late: Vec<String> =
            known().tests.iter().filter(|(_, signs)| too_late(signs)).map(|(name, _)| name.clone()).collect();
        if !late.is_empty() {
            say(&format!(
                "\n==== nothing new for {limit:?}, or not done after {LONGEST} times that: {}",
                late.join(", ")
            ));
            let tools = known().tools.clone();
            let servers = known().servers.clone();
            say(&format!("==== threads of the test binary\n{}", stacks(std::process::id())));
            for pid in &tools {
                say(&format!("==== threads of crossfade, process {pid}\n{}", stacks(*pid)));
            }
            for url in &servers {
                say(&format!("==== sessions of {url}\n{}", sessions(url)));
            }
            for pid in tools {
                let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX)), Signal::SIGKILL);
            }
            std::process::abort();
        }
    }
}

/// Not by a macro, whose output the test harness would keep.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Returns what each thread of a process is doing: from gdb, or as far as the kernel tells.
fn stacks(pid: u32) -> String {
    debugger(pid).unwrap_or_else(|why| {
        let mut text = format!("no stacks ({why}); the kernel's view:\n");
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |what| std::fs::read_to_string(task.path().join(what)).unwrap_or_default();
            let (name, wchan) = (read("comm"), read("wchan"));
            let _ = writeln!(text, "  {}: {} in {}", task.file_name().display(), name.trim(), wchan.trim());
        }
        text
    })
}

/// It stops the process, perhaps this one, so its output goes to a file: nobody would read a pipe.
fn debugger(pid: u32) -> Result<String, String> {
    let said = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let (out, err) = (said.reopen().map_err(|error| error.to_string())?, Stdio::null());
    let status = Command::new("timeout")
        .args(["--signal=KILL", "60", "gdb", "-batch", "-nx", "-iex", "set debuginfod enabled off"])
        .args(["-ex", "set pagination off", "-ex", "thread apply all backtrace 40", "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status();
    let text = std::fs::read(said.path()).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&text).into_owned();
    if text.contains("\nThread ") { Ok(text) } else { Err(format!("gdb: {status:?}")) }
}

/// Returns what every session of a server is doing and whom it waits for.
fn sessions(url: &str) -> String {
    const SESSIONS: &str = "SELECT concat_ws(' | ', pid, datname, application_name, state, \
        concat_ws(':', wait_event_type, wait_event), 'since ' || date_trunc('second', clock_timestamp() - state_change), \
        'blocked by ' || nullif(pg_blocking_pids(pid)::text, '{}'), left(query, 300)) \
        FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY datname, pid";
    let look = async {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::query(SESSIONS).fetch_all(&mut connection).await
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return "no runtime".to_owned();
    };
    match runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), look).await }) {
        Ok(Ok(rows)) => rows.iter().map(|row| row.try_get(0).unwrap_or_default()).collect::<Vec<String>>().join("\n"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the server does not answer".to_owned(),
    }
}
