//! What may hang on a random table, one function a kind of thing. What PostgreSQL refuses to make is left out of the case.

mod readers;

use self::readers::{
    before_trigger, constraint_trigger, materialized_view, policy, statement_trigger, trigger_of_columns,
    trigger_with_condition, view,
};
use crossfade::run::Phase;

use super::case::{Piece, ROWS};
use super::generate::{Draft, Target};
use super::types::Kind;

/// Makes a thing, unless no column is good for it.
type Maker = fn(&mut Draft) -> Option<Piece>;

/// All kinds of things; what is more frequent stands more than once.
pub(super) const MAKERS: &[(&str, Maker)] = &[
    ("primary key", primary_key),
    ("unique constraint", unique_constraint),
    ("unique index", unique_index),
    ("check", check),
    ("check", check),
    ("exclusion constraint", exclusion),
    ("foreign key out", foreign_key_out),
    ("foreign key in", foreign_key_in),
    ("foreign key in", foreign_key_in),
    ("foreign key to itself", foreign_key_to_itself),
    ("index", index),
    ("index", index),
    ("index on an expression", index_on_expression),
    ("index of another method", index_of_another_method),
    ("view", view),
    ("view", view),
    ("view", view),
    ("materialized view", materialized_view),
    ("policy", policy),
    ("trigger of columns", trigger_of_columns),
    ("trigger with a condition", trigger_with_condition),
    ("constraint trigger", constraint_trigger),
    ("BEFORE trigger", before_trigger),
    ("statement trigger", statement_trigger),
    ("statistics", statistics),
    ("comments", comments),
    ("column grants", column_grants),
    ("settings of a column", column_settings),
    ("settings of the table", table_settings),
    ("rule", rule),
    ("function with a parsed body", parsed_function),
    ("owned sequence", owned_sequence),
    ("dropped column", dropped_column),
    ("row type", row_type),
    ("inheritance", inheritance),
];

fn piece(statements: impl IntoIterator<Item = String>) -> Piece {
    let statements = statements.into_iter().collect();
    Piece { kind: "", ground: vec![], statements, undo: None, writes: vec![], fires: false }
}

/// Returns a condition on a column that most rows meet.
fn condition(draft: &mut Draft, target: Target, column: &str) -> String {
    let kind = target.kind;
    let literal = draft.case.own(&kind.literal(3));
    let choices = [
        format!("{column} IS NOT NULL"),
        if kind.can("ordered") { format!("{column} <> {literal}") } else { format!("{column} IS NULL OR id > 2") },
        if kind.can("number") {
            format!("{column} < 100000000 AND id <> 5")
        } else {
            format!("{column} IS NOT NULL OR id > 0")
        },
        if kind.can("ordered") { format!("{column} >= {literal} OR id < 1000") } else { "id > 1".to_owned() },
        if kind.can("text") {
            format!("length({column}) > 1")
        } else {
            format!("({column} IS NULL) = (id % 5 = 0) OR id > 0")
        },
        if kind.can("truth") { format!("{column} OR id > 2") } else { format!("{column} IS NOT NULL AND id % 3 <> 1") },
    ];
    choices[draft.dice.below(choices.len())].clone()
}

/// As [`condition`], of something that is made anew with a column that gets another type: half of the time one that holds for any type.
fn condition_anew(draft: &mut Draft, target: Target, column: &str) -> String {
    if !printed_anew(draft, target) {
        return condition(draft, target, column);
    }
    let choices = ["{} IS NOT NULL", "{} IS NULL OR id > 2", "{} IS NOT NULL AND id % 3 <> 1", "{}::text <> 'x'"];
    draft.dice.of(&choices).replace("{}", column)
}

/// As [`condition_anew`], for an expression.
fn expression_anew(draft: &mut Draft, target: Target, column: &str) -> String {
    if !printed_anew(draft, target) {
        return expression(draft, target.kind, column);
    }
    draft.dice.of(&["({} IS NULL)", "coalesce({}, {})", "({} IS NULL AND id > 3)"]).replace("{}", column)
}

/// Whether what is made anew has to be good for any type. PostgreSQL prints casts for the other type that it keeps on the way back, so
/// the definitions of a case with another condition are compared after a rollback only where the names were not exchanged.
fn printed_anew(draft: &mut Draft, target: Target) -> bool {
    if draft.is_rename() || !draft.changes(target) {
        return false;
    }
    let any = draft.dice.percent(50);
    if !any {
        draft.case.back_from = draft.case.back_from.min(Phase::Verify);
    }
    any
}

/// Returns an expression over a column.
fn expression(draft: &mut Draft, kind: &Kind, column: &str) -> String {
    let choices: &[&str] = match kind {
        kind if kind.can("whole") => &["abs({})", "({} + 1)", "({} % 7)", "(-{})", "(({} * 2) IS NULL)"],
        kind if kind.can("number") => &["abs({})", "({} + 1)", "(-{})"],
        kind if kind.can("text") => {
            &["lower({})", "length({})", "({} || '!')", "(upper({}) || 'x' || lower({}))", "substr({}, 1, 3)"]
        }
        kind if kind.can("array") => &["cardinality({})", "({})[1]"],
        kind if kind.can("range") => &["lower({})", "isempty({})"],
        kind if kind.can("json") => &["({} ->> 'k')", "({} -> 'a')"],
        kind if kind.can("truth") => &["(NOT {})"],
        _ => &["({} IS NULL)", "coalesce({}, {})"],
    };
    draft.dice.of(choices).replace("{}", column)
}

fn primary_key(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("distinct")?;
    let (table, column, name) = (draft.case.table_sql(), draft.column(target), draft.quoted("pk"));
    let others = match draft.dice.below(4) {
        0 => format!("({column}, id)"),
        1 => format!("(id, {column})"),
        2 => format!("({column}) INCLUDE (id)"),
        _ => format!("({column})"),
    };
    let late = if draft.dice.percent(15) { " DEFERRABLE" } else { "" };
    let mut made = vec![
        format!("DELETE FROM {table} WHERE {column} IS NULL"),
        format!("ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY {others}{late}"),
    ];
    if draft.dice.percent(30) {
        made.push(format!("COMMENT ON CONSTRAINT {name} ON {table} IS 'the key'"));
    }
    if draft.dice.percent(20) && late.is_empty() {
        made.push(format!("ALTER TABLE {table} CLUSTER ON {name}"));
    }
    let insert =
        format!("INSERT INTO {table} (id, {}) VALUES ({{n}}, {{v}}) ON CONFLICT DO NOTHING", draft.spoken(target));
    let writes = if draft.changes(target) { vec![insert] } else { vec![] };
    Some(Piece { writes, ..piece(made) })
}

fn unique_constraint(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("distinct")?;
    let (table, column, name) = (draft.case.table_sql(), draft.column(target), draft.quoted("once"));
    let nulls = if draft.dice.percent(10) { " NULLS NOT DISTINCT" } else { "" };
    let key = draft.dice.of(&["({})", "({}, id)", "(id, {})", "({}) INCLUDE (id)"]).replace("{}", &column);
    let late = draft.dice.of(&["", "", "", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"]);
    let mut made = vec![format!("ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE{nulls} {key}{late}")];
    if draft.dice.percent(30) {
        let schema = draft.case.own("{s}");
        made.push(format!("COMMENT ON INDEX {schema}.{name} IS 'of a constraint'"));
    }
    Some(piece(made))
}

fn unique_index(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("distinct")?;
    let (table, column, name, schema) =
        (draft.case.table_sql(), draft.column(target), draft.quoted("uq"), draft.case.own("{s}"));
    let on = expression(draft, target.kind, &column);
    let holds = condition(draft, target, &column);
    let key = match draft.dice.below(4) {
        0 => format!("({column})"),
        1 => format!("({column} DESC, id) WHERE {holds}"),
        2 => format!("(id, {on})"),
        _ => format!("({column}) WHERE {holds}"),
    };
    let mut made = vec![format!("CREATE UNIQUE INDEX {name} ON {table} {key}")];
    if key == format!("({column})") && draft.dice.percent(40) {
        made.push(format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name}"));
    }
    if draft.dice.percent(20) {
        made.push(format!("COMMENT ON INDEX {schema}.{name} IS 'unique'"));
    }
    Some(piece(made))
}

fn check(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let (table, column, name) = (draft.case.table_sql(), draft.column(target), draft.quoted("ck"));
    let more = draft.dice.of(&["", "", "", " NOT VALID", " NO INHERIT"]);
    let holds = condition(draft, target, &column);
    let mut made = vec![format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({holds}){more}")];
    if draft.dice.percent(25) {
        made.push(format!("COMMENT ON CONSTRAINT {name} ON {table} IS 'it''s a check'"));
    }
    Some(piece(made))
}

fn exclusion(draft: &mut Draft) -> Option<Piece> {
    if !draft.is_rename() && draft.dice.percent(80) {
        return None;
    }
    let target = draft.pick("distinct")?;
    let (table, column, name) = (draft.case.table_sql(), draft.column(target), draft.quoted("ex"));
    let with = if target.kind.can("range") { "USING gist ({} WITH &&)" } else { "USING btree ({} WITH =)" };
    let late = draft.dice.of(&["", " WHERE (id > 0)", " DEFERRABLE"]);
    let with = with.replace("{}", &column);
    Some(piece([format!("ALTER TABLE {table} ADD CONSTRAINT {name} EXCLUDE {with}{late}")]))
}

/// What a foreign key does on a change of the other side.
fn actions(draft: &mut Draft) -> String {
    let of = |draft: &mut Draft| draft.dice.of(&["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"]);
    let (delete, update) = (of(draft), of(draft));
    let more = draft.dice.of(&["", "", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED", " NOT VALID"]);
    format!("ON DELETE {delete} ON UPDATE {update}{more}")
}

fn foreign_key_out(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("distinct")?;
    let (table, column, name, schema) =
        (draft.case.table_sql(), draft.column(target), draft.quoted("fk"), draft.case.own("{s}"));
    let (parent, of_type) = (format!("{schema}.{}", draft.quoted("parent")), draft.case.own(target.kind.name));
    let all: Vec<_> = (1..=ROWS)
        .chain([777])
        .chain((1000..1400).step_by(3))
        .map(|k| format!("({})", target.kind.literal(k)))
        .collect();
    let all = draft.case.own(&all.join(", "));
    let collated = target.kind.can("text") && draft.dice.percent(20);
    let collation = if collated { " COLLATE \"C\"" } else { "" };
    let actions = actions(draft);
    let made = [
        format!("CREATE TABLE {parent} (k {of_type}{collation} PRIMARY KEY)"),
        format!("INSERT INTO {parent} VALUES {all}"),
        format!("ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {parent} {actions}"),
    ];
    let value = |k| draft.case.own(&target.kind.literal(k));
    let writes = vec![
        format!("DELETE FROM {parent} WHERE k = {}", value(7)),
        format!("UPDATE {parent} SET k = {} WHERE k = {}", value(5001), value(6)),
        format!("DELETE FROM {parent} WHERE k = (SELECT min(k::text) FROM {parent})::{of_type}"),
    ];
    Some(Piece { writes, ..piece(made) })
}

fn foreign_key_in(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("distinct")?;
    let (table, column, name, schema) =
        (draft.case.table_sql(), draft.column(target), draft.quoted("ref"), draft.case.own("{s}"));
    let (child, of_type, key) =
        (format!("{schema}.{}", draft.quoted("child")), draft.case.own(target.kind.name), draft.quoted("key"));
    let (actions, default) = (actions(draft), draft.case.own(&target.kind.literal(2)));
    let more = draft.dice.of(&["", " MATCH FULL"]);
    let made = [
        format!("ALTER TABLE {table} ADD CONSTRAINT {key} UNIQUE ({column})"),
        format!("CREATE TABLE {child} (n integer, x {of_type} DEFAULT {default})"),
        format!("INSERT INTO {child} SELECT id, {column} FROM {table} WHERE id % 2 = 0"),
        format!(
            "ALTER TABLE {child} ADD CONSTRAINT {name} FOREIGN KEY (x) REFERENCES {table} ({column}){more} {actions}"
        ),
    ];
    let value = |k| draft.case.own(&target.kind.literal(k));
    let writes = vec![
        format!("INSERT INTO {child} VALUES ({{n}}, {})", value(3)),
        format!("INSERT INTO {child} VALUES ({{n}}, {})", value(9999)),
        format!("DELETE FROM {table} WHERE id = 4"),
        format!("UPDATE {child} SET x = {} WHERE n = 2", value(1)),
    ];
    Some(Piece { writes, ..piece(made) })
}

fn foreign_key_to_itself(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("distinct")?;
    let (table, column, name) = (draft.case.table_sql(), draft.column(target), draft.quoted("self"));
    let (key, up) = (draft.quoted("key"), draft.quoted("up"));
    let (of_type, actions) = (draft.case.own(target.kind.name), actions(draft));
    let made = if draft.dice.percent(30) {
        vec![
            format!("ALTER TABLE {table} ADD CONSTRAINT {key} UNIQUE ({column})"),
            format!(
                "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {table} ({column}) {actions}"
            ),
        ]
    } else {
        vec![
            format!("ALTER TABLE {table} ADD CONSTRAINT {key} UNIQUE ({column})"),
            format!("ALTER TABLE {table} ADD COLUMN {up} {of_type}"),
            format!("UPDATE {table} SET {up} = {column} WHERE id % 3 = 0"),
            format!(
                "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({up}) REFERENCES {table} ({column}) {actions}"
            ),
        ]
    };
    Some(piece(made))
}

fn index(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("ordered")?;
    let other = draft.other(target)?;
    let (table, column, name, schema) =
        (draft.case.table_sql(), draft.column(target), draft.quoted("ix"), draft.case.own("{s}"));
    let (other, holds) = (draft.column(other), condition(draft, target, &column));
    let mut key = match draft.dice.below(7) {
        0 => format!("({column}, {other})"),
        1 => format!("({other}, {column} DESC NULLS LAST)"),
        2 => format!("({column}, {column} DESC)"),
        3 => format!("({column}) INCLUDE ({other})"),
        4 => format!("({other}) INCLUDE ({column})"),
        _ => format!("({column} NULLS FIRST)"),
    };
    if target.kind.can("text") && draft.dice.percent(40) {
        let class = draft.dice.of(&["COLLATE \"C\"", "text_pattern_ops", "COLLATE \"POSIX\" varchar_pattern_ops"]);
        key = format!("({column} {class})");
    }
    let with = draft.dice.of(&["", "", " WITH (fillfactor = 70)", " WITH (deduplicate_items = off)"]);
    let partial = if draft.dice.percent(30) { format!(" WHERE {holds}") } else { String::new() };
    let mut made = vec![format!("CREATE INDEX {name} ON {table} {key}{with}{partial}")];
    if draft.dice.percent(25) {
        made.push(format!("COMMENT ON INDEX {schema}.{name} IS 'it''s an index'"));
    }
    if draft.dice.percent(10) && partial.is_empty() {
        made.push(format!("ALTER TABLE {table} CLUSTER ON {name}"));
    }
    Some(piece(made))
}

fn index_on_expression(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let (table, column, name, schema) =
        (draft.case.table_sql(), draft.column(target), draft.quoted("ie"), draft.case.own("{s}"));
    let (on, holds) = (expression(draft, target.kind, &column), condition(draft, target, &column));
    let partial = if draft.dice.percent(30) { format!(" WHERE {holds}") } else { String::new() };
    let also = draft.dice.of(&["", ", id", ", (id + 1)"]);
    let mut made = vec![format!("CREATE INDEX {name} ON {table} (({on}){also}){partial}")];
    // A type change keeps it, and plain ALTER TABLE loses it.
    if draft.is_rename() && draft.dice.percent(30) {
        made.push(format!("ALTER INDEX {schema}.{name} ALTER COLUMN 1 SET STATISTICS 77"));
    }
    Some(piece(made))
}

fn index_of_another_method(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let (table, column, name) = (draft.case.table_sql(), draft.column(target), draft.quoted("im"));
    let kind = target.kind;
    let using = match kind {
        kind if kind.can("range") => "gist ({})",
        kind if kind.can("array") || kind.can("words") => "gin ({})",
        kind if kind.can("json") => draft.dice.of(&["gin ({} jsonb_path_ops)", "gin ({}) WITH (fastupdate = off)"]),
        kind if kind.name == "point" => "gist ({})",
        kind if kind.name == "inet" || kind.name == "cidr" => "gist ({} inet_ops)",
        kind if kind.name == "text" => draft.dice.of(&["spgist ({})", "gin (to_tsvector('simple', {}))", "hash ({})"]),
        kind if kind.can("hashed") => draft.dice.of(&["hash ({})", "brin ({}) WITH (pages_per_range = 2)"]),
        _ => return None,
    };
    Some(piece([format!("CREATE INDEX {name} ON {table} USING {}", using.replace("{}", &column))]))
}

fn statistics(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("ordered")?;
    let other = draft.other(target)?;
    let (table, column, schema, name) =
        (draft.case.table_sql(), draft.column(target), draft.case.own("{s}"), draft.quoted("stat"));
    let (other, on) = (draft.column(other), expression_anew(draft, target, &column));
    let what = match draft.dice.below(4) {
        0 => format!("ON {column}, {other}"),
        1 => format!("(ndistinct, mcv) ON {other}, {column}"),
        2 => format!("ON ({on})"),
        _ => format!("(dependencies) ON {column}, id, ({on})"),
    };
    let mut made = vec![format!("CREATE STATISTICS {schema}.{name} {what} FROM {table}")];
    if draft.dice.percent(40) {
        // A type change keeps it, and plain ALTER TABLE loses that of an expression.
        if draft.is_rename() {
            made.push(format!("ALTER STATISTICS {schema}.{name} SET STATISTICS 88"));
        }
        made.push(format!("COMMENT ON STATISTICS {schema}.{name} IS 'it''s statistics'"));
    }
    Some(piece(made))
}

fn comments(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let (table, column) = (draft.case.table_sql(), draft.column(target));
    Some(piece([
        format!("COMMENT ON COLUMN {table}.{column} IS 'it''s $1 %s'"),
        format!("COMMENT ON TABLE {table} IS 'a table'"),
    ]))
}

fn column_grants(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let (table, column) = (draft.case.table_sql(), draft.column(target));
    let grants = match draft.dice.below(4) {
        0 => vec![
            format!("REVOKE ALL ON {table} FROM neighbour"),
            format!("GRANT SELECT, DELETE ON {table} TO neighbour"),
            format!("GRANT INSERT (id, {column}), UPDATE ({column}) ON {table} TO neighbour"),
        ],
        1 => vec![
            format!("REVOKE UPDATE ON {table} FROM neighbour"),
            format!("GRANT UPDATE (id) ON {table} TO neighbour"),
        ],
        2 => vec![format!("GRANT SELECT ({column}) ON {table} TO crossfade_viewer WITH GRANT OPTION")],
        _ => vec![format!("GRANT SELECT ({column}), REFERENCES ({column}) ON {table} TO PUBLIC")],
    };
    Some(piece(grants))
}

fn column_settings(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let (table, column) = (draft.case.table_sql(), draft.column(target));
    let what = draft.dice.of(&[
        "SET STATISTICS 500",
        "SET (n_distinct = 7)",
        "SET STORAGE EXTERNAL",
        "SET STORAGE MAIN",
        "SET COMPRESSION pglz",
    ]);
    Some(piece([format!("ALTER TABLE {table} ALTER COLUMN {column} {what}")]))
}

#[expect(clippy::unnecessary_wraps, reason = "as all that make something")]
fn table_settings(draft: &mut Draft) -> Option<Piece> {
    let what = draft.dice.of(&[
        "SET (fillfactor = 70)",
        "SET (autovacuum_enabled = off)",
        "SET UNLOGGED",
        "REPLICA IDENTITY FULL",
    ]);
    Some(piece([format!("ALTER TABLE {} {what}", draft.case.table_sql())]))
}

fn rule(draft: &mut Draft) -> Option<Piece> {
    if !draft.is_rename() && draft.dice.percent(80) {
        return None;
    }
    let target = draft.pick("")?;
    let (table, column, schema, name) =
        (draft.case.table_sql(), draft.column(target), draft.case.own("{s}"), draft.quoted("ru"));
    let (gone, on) =
        (format!("{schema}.{}", draft.quoted("gone")), if draft.dice.percent(85) { "DELETE" } else { "UPDATE" });
    let ground = vec![format!("CREATE TABLE {gone} (x text)")];
    let made =
        [format!("CREATE RULE {name} AS ON {on} TO {table} DO ALSO INSERT INTO {gone} VALUES (OLD.{column}::text)")];
    Some(Piece { ground, undo: Some(format!("DROP RULE IF EXISTS {name} ON {table}")), ..piece(made) })
}

fn parsed_function(draft: &mut Draft) -> Option<Piece> {
    if !draft.is_rename() && draft.dice.percent(80) {
        return None;
    }
    let target = draft.pick("")?;
    let (table, column, schema, name) =
        (draft.case.table_sql(), draft.column(target), draft.case.own("{s}"), draft.quoted("fn"));
    let made = format!(
        "CREATE FUNCTION {schema}.{name}(n integer) RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count({column}) FROM {table} WHERE id < n; END"
    );
    let writes = vec![format!("SELECT FROM {schema}.{name}(7) AS x WHERE x > 3")];
    Some(Piece { undo: Some(format!("DROP FUNCTION IF EXISTS {schema}.{name}(integer)")), writes, ..piece([made]) })
}

fn owned_sequence(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("whole")?;
    let (table, column, schema, name) =
        (draft.case.table_sql(), draft.column(target), draft.case.own("{s}"), draft.quoted("sq"));
    let mut made = vec![format!("CREATE SEQUENCE {schema}.{name} START 20000 INCREMENT 2 OWNED BY {table}.{column}")];
    if draft.dice.percent(40) {
        made.push(format!("COMMENT ON SEQUENCE {schema}.{name} IS 'it''s a sequence'"));
        made.push(format!("GRANT USAGE ON SEQUENCE {schema}.{name} TO PUBLIC"));
    }
    Some(piece(made))
}

#[expect(clippy::unnecessary_wraps, reason = "as all that make something")]
fn dropped_column(draft: &mut Draft) -> Option<Piece> {
    let (table, name) = (draft.case.table_sql(), draft.quoted("dropped"));
    Some(piece([
        format!("ALTER TABLE {table} ADD COLUMN {name} text DEFAULT 'gone'"),
        format!("ALTER TABLE {table} DROP COLUMN {name}"),
    ]))
}

fn row_type(draft: &mut Draft) -> Option<Piece> {
    if draft.dice.percent(70) {
        return None;
    }
    let (table, schema, name) = (draft.case.table_sql(), draft.case.own("{s}"), draft.quoted("rows"));
    Some(piece([format!("CREATE TABLE {schema}.{name} (n integer, x {table})")]))
}

fn inheritance(draft: &mut Draft) -> Option<Piece> {
    if draft.dice.percent(80) {
        return None;
    }
    let (table, schema, name) = (draft.case.table_sql(), draft.case.own("{s}"), draft.quoted("heir"));
    Some(piece([format!("CREATE TABLE {schema}.{name} (n integer) INHERITS ({table})")]))
}
