//! The roles of docs/roles.md, made with the SQL of that page: each can do what the page says, and no more.

use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::harness::{Cli, Database, Output, Version, versions};

const PLAN: &str = "\
version: 1
name: rename
table: vehicles
changes:
  - rename_column: { from: status, to: vehicle_status }
contract: { grace: 0s, quiet: 0s }
approve: [switch]
";

/// A database with the page's roles, under names that no other database of the server has.
struct Stage {
    database: Database,
    plan: tempfile::NamedTempFile,
    suffix: String,
}

/// The blocks of SQL on the page, in order.
fn blocks() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/roles.md")).unwrap();
    let blocks = page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect()
}

impl Stage {
    async fn new(version: &Version) -> Self {
        let database = Database::on(version).await;
        let plan = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(plan.path(), PLAN).unwrap();
        let suffix = format!("_{}", database.name);
        let stage = Self { database, plan, suffix };
        let table = "CREATE ROLE app_owner; CREATE SCHEMA app AUTHORIZATION app_owner; GRANT CREATE ON SCHEMA public TO app_owner;
                     SET ROLE app_owner;
                     CREATE TABLE public.vehicles (id bigint PRIMARY KEY, status text);
                     INSERT INTO public.vehicles SELECT i, 's' || i FROM generate_series(1, 100) AS i;
                     RESET ROLE; REVOKE ALL ON DATABASE appdb FROM PUBLIC; GRANT CONNECT ON DATABASE appdb TO PUBLIC";
        stage.as_superuser(table).await;
        stage.as_superuser(&blocks()[0]).await;
        stage.as_superuser(&blocks()[3]).await;
        stage
    }

    /// Returns `sql` with this database's name and roles.
    fn own(&self, sql: &str) -> String {
        let mut sql = sql.replace("appdb", &self.database.name);
        for role in ["crossfade_operator", "crossfade_reader", "crossfade_approver", "crossfade_watchdog", "app_owner"]
        {
            sql = sql.replace(role, &format!("{role}{}", self.suffix));
        }
        for role in ["ann", "rob"] {
            sql = sql.replace(&format!("ROLE {role} "), &format!("ROLE {role}{} ", self.suffix));
            sql = sql.replace(&format!("TO {role};"), &format!("TO {role}{};", self.suffix));
        }
        sql
    }

    async fn as_superuser(&self, sql: &str) {
        self.database.execute(&self.own(sql)).await;
    }

    fn url(&self, role: &str) -> String {
        let url = &self.database.url;
        let (scheme, rest) = url.split_once("://").unwrap();
        let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
        format!("{scheme}://{role}{}@{rest}", self.suffix)
    }

    async fn call(&self, role: &str, args: &[&str]) -> Output {
        let trusted = format!("crossfade_operator{}", self.suffix);
        Cli::new(&self.url(role)).env("CROSSFADE_LEDGER_OWNER", trusted).args(args).run().await
    }

    async fn ends(&self, role: &str, code: i32, args: &[&str]) -> String {
        let output = self.call(role, args).await;
        assert_eq!(output.code, Some(code), "{role} {args:?}: {output:#?}");
        output.stdout
    }

    /// Returns what the server says to a statement of `role`.
    async fn says(&self, role: &str, sql: &str) -> Result<(), String> {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&self.url(role)).await.unwrap();
        let result = sqlx::raw_sql(AssertSqlSafe(self.own(sql))).execute(&pool).await;
        pool.close().await;
        result.map(drop).map_err(|error| error.to_string())
    }

    async fn log(&self) -> String {
        self.database.scalar("SELECT string_agg(hash, ',' ORDER BY run_id, seq) FROM crossfade.event").await
    }
}

/// What a role that only approves or reads may try; none of it works.
const ATTEMPTS: &[&str] = &[
    "INSERT INTO crossfade.event (run_id, seq, os_user, host, pid, version, format, entry, phase, state) SELECT 1, max(seq) + 1, 'u', 'h', 1, 'v', 1, '{\"kind\": \"paused\"}', 'switch', 'paused' FROM crossfade.event",
    "UPDATE crossfade.event SET os_user = 'somebody'",
    "DELETE FROM crossfade.event",
    "TRUNCATE crossfade.event",
    "UPDATE crossfade.run SET plan_text = ''",
    "INSERT INTO crossfade.setting VALUES (1, 'grace', '0s')",
    "UPDATE crossfade.setting SET value = '0s'",
    "DELETE FROM crossfade.lease",
    "SELECT 1 FROM crossfade.run FOR UPDATE",
    "UPDATE crossfade.tick SET at = clock_timestamp()",
    "DELETE FROM crossfade.tick",
    "DELETE FROM crossfade.claim",
    "DELETE FROM crossfade.column_client",
    "UPDATE crossfade.column_statement SET grown_at = NULL",
    "UPDATE crossfade.statement_baseline SET lost = NULL",
    "INSERT INTO crossfade.verification SELECT * FROM crossfade.verification",
    "ALTER TABLE crossfade.event DISABLE TRIGGER chain",
    "DROP TRIGGER append_only ON crossfade.event",
    "CREATE OR REPLACE FUNCTION crossfade.append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE TABLE crossfade.mine (id int)",
    "DROP SCHEMA crossfade CASCADE",
    "SELECT setval(c.oid, 1) FROM pg_class AS c WHERE c.relkind = 'S' AND c.relnamespace = 'crossfade'::regnamespace",
    "SELECT crossfade.record_approval(1, 'switch', '{\"kind\": \"resumed\"}', 'u', 'h', 1, 'v')",
    "SELECT * FROM vehicles",
    "UPDATE vehicles SET status = ''",
    "ALTER TABLE vehicles DROP COLUMN status",
    "SET ROLE crossfade_operator",
    "SET ROLE app_owner",
    "SET SESSION AUTHORIZATION crossfade_operator",
    "GRANT crossfade_operator TO CURRENT_USER",
];

#[tokio::test]
async fn the_roles_of_the_page_can_do_what_it_says_and_no_more() {
    for version in versions() {
        let stage = Stage::new(&version).await;
        let plan = stage.plan.path().to_str().unwrap().to_owned();
        stage.ends("crossfade_operator", 0, &["plan", &plan]).await;
        stage.ends("crossfade_operator", 0, &["start", &plan]).await;
        let said = stage.says("crossfade_operator", &blocks()[1]).await;
        assert_eq!(said, Ok(()), "the second part");
        assert_eq!(stage.says("crossfade_operator", &blocks()[2]).await, Ok(()), "the third part");
        stage.ends("crossfade_operator", 5, &["run", &plan, "--yes"]).await;

        for role in ["rob", "ann"] {
            for args in [
                &["status"][..],
                &["status", "rename"],
                &["history", "rename"],
                &["history", "rename", "--check"],
                &["show", "rename"],
                &["report", "rename", "-o", "-"],
                &["metrics"],
            ] {
                stage.ends(role, 0, args).await;
            }
            assert_eq!(stage.says(role, "SELECT * FROM crossfade.status").await, Ok(()));
            assert_eq!(stage.says(role, "SELECT * FROM crossfade.metrics").await, Ok(()));
            let before = stage.log().await;
            for sql in ATTEMPTS {
                let said = stage.says(role, sql).await;
                assert!(said.as_ref().is_err_and(|error| !error.contains("syntax")), "{role}: {sql}: {said:?}");
            }
            for args in [
                &["run", &plan, "--yes"][..],
                &["advance", "rename", "--yes"],
                &["run", &plan, "--yes", "--bypass-approval", "mine", "--as", "rob"],
                &["pause", "rename"],
                &["tune", "rename", "grace=0s"],
                &["verify", "rename"],
                &["rollback", "rename", "--yes"],
            ] {
                let output = stage.call(role, args).await;
                assert!(output.code.is_some_and(|code| code != 0), "{role} {args:?}: {output:#?}");
            }
            assert_eq!(stage.log().await, before, "{role} wrote to the log");
        }
        // The reader cannot approve, nor can somebody who has no rights at all.
        let approve = "SELECT crossfade.approve(1, 'switch', 'rob', NULL, repeat('0', 64), 'u', 'h', 1, 'v')";
        assert!(stage.says("rob", approve).await.unwrap_err().contains("permission denied for function approve"));
        let output = stage.call("rob", &["approve", "rename", "switch", "--as", "rob"]).await;
        assert!(output.code == Some(4) && output.stderr.contains("approval::not_allowed"), "{output:#?}");
        // The approver can, by the function too, and only what the plan asks for, in a form that can be read.
        for (phase, person, digest, user) in [
            ("'contract'", "'ann'", "repeat('0', 64)", "'u'"),
            ("'nonsense'", "'ann'", "repeat('0', 64)", "'u'"),
            ("NULL", "'ann'", "repeat('0', 64)", "'u'"),
            ("'switch'", "NULL", "repeat('0', 64)", "'u'"),
            ("'switch'", "'ann'", "'x'", "'u'"),
            ("'switch'", "'ann'", "NULL", "'u'"),
            ("'switch'", "'ann'", "repeat('0', 64)", "NULL"),
            ("'switch'", "repeat('a', 100000)", "repeat('0', 64)", "'u'"),
            ("'switch'", "'ann'", "repeat('0', 64)", "repeat('a', 100000)"),
        ] {
            let sql = format!("SELECT crossfade.approve(1, {phase}, {person}, NULL, {digest}, {user}, 'h', 1, 'v')");
            assert!(stage.says("ann", &sql).await.is_err(), "{sql}");
        }
        assert!(
            stage
                .says("ann", "SELECT crossfade.approve(99, 'switch', 'ann', NULL, repeat('0', 64), 'u', 'h', 1, 'v')")
                .await
                .is_err()
        );
        // An approval of something else counts for nothing.
        assert_eq!(stage.says("ann", &approve.replace("rob", "ann")).await, Ok(()));
        stage.ends("crossfade_operator", 10, &["advance", "rename"]).await;
        stage.ends("ann", 0, &["approve", "rename", "switch", "--as", "Ann", "--comment", "go"]).await;
        stage.ends("ann", 0, &["approve", "rename", "switch", "--as", "Ann", "--revoke"]).await;
        stage.ends("crossfade_operator", 10, &["advance", "rename"]).await;
        stage.ends("ann", 0, &["approve", "rename", "switch", "--as", "Ann"]).await;
        stage.ends("crossfade_operator", 0, &["advance", "rename"]).await;
        let history = stage.ends("rob", 0, &["history", "rename", "--format", "json"]).await;
        let history: Value = serde_json::from_str(&history).unwrap();
        let approved =
            history["runs"][0]["entries"].as_array().unwrap().iter().rfind(|line| line["entry"]["kind"] == "approved");
        assert_eq!(approved.unwrap()["actor"]["role"], format!("ann{}", stage.suffix));
        // The rest of what the operator does, and the whole chain.
        for args in [
            &["pause", "rename"][..],
            &["resume", "rename"],
            &["tune", "rename", "grace=0s"],
            &["verify", "rename"],
            &["rollback", "rename", "--to", "verify", "--yes"],
        ] {
            stage.ends("crossfade_operator", 0, args).await;
        }
        stage.ends("ann", 0, &["approve", "rename", "switch", "--as", "Ann"]).await;
        stage.ends("crossfade_operator", 0, &["run", &plan, "--yes"]).await;
        stage.ends("rob", 0, &["history", "rename", "--check"]).await;
        let noted = "DO $$ BEGIN ASSERT (SELECT last_tick_at IS NOT NULL FROM crossfade.status); END $$";
        assert_eq!(stage.says("crossfade_watchdog", noted).await, Ok(()));
        assert!(stage.says("ann", &approve.replace("rob", "ann")).await.is_err(), "the run is over");
    }
}
