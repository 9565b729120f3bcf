//! Functions whose body the plan replaces.

use serde::Deserialize;
use sqlx::PgConnection;

use super::copy::Outcome;
use super::functions::Function;
use super::{CatalogError, Inspection, query};
use crate::change::{given_in, replace};
use crate::plan::{Change, Plan};
use crate::run::{ReplacedFunction, State};
use crate::sql::quote_literal;

const WHAT: &str = "read the functions that get another body";

#[derive(Debug, Deserialize)]
struct Read {
    signature: String,
    source: String,
    language: String,
    /// The extension that it belongs to.
    extension: Option<String>,
}

/// Returns the functions of the plan as they are, in its order, once each has been given its other body and has got its own
/// back; fewer, with refusals, where that cannot be. `path` is the `search_path` of the role's own sessions.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    plan: &Plan,
    path: &str,
    found: &mut Inspection,
) -> Result<Vec<ReplacedFunction>, CatalogError> {
    let mut all: Vec<ReplacedFunction> = Vec::new();
    for (n, function) in plan.functions.iter().enumerate() {
        let name = quote_literal(&function.name);
        let select = format!(
            "SELECT pg_catalog.json_build_object('signature', p.oid::pg_catalog.regprocedure::text, 'source', p.prosrc, 'language', l.lanname, 'extension', \
               (SELECT e.extname FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid \
                WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e' LIMIT 1))::text \
             FROM (SELECT CASE WHEN pg_catalog.strpos({name}, '(') > 0 THEN pg_catalog.to_regprocedure({name})::pg_catalog.oid \
               ELSE pg_catalog.to_regproc({name})::pg_catalog.oid END AS oid) AS named \
             LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = named.oid LEFT JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang"
        );
        let answer = query::attempt(conn, WHAT, [select]).await?;
        let read = answer.ok().flatten().and_then(|text| serde_json::from_str::<Read>(&text).ok());
        let Some(read) = read else {
            found.refuse(
                "catalog::function",
                format!("there is no one function `{}` (`functions`, entry {})", function.name, n + 1),
                "name it with its schema and the types of its arguments, those with their schemas as well: `public.note_change()`",
            );
            continue;
        };
        let signature = read.signature;
        let why = match (&read.extension, read.language.as_str()) {
            (Some(extension), _) => Some(format!("it belongs to extension \"{extension}\"")),
            (None, "plpgsql") => None,
            (None, other) => Some(format!("its language is {other}, and crossfade replaces bodies of plpgsql alone")),
        };
        if let Some(why) = why {
            let help = "leave it out, and change it by hand when the columns have their last names";
            found.refuse("catalog::function", format!("function {signature} cannot get another body: {why}"), help);
            continue;
        }
        if all.iter().any(|other| other.signature == signature) {
            let message = format!("function {signature} is named twice in `functions`");
            found.refuse("catalog::function", message, "remove one of them");
            continue;
        }
        query::run(conn, WHAT, "SAVEPOINT crossfade_bodies".to_owned()).await?;
        let settings = format!(
            "SELECT pg_catalog.set_config('search_path', {}, true), pg_catalog.set_config('check_function_bodies', 'on', true)",
            quote_literal(path)
        );
        let replaced = replace(&signature, (&read.source, &function.body), false);
        let tried = query::attempt_as_oneself(conn, WHAT, [settings, replaced]).await?;
        query::run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_bodies".to_owned()).await?;
        if let Err(objection) = tried {
            // It was said by crossfade's own statement.
            let why = objection.message.split(", in SQL statement").next().unwrap_or_default();
            let why = why.split(", in PL/pgSQL function inline_code_block").next().unwrap_or_default();
            found.refuse(
                "catalog::function",
                format!("function {signature} cannot get the body that the plan has for it: {why}"),
                "the role that runs crossfade must own the function, and may then replace it; mend the body if it is that",
            );
            continue;
        }
        all.push(ReplacedFunction { signature, body: read.source });
    }
    Ok(all)
}

/// Refuses other bodies and other arguments where no column gets another name or place.
pub(super) fn judge(plan: &Plan, outcomes: &[Outcome], found: &mut Inspection) {
    let drops = plan.changes.iter().any(|change| matches!(change, Change::DropColumn(_)));
    if drops || outcomes.iter().any(|outcome| !outcome.metadata_only) {
        return;
    }
    for (key, code, given) in [
        ("functions", "catalog::function", !plan.functions.is_empty()),
        ("triggers", "catalog::trigger", !plan.triggers.is_empty()),
    ] {
        if given {
            let why = "has no effect: PostgreSQL changes the type in place, and no column gets another name";
            found.refuse(code, format!("`{key}` {why}"), "remove it");
        }
    }
}

/// Says of the functions that get another body that their text is no concern.
pub(super) fn mark(replaced: &[ReplacedFunction], functions: &mut [Function]) {
    for function in functions.iter_mut().filter(|of| replaced.iter().any(|other| other.signature == of.signature)) {
        function.replaced = true;
    }
}

/// Returns what others have changed of the functions whose bodies the plan replaces, with the first line that differs.
pub(super) async fn changed(
    conn: &mut PgConnection,
    plan: &Plan,
    was: &[ReplacedFunction],
    state: &State,
) -> Result<Vec<String>, CatalogError> {
    let given = state.is_done(&given_in(plan));
    let mut all = Vec::new();
    for (was, plan) in was.iter().zip(&plan.functions) {
        let select = format!(
            "SELECT p.prosrc FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = pg_catalog.to_regprocedure({})",
            quote_literal(&was.signature)
        );
        let expected = if given { &plan.body } else { &was.body };
        match query::text(conn, WHAT, select).await? {
            None => all.push(format!("function {} was dropped", was.signature)),
            Some(now) if now != *expected => {
                all.push(format!("the body of function {} was changed: {}", was.signature, difference(expected, &now)));
            }
            Some(_) => {}
        }
    }
    Ok(all)
}

/// Returns the first line in which two texts differ.
fn difference(was: &str, now: &str) -> String {
    let (was, now): (Vec<_>, Vec<_>) = (was.lines().collect(), now.lines().collect());
    let line = was.iter().zip(&now).position(|(was, now)| was != now).unwrap_or(was.len().min(now.len()));
    let shown =
        |lines: &[&str]| lines.get(line).map_or_else(|| "nothing".to_owned(), |text| format!("`{}`", text.trim()));
    format!("line {} was {}, and is {}", line + 1, shown(&was), shown(&now))
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        assert_eq!(difference("a\n  b\nc", "a\n  x\nc"), "line 2 was `b`, and is `x`");
        assert_eq!(difference("a\nb", "a"), "line 2 was `b`, and is nothing");
        assert_eq!(difference("a", "a\nb"), "line 2 was nothing, and is `b`");
    }
}
