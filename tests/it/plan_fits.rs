//! Rows that fit once and not twice: what a plan says is what the server would do.

use crossfade::plan::{Plan, parse};
use sqlx::AssertSqlSafe;

use crate::harness::{Database, tool, versions};

fn rename(from: &str) -> Plan {
    let text =
        format!("version: 1\nname: p\ntable: public.t\nchanges: [{{ rename_column: {{ from: {from}, to: b }} }}]\n");
    parse("plan", &text).unwrap()
}

/// Returns what the plan says of rows that do not fit, and whether the server takes the second copy.
async fn fits(database: &Database) -> (Vec<String>, bool) {
    let refusals = tool(&database.url).preview(&rename("a")).await.unwrap().refusals;
    let type_name: String = database
        .scalar("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'a'")
        .await;
    let copy = format!(
        "CREATE TABLE copy (LIKE t); ALTER TABLE copy ADD COLUMN b {type_name}; INSERT INTO copy SELECT *, a FROM t; DROP TABLE copy"
    );
    let done = sqlx::raw_sql(AssertSqlSafe(copy)).execute(&database.pool).await;
    (refusals.into_iter().map(|refusal| refusal.message).collect(), done.is_ok())
}

/// A row with NULLs has a bit for each column; a value in the TOAST table leaves something in the row.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_fill_their_page_are_found_whatever_fills_it() {
    for version in versions() {
        for (columns, first, type_name, value, fits_twice) in [
            // 16 of 1,017 are NULL: the row has 8,160 bytes, as many as a page takes.
            (1016, 17, "bigint", "1", false),
            (1016, 18, "bigint", "1", true),
            // The bits of 769 columns take 8 bytes more than those of 768.
            (767, 1, "bigint", "1", true),
            (451, 1, "text", "'a long text of more than eighteen bytes'", false),
            (300, 1, "text", "'a long text of more than eighteen bytes'", true),
        ] {
            let database = Database::on(&version).await;
            let all: Vec<_> = (1..=columns).map(|n| format!("c{n} {type_name}")).collect();
            let given: Vec<_> = (first..=columns).map(|n| format!("c{n}")).collect();
            let values = vec![value; given.len()].join(", ");
            let made = sqlx::raw_sql(AssertSqlSafe(format!(
                "CREATE TABLE t (a {type_name}, {}); ALTER TABLE t SET (toast_tuple_target = 128); INSERT INTO t (a, {}) VALUES ({value}, {values})",
                all.join(", "),
                given.join(", ")
            )))
            .execute(&database.pool)
            .await;
            made.unwrap_or_else(|error| panic!("{columns} {type_name} from {first}: {error}"));
            let (said, takes) = fits(&database).await;
            assert_eq!(takes, fits_twice, "{columns} {type_name} from {first}: {said:?}");
            assert_eq!(said.is_empty(), fits_twice, "{columns} {type_name} from {first}: {said:?}");
        }
    }
}

/// A large value is stored twice without trouble, but the row can no longer be read whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_can_be_sent_once_and_not_twice_is_found() {
    let database = Database::new().await;
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, repeat('x', 300000000)), (2, repeat('x', 540000000))").await;
    let (said, stored) = fits(&database).await;
    assert!(stored);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("1 row of public.t would be longer than 1 GB with a second copy of a value"),
        "{said:?}"
    );
    database.execute("DELETE FROM t WHERE id = 2").await;
    assert_eq!(tool(&database.url).preview(&rename("a")).await.unwrap().refusals, vec![]);
}
