//! What others change in mid-run on the columns of the other kinds of change.

use crossfade::run::{Phase, Standing};
use crossfade::runner::{Error, NotYet};

use crate::drift::Site;
use crate::harness::versions;

/// A column that is to be dropped, and that somebody makes NOT NULL weeks before it is retired: whoever does not name it any more
/// must be able to insert rows, and the way back makes it NOT NULL again.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_goes_is_retired_as_it_is_then() {
    for version in versions() {
        let changes = "rename_column: { from: code, to: name }\n  - drop_column: { column: other }";
        let site = Site::new(&version, ("goes", "code", changes)).await;
        let when = format!("PostgreSQL {}", version.major);
        site.run(Some(Phase::Verify)).await.unwrap();
        site.execute("ALTER TABLE things ALTER other DROP DEFAULT, ALTER other SET NOT NULL").await;
        site.tool.tune("goes", &[("grace".to_owned(), "1h".to_owned())]).await.unwrap();
        let error = site.run(None).await.map(|state| panic!("{when}: {state}")).unwrap_err();
        assert!(matches!(error, Error::NotYet(NotYet::Grace { .. })), "{when}: {error:?}");
        site.execute("INSERT INTO things (id, name) VALUES (1000, 1000); DELETE FROM things WHERE id = 1000").await;
        assert_eq!(site.rollback().await.unwrap(), Standing::RolledBack, "{when}");
        let other = "SELECT attnotnull AND NOT atthasdef FROM pg_attribute WHERE attrelid = 'things'::regclass AND attname = 'other'";
        assert!(site.database.scalar::<bool>(other).await, "{when}");
        site.assert_nothing_left(&when).await;
    }
}

/// What others make on such a column stops the run before it is retired.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_on_a_column_that_goes_stops_the_run() {
    let version = versions().remove(0);
    let changes = "rename_column: { from: code, to: name }\n  - drop_column: { column: other }";
    let site = Site::new(&version, ("goes", "code", changes)).await;
    site.run(Some(Phase::Verify)).await.unwrap();
    site.execute("CREATE VIEW v AS SELECT other FROM things").await;
    let error = site.run(None).await.map(|state| panic!("{state}")).unwrap_err();
    assert!(matches!(error, Error::Drifted { .. }) && error.to_string().contains("view public.v"), "{error:?}");
    site.execute("DROP VIEW v").await;
    assert_eq!(site.run(None).await.unwrap(), Standing::Done);
}
