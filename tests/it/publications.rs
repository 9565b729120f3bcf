//! A table with a subscriber, which applies what clients write through either name all the time: it never meets a column that it does
//! not have, but where the plan's warning says so, and its rows are the publisher's.

use crossfade::plan::Plan;
use crossfade::run::Phase;
use crossfade::runner::{Error, Tool};
use crossfade::testkit::server::Server;

use crate::harness::{Database, PATIENCE, Version, Writers, tool, versions, wait_for};

const TABLE: &str =
    "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, note text, twice int GENERATED ALWAYS AS (id * 2) STORED)";
const ROWS: &str = "INSERT INTO t (id, a, note) SELECT g, g, 'row' FROM generate_series(1, 300) g";

/// A publisher and its subscriber, which starts with the same rows.
struct Pair {
    publisher: Database,
    subscriber: Database,
    tool: Tool,
    // Ends last.
    server: Server,
}

impl Pair {
    async fn new(version: &Version, publication: &str) -> Self {
        let mut options = version.options();
        options.settings.push(("wal_retrieve_retry_interval".to_owned(), "50ms".to_owned()));
        let server = Server::start(options).unwrap();
        let (publisher, subscriber) = (Database::on_server(&server).await, Database::on_server(&server).await);
        publisher.execute(&format!("{TABLE}; {publication}")).await;
        // PostgreSQL 15 has columns generated on both sides or on none.
        subscriber.execute(TABLE).await;
        let slot = "SELECT slot_name::text FROM pg_create_logical_replication_slot('sub', 'pgoutput')";
        publisher.scalar::<String>(slot).await;
        subscriber
            .execute(&format!(
                "CREATE SUBSCRIPTION sub CONNECTION '{}' PUBLICATION p WITH (create_slot = false, slot_name = 'sub', copy_data = false)",
                publisher.url
            ))
            .await;
        publisher.execute(ROWS).await;
        let tool = tool(&publisher.url);
        let pair = Self { publisher, subscriber, tool, server };
        pair.is_same("a", "a").await;
        pair
    }

    /// How often the subscriber has met a column that it does not have, or anything else that stopped it.
    fn stops(&self) -> usize {
        let log = std::fs::read_to_string(self.server.log_path()).unwrap();
        log.lines()
            .filter(|line| line.contains("ERROR:") && line.contains("logical replication target relation"))
            .count()
    }

    async fn stops_again(&self) {
        let before = self.stops();
        wait_for("the subscriber stops", PATIENCE, async || self.stops() > before).await;
    }

    /// Compares columns `here` of the publisher with `there` of the subscriber, once nobody writes.
    async fn is_same(&self, here: &str, there: &str) {
        let rows = |columns: &str| {
            format!("SELECT coalesce(md5(string_agg(concat_ws(' ', id, {columns}), '|' ORDER BY id)), '') FROM t")
        };
        let ours: String = self.publisher.scalar(&rows(here)).await;
        wait_for("the same rows", PATIENCE, async || self.subscriber.scalar::<String>(&rows(there)).await == ours)
            .await;
    }

    async fn ends_in_grace(&self, text: &str) {
        let ended = self.tool.run(&plan(text), text, None).await;
        assert!(matches!(ended, Err(Error::NotYet(_))), "{ended:?}");
    }

    async fn publication(&self) -> String {
        let list = if self.publisher.scalar::<bool>("SELECT current_setting('server_version_num')::int >= 150000").await
        {
            "string_agg(pr.prattrs::text || coalesce(pg_get_expr(prqual, prrelid), ''), ' ')"
        } else {
            "''"
        };
        self.publisher
            .scalar(&format!("SELECT count(*) || coalesce({list}, ' whole') FROM pg_publication_rel pr"))
            .await
    }
}

fn plan(text: &str) -> Plan {
    crossfade::plan::parse("plan.yaml", text).unwrap()
}

fn text(change: &str, way: &str, grace: &str) -> String {
    format!(
        "version: 1\nname: pub\ntable: public.t\nchanges: [{change}]\ncontract: {{ grace: {grace}, quiet: 0s }}\npublications: {way}\n"
    )
}

const RENAME: &str = "{ rename_column: { from: a, to: b } }";

/// Statements that write under the name.
fn writing(column: &str) -> [String; 3] {
    [
        format!("INSERT INTO t (id, {column}) VALUES (1000 + {{n}}, {{n}})"),
        format!("UPDATE t SET {column} = {{n}} WHERE id = {{n}} % 299 + 1"),
        "DELETE FROM t WHERE id = 1000 + {n} - 6".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_is_narrowed_while_two_columns_are_there() {
    let (old, new) = (writing("a"), writing("b"));
    let both: Vec<&str> = old.iter().chain(&new).map(String::as_str).collect();
    let [old, new] = [&old, &new].map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
    for version in versions().into_iter().filter(|version| version.major >= 15) {
        let pair = Pair::new(&version, "CREATE PUBLICATION p FOR TABLE t WHERE (id > 0)").await;
        let whole = pair.publication().await;
        let schema = pair.publisher.exact_schema().await;
        let text = |grace| text(RENAME, "narrow", grace);
        let at_rest = text("1h");
        let writers = Writers::start(&pair.publisher.url, 2, &old);
        pair.tool.run(&plan(&at_rest), &at_rest, Some(Phase::Expand)).await.unwrap();
        writers.change(&both).await;
        writers.more(60).await;
        pair.tool.run(&plan(&at_rest), &at_rest, Some(Phase::Switch)).await.unwrap();
        writers.more(30).await;
        writers.change(&[]).await;
        pair.is_same("a, note, twice", "a, note, twice").await;
        assert_eq!(pair.stops(), 0);
        // The one stop of which the plan warns.
        writers.change(&new).await;
        pair.ends_in_grace(&at_rest).await;
        pair.stops_again().await;
        pair.subscriber.execute("ALTER TABLE t RENAME a TO b").await;
        writers.more(30).await;
        writers.change(&[]).await;
        pair.is_same("b, note, twice", "b, note, twice").await;
        pair.tool.rollback("pub", Some(Phase::Switch)).await.unwrap();
        pair.subscriber.execute("ALTER TABLE t RENAME b TO a").await;
        writers.change(&old).await;
        writers.more(30).await;
        pair.tool.rollback("pub", None).await.unwrap();
        writers.more(30).await;
        writers.change(&[]).await;
        pair.is_same("a, note, twice", "a, note, twice").await;
        assert_eq!(pair.publisher.exact_schema().await, schema);

        let to_the_end = text("0s");
        pair.tool.run(&plan(&to_the_end), &to_the_end, Some(Phase::Expand)).await.unwrap();
        writers.change(&new).await;
        pair.tool.run(&plan(&to_the_end), &to_the_end, None).await.unwrap();
        pair.subscriber.execute("ALTER TABLE t RENAME a TO b").await;
        writers.more(30).await;
        writers.change(&[]).await;
        pair.is_same("b, note, twice", "b, note, twice").await;
        assert_eq!(pair.publication().await, whole);
        writers.stop().await;
    }
}

/// A type change ends under the same name: the subscriber meets nothing new but values.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_with_the_type() {
    let writing = writing("a");
    let writing: Vec<&str> = writing.iter().map(String::as_str).collect();
    let change = "{ change_type: { column: id, to: bigint, via: id2, reverse: id2::int } }, { change_type: { column: a, to: bigint, via: a2, reverse: a2::int } }";
    for version in versions().into_iter().filter(|version| version.major >= 15) {
        for publication in
            ["CREATE PUBLICATION p FOR TABLE t WHERE (id > 0)", "CREATE PUBLICATION p FOR TABLE t (id, a, note)"]
        {
            let pair = Pair::new(&version, "CREATE PUBLICATION p FOR TABLE t").await;
            let plain = publication
                .replace("CREATE PUBLICATION p FOR TABLE", "DROP PUBLICATION p; CREATE PUBLICATION p FOR TABLE");
            for database in [&pair.publisher, &pair.subscriber] {
                database.execute("ALTER TABLE t DROP COLUMN twice").await;
            }
            pair.publisher.execute(&plain).await;
            pair.subscriber.execute("ALTER TABLE t ALTER a TYPE bigint, ALTER id TYPE bigint").await;
            let whole = pair.publication().await;
            let schema = pair.publisher.schema().await;
            let (at_rest, to_the_end) = (text(change, "narrow", "1h"), text(change, "narrow", "0s"));
            let writers = Writers::start(&pair.publisher.url, 2, &writing);
            pair.tool.run(&plan(&at_rest), &at_rest, Some(Phase::Switch)).await.unwrap();
            writers.more(30).await;
            // A value may have no way back, so a rollback waits until nobody writes.
            writers.change(&[]).await;
            pair.tool.rollback("pub", None).await.unwrap();
            writers.change(&writing).await;
            assert_eq!(pair.publisher.schema().await, schema);
            pair.tool.run(&plan(&to_the_end), &to_the_end, None).await.unwrap();
            writers.more(30).await;
            writers.change(&["INSERT INTO t (id, a) VALUES (9000000000 + {n}, 9000000000)"]).await;
            writers.more(5).await;
            writers.change(&[]).await;
            pair.is_same("a, note", "a, note").await;
            assert_eq!(pair.stops(), 0);
            let now = pair.publication().await;
            assert_eq!(now.contains("whole"), whole.contains("whole"), "{whole}, {now}");
            writers.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_has_the_column_first_never_stops() {
    let (old, new) = (writing("a"), writing("b"));
    let both: Vec<&str> = old.iter().chain(&new).map(String::as_str).collect();
    let [old, new] = [&old, &new].map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
    for version in versions() {
        let schemas = if version.major >= 15 { "TABLES IN SCHEMA public" } else { "TABLE t" };
        let pair = Pair::new(&version, &format!("CREATE PUBLICATION p FOR {schemas}")).await;
        pair.subscriber.execute("ALTER TABLE t ADD b int, ALTER a DROP NOT NULL").await;
        let (at_rest, to_the_end) = (text(RENAME, "subscriber_first", "1h"), text(RENAME, "subscriber_first", "0s"));
        let schema = pair.publisher.exact_schema().await;
        let writers = Writers::start(&pair.publisher.url, 2, &old);
        pair.tool.run(&plan(&at_rest), &at_rest, Some(Phase::Expand)).await.unwrap();
        writers.change(&both).await;
        writers.more(60).await;
        pair.tool.run(&plan(&at_rest), &at_rest, Some(Phase::Switch)).await.unwrap();
        writers.change(&new).await;
        pair.ends_in_grace(&at_rest).await;
        writers.more(30).await;
        writers.change(&[]).await;
        // Until the mirror goes, the old name can be read as well.
        pair.is_same("a, b, note", "a, b, note").await;
        pair.tool.rollback("pub", Some(Phase::Switch)).await.unwrap();
        writers.change(&both).await;
        writers.more(30).await;
        writers.change(&old).await;
        pair.tool.rollback("pub", None).await.unwrap();
        writers.more(30).await;
        assert_eq!(pair.publisher.exact_schema().await, schema);
        pair.tool.run(&plan(&to_the_end), &to_the_end, Some(Phase::Expand)).await.unwrap();
        writers.change(&new).await;
        pair.tool.run(&plan(&to_the_end), &to_the_end, None).await.unwrap();
        writers.more(30).await;
        writers.change(&[]).await;
        pair.is_same("b, note", "b, note").await;
        assert_eq!(pair.stops(), 0);
        writers.stop().await;
    }
}

/// A subscriber with all names that the run publishes: of a key and another column, which both get another type.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_with_both_columns_of_a_type_change_never_stops() {
    let writing = writing("a");
    let writing: Vec<&str> = writing.iter().map(String::as_str).collect();
    let change = "{ change_type: { column: id, to: bigint, via: id2, reverse: id2::int } }, { change_type: { column: a, to: bigint, via: a2, reverse: a2::int } }";
    for version in versions() {
        let schemas = if version.major >= 15 { "TABLES IN SCHEMA public" } else { "TABLE t" };
        let pair = Pair::new(&version, &format!("CREATE PUBLICATION p FOR {schemas}")).await;
        for database in [&pair.publisher, &pair.subscriber] {
            database.execute("ALTER TABLE t DROP COLUMN twice").await;
        }
        let (at_rest, to_the_end) = (text(change, "subscriber_first", "1h"), text(change, "subscriber_first", "0s"));
        let warned = pair.tool.preview(&plan(&at_rest)).await.unwrap().warnings;
        // The names that it says, and no others.
        let named: Vec<_> = warned
            .iter()
            .filter(|warning| warning.code == "catalog::subscriber_first")
            .map(|warning| warning.help.split('"').skip(1).step_by(2).collect::<Vec<_>>())
            .collect();
        assert_eq!(named.len(), 2, "{warned:?}");
        for column in named.concat() {
            pair.subscriber.execute(&format!("ALTER TABLE t ADD \"{column}\" text")).await;
        }
        pair.subscriber.execute("ALTER TABLE t ALTER a TYPE bigint, ALTER id TYPE bigint").await;
        let schema = pair.publisher.schema().await;
        let writers = Writers::start(&pair.publisher.url, 2, &writing);
        pair.tool.run(&plan(&at_rest), &at_rest, Some(Phase::Switch)).await.unwrap();
        writers.more(30).await;
        pair.ends_in_grace(&at_rest).await;
        writers.more(30).await;
        writers.change(&[]).await;
        pair.is_same("a, note", "a, note").await;
        pair.tool.rollback("pub", None).await.unwrap();
        writers.change(&writing).await;
        writers.more(30).await;
        assert_eq!(pair.publisher.schema().await, schema);
        pair.tool.run(&plan(&to_the_end), &to_the_end, None).await.unwrap();
        writers.more(30).await;
        writers.change(&["INSERT INTO t (id, a) VALUES (9000000000 + {n}, 9000000000)"]).await;
        writers.more(5).await;
        writers.change(&[]).await;
        pair.is_same("a, note", "a, note").await;
        assert_eq!(pair.stops(), 0);
        writers.stop().await;
    }
}

fn adds() -> &'static str {
    "{ add_column: { name: c, type: int } }"
}

/// What `plan` says, and what it does not accept.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_how_subscribers_get_through() {
    let database = Database::new().await;
    database.execute(TABLE).await;
    let says = async |setup: &str, change: &str, way: &str| {
        database.execute(setup).await;
        let text = text(change, way, "1h");
        let text = if change == adds() { text.replace("contract: { grace: 1h, quiet: 0s }\n", "") } else { text };
        let text = if way.is_empty() { text.replace("publications: \n", "") } else { text };
        let preview = tool(&database.url).preview(&plan(&text)).await.unwrap();
        database
            .execute("DO $$ DECLARE p name; BEGIN FOR p IN SELECT pubname FROM pg_publication LOOP EXECUTE format('DROP PUBLICATION %I', p); END LOOP; END $$;
                      ALTER TABLE t REPLICA IDENTITY DEFAULT")
            .await;
        let of_it = |code: &str| code.contains("publication") || code.contains("subscriber");
        let lines = |all: Vec<crossfade::catalog::Finding>| {
            all.into_iter()
                .filter(|f| of_it(f.code))
                .map(|f| format!("{}: {}\n  {}", f.code, f.message, f.help))
                .collect::<Vec<_>>()
        };
        [lines(preview.refusals), lines(preview.warnings)].concat().join("\n")
    };
    let every = "CREATE PUBLICATION p FOR TABLE t";
    let full = "CREATE PUBLICATION p FOR TABLE t; ALTER TABLE t REPLICA IDENTITY FULL";
    let adds = adds();
    let cases = [
        (every, RENAME, ""),
        (every, RENAME, "narrow"),
        (every, RENAME, "subscriber_first"),
        (full, RENAME, "narrow"),
        ("CREATE PUBLICATION p FOR TABLES IN SCHEMA public", RENAME, "narrow"),
        ("CREATE PUBLICATION p FOR ALL TABLES", RENAME, "subscriber_first"),
        ("CREATE PUBLICATION p FOR TABLE t (id, note)", RENAME, ""),
        ("CREATE PUBLICATION p FOR TABLE t (id, a)", RENAME, ""),
        (every, "{ rename_column: { from: id, to: number } }", "subscriber_first"),
        (every, "{ change_type: { column: a, to: bigint } }", "narrow"),
        (every, "{ change_type: { column: a, to: bigint } }", "subscriber_first"),
        (full, "{ change_type: { column: a, to: bigint } }", "subscriber_first"),
        (every, adds, ""),
        (every, adds, "subscriber_first"),
        (every, "{ change_type: { column: note, to: varchar } }", ""),
        ("SELECT 1", RENAME, "narrow"),
    ];
    let mut all = Vec::new();
    for (setup, change, way) in cases {
        all.push(format!("{setup} | {change} | {way}\n{}\n", says(setup, change, way).await));
    }
    insta::assert_snapshot!(all.concat(), @r#"
    CREATE PUBLICATION p FOR TABLE t | { rename_column: { from: a, to: b } } | 
    catalog::publication: publication "p" publishes public.t, and a subscriber stops at the first row with a column that it does not have
      say how its subscribers get through: `publications: narrow`: crossfade keeps the second column out of the publication; or `publications: subscriber_first`: you add the column on every subscriber before the run
    CREATE PUBLICATION p FOR TABLE t | { rename_column: { from: a, to: b } } | narrow
    catalog::subscriber_renames: publication "p" sends column "a" under the name "b" from the moment `contract` gives it that name
      each subscriber stops then, and loses nothing: rename the column there as well, and it goes on; `approve: [contract]` makes the run wait for you before that
    CREATE PUBLICATION p FOR TABLE t | { rename_column: { from: a, to: b } } | subscriber_first
    catalog::subscriber_first: publication "p" sends column "b" as soon as the run adds it
      before the run, add column "b" on every subscriber, of the same type and without NOT NULL, and fill it there; in the end only "b" is sent: "a" must be able to be empty there before the grace period ends
    CREATE PUBLICATION p FOR TABLE t; ALTER TABLE t REPLICA IDENTITY FULL | { rename_column: { from: a, to: b } } | narrow
    catalog::publication: publication "p" publishes public.t, and `narrow` cannot be: the table has REPLICA IDENTITY FULL: PostgreSQL refuses an UPDATE while a list leaves out a column
      say how its subscribers get through: `publications: subscriber_first`: you add the column on every subscriber before the run
    CREATE PUBLICATION p FOR TABLES IN SCHEMA public | { rename_column: { from: a, to: b } } | narrow
    catalog::publication: publication "p" publishes public.t, and `narrow` cannot be: it publishes the table with its schema or its parent, and takes no list of columns then
      say how its subscribers get through: `publications: subscriber_first`: you add the column on every subscriber before the run
    CREATE PUBLICATION p FOR ALL TABLES | { rename_column: { from: a, to: b } } | subscriber_first
    catalog::publication: publication "p" is FOR ALL TABLES, so it publishes public.t, and crossfade's own tables as well
      subscribers have none of those, and stop; PostgreSQL can leave no column of such a publication out: publish the tables by name or by schema instead
    CREATE PUBLICATION p FOR TABLE t (id, note) | { rename_column: { from: a, to: b } } | 

    CREATE PUBLICATION p FOR TABLE t (id, a) | { rename_column: { from: a, to: b } } | 
    catalog::subscriber_renames: publication "p" sends column "a" under the name "b" from the moment `contract` gives it that name
      each subscriber stops then, and loses nothing: rename the column there as well, and it goes on; `approve: [contract]` makes the run wait for you before that
    CREATE PUBLICATION p FOR TABLE t | { rename_column: { from: id, to: number } } | subscriber_first
    catalog::publication: publication "p" publishes public.t, and `subscriber_first` cannot be: subscribers know rows by column "id" (the replica identity), and would have to know them by "number" from one moment to the next
      say how its subscribers get through: `publications: narrow`: crossfade keeps the second column out of the publication
    CREATE PUBLICATION p FOR TABLE t | { change_type: { column: a, to: bigint } } | narrow
    catalog::subscriber_types: publication "p" sends values of the new type as column "a" from phase `switch` on
      give column "a" of every subscriber a type that takes them before that: one that does not take a value stops
    CREATE PUBLICATION p FOR TABLE t | { change_type: { column: a, to: bigint } } | subscriber_first
    catalog::subscriber_first: publication "p" sends column "cf_0017dea7_a" as soon as the run adds it, and the old column as "cf_0017dea7_a" from `switch` and as "cf_0017dea7_old_a" from `contract` on
      before the run, add columns "cf_0017dea7_a" and "cf_0017dea7_old_a" of type text on every subscriber: they take what is sent, and can be dropped there when the run has ended
    catalog::subscriber_types: publication "p" sends values of the new type as column "a" from phase `switch` on
      give column "a" of every subscriber a type that takes them before that: one that does not take a value stops
    CREATE PUBLICATION p FOR TABLE t; ALTER TABLE t REPLICA IDENTITY FULL | { change_type: { column: a, to: bigint } } | subscriber_first
    catalog::publication: publication "p" publishes public.t, and `subscriber_first` cannot be: the table has REPLICA IDENTITY FULL: subscribers know rows by all columns, and would not have the old one's values under each of its names
      `publications: narrow` cannot be: the table has REPLICA IDENTITY FULL: PostgreSQL refuses an UPDATE while a list leaves out a column; `publications: subscriber_first` cannot be: the table has REPLICA IDENTITY FULL: subscribers know rows by all columns, and would not have the old one's values under each of its names; take the table out of the publication for the run
    CREATE PUBLICATION p FOR TABLE t | { add_column: { name: c, type: int } } | 
    catalog::publication: publication "p" publishes public.t with all columns, and a subscriber that has no column "c" stops
      add the column on every subscriber first, and say so: `publications: subscriber_first`
    CREATE PUBLICATION p FOR TABLE t | { add_column: { name: c, type: int } } | subscriber_first
    catalog::subscriber_first: publication "p" publishes public.t with all columns, so with "c" as soon as it is there
      add column "c" on every subscriber before the run: one that does not have it stops
    CREATE PUBLICATION p FOR TABLE t | { change_type: { column: note, to: varchar } } | 

    SELECT 1 | { rename_column: { from: a, to: b } } | narrow
    catalog::publications: `publications` has no effect: public.t is in no publication that the plan touches
      nothing has to be done
    "#);
}

/// What others do to publications in the middle of a run.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_week_two_stops_the_run() {
    let database = Database::new().await;
    database.execute(&format!("{TABLE}; {ROWS}; CREATE PUBLICATION p FOR TABLE t")).await;
    let text = text(RENAME, "narrow", "1h");
    let tool = tool(&database.url);
    tool.run(&plan(&text), &text, Some(Phase::Backfill)).await.unwrap();
    let drifts = async |change: &str| {
        database.execute(change).await;
        match tool.run(&plan(&text), &text, None).await {
            Err(Error::Drifted { facts }) => facts.join("\n"),
            other => panic!("{change}: {other:?}"),
        }
    };
    insta::assert_snapshot!(drifts("CREATE PUBLICATION second FOR TABLE t").await, @r#"publication "second" publishes public.t, and did not when the run began"#);
    insta::assert_snapshot!(drifts("DROP PUBLICATION second; ALTER TABLE t ADD extra int").await, @r#"publication "p" does not publish the columns of public.t that it should while the run lasts: ALTER PUBLICATION ... DROP TABLE public.t, then ADD TABLE public.t ("id", "a", "note", "extra") in the same transaction"#);
    // One that lists other columns is no concern.
    database.execute("ALTER TABLE t DROP extra; CREATE PUBLICATION few FOR TABLE t (id, note)").await;
    tool.run(&plan(&text), &text, Some(Phase::Switch)).await.unwrap();
    insta::assert_snapshot!(drifts("ALTER PUBLICATION p DROP TABLE t; ALTER PUBLICATION p ADD TABLE t").await, @r#"publication "p" does not publish the columns of public.t that it should while the run lasts: ALTER PUBLICATION ... DROP TABLE public.t, then ADD TABLE public.t ("id", "a", "note") in the same transaction"#);
    // The way back leaves what others have made of it.
    tool.rollback("pub", None).await.unwrap();
}
