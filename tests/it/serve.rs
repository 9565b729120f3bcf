//! `crossfade serve`: pages that show what `status` and `report` show, to nobody but whom they are for, and that change nothing.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Cli, Database, PATIENCE, Running, wait_for};
use crate::report_page::Page;

const PLAN: &str = "\
version: 1
name: rename
table: vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
";

/// A server at work.
struct Served {
    running: Running,
    address: String,
}

impl Served {
    async fn on(url: &str, more: &[&str]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], more].concat();
        let running = Cli::new(url).args(args).spawn();
        wait_for("the address", PATIENCE, async || running.stdout().contains(" shows the runs")).await;
        let address = running.stdout().split(['/', ' ']).nth(2).unwrap().to_owned();
        Self { running, address }
    }

    /// Sends a request; returns the status, the head and the body of the answer.
    async fn ask(&self, method: &str, path: &str, host: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_mins(1), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, head, body) = self.ask("GET", path, &self.address).await;
        for header in ["cache-control: no-store", "x-content-type-options: nosniff", "x-frame-options: DENY"] {
            assert!(head.contains(header), "{head}");
        }
        (status, body)
    }
}

#[tokio::test]
async fn runs_are_shown_as_they_are_and_nothing_else_is_answered() {
    let database = Database::new().await;
    let table = "CREATE TABLE vehicles (id bigint PRIMARY KEY, status text); INSERT INTO vehicles VALUES (1, 'a')";
    database.execute(table).await;
    let served = Served::on(&database.url, &["--host", "runs.example.org"]).await;
    let (status, body) = served.get("/").await;
    assert!(status == 200 && Page::read(&body).says("There are no runs in this database yet"), "{body}");

    let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(plan.path(), PLAN).unwrap();
    let plan = plan.path().to_str().unwrap();
    let cli = async |args: &[&str]| Cli::new(&database.url).args(args).run().await;
    assert_eq!(cli(&["run", plan, "--to", "verify"]).await.code, Some(0));
    let log = "SELECT string_agg(hash, ',' ORDER BY seq) FROM crossfade.event";
    let before: String = database.scalar(log).await;
    let (_, body) = served.get("/").await;
    let page = Page::read(&body);
    assert!(page.says("rename… waitingswitch1"), "{}", page.text);
    assert_eq!(page.links, ["runs/rename"]);
    assert!(body.contains("http-equiv=\"refresh\""), "{body}");
    // The report, with the way back and a look again while the run lasts.
    let (status, body) = served.get("/runs/rename").await;
    let page = Page::read(&body);
    assert!(status == 200 && page.says("Certificate of the latest check"), "{}", page.text);
    assert_eq!(page.links, [".."]);
    assert!(body.contains("http-equiv=\"refresh\""));
    assert_eq!(served.get("/runs/rename@1").await.0, 200);

    for path in [
        "/runs/none",
        "/runs/rename@2",
        "/runs/RENAME",
        "/runs/..%2F..%2Fetc",
        "/favicon.ico",
        "/runs/%00",
        "/runs/%ff",
    ] {
        let (status, _) = served.get(path).await;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(served.ask(method, "/runs/rename", &served.address).await.0, 405, "{method}");
    }
    // A page from elsewhere that has made its name lead here gets nothing.
    let (status, _, body) = served.ask("GET", "/runs/rename", "evil.example.org").await;
    assert!(status == 421 && !body.contains("vehicles") && Page::read(&body).says("--host NAME"), "{body}");
    assert_eq!(served.ask("GET", "/", "runs.example.org").await.0, 200);
    assert_eq!(database.scalar::<String>(log).await, before, "a look has changed something");

    assert_eq!(cli(&["rollback", "rename", "--yes"]).await.code, Some(0));
    let (_, body) = served.get("/runs/rename").await;
    assert!(!body.contains("http-equiv=\"refresh\"") && Page::read(&body).says("rolled back"), "{body}");

    // The port is taken.
    let output = cli(&["serve", "--listen", &served.address]).await;
    assert!(output.code == Some(2) && output.stderr.contains("usage::listen"), "{output:#?}");
    // Whoever has not finished asking does not keep it from ending.
    let mut slow = TcpStream::connect(&served.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    served.running.signal(Signal::SIGTERM);
    let output = served.running.wait(Duration::from_secs(20)).await;
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
