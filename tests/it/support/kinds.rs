//! The kinds of things that can hang on a column.

/// A table `t` with a column `a` that something hangs on, as people call it.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The column's type, the one that it gets, and the expression for that.
    pub(super) types: (&'static str, &'static str, Option<&'static str>),
    /// The value of row `{g}`.
    pub(super) value: &'static str,
    /// What follows the list of the table's columns.
    pub(super) partitioned: &'static str,
    /// Makes what hangs on it.
    pub(super) more: &'static str,
    /// Functions that name the column in their text, for which the plan has a body.
    pub(super) functions: &'static [&'static str],
    /// The oldest version that has it.
    pub(super) since: u32,
}

const fn kind(name: &'static str, more: &'static str) -> Kind {
    let types = ("integer", "bigint", None);
    Kind { name, types, value: "{g}", partitioned: "", more, functions: &[], since: 14 }
}

const fn of(types: (&'static str, &'static str), value: &'static str, kind: Kind) -> Kind {
    Kind { types: (types.0, types.1, None), value, ..kind }
}

const fn since(since: u32, kind: Kind) -> Kind {
    Kind { since, ..kind }
}

/// After a trigger function `f`.
macro_rules! with_function {
    ($more:literal) => {
        concat!(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$; ",
            $more
        )
    };
}

/// All of them, in the order of the page.
pub(super) const KINDS: &[Kind] = &[
    kind("primary key", "ALTER TABLE t ADD PRIMARY KEY (a); COMMENT ON CONSTRAINT t_pkey ON t IS 'c'"),
    kind("primary key of several columns", "ALTER TABLE t ADD PRIMARY KEY (id, a) INCLUDE (note)"),
    kind("unique constraint", "ALTER TABLE t ADD UNIQUE (a, id)"),
    kind("unique constraint that can be deferred", "ALTER TABLE t ADD UNIQUE (a) DEFERRABLE INITIALLY DEFERRED"),
    since(15, kind("unique constraint, NULLS NOT DISTINCT", "ALTER TABLE t ADD UNIQUE NULLS NOT DISTINCT (a)")),
    kind("check constraint", "ALTER TABLE t ADD CHECK (a > 0 AND a < 1000), ADD CONSTRAINT two CHECK (a <> -id) NO INHERIT"),
    kind("check constraint, NOT VALID", "ALTER TABLE t ADD CHECK (a > -9) NOT VALID"),
    since(18, kind("check constraint, NOT ENFORCED", "ALTER TABLE t ADD CHECK (a > 10) NOT ENFORCED")),
    kind("NOT NULL", "ALTER TABLE t ALTER a SET NOT NULL"),
    of(
        ("cidr", "inet"),
        "(g || '.0.0.0/8')::cidr",
        kind("exclusion constraint on it", "ALTER TABLE t ADD EXCLUDE USING gist (a inet_ops WITH &&) WHERE (a IS NOT NULL) DEFERRABLE, ADD EXCLUDE USING btree (a WITH =, lower(note) WITH =)"),
    ),
    kind("exclusion constraint with it in a condition", "ALTER TABLE t ADD EXCLUDE USING gist (int4range(id, id + 1) WITH &&) WHERE (a > 3)"),
    since(
        18,
        of(("int4range", "text"), "int4range(g * 10, g * 10 + 5)", kind("key WITHOUT OVERLAPS", "ALTER TABLE t ADD r int4range DEFAULT int4range(1, 2); ALTER TABLE t ADD UNIQUE (r, a WITHOUT OVERLAPS)")),
    ),
    kind("foreign key", "CREATE TABLE p (id integer PRIMARY KEY); INSERT INTO p SELECT generate_series(1, 20); ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p ON UPDATE CASCADE ON DELETE SET NULL"),
    kind("foreign key that can be deferred, NOT VALID", "CREATE TABLE p (id integer PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p DEFERRABLE INITIALLY DEFERRED NOT VALID"),
    kind("foreign key of several columns, MATCH FULL", "CREATE TABLE p (x integer, y integer, PRIMARY KEY (x, y)); INSERT INTO p SELECT g, g FROM generate_series(1, 20) g; ALTER TABLE t ADD FOREIGN KEY (a, id) REFERENCES p MATCH FULL"),
    kind("foreign key to the same table", "ALTER TABLE t ADD PRIMARY KEY (id), ADD FOREIGN KEY (a) REFERENCES t ON DELETE CASCADE"),
    kind("foreign keys that refer to it", "ALTER TABLE t ADD PRIMARY KEY (a); CREATE TABLE child (a integer REFERENCES t ON DELETE CASCADE, b integer REFERENCES t ON DELETE SET DEFAULT DEFERRABLE); INSERT INTO child SELECT g, g FROM generate_series(1, 9) g"),
    kind("foreign key of a partitioned table that refers to it", "ALTER TABLE t ADD PRIMARY KEY (a); CREATE TABLE child (a integer REFERENCES t) PARTITION BY RANGE (a); CREATE TABLE child_1 PARTITION OF child DEFAULT"),
    kind("index", "CREATE INDEX i ON t (a DESC NULLS LAST, note) INCLUDE (id) WITH (fillfactor = 70); COMMENT ON INDEX i IS 'i'"),
    kind("index on an expression", "CREATE INDEX i ON t ((a + 1), lower(note))"),
    kind("index with a condition", "CREATE UNIQUE INDEX i ON t (id) WHERE a > 10"),
    kind("hash and BRIN index", "CREATE INDEX h ON t USING hash (a); CREATE INDEX b ON t USING brin (a) WITH (pages_per_range = 4)"),
    of(("text[]", "character varying[]"), "ARRAY['x' || g]", kind("GIN index", "CREATE INDEX i ON t USING gin (a)")),
    of(("point", "text"), "point(g, g)", kind("GiST index of a type without the operators of the new type", "CREATE INDEX i ON t USING gist (a)")),
    kind("mark of CLUSTER, replica identity", "ALTER TABLE t ALTER a SET NOT NULL; CREATE UNIQUE INDEX i ON t (a); ALTER TABLE t REPLICA IDENTITY USING INDEX i, CLUSTER ON i"),
    kind("extended statistics", "CREATE STATISTICS s (ndistinct, mcv) ON a, id FROM t; CREATE STATISTICS e ON (a * 2), note FROM t"),
    kind("default", "ALTER TABLE t ALTER a SET DEFAULT 7"),
    kind("default that is made anew for each row", "CREATE SEQUENCE q; ALTER TABLE t ALTER a SET DEFAULT nextval('q')"),
    kind("sequence that it owns", "CREATE SEQUENCE q AS integer OWNED BY t.a; ALTER TABLE t ALTER a SET DEFAULT nextval('q')"),
    kind("identity", "ALTER TABLE t ALTER a SET NOT NULL, ALTER a ADD GENERATED BY DEFAULT AS IDENTITY (START 100)"),
    kind("identity, GENERATED ALWAYS", "ALTER TABLE t ALTER a SET NOT NULL, ALTER a ADD GENERATED ALWAYS AS IDENTITY (START 100)"),
    kind("generated column that reads it", "ALTER TABLE t ADD twice integer GENERATED ALWAYS AS (a * 2) STORED"),
    since(18, kind("virtual column that reads it", "ALTER TABLE t ADD twice integer GENERATED ALWAYS AS (a * 2) VIRTUAL")),
    kind("generated column itself", "ALTER TABLE t DROP a, ADD a integer GENERATED ALWAYS AS (id * 2) STORED"),
    kind("view", "CREATE VIEW v WITH (security_barrier) AS SELECT id, a FROM t WHERE a > 3 WITH CHECK OPTION; GRANT SELECT ON v TO PUBLIC; COMMENT ON COLUMN v.a IS 'c'"),
    kind("view on a view", "CREATE VIEW v AS SELECT a, note FROM t; CREATE VIEW w AS SELECT sum(a) AS s, note FROM v GROUP BY note"),
    kind("recursive view", "CREATE RECURSIVE VIEW v (n) AS SELECT min(a) FROM t UNION ALL SELECT n + 1 FROM v WHERE n < 5"),
    kind("view of whole rows", "CREATE VIEW v AS SELECT t AS row_of_it FROM t"),
    kind("materialized view", "CREATE MATERIALIZED VIEW m AS SELECT a FROM t; CREATE INDEX ON m (a)"),
    kind("trigger for INSERT, UPDATE and DELETE", with_function!("CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()")),
    kind("trigger for UPDATE OF it", with_function!("CREATE TRIGGER g AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER g")),
    kind("trigger with it in a WHEN condition", with_function!("CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a) EXECUTE FUNCTION f()")),
    kind("constraint trigger", with_function!("CREATE CONSTRAINT TRIGGER g AFTER UPDATE OF a ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.a > 3) EXECUTE FUNCTION f()")),
    Kind {
        functions: &["public.named()"],
        ..kind(
            "trigger function that names it, with `functions:` in the plan",
            "CREATE FUNCTION public.named() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.a < 0 THEN RAISE 'no'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER g BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION public.named()",
        )
    },
    kind("rule for DELETE", "CREATE TABLE log (a bigint); CREATE RULE r AS ON DELETE TO t DO ALSO INSERT INTO log VALUES (OLD.a)"),
    kind("rule for INSERT or UPDATE", "CREATE TABLE log (a bigint); CREATE RULE r AS ON UPDATE TO t DO ALSO INSERT INTO log VALUES (NEW.a)"),
    kind("policy", "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t FOR UPDATE USING (a > 1) WITH CHECK (a < 1000); COMMENT ON POLICY p ON t IS 'p'"),
    kind("grants on the column", "GRANT SELECT (a), UPDATE (a) ON t TO PUBLIC"),
    kind("comment, storage, statistics target, options", "COMMENT ON COLUMN t.a IS 'c'; ALTER TABLE t ALTER a SET STATISTICS 77, ALTER a SET (n_distinct = 5)"),
    of(("text", "character varying"), "'x' || g", kind("compression, storage and collation", "ALTER TABLE t ALTER a SET STORAGE EXTERNAL, ALTER a SET COMPRESSION pglz, ALTER a TYPE text COLLATE \"C\"")),
    kind("function whose SQL body PostgreSQL has read", "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(a) FROM t; END"),
    kind("function over the table's row type", "CREATE FUNCTION f(t) RETURNS integer LANGUAGE sql AS 'SELECT 1'"),
    kind("column of another table of the table's row type", "CREATE TABLE o (x t)"),
    kind("publication of the table", "ALTER TABLE t ADD PRIMARY KEY (id); CREATE PUBLICATION p FOR TABLE t"),
    kind("publication of the table, REPLICA IDENTITY FULL", "CREATE PUBLICATION p FOR TABLE t; ALTER TABLE t REPLICA IDENTITY FULL"),
    since(15, kind("publication with a list of columns that has it", "CREATE PUBLICATION p FOR TABLE t (id, a); ALTER TABLE t ADD PRIMARY KEY (id)")),
    since(15, kind("publication with it in a row filter", "ALTER TABLE t ADD PRIMARY KEY (id, a); CREATE PUBLICATION p FOR TABLE t WHERE (a > 3)")),
    of(("integer[]", "bigint[]"), "ARRAY[g]", kind("array", "ALTER TABLE t ADD CHECK (a[1] > 0)")),
    kind("domain", "CREATE DOMAIN d AS integer CHECK (VALUE > 0); ALTER TABLE t ALTER a TYPE d"),
    of(("integer", "text"), "g", kind("enum", "CREATE TYPE e AS ENUM ('x', 'y'); ALTER TABLE t ALTER a TYPE e USING 'x'::e; CREATE INDEX i ON t (a)")),
    Kind {
        types: ("integer", "d", Some("ROW((a).x, (a).y)::d")),
        ..kind("composite type", "CREATE TYPE c AS (x integer, y integer); CREATE TYPE d AS (x bigint, y bigint); ALTER TABLE t ALTER a TYPE c USING ROW(a, a)::c; CREATE INDEX i ON t (a)")
    },
    Kind { partitioned: " PARTITION BY LIST (note)", ..kind("column of a partitioned table", "") },
    Kind { partitioned: " PARTITION BY LIST (note)", ..kind("index of a partitioned table", "CREATE INDEX i ON t (a)") },
    Kind { partitioned: " PARTITION BY LIST (note)", ..kind("keys and unique constraints of a partitioned table", "ALTER TABLE t ADD PRIMARY KEY (a, note), ADD UNIQUE (note, id, a)") },
    Kind { partitioned: " PARTITION BY LIST (note)", ..kind("foreign key of a partitioned table", "CREATE TABLE p (a integer PRIMARY KEY); INSERT INTO p SELECT g FROM generate_series(1, 20000) g; ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p") },
    Kind { partitioned: " PARTITION BY LIST (note)", ..kind("indexes and constraints of single partitions", "CREATE INDEX i ON t_1 (a); ALTER TABLE t_1 ADD UNIQUE (a), ADD CHECK (a < 1000)") },
    Kind { partitioned: " PARTITION BY LIST (note)", ..kind("comment, grants, statistics target, options of a single partition", "COMMENT ON COLUMN t_1.a IS 'c'; GRANT SELECT (a) ON t_1 TO PUBLIC; ALTER TABLE t_1 ALTER a SET STATISTICS 55, ALTER a SET (n_distinct = 5)") },
    Kind { partitioned: " PARTITION BY LIST (note)", ..kind("primary key of a single partition", "ALTER TABLE t_1 ADD PRIMARY KEY (a)") },
    Kind { partitioned: " PARTITION BY RANGE (a)", ..kind("partition key", "") },
    kind("column that other tables inherit", "CREATE TABLE child (more integer) INHERITS (t); INSERT INTO child SELECT g, g, 'c', g FROM generate_series(1, 20) g"),
    kind(
        "index of a table that inherits it, with `indexes: { copy: none }`",
        "CREATE TABLE child (more integer) INHERITS (t); INSERT INTO child SELECT g, g, 'c', g FROM generate_series(1, 20) g; CREATE INDEX ON child (a)",
    ),
    kind(
        "column that a table inherits from another one too",
        "CREATE TABLE other (a integer); CREATE TABLE child () INHERITS (t, other); INSERT INTO child VALUES (1, 1, 'c')",
    ),
    kind("unlogged table", "ALTER TABLE t SET UNLOGGED; CREATE INDEX i ON t (a)"),
];
