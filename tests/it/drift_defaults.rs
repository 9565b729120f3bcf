//! Defaults that others change in mid-run: the change is kept, and no INSERT loses a value, neither before crossfade has looked
//! nor after.

use crossfade::run::{Phase, Standing};
use crossfade::runner::Error;

use crate::drift::{PLANS, Site};
use crate::harness::{versions, whole};

/// What is done to the default of the column, and what an INSERT that names neither column then stores.
const CHANGES: [(&str, Option<i64>); 3] = [
    ("ALTER TABLE things ALTER {c} SET DEFAULT 9", Some(9)),
    ("ALTER TABLE things ALTER {c} DROP DEFAULT", None),
    (
        "ALTER TABLE things ALTER {c} DROP DEFAULT; ALTER TABLE things ALTER {c} SET DEFAULT (random() * 0)::integer + 11",
        Some(11),
    ),
];

/// Both columns of a row, under whatever names they have.
async fn both(site: &Site, id: i64) -> Vec<Option<i64>> {
    let old_and_new = "SELECT coalesce(array_agg(value::bigint), '{}') FROM things, jsonb_each_text(to_jsonb(things)) AS c(key, value)
         WHERE id = $1 AND key NOT IN ('id', 'note', 'other')";
    sqlx::query_scalar(old_and_new).bind(id).fetch_one(&site.database.pool).await.unwrap()
}

/// Writes every way that releases do.
async fn write(site: &Site, from: i64, names: (&str, &str), default: Option<i64>, when: &str) {
    let (visible, other) = names;
    let insert =
        |id: i64, columns: &str, values: &str| format!("INSERT INTO things (id{columns}) VALUES ({id}{values})");
    for (at, column, value) in [(0, visible, 123), (1, other, 321)] {
        let sql = insert(from + at, &format!(", {column}"), &format!(", {value}"));
        site.database.execute(&sql).await;
        assert_eq!(both(site, from + at).await, [Some(value), Some(value)], "{when}: {sql}");
    }
    if let Some(default) = default {
        site.database.execute(&insert(from + 2, "", "")).await;
        assert_eq!(both(site, from + 2).await, [Some(default), Some(default)], "{when}: no column");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_insert_loses_its_value_while_a_default_changes() {
    let version = versions().remove(0);
    for plan in PLANS {
        for (row, conflict) in ["old_wins", "error"].into_iter().enumerate() {
            for (turn, phase) in [Phase::Expand, Phase::Verify, Phase::Switch].into_iter().enumerate() {
                for (n, (ddl, default)) in CHANGES.into_iter().enumerate() {
                    // In a part of the tests, every change with each plan, and not in every phase.
                    if !whole() && (row + turn) % CHANGES.len() != n {
                        continue;
                    }
                    let change = plan.2.replace(" }", &format!(", on_conflict: {conflict} }}"));
                    let site = Site::new(&version, (plan.0, plan.1, &change)).await;
                    site.execute("ALTER TABLE things DROP CONSTRAINT things_key").await;
                    site.run(Some(phase)).await.unwrap();
                    let new = if plan.0 == "rename" { "name" } else { "amount_v2" };
                    site.execute(ddl).await;
                    let when = format!("{} with {conflict} at the end of {phase}: {ddl}", plan.0);
                    write(&site, 1000, (plan.1, new), default, &when).await;
                    // It looks, and follows.
                    site.follow(phase).await;
                    write(&site, 2000, (plan.1, new), default, &format!("{when}, followed")).await;
                    let state = site.run(None).await.unwrap_or_else(|error| panic!("{when}: {error}"));
                    assert_eq!(state, Standing::Done, "{when}");
                    let last = if plan.0 == "rename" { "name" } else { "amount" };
                    let values: Vec<Option<i64>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                        "SELECT {last}::bigint FROM things WHERE id >= 1000 ORDER BY id"
                    )))
                    .fetch_all(&site.database.pool)
                    .await
                    .unwrap();
                    let each: Vec<_> = [Some(123), Some(321)].into_iter().chain(default.map(Some)).collect();
                    assert_eq!(values, [each.clone(), each].concat(), "{when}");
                }
            }
        }
    }
}

/// The default of the new column is crossfade's: by it the sync trigger knows what was given.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_of_the_new_column_stops_the_run() {
    let version = versions().remove(0);
    for plan in PLANS {
        let site = Site::new(&version, plan).await;
        site.run(Some(Phase::Index)).await.unwrap();
        let (new, own) = if plan.0 == "rename" { ("name", "7") } else { ("amount_v2", "(7)::bigint") };
        for ddl in ["SET DEFAULT 3", "DROP DEFAULT"] {
            site.execute(&format!("ALTER TABLE things ALTER {new} {ddl}")).await;
            let error = site.run(None).await.unwrap_err();
            assert!(matches!(error, Error::Drifted { .. }), "{error:?}");
            assert!(error.to_string().contains(&format!("default of column \"{new}\"")), "{error}");
            assert!(error.to_string().contains(own), "{error}");
            site.execute(&format!("ALTER TABLE things ALTER {new} SET DEFAULT {own}")).await;
        }
        assert_eq!(site.run(None).await.unwrap(), Standing::Done);
    }
}

/// A domain's default is a default too.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_of_a_domain_may_change() {
    let version = versions().remove(0);
    let site = Site::new(&version, PLANS[0]).await;
    site.execute(
        "CREATE DOMAIN amount AS integer DEFAULT 5; ALTER TABLE things DROP CONSTRAINT things_key, ALTER code DROP DEFAULT, ALTER code TYPE amount",
    )
    .await;
    site.run(Some(Phase::Index)).await.unwrap();
    site.execute("ALTER DOMAIN amount SET DEFAULT 6").await;
    site.follow(Phase::Index).await;
    write(&site, 1000, ("code", "name"), Some(6), "a domain").await;
    assert_eq!(site.run(None).await.unwrap(), Standing::Done);
    site.execute("INSERT INTO things (id) VALUES (3000)").await;
    assert_eq!(both(&site, 3000).await, [Some(6)]);
}
