//! Large values that live outside the row.

use crossfade::run::Phase;

use super::{assert_filled, contents, plan};
use crate::harness::{Database, own_server, plain_alter, tool};

/// 600 rows with two values of 9,600 bytes each, kept outside: one as it is, one compressed (badly).
const SETUP: &str = "
    CREATE TABLE t (id int PRIMARY KEY, status text, small text, plain text, packed text);
    ALTER TABLE t ALTER plain SET STORAGE EXTERNAL, ALTER status SET STORAGE EXTERNAL;
    INSERT INTO t SELECT g, CASE WHEN g % 10 = 0 THEN 'short' ELSE repeat(md5(g::text), 300) END, 'small ' || g,
        repeat(md5(g::text), 300), (SELECT string_agg(md5(g || ' ' || i), '') FROM generate_series(1, 300) i)
    FROM generate_series(1, 600) g;
    CREATE INDEX ON t (small)";

/// What the toast table holds: its bytes, and its values with the chunks of each.
async fn toast(database: &Database) -> (i64, Vec<String>) {
    let table: String =
        database.scalar("SELECT reltoastrelid::regclass::text FROM pg_class WHERE oid = 't'::regclass").await;
    let values = format!(
        "SELECT coalesce(array_agg(v ORDER BY v), '{{}}') FROM (SELECT chunk_id || ': ' || count(*) || ' chunks, ' || md5(string_agg(chunk_data, '' ORDER BY chunk_seq)) AS v
         FROM {table} GROUP BY chunk_id) AS one"
    );
    (database.scalar(&format!("SELECT pg_relation_size('{table}')")).await, database.scalar(&values).await)
}

/// A value that does not change is not written again, whether it is compressed or not; one that does is written once.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_filled_column_writes_large_values() {
    let server = own_server();
    // Which column is renamed, and how many large values that adds.
    for (old, added) in [("small", 0), ("status", 540), ("packed", 600)] {
        let (ours, twin) = (Database::on_server(&server).await, Database::on_server(&server).await);
        let (plan, text) = plan(&format!("rename_column: {{ from: {old}, to: new }}"), "");
        for database in [&ours, &twin] {
            database.execute(SETUP).await;
            database.execute("VACUUM ANALYZE t").await;
        }
        for sql in plain_alter(&plan) {
            twin.execute(&sql).await;
        }
        let (bytes, values) = toast(&ours).await;
        assert_eq!(values.len(), 540 + 600 + 600);
        let tool = tool(&ours.url);
        tool.run(&plan, &text, Some(Phase::Verify)).await.unwrap_or_else(|error| panic!("{old}: {error:?}"));

        let (bytes_after, values_after) = toast(&ours).await;
        let kept = values.iter().filter(|value| values_after.binary_search(value).is_ok()).count();
        assert_eq!((kept, values_after.len() - kept), (values.len(), added), "{old}: values were written again");
        if added == 0 {
            assert_eq!(bytes_after, bytes, "{old}: the toast table grew");
        }
        let differ = format!("SELECT count(*) FROM t WHERE {old} IS DISTINCT FROM new");
        assert_eq!(ours.scalar::<i64>(&differ).await, 0, "{old}");
        let hot = "SELECT (sum(hot) / sum(rows))::float8 FROM crossfade.page_window";
        assert!(ours.scalar::<f64>(hot).await > 0.3, "{old}: {}", ours.scalar::<f64>(hot).await);

        assert_eq!(tool.run(&plan, &text, None).await.unwrap().state, crossfade::run::Standing::Done);
        assert_eq!(contents(&ours).await, contents(&twin).await, "{old}");
        assert_eq!(ours.schema().await, twin.schema().await, "{old}");
    }
}

/// A row that had just room enough in itself: the new column pushes values out of it, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_grow_over_the_threshold_are_equal_too() {
    let (ours, twin) = (Database::new().await, Database::new().await);
    let (plan, text) = super::rename("backfill: { workers: 2 }\n");
    for database in [&ours, &twin] {
        database
            .execute(
                "CREATE TABLE t (id int PRIMARY KEY, status text, filler text);
                 ALTER TABLE t ALTER status SET STORAGE EXTERNAL, ALTER filler SET STORAGE EXTERNAL;
                 INSERT INTO t SELECT g, repeat(md5(g::text), 28), repeat('x', 1000) FROM generate_series(1, 3000) g",
            )
            .await;
    }
    assert_eq!(toast(&ours).await.1.len(), 0);
    for sql in plain_alter(&plan) {
        twin.execute(&sql).await;
    }
    let tool = tool(&ours.url);
    tool.run(&plan, &text, Some(Phase::Backfill)).await.unwrap();
    assert_filled(&ours, "rows that grow").await;
    assert!(toast(&ours).await.1.len() >= 3000, "nothing was pushed out");
    assert_eq!(tool.run(&plan, &text, None).await.unwrap().state, crossfade::run::Standing::Done);
    assert_eq!(contents(&ours).await, contents(&twin).await);
}
