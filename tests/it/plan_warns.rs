//! What a plan says of statements and rows that it would break.

use crossfade::plan::{Plan, parse};

use crate::harness::{Database, tool, versions};

fn rename(from: &str, to: &str) -> Plan {
    let text =
        format!("version: 1\nname: p\ntable: public.t\nchanges: [{{ rename_column: {{ from: {from}, to: {to} }} }}]\n");
    parse("plan", &text).unwrap()
}

async fn positions(database: &Database) -> Option<String> {
    let preview = tool(&database.url).preview(&rename("a", "b")).await.unwrap();
    assert!(preview.refusals.is_empty(), "{:?}", preview.refusals);
    let found = preview.warnings.into_iter().find(|finding| finding.code == "catalog::positions");
    found.map(|finding| finding.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_count_columns_are_named() {
    let database = Database::new().await;
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a text)").await;
    let said = positions(&database).await.unwrap();
    assert_eq!(
        said,
        "from expand on, COPY and INSERT without a list of columns may fail or write to the wrong columns of public.t"
    );

    let mut options = versions().remove(0).options();
    options.settings.push(("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned()));
    options.settings.push(("pg_stat_statements.track_utility".to_owned(), "on".to_owned()));
    let Ok(server) = tokio::task::block_in_place(|| crossfade::testkit::server::Server::start(options)) else {
        return crate::harness::missing("pg_stat_statements");
    };
    let database = Database::on_server(&server).await;
    database.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE tt (id int, a text)").await;
    for harmless in [
        "INSERT INTO t (a, id) VALUES ('a', 1)",
        "INSERT INTO tt VALUES (1, 'a')",
        "COPY t (id, a) FROM '/dev/null'",
        "SELECT 'copy t from'",
    ] {
        database.execute(harmless).await;
    }
    assert_eq!(positions(&database).await, None);
    for counting in ["INSERT INTO t VALUES (2, 'a')", "COPY public.t FROM '/dev/null'"] {
        database.execute(counting).await;
    }
    let said = positions(&database).await.unwrap();
    for part in ["INSERT INTO t VALUES ($1, $2)", "COPY public.t FROM '/dev/null'"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_fill_their_page_are_counted() {
    for version in versions() {
        let database = Database::on(&version).await;
        let columns: Vec<_> = (1..=1016).map(|n| format!("c{n} bigint")).collect();
        let ones = vec!["1"; 1016].join(", ");
        database
            .execute(&format!(
                "CREATE TABLE t (a bigint, {}); INSERT INTO t VALUES (1, {ones}); INSERT INTO t (a, c1) VALUES (2, 3)",
                columns.join(", ")
            ))
            .await;
        let refusals = tool(&database.url).preview(&rename("a", "b")).await.unwrap().refusals;
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(refusals[0].message, "1 row of public.t would not fit on a page with 8 bytes more");
        database.execute("UPDATE t SET c1 = NULL, c2 = NULL, c3 = NULL, c4 = NULL, c5 = NULL, c6 = NULL, c7 = NULL, c8 = NULL, c9 = NULL, c10 = NULL, c11 = NULL, c12 = NULL, c13 = NULL, c14 = NULL, c15 = NULL, c16 = NULL, c17 = NULL, c18 = NULL, c19 = NULL").await;
        let refusals = tool(&database.url).preview(&rename("a", "b")).await.unwrap().refusals;
        assert!(refusals.is_empty(), "{refusals:?}");
    }
}
