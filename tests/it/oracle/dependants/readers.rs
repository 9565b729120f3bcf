//! Views, policies and triggers: what PostgreSQL does not take through a change of a type by itself.

use crossfade::sql::{dollar_quote, quote_literal};

use super::super::case::Piece;
use super::super::generate::Draft;
use super::{condition_anew, expression_anew, piece};

/// A view, and mostly others on it.
pub(super) fn view(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let other = draft.other(target)?;
    let (table, column, schema, name) =
        (draft.case.table_sql(), draft.column(target), draft.case.own("{s}"), draft.quoted("v"));
    let (name, above, other) =
        (format!("{schema}.{name}"), format!("{schema}.{}", draft.quoted("w")), draft.column(other));
    let holds = condition_anew(draft, target, &column);
    let on = expression_anew(draft, target, &column);
    let with = draft.dice.of(&["", "", " WITH (security_barrier)", " WITH (security_invoker)"]);
    let option = draft.dice.of(&["", "", " WITH LOCAL CHECK OPTION", " WITH CASCADED CHECK OPTION"]);
    let (sql, plain) = match draft.dice.below(6) {
        0 => (format!("SELECT * FROM {table}"), false),
        1 => (
            format!(
                "SELECT count(*) AS id, min({on}::text) AS seen FROM {table} WHERE {holds} GROUP BY {column} IS NULL"
            ),
            false,
        ),
        2 => (
            format!(
                "SELECT id, {column} AS seen FROM {table} UNION ALL SELECT a.id, b.{column} FROM {table} a JOIN {table} b ON b.id = a.id"
            ),
            false,
        ),
        3 => (
            format!(
                "SELECT id, {column} AS seen, {other} AS beside, {on} AS computed FROM {table} WHERE {holds}{option}"
            ),
            true,
        ),
        _ => (format!("SELECT id, {column} AS seen FROM {table} WHERE {holds}{option}"), true),
    };
    let mut made = vec![format!("CREATE VIEW {name}{with} AS {sql}")];
    let mut writes = vec![format!("SELECT count(*) FROM {name} HAVING count(*) > 3")];
    if plain && draft.changes(target) {
        writes.push(format!("INSERT INTO {name} (id, seen) VALUES ({{n}}, {{w}})"));
        writes.push(format!("UPDATE {name} SET seen = {{w}} WHERE id = 9"));
        writes.push(format!("DELETE FROM {name} WHERE id = 11"));
    }
    decorate_view(draft, (&name, &above, &table), plain, &mut made);
    Some(Piece { undo: Some(format!("DROP VIEW IF EXISTS {name} CASCADE")), writes, ..piece(made) })
}

/// Adds to a view what a view can have.
fn decorate_view(draft: &mut Draft, (name, above, table): (&str, &str, &str), plain: bool, made: &mut Vec<String>) {
    let schema = draft.case.own("{s}");
    if draft.dice.percent(45) {
        let barrier = if draft.dice.percent(30) { " WITH (security_barrier)" } else { "" };
        made.push(format!("CREATE VIEW {above}{barrier} AS SELECT x.*, 1 AS one FROM {name} x"));
        made.push(format!("COMMENT ON VIEW {above} IS 'above'"));
    }
    if draft.dice.percent(25) {
        made.push(format!("COMMENT ON COLUMN {name}.id IS 'it''s the id'"));
    }
    if draft.dice.percent(25) {
        made.push(format!("REVOKE DELETE ON {name} FROM neighbour"));
        made.push(format!("GRANT UPDATE (id) ON {name} TO PUBLIC"));
    }
    if draft.dice.percent(20) {
        made.push(format!("GRANT CREATE, USAGE ON SCHEMA {schema} TO crossfade_viewer"));
        made.push(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO crossfade_viewer"));
        made.push(format!("ALTER VIEW {name} OWNER TO crossfade_viewer"));
    }
    if plain && draft.dice.percent(20) {
        made.push(format!("ALTER VIEW {name} ALTER COLUMN id SET DEFAULT 4242"));
    }
    if draft.dice.percent(15) {
        let (function, body) = (draft.quoted("into"), dollar_quote("BEGIN RETURN NEW; END"));
        made.push(format!(
            "CREATE OR REPLACE FUNCTION {schema}.{function}() RETURNS trigger LANGUAGE plpgsql AS {body}"
        ));
        let mut made = vec![format!(
            "CREATE TRIGGER instead_of INSTEAD OF INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION {schema}.{function}()"
        )];
        made.push(format!("COMMENT ON TRIGGER instead_of ON {name} IS 'instead'"));
    }
    if draft.dice.percent(10) {
        made.push(format!("CREATE RULE gone AS ON DELETE TO {name} DO INSTEAD NOTHING"));
    }
}

pub(super) fn materialized_view(draft: &mut Draft) -> Option<Piece> {
    if !draft.is_rename() && draft.dice.percent(80) {
        return None;
    }
    let target = draft.pick("")?;
    let (table, column, schema, name) =
        (draft.case.table_sql(), draft.column(target), draft.case.own("{s}"), draft.quoted("m"));
    let made = [
        format!("CREATE MATERIALIZED VIEW {schema}.{name} AS SELECT id, {column} AS seen FROM {table} WHERE id < 6"),
        format!("CREATE UNIQUE INDEX ON {schema}.{name} (id)"),
    ];
    Some(Piece { undo: Some(format!("DROP MATERIALIZED VIEW IF EXISTS {schema}.{name}")), ..piece(made) })
}

pub(super) fn policy(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let (table, column, name) = (draft.case.table_sql(), draft.column(target), draft.quoted("po"));
    let holds = condition_anew(draft, target, &column);
    let also = condition_anew(draft, target, &column);
    let what = match draft.dice.below(5) {
        0 => format!("USING ({holds}) WITH CHECK ({also})"),
        1 => format!("AS RESTRICTIVE FOR UPDATE TO neighbour USING ({holds})"),
        2 => format!("FOR INSERT TO PUBLIC WITH CHECK ({holds})"),
        3 => format!(
            "FOR SELECT TO neighbour, crossfade_viewer USING ({holds} OR EXISTS (SELECT FROM pg_catalog.pg_class WHERE {also}))"
        ),
        _ => format!("FOR ALL USING ({holds})"),
    };
    let mut made = vec![
        format!("CREATE POLICY {name} ON {table} {what}"),
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
    ];
    if draft.dice.percent(20) {
        made.push(format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"));
    }
    if draft.dice.percent(30) {
        made.push(format!("COMMENT ON POLICY {name} ON {table} IS 'it''s a policy'"));
    }
    Some(Piece { undo: Some(format!("DROP POLICY IF EXISTS {name} ON {table}")), ..piece(made) })
}

/// Returns what makes a function that notes which trigger fired, and its name.
fn noting(draft: &mut Draft) -> (Vec<String>, String) {
    let schema = draft.case.own("{s}");
    let (function, log) = (format!("{schema}.{}", draft.quoted("noted")), format!("{schema}.{}", draft.quoted("log")));
    let id = if draft.case.column == "id" { "0" } else { "CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END" };
    let body = dollar_quote(&format!(
        "BEGIN
           IF TG_LEVEL = 'STATEMENT' THEN INSERT INTO {log} VALUES (TG_NAME, TG_OP, -1); RETURN NULL; END IF;
           INSERT INTO {log} VALUES (TG_NAME, TG_OP, {id});
           IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
           RETURN NEW;
         END"
    ));
    let ground = vec![
        format!("CREATE TABLE {log} (trigger text, what text, id bigint)"),
        format!("CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS {body}"),
    ];
    (ground, function)
}

/// Now and then a trigger is not simply enabled, and has a comment.
fn decorate_trigger(draft: &mut Draft, name: &str, made: &mut Vec<String>, always: bool) {
    let table = draft.case.table_sql();
    match draft.dice.below(8) {
        0 => made.push(format!("ALTER TABLE {table} DISABLE TRIGGER {name}")),
        1 if always => made.push(format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")),
        2 if always => made.push(format!("ALTER TABLE {table} ENABLE REPLICA TRIGGER {name}")),
        3 => made.push(format!("COMMENT ON TRIGGER {name} ON {table} IS 'it''s a trigger'")),
        _ => {}
    }
}

pub(super) fn trigger_of_columns(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let other = draft.other(target)?;
    let (table, name) = (draft.case.table_sql(), draft.quoted("tg"));
    let (column, other) = (draft.column(target), draft.column(other));
    let (ground, function) = noting(draft);
    let when = draft.dice.of(&["AFTER", "BEFORE"]);
    let of =
        draft.dice.of(&["UPDATE OF {}", "INSERT OR UPDATE OF {}", "UPDATE OF {o}, {}", "DELETE OR UPDATE OF {}, {o}"]);
    let of = of.replace("{}", &column).replace("{o}", &other);
    let mut made =
        vec![format!("CREATE TRIGGER {name} {when} {of} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()")];
    decorate_trigger(draft, &name, &mut made, true);
    Some(Piece { ground, undo: Some(format!("DROP TRIGGER IF EXISTS {name} ON {table}")), ..piece(made) })
}

pub(super) fn trigger_with_condition(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("ordered")?;
    let (table, name, column) = (draft.case.table_sql(), draft.quoted("tw"), draft.column(target));
    let (ground, function) = noting(draft);
    let holds = condition_anew(draft, target, &format!("NEW.{column}")).replace("id ", "NEW.id ");
    let (events, when) = match draft.dice.below(3) {
        0 => ("UPDATE".to_owned(), format!("OLD.{column} IS DISTINCT FROM NEW.{column}")),
        1 => ("INSERT OR UPDATE".to_owned(), format!("NEW.{column} IS NOT NULL")),
        _ => (format!("UPDATE OF {column}"), holds),
    };
    let fires = !events.contains(" OF ");
    let before = draft.dice.of(&["AFTER", "BEFORE"]);
    let mut made = vec![format!(
        "CREATE TRIGGER {name} {before} {events} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {function}()"
    )];
    decorate_trigger(draft, &name, &mut made, !fires);
    Some(Piece { ground, undo: Some(format!("DROP TRIGGER IF EXISTS {name} ON {table}")), fires, ..piece(made) })
}

pub(super) fn constraint_trigger(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let (table, name, column) = (draft.case.table_sql(), draft.quoted("ct"), draft.column(target));
    let (ground, function) = noting(draft);
    let late = draft.dice.of(&["", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"]);
    let when = if draft.dice.percent(40) { format!(" WHEN (NEW.{column} IS NOT NULL)") } else { String::new() };
    let of = if draft.dice.percent(70) { format!(" OF {column}") } else { String::new() };
    let mut made = vec![format!(
        "CREATE CONSTRAINT TRIGGER {name} AFTER UPDATE{of} ON {table}{late} FOR EACH ROW{when} EXECUTE FUNCTION {function}()"
    )];
    decorate_trigger(draft, &name, &mut made, !of.is_empty());
    let undo = Some(format!("DROP TRIGGER IF EXISTS {name} ON {table}"));
    Some(Piece { ground, undo, fires: of.is_empty(), ..piece(made) })
}

/// One that changes another column; where names stay, also the one that gets another type.
pub(super) fn before_trigger(draft: &mut Draft) -> Option<Piece> {
    let target = draft.pick("")?;
    let generated = draft.case.columns.iter().any(|column| column.generated && column.sql() == draft.column(target));
    if generated || draft.column(target) == "id" || (draft.changes(target) && draft.is_rename()) {
        return None;
    }
    let (table, name, column, schema) =
        (draft.case.table_sql(), draft.quoted("bt"), draft.column(target), draft.case.own("{s}"));
    let function = format!("{schema}.{}", draft.quoted("stamped"));
    // A text converts to whatever type the column has; one with an offset would be another time without a time zone.
    let value = draft.case.own(&target.kind.literal(555));
    let value = value.split("::").next().map_or_else(|| quote_literal(""), |text| text.replace("+02'", "'"));
    let body =
        dollar_quote(&format!("BEGIN IF NEW.{column} IS NULL THEN NEW.{column} := {value}; END IF; RETURN NEW; END"));
    let events = draft.dice.of(&["INSERT", "INSERT", "INSERT OR UPDATE"]);
    let made = [
        format!("CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {body}"),
        format!("CREATE TRIGGER {name} BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"),
    ];
    Some(Piece { fires: events.contains("UPDATE"), ..piece(made) })
}

#[expect(clippy::unnecessary_wraps, reason = "as all that make something")]
pub(super) fn statement_trigger(draft: &mut Draft) -> Option<Piece> {
    let (table, name) = (draft.case.table_sql(), draft.quoted("st"));
    let (ground, function) = noting(draft);
    let events = draft.dice.of(&["INSERT", "DELETE", "UPDATE", "TRUNCATE"]);
    let refers = match events {
        "INSERT" => " REFERENCING NEW TABLE AS came",
        "UPDATE" => " REFERENCING OLD TABLE AS gone NEW TABLE AS came",
        _ => "",
    };
    let made = vec![format!(
        "CREATE TRIGGER {name} AFTER {events} ON {table}{refers} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
    )];
    Some(Piece { ground, fires: events == "UPDATE", ..piece(made) })
}
