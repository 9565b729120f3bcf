//! A database in `SQL_ASCII` holds bytes of any encoding: what cannot be read is refused with the reason, and what is only
//! looked at never ends a run.

use crossfade::testkit::server::SUPERUSER;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::harness::{Cli, Database, Output, PATIENCE, wait_for};

/// `café` in LATIN1.
const CAFE: &str = r"E'caf\xe9'";

struct Ascii {
    url: String,
}

impl Ascii {
    async fn new() -> Self {
        let host = Database::new().await;
        let name = format!("ascii_{}", host.name);
        host.execute(&format!(
            "CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        ))
        .await;
        let url = host.url.replace(&format!("/{}", host.name), &format!("/{name}"));
        assert!(url.contains(SUPERUSER));
        Self { url }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connect().await).await.unwrap();
    }

    async fn run(&self, command: &str, plan: &str) -> Output {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), plan).unwrap();
        let consent = (command == "run").then(|| "--yes".into());
        let args = [command.into(), file.path().as_os_str().to_owned()].into_iter().chain(consent);
        Cli::new(&self.url).args(args).run().await
    }
}

fn rename(column: &str) -> String {
    format!(
        "version: 1\nname: ascii\ntable: public.t\nchanges:\n  - rename_column: {{ from: {column}, to: title }}\ncontract: {{ grace: 0s, quiet: 0s }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_sessions_with_other_bytes_are_no_obstacle() {
    let database = Ascii::new().await;
    database
        .execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t SELECT n, {CAFE} FROM generate_series(1, 500) AS n"
        ))
        .await;
    // Somebody whose statement has such bytes is in the way at first.
    let mut old = database.connect().await;
    sqlx::raw_sql("BEGIN; SET LOCAL client_encoding = 'SQL_ASCII'; UPDATE t SET name = name WHERE id = 1")
        .execute(&mut old)
        .await
        .unwrap();
    let text = format!(
        "DO $$ BEGIN EXECUTE E'SELECT ''caf\\\\xe9'''; PERFORM set_config('application_name', {CAFE}, false); END $$"
    );
    let _ = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut old).await;
    let plan = rename("name");
    let running = database.run("run", &plan);
    let ended = async {
        let mut watch = database.connect().await;
        wait_for("the run to wait", PATIENCE, async || {
            sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'crossfade run' AND datname = current_database())",
            )
            .fetch_one(&mut watch)
            .await
            .unwrap()
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        sqlx::raw_sql("COMMIT").execute(&mut old).await.unwrap();
    };
    let (output, ()) = tokio::join!(running, ended);
    assert_eq!(output.code, Some(0), "{output:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_that_cannot_be_read_are_refused_with_the_reason() {
    for (what, with) in [
        ("a comment", format!("COMMENT ON COLUMN t.name IS {CAFE}")),
        ("a default", format!("ALTER TABLE t ALTER name SET DEFAULT {CAFE}")),
    ] {
        let database = Ascii::new().await;
        database.execute(&format!("CREATE TABLE t (id int PRIMARY KEY, name text); {with}")).await;
        for command in ["plan", "run"] {
            let output = database.run(command, &rename("name")).await;
            assert_eq!(output.code, Some(4), "{what}: {output:#?}");
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(said.contains("not UTF-8"), "{what}: {output:#?}");
        }
    }
}

/// A value that does not convert is named in the server's message, which then has such bytes too.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_convert_are_reported() {
    let database = Ascii::new().await;
    database
        .execute(&format!("CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, '1'), (2, {CAFE})"))
        .await;
    let plan = "version: 1\nname: ascii\ntable: public.t\nchanges:\n  - change_type: { column: name, to: integer, via: number }\ncontract: { grace: 0s, quiet: 0s }\n";
    let output = database.run("plan", plan).await;
    assert_eq!(output.code, Some(4), "{output:#?}");
    assert!(output.stdout.contains("1 row"), "{output:#?}");
}
