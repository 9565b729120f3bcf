//! `crossfade serve`: pages that show what `status` and `report` show, to nobody but those who have the token, and on which they decide as on
//! the command line.

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Cli, Database, PATIENCE, Running, wait_for};
use crate::report_page::Page;

mod attacks;
mod cost;
mod decisions;

const PLAN: &str = "\
version: 1
name: rename
table: vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
contract: { grace: 0s, quiet: 0s }
";

const TABLE: &str = "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text); INSERT INTO vehicles VALUES (1, 'a')";

/// What is in the ledger: it is another when anything has changed.
const LOG: &str = "SELECT string_agg(hash, ',' ORDER BY seq) FROM crossfade.event";

/// A server at work, and a browser that has opened it.
struct Served {
    running: Running,
    address: String,
    /// As the server printed it; empty where somebody has chosen one.
    token: String,
    cookie: String,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// What the browser is to keep: `name=value`.
    fn cookie(&self) -> String {
        let line = self.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_default();
        if !line.is_empty() {
            assert!(line.contains("; Path=/; HttpOnly; SameSite=Strict"), "{line}");
        }
        line.split(';').next().unwrap().to_owned()
    }

    fn location(&self) -> &str {
        self.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default()
    }
}

impl Served {
    /// Starts the server, and opens it with the token that it prints.
    async fn on(url: &str, more: &[&str]) -> Self {
        let mut served = Self::started(&Cli::new(url), more).await;
        let opened = served.ask("GET", &format!("/?token={}", served.token), &[]).await;
        // From the address with the token, the page leads to one without.
        assert!(opened.status == 200 && opened.body.contains("content=\"0; url=./\""), "{opened:#?}");
        served.cookie = opened.cookie();
        served
    }

    async fn started(cli: &Cli, more: &[&str]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], more].concat();
        let running = cli.clone().args(args).spawn();
        wait_for("the address", PATIENCE, async || running.stdout().contains(" shows the runs")).await;
        let said = running.stdout();
        let (address, rest) = said.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let token = rest.split(' ').next().unwrap().trim_start_matches("?token=").to_owned();
        Self { address: address.to_owned(), token, running, cookie: String::new() }
    }

    /// Sends what is no request of a browser, and returns all that comes back.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        // The server may have closed it before all was sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a request with these lines of its head, besides `Host`, unless they have one.
    async fn ask(&self, method: &str, path: &str, lines: &[&str]) -> Answer {
        let host = format!("Host: {}\r\n", self.address);
        let host = if lines.iter().any(|line| line.starts_with("Host:")) { "" } else { &host };
        let lines: String = lines.iter().flat_map(|line| [line, "\r\n"]).collect();
        let request = format!("{method} {path} HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n");
        let answer = Answer::read(&self.raw(request.as_bytes()).await);
        for header in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "frame-ancestors 'none'",
            "default-src 'none'; style-src 'sha256-",
        ] {
            assert!(answer.head.contains(header), "{method} {path}: {}", answer.head);
        }
        assert!(!answer.head.contains("unsafe-inline"));
        answer
    }

    /// Asks for a page as the browser does that has opened the server.
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask("GET", path, &[&format!("Cookie: {}", self.cookie)]).await;
        (answer.status, answer.body)
    }

    /// Sends a form with these lines of its head, besides those that all forms have.
    async fn post(&self, path: &str, form: &str, lines: &[&str]) -> Answer {
        let length = format!("Content-Length: {}", form.len());
        let head = [&["Content-Type: application/x-www-form-urlencoded", length.as_str()], lines].concat();
        let mut lines: String = head.iter().flat_map(|line| [*line, "\r\n"]).collect();
        lines += "Connection: close\r\n";
        let request = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n{form}", self.address);
        Answer::read(&self.raw(request.as_bytes()).await)
    }

    /// Sends a form as the browser does, with the proof of the page that has it.
    async fn send(&self, path: &str, form: &str) -> Answer {
        let name = path.rsplit_once('/').unwrap().0;
        let (_, page) = self.get(&format!("{name}/actions")).await;
        let form = format!("proof={}&{form}", hidden(&page, "proof"));
        self.post(path, &form, &[&format!("Cookie: {}", self.cookie), &format!("Origin: http://{}", self.address)])
            .await
    }
}

/// Returns the value of a hidden field.
fn hidden<'p>(page: &'p str, name: &str) -> &'p str {
    let field = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{name}: {page}"));
    field.1.split('"').next().unwrap()
}

/// The file of a plan.
fn plan(text: &str) -> tempfile::NamedTempFile {
    let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(plan.path(), text).unwrap();
    plan
}

#[tokio::test]
async fn runs_are_shown_as_they_are_and_nothing_else_is_answered() {
    let database = Database::new().await;
    database.execute(TABLE).await;
    let served = Served::on(&database.url, &["--host", "runs.example.org"]).await;
    let (status, body) = served.get("/").await;
    assert!(
        status == 200 && Page::read(&body).says("There are no runs in this database yet. Next: crossfade new"),
        "{body}"
    );

    let plan = plan(PLAN);
    let plan = plan.path().to_str().unwrap();
    let cli = async |args: &[&str]| Cli::new(&database.url).args(args).run().await;
    assert_eq!(cli(&["run", plan, "--to", "verify"]).await.code, Some(0));
    let before: String = database.scalar(LOG).await;
    let (_, body) = served.get("/").await;
    let page = Page::read(&body);
    assert!(page.says("rename… waitingswitch1"), "{}", page.text);
    assert_eq!(page.links, ["runs/rename"]);
    assert!(body.contains("http-equiv=\"refresh\""), "{body}");
    // The report, with the way back and a look again while the run lasts.
    let (status, body) = served.get("/runs/rename").await;
    let page = Page::read(&body);
    assert!(status == 200 && page.says("Certificate of the latest check"), "{}", page.text);
    assert_eq!(page.links, ["..", "rename/actions"]);
    assert!(body.contains("http-equiv=\"refresh\""));
    assert_eq!(served.get("/runs/rename@1").await.0, 200);
    for path in
        ["/runs/none", "/runs/rename@2", "/runs/RENAME", "/favicon.ico", "/runs/rename/none", "/runs/none/actions"]
    {
        let (status, _) = served.get(path).await;
        assert!([404, 405].contains(&status), "{path}: {status}");
    }
    let cookie = format!("Cookie: {}", served.cookie);
    assert_eq!(served.ask("GET", "/", &["Host: runs.example.org", &cookie]).await.status, 200);
    assert_eq!(database.scalar::<String>(LOG).await, before, "a look has changed something");

    assert_eq!(cli(&["rollback", "rename", "--yes"]).await.code, Some(0));
    let (_, body) = served.get("/runs/rename").await;
    assert!(!body.contains("http-equiv=\"refresh\"") && Page::read(&body).says("rolled back"), "{body}");
    assert!(served.get("/runs/rename/actions").await.1.contains("nothing to decide"));

    // The port is taken.
    let output = cli(&["serve", "--listen", &served.address]).await;
    assert!(output.code == Some(2) && output.stderr.contains("usage::listen"), "{output:#?}");
    // Whoever has not finished asking does not keep it from ending.
    let mut slow = TcpStream::connect(&served.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    served.running.signal(Signal::SIGTERM);
    let output = served.running.wait(PATIENCE).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:#?}");
}

#[tokio::test]
async fn a_database_that_is_gone_is_told_and_asked_again() {
    let database = Database::new().await;
    let served = Served::on(&database.url, &[]).await;
    assert_eq!(served.get("/").await.0, 200);
    let elsewhere = crate::harness::Database::new().await;
    let (old, new) = (&database.name, format!("{}_away", database.name));
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'");
    elsewhere.execute(&format!("{end}; ALTER DATABASE {old} RENAME TO {new}")).await;
    let (status, body) = served.get("/").await;
    assert!([500, 503].contains(&status) && body.contains("http-equiv=\"refresh\""), "{body}");
    Page::read(&body);
    elsewhere.execute(&format!("ALTER DATABASE {new} RENAME TO {old}")).await;
    assert_eq!(served.get("/").await.0, 200);
    // A wrong database is an error at once, before there is a page.
    let output = Cli::new(&format!("{}_none", database.url)).args(["serve", "--listen", "127.0.0.1:0"]).run().await;
    assert!(output.code == Some(4) && output.stdout.is_empty(), "{output:#?}");
}

/// What pages cost the database is measured in docs/serve.md; it must not grow with applications' tables.
#[tokio::test]
async fn no_page_reads_a_table_of_the_application() {
    const RUNS: i32 = 2;
    const VISITS: i64 = 5;
    let database = Database::new().await;
    for number in 0..RUNS {
        let table = TABLE.replace("vehicles", &format!("v{number}"));
        database.execute(&table).await;
        let name = format!("name: rename-{number}");
        let plan = plan(&PLAN.replace("name: rename", &name).replace("vehicles", &format!("v{number}")));
        let args = ["run", plan.path().to_str().unwrap(), "--to", if number == 0 { "verify" } else { "expand" }];
        let output = Cli::new(&database.url).args(args).run().await;
        assert_eq!(output.code, Some(0), "{output:#?}");
    }
    let served = Served::on(&database.url, &[]).await;
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'crossfade%'",
        database.name
    );
    let idle = async || database.scalar::<i64>(&sessions).await == 0;
    // A session tells what it has read when it ends, shortly before it has gone from the list.
    let scans = "SELECT sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0))::bigint FROM pg_stat_user_tables WHERE schemaname = 'public'";
    wait_for("the runs to end", PATIENCE, &idle).await;
    let scanned: i64 = database.scalar(scans).await;
    for path in ["/", "/runs/rename-0", "/runs/rename-0/actions", "/metrics"] {
        for _ in 0..VISITS {
            assert_eq!(served.get(path).await.0, 200);
        }
    }
    wait_for("the sessions to end", PATIENCE, &idle).await;
    // What the runs have read may be told late; each visit of a page that reads would count.
    let later = database.scalar::<i64>(scans).await - scanned;
    assert!(later < VISITS, "{later} scans of a table of the application");

    // What is stored of one run cannot be read: that one is listed with the reason, and the other as before.
    let damage = "INSERT INTO crossfade.write_count SELECT id, 0, 0, 0, 'infinity', now() FROM crossfade.run WHERE name = 'rename-1'
                  ON CONFLICT (run_id) DO UPDATE SET old_changed_at = 'infinity'";
    database.execute(damage).await;
    let (status, body) = served.get("/").await;
    let page = Page::read(&body);
    assert!(status == 200 && page.says("rename-0… waitingswitch1"), "{}", page.text);
    assert!(page.says("rename-1cannot be read"), "{}", page.text);
}
