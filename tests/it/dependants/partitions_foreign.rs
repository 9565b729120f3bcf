//! Foreign keys of partitioned tables, and those that refer to one, while a column that they have gets another type.

use crossfade::run::Phase;

use super::partitions_retyped::{Both, PLAN, TREE, parsed};
use super::{PHASES, Place, difference};
use crate::crashes::{self, Begun};
use crate::harness::{Database, long_versions, tool, versions, versions_of};
use crate::steps::each_step_failed_on;

/// A plain table of integers, referred to by `t`: all there are at first, and most of those to come.
const REFERRED: &str = "CREATE TABLE p (n int PRIMARY KEY, m int UNIQUE); INSERT INTO p SELECT g, g FROM generate_series(1, 60000) g WHERE g <= 400 OR g % 1000 <> 3";

/// What is made beside the table, and what else is written.
struct Case {
    name: &'static str,
    /// With the table `t`.
    setup: String,
    writes: &'static [&'static str],
}

const WRITES: &[&str] = &[
    "INSERT INTO t (id, k, n, note) VALUES ({n}, 10, {n}, 'i'), ({n}, 110, {n}, 'i'), ({n}, 210, {n}, 'i'), ({n}, 310, {n}, 'i')",
    "INSERT INTO t_1 (id, k, n) VALUES ({n}, 11, {n} + 1)",
    "INSERT INTO t_2 (id, k, n) VALUES ({n}, 111, {n} + 2)",
    "INSERT INTO t_3 (k, n, id) VALUES (211, {n} + 3, {n})",
    "INSERT INTO t (id, k, n) VALUES ({n}, 15, 700000)",
    "UPDATE t SET n = n + 10 WHERE id = {n} AND k < 300",
    "UPDATE t SET k = k + 100 WHERE id = {n} AND k = 10",
    "UPDATE t SET k = k + 201, n = n + 20 WHERE id = {n} AND k = 111",
    "UPDATE t SET n = 700000 WHERE id = {n} AND k = 14",
    "UPDATE t SET k = (k + 100) % 420 WHERE id BETWEEN {n} / 1000 AND {n} / 1000 + 9",
];

fn cases() -> Vec<Case> {
    let case = |name, more: &str, writes| Case { name, setup: format!("{TREE} {REFERRED}; {more}"), writes };
    vec![
        case(
            "a foreign key of a partitioned table that cascades and can be deferred",
            "ALTER TABLE t ADD CONSTRAINT to_p FOREIGN KEY (n) REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
             COMMENT ON CONSTRAINT to_p ON t IS 'it''s'",
            &[
                "UPDATE p SET n = n + 100000 WHERE n = 40 + {n} / 1000",
                "DELETE FROM p WHERE n IN (80 + {n} / 1000, {n} + 1)",
                "BEGIN; INSERT INTO t (id, k, n) VALUES ({n}, 16, {n} + 200000); INSERT INTO p VALUES ({n} + 200000, {n} + 200000); COMMIT",
            ],
        ),
        case(
            "foreign keys of a partitioned table to another one",
            "CREATE TABLE pp (n int, k int, PRIMARY KEY (k, n)) PARTITION BY RANGE (k); CREATE TABLE pp_1 PARTITION OF pp FOR VALUES FROM (0) TO (150);
             CREATE TABLE pp_2 PARTITION OF pp DEFAULT; INSERT INTO pp SELECT n, k FROM t; INSERT INTO pp SELECT g, k FROM generate_series(1000, 30000, 1000) g, generate_series(0, 419) k ON CONFLICT DO NOTHING;
             ALTER TABLE t ADD CONSTRAINT to_pp FOREIGN KEY (k, n) REFERENCES pp MATCH FULL DEFERRABLE;
             ALTER TABLE t ADD CONSTRAINT to_m FOREIGN KEY (n) REFERENCES p (m) ON DELETE RESTRICT ON UPDATE CASCADE",
            &["DELETE FROM p WHERE m = 90 + {n} / 1000", "UPDATE p SET m = m + 100000 WHERE m = 95 + {n} / 1000", "DELETE FROM pp WHERE n = 200 + {n} / 1000", "DELETE FROM pp WHERE n = {n}"],
        ),
        case(
            "a foreign key of a plain table that refers to a partitioned one",
            "CREATE TABLE c (n int, k int, note text, id int, CONSTRAINT to_t FOREIGN KEY (n, k) REFERENCES t ON UPDATE CASCADE ON DELETE SET NULL,
               CONSTRAINT to_known FOREIGN KEY (k, n, id) REFERENCES t (k, n, id) DEFERRABLE); INSERT INTO c SELECT n, k, 'c', CASE WHEN n % 2 = 0 THEN id END FROM t WHERE n < 100;
             COMMENT ON CONSTRAINT to_t ON c IS 'in'; CREATE TABLE d (n int, k int, CONSTRAINT old_ones FOREIGN KEY (n, k) REFERENCES t NOT VALID)",
            &[
                "INSERT INTO c VALUES ({n}, 10), (110, 110 * 7 % 420)",
                "INSERT INTO c VALUES (120 + {n} / 1000, (120 + {n} / 1000) * 7 % 420, 'c')",
                "INSERT INTO d VALUES (5, 5)",
                "DELETE FROM t WHERE n = 20 + {n} / 1000",
                "UPDATE t SET n = n + 200000 WHERE n = 60 + {n} / 1000",
            ],
        ),
        case(
            "a foreign key of a partitioned table that refers to another one, and to itself",
            "CREATE TABLE c (n int, k int, note text, CONSTRAINT to_t FOREIGN KEY (n, k) REFERENCES t ON DELETE CASCADE DEFERRABLE) PARTITION BY HASH (note);
             CREATE TABLE c_1 PARTITION OF c FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE c_2 PARTITION OF c FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY LIST (note);
             CREATE TABLE c_2_1 PARTITION OF c_2 DEFAULT; INSERT INTO c SELECT n, k, 'c' || n FROM t WHERE n < 100; COMMENT ON CONSTRAINT to_t ON c IS 'parts';
             ALTER TABLE t ADD up int, ADD up_k int; UPDATE t SET up = n, up_k = k WHERE n % 2 = 0; ALTER TABLE t ADD CONSTRAINT self FOREIGN KEY (up, up_k) REFERENCES t (n, k) ON DELETE SET NULL",
            &[
                "INSERT INTO c VALUES ({n}, 10, 'x'), (110, 110 * 7 % 420)",
                "INSERT INTO c VALUES (120 + {n} / 1000, (120 + {n} / 1000) * 7 % 420, '{n}')",
                "DELETE FROM t WHERE n = 20 + {n} / 1000",
                "UPDATE t SET up = 301, up_k = 301 * 7 % 420 WHERE n = 60 + {n} / 1000",
                "UPDATE t SET up = 302, up_k = 1 WHERE n = 61 + {n} / 1000",
                "UPDATE t SET n = n + 100000 WHERE n = 70 + {n} / 1000",
            ],
        ),
        case(
            "constraints that partitions have alone",
            "ALTER TABLE t_1 ADD CONSTRAINT own_check CHECK (n <> 5000 OR note = 'x'), ADD CONSTRAINT not_all CHECK (n <> 5002) NOT VALID, ADD CONSTRAINT own_key FOREIGN KEY (n) REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE;
             ALTER TABLE t_3 ADD CONSTRAINT own_check CHECK (n + k < 800000000), ADD CONSTRAINT own_key FOREIGN KEY (n) REFERENCES p (m) NOT VALID;
             ALTER TABLE t_2 ADD CONSTRAINT of_middle CHECK (n <> 5001), ADD CONSTRAINT key_of_middle FOREIGN KEY (n) REFERENCES p MATCH FULL; ALTER TABLE t_2 ADD CONSTRAINT unique_of_middle UNIQUE (n, note, k); ALTER TABLE t_rest ADD CONSTRAINT own_unique UNIQUE (n, note) DEFERRABLE;
             CREATE TABLE pp (n int PRIMARY KEY) PARTITION BY RANGE (n); CREATE TABLE pp_1 PARTITION OF pp DEFAULT; INSERT INTO pp SELECT n FROM p; ALTER TABLE t_rest ADD CONSTRAINT own_key FOREIGN KEY (n) REFERENCES pp;
             COMMENT ON CONSTRAINT own_check ON t_1 IS 'of one'; COMMENT ON CONSTRAINT own_key ON t_1 IS 'key of one'; COMMENT ON CONSTRAINT own_unique ON t_rest IS 'unique'",
            &[
                "INSERT INTO t (id, k, n) VALUES ({n}, 17, 5000), ({n}, 117, 5001)",
                "INSERT INTO t (id, k, n) VALUES ({n}, 18, 5002)",
                "INSERT INTO t (id, k, n) VALUES ({n}, 118, 5001)",
                "INSERT INTO t (id, k, n, note) VALUES ({n}, 311, {n}, 'i')",
                "UPDATE p SET n = n + 100000 WHERE n = 40 + {n} / 1000",
                "DELETE FROM p WHERE n IN (80 + {n} / 1000, {n} + 1)",
                "DELETE FROM pp WHERE n = 300 + {n} / 1000",
            ],
        ),
        Case {
            name: "a foreign key of a partitioned table that refers to a plain one",
            setup: "CREATE TABLE t (id int, n int CONSTRAINT of_n PRIMARY KEY, note text); INSERT INTO t SELECT g, g, 'n' FROM generate_series(1, 400) g;
                CREATE TABLE c (n int, note text, CONSTRAINT to_t FOREIGN KEY (n) REFERENCES t ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE) PARTITION BY HASH (note);
                CREATE TABLE c_1 PARTITION OF c FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE c_2 PARTITION OF c FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY LIST (note);
                CREATE TABLE c_2_1 PARTITION OF c_2 DEFAULT; INSERT INTO c SELECT n, 'c' || n FROM t WHERE n < 100; COMMENT ON CONSTRAINT to_t ON c IS 'parts'".to_owned(),
            writes: &[
                "INSERT INTO t (id, n) VALUES ({n}, {n}), ({n}, {n} + 1)",
                "INSERT INTO c VALUES ({n}, 'x'), ({n} + 1, 'y'), (110, NULL)",
                "INSERT INTO c VALUES ({n} + 500, 'x')",
                "DELETE FROM t WHERE n IN (20 + {n} / 1000, {n} + 1)",
                "UPDATE t SET n = n + 100000 WHERE n = 70 + {n} / 1000",
                "UPDATE c SET n = 700000 WHERE n = 90",
            ],
        },
    ]
}

/// The constraints of all levels, with their names. Which of those that refer to single partitions are validated is PostgreSQL's own affair.
async fn constraints(database: &Database) -> String {
    let all = "SELECT string_agg(format('%s %s %s %s %s %s', k.conrelid::regclass, k.conname, w.conname,
          CASE WHEN k.conparentid = 0 OR k.confrelid = w.confrelid THEN k.convalidated END,
          pg_get_constraintdef(k.oid), obj_description(k.oid)), E'\\n' ORDER BY k.conrelid::regclass::text, k.conname)
        FROM pg_constraint k LEFT JOIN pg_constraint w ON w.oid = k.conparentid WHERE k.connamespace = 'public'::regnamespace";
    database.scalar(all).await
}

/// Before PostgreSQL 18, VALIDATE does not mark the parts of a foreign key that refer to single partitions.
fn marked(schema: &str, version: u32) -> String {
    let is_part = |line: &str| version < 18 && line.contains(" REFERENCES t_");
    let marked = |line: &str| line.replace(" NOT VALID", "").replace(" validated f", " validated t");
    let lines = schema.lines().map(|line| if is_part(line) { marked(line) } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}

/// As it ends with plain ALTER TABLE, which names parts of foreign keys anew.
async fn without_names_of_parts(database: &Database) -> String {
    let all = "SELECT string_agg(format('%s %s', k.conrelid::regclass, replace(replace(pg_get_constraintdef(k.oid), ' NOT VALID', ''), 'public.', '')), E'\\n'
          ORDER BY k.conrelid::regclass::text, pg_get_constraintdef(k.oid)) FROM pg_constraint k WHERE k.connamespace = 'public'::regnamespace AND k.contype = 'f'";
    database.scalar(all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_of_partitioned_tables_end_like_alter_table() {
    let only = std::env::var("CASE").ok();
    for (n, case) in cases().into_iter().enumerate() {
        if only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
            continue;
        }
        for version in versions_of(n) {
            let name = format!("{} on {}", case.name, version.major);
            let base = if case.setup.starts_with(TREE) { WRITES } else { &[] };
            let writes = base.iter().chain(case.writes).copied().collect();
            let mut both = Both::new(&version, &case.setup, writes).await;
            let plan = parsed(PLAN);
            let tool = tool(&both.ours.database.url);
            let preview = tool.preview(&plan).await.unwrap();
            assert!(preview.refusals.is_empty(), "{name}: {:?}", preview.refusals);
            both.write(&format!("{name}, before")).await;
            let before = (both.ours.schema().await, constraints(&both.ours.database).await);
            for phase in PHASES {
                tool.run(&plan, PLAN, Some(phase)).await.unwrap_or_else(|error| panic!("{name} to {phase}: {error:?}"));
                both.write(&format!("{name}, after {phase}")).await;
            }
            tool.rollback("tree", None).await.unwrap_or_else(|error| panic!("{name} back: {error:?}"));
            let back = (both.ours.schema().await, constraints(&both.ours.database).await);
            let [before, back] = [before, back].map(|(schema, all)| (marked(&schema, version.major), all));
            assert!(back.0 == before.0, "{name}, rolled back:\n{}", difference(&before.0, &back.0));
            let names = |text: &str| text.lines().filter(|line| line.contains("cf_")).count();
            assert_eq!(names(&back.1), 0, "{name}, rolled back:\n{}", back.1);
            both.write(&format!("{name}, rolled back")).await;
            tool.run(&plan, PLAN, Some(Phase::Verify)).await.unwrap_or_else(|error| panic!("{name} again: {error:?}"));
            tool.run(&plan, PLAN, None).await.unwrap_or_else(|error| panic!("{name} to the end: {error:?}"));
            both.end(&plan, None, &format!("{name}, at the end")).await;
            let all = constraints(&both.ours.database).await;
            assert_eq!(names(&all), 0, "{name}, at the end:\n{all}");
            let (expected, found) =
                (without_names_of_parts(&both.plain.database).await, without_names_of_parts(&both.ours.database).await);
            assert!(found == expected, "{name}, at the end:\n{}", difference(&expected, &found));
        }
    }
}

/// A few partitions, with foreign keys in every direction and constraints of their own.
pub(crate) const KEYS: &str = "CREATE TABLE p (n int PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 100);
    CREATE TABLE t (id int, k int, n int NOT NULL, note text, up int, PRIMARY KEY (n, k)) PARTITION BY RANGE (k);
    CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (2);
    CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (2) TO (9) PARTITION BY LIST (k); CREATE TABLE t_2_1 PARTITION OF t_2 DEFAULT;
    INSERT INTO t SELECT g, g % 4, g, 'n', CASE WHEN g % 5 = 0 THEN g END FROM generate_series(1, 60) g;
    ALTER TABLE t ADD CONSTRAINT to_p FOREIGN KEY (n) REFERENCES p ON DELETE CASCADE, ADD CONSTRAINT self FOREIGN KEY (up, k) REFERENCES t (n, k);
    CREATE TABLE c (n int, k int, CONSTRAINT to_t FOREIGN KEY (n, k) REFERENCES t ON UPDATE CASCADE); INSERT INTO c SELECT n, k FROM t;
    CREATE TABLE d (n int, k int, CONSTRAINT to_t FOREIGN KEY (n, k) REFERENCES t DEFERRABLE) PARTITION BY HASH (k);
    CREATE TABLE d_1 PARTITION OF d FOR VALUES WITH (MODULUS 1, REMAINDER 0); INSERT INTO d SELECT n, k FROM t;
    ALTER TABLE t_1 ADD CONSTRAINT own_check CHECK (n > 0), ADD CONSTRAINT own_key FOREIGN KEY (n) REFERENCES p;
    ALTER TABLE t_2_1 ADD CONSTRAINT own_unique UNIQUE (n)";

#[tokio::test(flavor = "multi_thread")]
async fn every_step_with_foreign_keys_of_partitioned_tables_failed_once_ends_like_alter_table() {
    each_step_failed_on(&versions().remove(0), KEYS, PLAN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_change_with_foreign_keys_of_partitioned_tables_killed_at_every_entry_ends_like_alter_table() {
    let own = Begun { own: Some((KEYS, PLAN)), ..Begun::default() };
    crashes::forward_of("tree.yaml", &own, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_change_with_foreign_keys_of_partitioned_tables_killed_at_any_entry_rolls_back_to_what_was_before() {
    let own = Begun { own: Some((KEYS, PLAN)), ..Begun::default() };
    crashes::back_of("tree.yaml", &own, 30).await;
}

/// Partitions with foreign keys are created, attached with rows, detached and dropped between all phases.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_with_foreign_keys_come_and_go_while_a_type_changes() {
    let plan = parsed(PLAN);
    for version in long_versions() {
        let setup = format!(
            "{TREE} {REFERRED}; ALTER TABLE t ADD CONSTRAINT to_p FOREIGN KEY (n) REFERENCES p ON DELETE CASCADE;
             CREATE TABLE c (n int, k int, CONSTRAINT to_t FOREIGN KEY (n, k) REFERENCES t); INSERT INTO c SELECT n, k FROM t WHERE k >= 300;
             ALTER TABLE t_1 ADD CONSTRAINT own_check CHECK (n <> 5000), ADD CONSTRAINT own_key FOREIGN KEY (n) REFERENCES p; ALTER TABLE t_3 ADD CONSTRAINT own_unique UNIQUE (n, id)"
        );
        let writes = vec![
            "INSERT INTO t (id, k, n) SELECT {n} + g, g * 10, {n} + g FROM generate_series(4, 60) g",
            "INSERT INTO t (id, k, n) VALUES ({n}, 310, 700000)",
            "INSERT INTO c VALUES ({n} + 5, 50)",
            "DELETE FROM t WHERE n = {n} + 5",
        ];
        let mut both = Both::new(&version, &setup, writes).await;
        let tool = tool(&both.ours.database.url);
        for (at, phase) in PHASES.iter().enumerate() {
            tool.run(&plan, PLAN, Some(*phase)).await.unwrap_or_else(|error| panic!("to {phase}: {error:?}"));
            both.write(&format!("after {phase}")).await;
            let (a, b, z) = (1000 + 10 * at, 1005 + 10 * at, 1010 + 10 * at);
            let come = |second: &str, value: &str| {
                format!(
                    "CREATE TABLE new_{at} PARTITION OF t FOR VALUES FROM ({a}) TO ({b});
                     CREATE TABLE came_{at} (LIKE t INCLUDING ALL EXCLUDING INDEXES);
                     INSERT INTO came_{at} (id, k, n{second}) SELECT g, {b}, g{value} FROM generate_series(1, 300) g;
                     ALTER TABLE t ATTACH PARTITION came_{at} FOR VALUES FROM ({b}) TO ({z});
                     INSERT INTO t (id, k, n, note) VALUES (7, {a}, 7, 'seven'); INSERT INTO c VALUES (7, {a}), (8, {b})"
                )
            };
            let filled = *phase >= Phase::Verify;
            both.ours.database.execute(&if filled { come(", n_v2", ", g") } else { come("", "") }).await;
            both.plain.database.execute(&come("", "")).await;
            if *phase == Phase::Verify {
                for place in [&both.ours, &both.plain] {
                    let go = "DELETE FROM c WHERE k < 300; ALTER TABLE t DETACH PARTITION t_3; DROP TABLE t_3; ALTER TABLE t DETACH PARTITION t_1; DROP TABLE t_1";
                    place.database.execute(go).await;
                }
                both.writes[0] =
                    "INSERT INTO t (id, k, n) SELECT {n} + g, g * 10, {n} + g FROM generate_series(31, 60) g";
            }
        }
        tool.run(&plan, PLAN, None).await.unwrap_or_else(|error| panic!("to the end: {error:?}"));
        both.end(&plan, None, &format!("at the end on {}", version.major)).await;
        let all = constraints(&both.ours.database).await;
        assert!(!all.contains("cf_"), "{all}");
    }
}

/// A large partition that comes before the parts are joined is not read under the lock: the run says what proves its foreign key.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_partition_that_comes_late_stops_the_foreign_key_until_it_is_proved() {
    for version in versions() {
        let place = Place::new(&version, KEYS).await;
        let (plan, tool, database) = (parsed(PLAN), tool(&place.database.url), &place.database);
        // A part keeps a name of its own.
        database.execute("ALTER TABLE t_1 RENAME CONSTRAINT to_p TO of_one").await;
        tool.run(&plan, PLAN, Some(Phase::Backfill)).await.unwrap();
        database
            .execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF NEW.entry ->> 'step' = 'verify.constraint:to_p' THEN RAISE EXCEPTION 'refused by the test'; END IF; RETURN NEW; END $$;
                 CREATE TRIGGER refuse BEFORE INSERT ON crossfade.event FOR EACH ROW EXECUTE FUNCTION refuse()",
            )
            .await;
        let refused = tool.run(&plan, PLAN, None).await.unwrap_err().to_string();
        assert!(refused.contains("refused by the test"), "{refused}");
        database
            .execute(
                "DROP TRIGGER refuse ON crossfade.event; DROP FUNCTION refuse(); INSERT INTO p SELECT generate_series(1001, 26000);
                 CREATE TABLE large (LIKE t INCLUDING ALL EXCLUDING INDEXES) WITH (fillfactor = 10);
                 INSERT INTO large (id, k, n, n_v2) SELECT g, 1000, g, g FROM generate_series(1001, 26000) g;
                 ALTER TABLE t ATTACH PARTITION large FOR VALUES FROM (1000) TO (1001)",
            )
            .await;
        let stopped = tool.run(&plan, PLAN, None).await.unwrap_err().to_string();
        assert!(stopped.contains("partition public.large has no proved foreign key"), "{stopped}");
        let (_, said) = stopped.split_once("then go on: ").unwrap();
        let (statements, _) = said.split_once(" [SQLSTATE").unwrap();
        for statement in statements.trim_end_matches(')').split("; ") {
            database.execute(statement.trim_end_matches(") [")).await;
        }
        tool.run(&plan, PLAN, None).await.unwrap();
        let parts = "SELECT count(*) FROM pg_constraint WHERE conname IN ('to_p', 'of_one') AND conparentid <> 0 AND convalidated";
        assert_eq!(database.scalar::<i64>(parts).await, 4, "on {}", version.major);
        let own = "SELECT conrelid::regclass::text FROM pg_constraint WHERE conname = 'of_one' AND pg_get_constraintdef(oid) LIKE '%(n)%'";
        assert_eq!(database.scalar::<String>(own).await, "t_1");
    }
}
