//! What strangers may try: nothing is shown, nothing changes, and the server goes on answering.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, LOG, PLAN, Served, TABLE, hidden, plan};
use crate::harness::{Cli, Database, PATIENCE};
use crate::report_page::Page;

/// A server with one run, whose names are a secret.
async fn stage() -> (Database, Served) {
    let database = Database::new().await;
    database.execute(TABLE).await;
    let plan = plan(PLAN);
    let output = Cli::new(&database.url).args(["run", plan.path().to_str().unwrap(), "--to", "expand"]).run().await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    let served = Served::on(&database.url, &[]).await;
    (database, served)
}

/// No answer to a stranger has a name of the database in it.
fn shows_nothing(answer: &str, database: &Database) {
    for secret in ["vehicle", "rename", "status", database.name.as_str(), "crossfade_token"] {
        assert!(!answer.contains(secret), "{secret}: {answer}");
    }
}

#[tokio::test]
async fn without_the_token_all_paths_look_the_same_and_show_nothing() {
    let (database, served) = stage().await;
    let before: String = database.scalar(LOG).await;
    let session = served.cookie.split_once('=').unwrap();
    let stranger = [
        String::new(),
        format!("Cookie: {}=", session.0),
        format!("Cookie: {}={}", session.0, served.token),
        format!("Cookie: {}={}", session.0, &session.1[..40]),
        format!("Cookie: {}x={}", session.0, session.1),
        "Authorization: Bearer wrong".to_owned(),
        format!("Authorization: Basic {}", served.token),
    ];
    for line in &stranger {
        let lines: Vec<_> = [line.as_str()].into_iter().filter(|line| !line.is_empty()).collect();
        for path in ["/", "/runs/rename", "/runs/none", "/runs/rename/actions", "/none", "/enter"] {
            let answer = served.ask("GET", path, &lines).await;
            assert_eq!(answer.status, 401, "{path} {line}: {answer:#?}");
            shows_nothing(&answer.body, &database);
            let page = Page::read_with_forms(&answer.body);
            assert!(page.forms.len() == 1 && page.forms[0].ends_with("enter"), "{answer:#?}");
        }
        let answer = served.ask("GET", "/metrics", &lines).await;
        assert_eq!(answer.status, 401, "{answer:#?}");
        shows_nothing(&answer.body, &database);
    }
    for token in ["", "x", &"0".repeat(32), &served.token[..31], &served.token.to_uppercase()] {
        let answer = served.ask("GET", &format!("/?token={token}"), &[]).await;
        assert!(answer.status == 401 && answer.cookie().is_empty(), "{answer:#?}");
        shows_nothing(&answer.body, &database);
        let origin = format!("Origin: http://{}", served.address);
        let answer = served.post("/enter", &format!("token={token}"), &[&origin]).await;
        assert!(answer.status == 401 && answer.cookie().is_empty(), "{answer:#?}");
    }
    // The form opens it, as the address does; and so does the token for numbers.
    let origin = format!("Origin: http://{}", served.address);
    let opened = served.post("/enter", &format!("token={}", served.token), &[&origin]).await;
    assert!(opened.status == 303 && opened.location() == "./", "{opened:#?}");
    assert_eq!(served.ask("GET", "/", &[&format!("Cookie: {}", opened.cookie())]).await.status, 200);
    let numbers = served.ask("GET", "/metrics", &[&format!("Authorization: Bearer {}", served.token)]).await;
    assert!(numbers.status == 200 && numbers.body.contains("crossfade_run_state{"), "{numbers:#?}");
    let output = Cli::new(&database.url).args(["metrics"]).run().await;
    let series = |text: &str| text.lines().filter(|l| l.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(series(&numbers.body), series(&output.stdout));

    assert_eq!(database.scalar::<String>(LOG).await, before);
}

/// Every method, path and host that nobody needs, from a stranger and from somebody who has the token.
#[tokio::test]
async fn odd_requests_find_nothing() {
    let (database, served) = stage().await;
    let before: String = database.scalar(LOG).await;
    let long = format!("/{}", "a".repeat(12_000));
    let mut odd = String::new();
    for path in [
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/runs/..%2f..%2fetc",
        "//",
        "//evil.example.org/",
        "/runs//",
        "/runs/%00",
        "/runs/%ff",
        "/runs/rename%00",
        "/runs/rename/../rename",
        "/runs/rename%2factions",
        "/runs/'; DROP TABLE vehicles; --",
        "/;a=b",
        "/runs/%3Cscript%3E",
        long.as_str(),
    ] {
        for (cookie, wanted) in [("", [400, 401]), (served.cookie.as_str(), [400, 404])] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
                served.address
            );
            let answer = Answer::read(&served.raw(request.as_bytes()).await);
            assert!(wanted.contains(&answer.status), "{path}: {answer:#?}");
            shows_nothing(&answer.body.replace("no run of this name", ""), &database);
            let _ = write!(odd, "{}", answer.status);
        }
    }
    assert!(odd.contains("404") && odd.contains("401"));
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "PROPFIND", "get"] {
        let answer = Answer::read(
            &served
                .raw(
                    format!(
                        "{method} /runs/rename HTTP/1.1\r\nHost: {}\r\nX-Mine: vehicle\r\nConnection: close\r\n\r\n",
                        served.address
                    )
                    .as_bytes(),
                )
                .await,
        );
        assert!([400, 401].contains(&answer.status), "{method}: {answer:#?}");
        shows_nothing(&answer.body, &database);
        let cookie = format!("Cookie: {}", served.cookie);
        let answer = Answer::read(&served.raw(format!("{method} /runs/rename HTTP/1.1\r\nHost: {}\r\n{cookie}\r\nX-Mine: vehicle\r\nConnection: close\r\n\r\n", served.address).as_bytes()).await);
        assert!([400, 404, 405].contains(&answer.status), "{method}: {answer:#?}");
        shows_nothing(&answer.body, &database);
    }
    for host in ["evil.example.org", "127.0.0.1.evil.org", "localhost.evil.org:80", ""] {
        let cookie = format!("Cookie: {}", served.cookie);
        let answer = served.ask("GET", "/", &[&format!("Host: {host}"), &cookie]).await;
        assert_eq!(answer.status, 421, "{host}: {answer:#?}");
        shows_nothing(&answer.body, &database);
        assert_eq!(
            served.ask("GET", &format!("/?token={}", served.token), &[&format!("Host: {host}")]).await.status,
            421
        );
    }
    assert_eq!(database.scalar::<String>(LOG).await, before);
}

#[tokio::test]
async fn a_page_from_elsewhere_can_make_no_browser_change_anything() {
    let (database, served) = stage().await;
    let before: String = database.scalar(LOG).await;
    let named = served.send("/runs/rename/name", "person=ann").await;
    let cookie = format!("Cookie: {}; {}", served.cookie, named.cookie());
    let served = Served { cookie: cookie.trim_start_matches("Cookie: ").to_owned(), ..served };
    let proof = format!("proof={}", hidden(&served.get("/runs/rename/actions").await.1, "proof"));
    let here = format!("Origin: http://{}", served.address);
    let other = Served::on(&database.url, &[]).await;
    let other = format!("proof={}", hidden(&other.get("/runs/rename/actions").await.1, "proof"));
    let own = format!("Cookie: {}", served.cookie);
    let (own, here) = (own.as_str(), here.as_str());
    let wrong: [(&str, &[&str], u16); 13] = [
        (&proof, &[here], 401),
        (&proof, &[own], 403),
        (&proof, &[own, "Origin: null"], 403),
        (&proof, &[own, "Origin: http://evil.example.org"], 403),
        (&proof, &[own, "Origin: http://127.0.0.1"], 403),
        (&proof, &[own, here, "Sec-Fetch-Site: cross-site"], 403),
        (&proof, &[own, here, "Sec-Fetch-Site: same-site"], 403),
        (&proof, &[own, here, "Sec-Fetch-Site: none"], 403),
        ("", &[own, here], 403),
        ("proof=", &[own, here], 403),
        (&other, &[own, here], 403),
        (&proof[..proof.len() - 1], &[own, here], 403),
        ("proof=%00%ff", &[own, here, "Sec-Fetch-Site: same-origin"], 403),
    ];
    for act in ["pause", "approve", "tune", "verify", "name"] {
        for (form, lines, status) in wrong {
            let answer = served.post(&format!("/runs/rename/{act}"), form, lines).await;
            assert_eq!(answer.status, status, "{act} {form} {lines:?}: {answer:#?}");
            shows_nothing(&answer.body, &database);
            assert!(answer.cookie().is_empty());
        }
    }
    // What a page can send without a form of ours: JSON, plain text, a form with files.
    for of in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let request = format!(
            "POST /runs/rename/pause HTTP/1.1\r\nHost: {}\r\n{own}\r\n{here}\r\nContent-Type: {of}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{proof}",
            served.address,
            proof.len()
        );
        assert_eq!(Answer::read(&served.raw(request.as_bytes()).await).status, 415, "{of}");
    }
    // A GET changes nothing, whatever it asks for.
    for path in ["/runs/rename/pause", "/runs/rename/approve?phase=switch", "/enter"] {
        let (status, _) = served.get(path).await;
        assert!([404, 405].contains(&status), "{path}: {status}");
    }
    assert_eq!(database.scalar::<String>(LOG).await, before);
    // And the same from the page itself does.
    assert_eq!(
        served.post("/runs/rename/pause", &proof, &[own, here, "Sec-Fetch-Site: same-origin"]).await.status,
        303
    );
    assert_ne!(database.scalar::<String>(LOG).await, before);
}

/// The memory of the process that is in use, in kilobytes.
fn memory(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn whoever_is_slow_or_greedy_keeps_nobody_out() {
    let (database, served) = stage().await;
    let before: String = database.scalar(LOG).await;
    assert_eq!(served.get("/").await.0, 200);
    let used = memory(served.running.pid());
    // Heads that never end, and one that ends too late.
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&served.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ").await.unwrap();
        slow.push(stream);
    }
    // A body that never comes.
    let mut stuck = TcpStream::connect(&served.address).await.unwrap();
    let head = format!(
        "POST /runs/rename/pause HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nCookie: {1}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n",
        served.address, served.cookie
    );
    stuck.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(served.get("/").await.0, 200);

    // Heads and bodies of megabytes.
    let field = format!("GET / HTTP/1.1\r\nHost: {}\r\nX-A: {}\r\n\r\n", served.address, "a".repeat(4_000_000));
    let fields = format!("GET / HTTP/1.1\r\nHost: {}\r\n{}\r\n", served.address, "X-A: b\r\n".repeat(1000));
    for request in [field, fields] {
        let answer = Answer::read(&served.raw(request.as_bytes()).await);
        // A server that closes before it has read everything may be heard or not.
        assert!([0, 431].contains(&answer.status), "{answer:#?}");
    }
    let lines = [format!("Cookie: {}", served.cookie), format!("Origin: http://{}", served.address)];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let answer = served.post("/runs/rename/pause", &"a".repeat(4_000_000), &lines).await;
    assert!([0, 413].contains(&answer.status), "{answer:#?}");
    for junk in [&b"\0\0\0\0\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n"] {
        let mut stream = TcpStream::connect(&served.address).await.unwrap();
        stream.write_all(junk).await.unwrap();
        drop(stream);
    }
    // Two lengths are two requests to some proxies.
    let two = format!(
        "POST /enter HTTP/1.1\r\nHost: {}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        served.address
    );
    shows_nothing(&served.raw(two.as_bytes()).await, &database);

    // Ten thousand requests, a hundred at a time over one connection, before the first answer is read.
    let request = format!("GET /runs/rename HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    let mut answered = 0;
    let mut stream = TcpStream::connect(&served.address).await.unwrap();
    for _ in 0..100 {
        stream.write_all(request.repeat(100).as_bytes()).await.unwrap();
        let mut text = Vec::new();
        let mut seen = 0;
        while seen < 100 {
            let mut buffer = vec![0; 65_536];
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(read, 0, "closed after {answered}");
            text.extend_from_slice(&buffer[..read]);
            seen = String::from_utf8_lossy(&text).matches("HTTP/1.1 401").count();
        }
        answered += seen;
    }
    assert_eq!(answered, 10_000);
    let more = memory(served.running.pid()) - used;
    assert!(more < 32_000, "{more} kB more than before");

    // Whoever was slow is gone by now, or soon.
    for mut stream in slow {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "still open");
    }
    assert_eq!(served.get("/runs/rename").await.0, 200);
    assert_eq!(database.scalar::<String>(LOG).await, before);
}

#[tokio::test]
async fn other_machines_need_a_token_that_somebody_has_chosen() {
    let database = Database::new().await;
    let cli = async |args: &[&str]| Cli::new(&database.url).args([&["serve"], args].concat()).run().await;
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let output = cli(&["--listen", listen]).await;
        assert!(output.code == Some(2) && output.stderr.contains("usage::token"), "{output:#?}");
    }
    let chosen = "a-token-of-mine_0123456789";
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    for wrong in ["", "short", "with blanks in it, but long enough"] {
        let file = file(wrong);
        let output = cli(&["--token-file", file.path().to_str().unwrap()]).await;
        assert!(output.code == Some(2) && output.stderr.contains("usage::token"), "{output:#?}");
    }
    assert!(cli(&["--token-file", "/none/such"]).await.stderr.contains("/none/such cannot be read"));
    // Neither the file nor what it says is printed; the numbers' token opens nothing else.
    let (token, numbers) = (file(&format!("{chosen}\n")), file("numbers-only-0123456789"));
    let args =
        ["--token-file", token.path().to_str().unwrap(), "--metrics-token-file", numbers.path().to_str().unwrap()];
    let served = Served::started(&Cli::new(&database.url), &args).await;
    assert!(served.token.is_empty() && !served.running.stdout().contains(chosen), "{}", served.running.stdout());
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let own = "numbers-only-0123456789";
    assert_eq!(served.ask("GET", "/metrics", &[&bearer(own)]).await.status, 200);
    assert_eq!(served.ask("GET", "/", &[&bearer(own)]).await.status, 401);
    assert_eq!(served.ask("GET", &format!("/?token={own}"), &[]).await.status, 401);
    assert_eq!(served.ask("GET", &format!("/?token={chosen}"), &[]).await.status, 200);
    // From the environment, and on every address.
    let cli = Cli::new(&database.url).env("CROSSFADE_SERVE_TOKEN", chosen);
    let args = ["serve", "--listen", "0.0.0.0:0"];
    let running = cli.clone().args(args).spawn();
    crate::harness::wait_for("the address", crate::harness::PATIENCE, async || running.stdout().contains("0.0.0.0:"))
        .await;
    assert!(running.stderr().contains("no HTTPS") && !running.stdout().contains(chosen), "{}", running.stderr());
    // A cookie goes through a proxy with HTTPS only, once it came through one.
    let served = Served::started(&cli, &[]).await;
    let opened = served.ask("GET", &format!("/?token={chosen}"), &["X-Forwarded-Proto: https"]).await;
    assert!(opened.head.contains("SameSite=Strict; Secure"), "{opened:#?}");
}
