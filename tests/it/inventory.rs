//! `crossfade inventory`: for every column what a rename and a type change would meet, which is what `crossfade plan` says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crossfade::plan::TableName;
use crossfade::results::{Answer, ColumnAnswers, Scope};
use crossfade::runner::Tool;
use crossfade::view::Inventory;
use insta::assert_snapshot;
use sqlx::Connection as _;

use crate::harness::{Cli, Database, long_versions, tool, whole};

/// A column for each outcome and each reason that hangs on a column.
const SHOP: &str = r#"
CREATE SCHEMA shop;
CREATE DOMAIN shop.code AS text CHECK (length(VALUE) < 9);
CREATE TABLE shop.goods (
  id int PRIMARY KEY, plain int, name varchar(20), free text, price numeric(8,2) DEFAULT 0, tags text[], day date, at timestamptz,
  took interval, nets inet[], serial serial, always int GENERATED ALWAYS AS IDENTITY, base int, twice int GENERATED ALWAYS AS (base * 2) STORED,
  checked int CHECK (checked > 0), sold boolean, span int4range, seen int, kept int, filed int, watched int, ruled int, guarded int,
  counted int, beside int, called int, of_domain shop.code, "Über ""x""" int, parent int REFERENCES shop.goods,
  EXCLUDE USING gist (span WITH &&));
CREATE INDEX plain_key ON shop.goods (plain);
CREATE INDEX sold_only ON shop.goods (id) WHERE sold = true;
CREATE TABLE shop.log (ruled int);
CREATE VIEW shop.seen AS SELECT seen FROM shop.goods;
CREATE MATERIALIZED VIEW shop.kept AS SELECT kept FROM shop.goods;
CREATE FUNCTION shop.watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER watch AFTER UPDATE OF watched ON shop.goods FOR EACH ROW EXECUTE FUNCTION shop.watch();
CREATE RULE ruled AS ON UPDATE TO shop.goods WHERE NEW.ruled IS DISTINCT FROM OLD.ruled DO ALSO INSERT INTO shop.log VALUES (NEW.ruled);
CREATE POLICY guarded ON shop.goods USING (guarded > 0);
CREATE STATISTICS shop.both_of_them ON counted, beside FROM shop.goods;
CREATE FUNCTION shop.called() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(called) FROM shop.goods; END;
CREATE TABLE shop.bills (good int REFERENCES shop.goods, amount int);
CREATE TABLE shop.parted (day date, value int) PARTITION BY RANGE (day); CREATE INDEX ON shop.parted (value);
CREATE TABLE shop.part PARTITION OF shop.parted DEFAULT;
CREATE TABLE shop.published (value int);
CREATE PUBLICATION sold FOR TABLE shop.published;
CREATE UNLOGGED TABLE shop.empty ();
"#;

async fn shop() -> Database {
    let database = Database::new().await;
    database.execute(SHOP).await;
    database
}

fn codes(answer: &Answer) -> String {
    let all: BTreeSet<_> = answer.refusals.iter().map(|f| f.code.trim_start_matches("catalog::")).collect();
    let all = all.into_iter().collect::<Vec<_>>().join(" ");
    if all.is_empty() { answer.outcome.as_str().to_owned() } else { format!("{}: {all}", answer.outcome.as_str()) }
}

fn lines(inventory: &Inventory) -> String {
    let line = |table: &str, column: &ColumnAnswers| {
        let ColumnAnswers { column, rename, to, using, type_change, .. } = column;
        let using = using.as_ref().map(|using| format!(" using {using}")).unwrap_or_default();
        format!("{table}.{column}: {}; to {to}{using}: {}\n", codes(rename), codes(type_change))
    };
    let of = |table: &crossfade::view::InventoryTable| {
        table.columns.iter().map(|column| line(&table.table, column)).collect::<String>()
    };
    inventory.tables.iter().map(of).collect()
}

/// What a plan with one change is refused for, but for what rows say.
async fn plan_says(tool: &Tool, table: &str, change: serde_json::Value) -> BTreeSet<String> {
    let says = async |way: &str| {
        let mut plan = serde_json::json!({ "version": 1, "name": "one", "table": table, "changes": [change.clone()], "publications": way });
        if table == "shop.parted" {
            plan["indexes"] = serde_json::json!({ "copy": "none" });
        }
        let plan = crossfade::plan::parse("plan", &plan.to_string()).unwrap();
        said(&tool.preview(&plan).await.unwrap().refusals)
    };
    // Subscribers get through in whichever way is open.
    let narrow = says("narrow").await;
    if !narrow.is_empty() && says("subscriber_first").await.is_empty() { BTreeSet::new() } else { narrow }
}

fn said(findings: &[crossfade::results::Finding]) -> BTreeSet<String> {
    findings.iter().map(|finding| format!("[{}] {} ({})", finding.code, finding.message, finding.help)).collect()
}

/// Compares every column, or one of `each`, with what `plan` says of it.
async fn as_plans_say(database: &Database, to: Option<&str>, each: usize) -> Inventory {
    let tool = tool(&database.url);
    let inventory = tool.inventory(&Scope::Schema("shop".to_owned()), to).await.unwrap();
    for table in &inventory.tables {
        for found in table.columns.iter().step_by(each) {
            let column = &found.column;
            let rename = serde_json::json!({ "rename_column": { "from": column, "to": "another" } });
            assert_eq!(said(&found.rename.refusals), plan_says(&tool, &table.table, rename).await, "{column} renamed");
            let mut retype = serde_json::json!({ "change_type": { "column": column, "to": found.to } });
            if let Some(using) = &found.using {
                retype["change_type"]["using"] = using.clone().into();
            }
            let plan = plan_says(&tool, &table.table, retype).await;
            assert_eq!(said(&found.type_change.refusals), plan, "{column} to {}", found.to);
        }
    }
    inventory
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_is_told_what_a_plan_would_be_told() {
    let database = shop().await;
    let inventory = Box::pin(as_plans_say(&database, None, 1)).await;
    assert_snapshot!(lines(&inventory), @r#"
    shop.bills.good: follows; to bigint: carried
    shop.bills.amount: follows; to bigint: carried
    shop.goods.id: follows; to bigint: carried
    shop.goods.plain: follows; to bigint: carried
    shop.goods.name: follows; to character varying: metadata only
    shop.goods.free: follows; to character varying: metadata only
    shop.goods.price: follows; to numeric: metadata only
    shop.goods.tags: follows; to character varying[]: carried
    shop.goods.day: follows; to timestamp without time zone: carried
    shop.goods.at: follows; to timestamp without time zone using "at" AT TIME ZONE 'UTC': carried
    shop.goods.took: follows; to numeric using EXTRACT(EPOCH FROM "took"): carried
    shop.goods.nets: follows; to text[]: carried
    shop.goods.serial: follows; to bigint: carried
    shop.goods.always: follows; to bigint: carried
    shop.goods.base: follows; to bigint: refused: generated_column
    shop.goods.twice: follows; to bigint: refused: generated_column
    shop.goods.checked: follows; to bigint: carried
    shop.goods.sold: follows; to text: refused: index
    shop.goods.span: follows; to text: refused: expression_volatile
    shop.goods.seen: follows; to bigint: carried
    shop.goods.kept: follows; to bigint: carried
    shop.goods.filed: follows; to bigint: carried
    shop.goods.watched: follows; to bigint: carried
    shop.goods.ruled: refused: rule; to bigint: refused: rule
    shop.goods.guarded: follows; to bigint: carried
    shop.goods.counted: follows; to bigint: carried
    shop.goods.beside: follows; to bigint: carried
    shop.goods.called: follows; to bigint: carried
    shop.goods.of_domain: follows; to text: metadata only
    shop.goods.Über "x": follows; to bigint: carried
    shop.goods.parent: follows; to bigint: carried
    shop.log.ruled: follows; to bigint: refused: rule
    shop.parted.day: refused: partition_key; to timestamp without time zone: refused: partition_key
    shop.parted.value: follows; to bigint: carried
    shop.published.value: follows; to bigint: carried
    "#);
    assert_eq!(inventory.totals.columns, 35);
    for version in long_versions() {
        let database = Database::on(&version).await;
        database.execute(SHOP).await;
        Box::pin(as_plans_say(&database, Some("bigint"), 6)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_is_read_by_people() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE lorries (id int PRIMARY KEY, plate varchar(10), \"x\u{1b}[2J\" int);
             CREATE MATERIALIZED VIEW plates AS SELECT plate FROM lorries; CREATE SCHEMA crossfade; CREATE TABLE crossfade.ledger (a int)",
        )
        .await;
    let cli = |args: &[&str]| Cli::new(&database.url).args(args.iter().map(ToString::to_string));
    let said = cli(&["inventory", "public"]).run().await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let version = said.stdout.split("PostgreSQL ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    assert_snapshot!(said.stdout.replace(&version, "15").replace(&database.name, "test"), @r#"
    Database test, PostgreSQL 15: 1 table, 3 columns

    Tried on empty copies of the tables: a rename of each column, and a change of its type to the one behind the arrow.
    No row was read: whether all values convert, crossfade plan finds out for the columns of a plan.

    public.lorries
      id          follows  integer -> bigint       carried
      plate       follows  varchar(10) -> varchar  refused
          type: materialized view public.plates reads a column whose type PostgreSQL changes in place, but not under a materialized view [materialized_view]
      x\u{1b}[2J  follows  integer -> bigint       carried

    Columns                         rename  type change
      follows                            3            0
      carried                            0            2
      refused                            0            1

    Refused because of              rename  type change
      materialized_view                  0            1

    What to do
      materialized_view: drop it before the run, and create it again afterwards: the change itself takes milliseconds
    "#);
    let said = cli(&["inventory", "lorries"]).run().await;
    assert_eq!(said.code, Some(2));
    assert_snapshot!(said.stderr.replace(&database.name, "test"), @r#"
    error[inventory::nothing]: there is no table in a schema "lorries" in database "test"
      help: did you mean public.lorries?
    "#);
    assert_eq!(cli(&["inventory", "a.b.c"]).run().await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_is_read_by_scripts() {
    let database = Database::new().await;
    database
        .execute("CREATE TABLE lorries (\"x\u{1b}[2J\" int, plate varchar(10)); CREATE MATERIALIZED VIEW plates AS SELECT plate FROM lorries")
        .await;
    let cli = Cli::new(&database.url).args(["inventory", "public.lorries", "--to", "varchar", "--format", "json"]);
    let said = cli.run().await;
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let version = value["server_version"].as_str().unwrap();
    assert_snapshot!(said.stdout.replace(version, "15").replace(&database.name, "test"), @r#"
    {
      "database": "test",
      "server_version": "15",
      "to": "varchar",
      "tables": [
        {
          "table": "public.lorries",
          "columns": [
            {
              "column": "x\u001b[2J",
              "type": "integer",
              "rename": {
                "outcome": "follows",
                "refusals": []
              },
              "to": "varchar",
              "type_change": {
                "outcome": "carried",
                "refusals": []
              }
            },
            {
              "column": "plate",
              "type": "character varying(10)",
              "rename": {
                "outcome": "follows",
                "refusals": []
              },
              "to": "varchar",
              "type_change": {
                "outcome": "refused",
                "refusals": [
                  {
                    "code": "catalog::materialized_view",
                    "message": "materialized view public.plates reads a column whose type PostgreSQL changes in place, but not under a materialized view",
                    "help": "drop it before the run, and create it again afterwards: the change itself takes milliseconds"
                  }
                ]
              }
            }
          ]
        }
      ],
      "totals": {
        "columns": 2,
        "rename": {
          "follows": 2
        },
        "type_change": {
          "carried": 1,
          "refused": 1
        }
      },
      "reasons": [
        {
          "code": "catalog::materialized_view",
          "rename": 0,
          "type_change": 1
        }
      ],
      "advice": [
        {
          "codes": [
            "catalog::materialized_view"
          ],
          "help": "drop it before the run, and create it again afterwards: the change itself takes milliseconds"
        }
      ]
    }
    "#);
}

/// A table that somebody has locked keeps nobody from the others, for no longer than the wait for its lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_is_left_out_and_said() {
    let database = Database::new().await;
    database.execute("CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE TABLE c (x int)").await;
    let mut other = sqlx::PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE b IN ACCESS EXCLUSIVE MODE; INSERT INTO c VALUES (1)")
        .execute(&mut other)
        .await
        .unwrap();
    let begun = Instant::now();
    let inventory = tool(&database.url).inventory(&Scope::Database, None).await.unwrap();
    // How busy the machine is counts too, so only the tests that run by themselves look at it.
    assert!(!whole() || begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let said: Vec<_> =
        inventory.tables.iter().map(|t| (t.table.as_str(), t.columns.len(), t.error.is_some())).collect();
    assert_eq!(said, [("public.a", 1, false), ("public.b", 0, true), ("public.c", 1, false)]);
    let error = inventory.tables[1].error.as_ref().unwrap();
    assert!(error.contains("lock timeout"), "{error}");
}

/// Nothing of the rows is read: a function in an index, a CHECK or a default that fails for every row is never called.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_read() {
    let database = Database::new().await;
    database
        .execute(
            "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x');
             CREATE FUNCTION never(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
             CREATE INDEX i ON t (never(a));
             CREATE OR REPLACE FUNCTION never(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called''; END';
             SELECT pg_stat_reset()",
        )
        .await;
    let table = Scope::Table(TableName::new("public", "t").unwrap());
    let inventory = tool(&database.url).inventory(&table, None).await.unwrap();
    assert_snapshot!(lines(&inventory), @r#"
    public.t.a: follows; to bigint: refused: index
    public.t.b: follows; to character varying: metadata only
    "#);
}
