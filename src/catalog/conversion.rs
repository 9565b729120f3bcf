//! Types and expressions of a type change, tried on temporary tables: PostgreSQL parses what the plan wrote under the
//! session's own `search_path`, and writes it down again with an empty one.

use sqlx::PgConnection;

use super::columns::Column;
use super::query::{self, Objection, attempt, attempt_under, oid, text};
use super::unqualified::{self, CATALOG, Expression};
use super::{CatalogError, Inspection};
use crate::pg::Owner;
use crate::plan::{ChangeType, Pair};
use crate::run::Conversion;
use crate::sql::{quote_ident, quote_literal};

/// Casts between built-in types that return a value for every value, if the target has no modifier.
const NEVER_RAISE: [(&str, &[&str]); 17] = [
    ("smallint", &["integer", "bigint", "numeric", "real", "double precision", "text", "character varying"]),
    ("integer", &["bigint", "numeric", "real", "double precision", "text", "character varying"]),
    ("bigint", &["numeric", "real", "double precision", "text", "character varying"]),
    ("real", &["double precision"]),
    ("numeric", &["text", "character varying"]),
    ("boolean", &["integer", "text", "character varying"]),
    ("text", &["character varying"]),
    ("character varying", &["text"]),
    ("bpchar", &["text", "character varying"]),
    ("name", &["text", "character varying"]),
    ("\"char\"", &["text", "character varying"]),
    ("uuid", &["text", "character varying"]),
    ("oid", &["bigint", "text"]),
    ("cidr", &["inet", "text"]),
    ("inet", &["text"]),
    ("jsonb", &["text", "json"]),
    ("json", &["text"]),
];

/// A type with its modifier and collation, as the rehearsal needs it.
#[derive(Clone)]
pub(super) struct Retyped {
    /// The new column's type, as a column of that type shows it.
    pub(super) column: Column,
    pub(super) forward: Conversion,
    pub(super) reverse: Conversion,
    /// The default that the plan gives it, as SET DEFAULT takes it under any `search_path`.
    pub(super) default: Option<String>,
}

/// Returns the type and the conversions of a type change, or `None` and refusals.
pub(super) async fn retype(
    conn: &mut PgConnection,
    change: &Pair<'_>,
    old: &Column,
    (user_path, owner): (&str, &Owner),
    found: &mut Inspection,
) -> Result<Option<Retyped>, CatalogError> {
    let Some(ChangeType { to, using, reverse, default, .. }) = change.retype else { return Ok(None) };
    let Some(column) = new_type(conn, change, to, user_path, found).await? else { return Ok(None) };
    let forward =
        Way { change, word: "using", name: change.old.as_str(), source: old, target: &column, user_path, owner };
    let forward = forward.resolve(conn, using.as_deref(), found).await?;
    let reverse = match reverse {
        None => Some(Conversion::None),
        Some(sql) => {
            let way = Way {
                change,
                word: "reverse",
                name: change.new.as_str(),
                source: &column,
                target: old,
                user_path,
                owner,
            };
            way.resolve(conn, Some(sql), found).await?
        }
    };
    let default = match default {
        None => Some(None),
        Some(sql) => given_default(conn, change, &column, (sql, user_path), found).await?.map(Some),
    };
    let both = forward.zip(reverse).zip(default);
    Ok(both.map(|((forward, reverse), default)| Retyped { column, forward, reverse, default }))
}

/// Returns the default that the plan gives to a column of the type of `column`; `None` with a refusal.
async fn given_default(
    conn: &mut PgConnection,
    change: &Pair<'_>,
    column: &Column,
    (sql, user_path): (&str, &str),
    found: &mut Inspection,
) -> Result<Option<String>, CatalogError> {
    let subject = format!("`default` of column \"{}\"", change.old);
    let tried = Expression::default(subject.clone(), (change.old, column), sql, user_path);
    let why = match tried.read(conn, found).await? {
        Ok(Some(default)) => return Ok(Some(default)),
        Ok(None) => "it is more than an expression".to_owned(),
        Err(objection) => objection.message,
    };
    found.refuse(
        "catalog::default",
        format!("{subject}: {why}"),
        format!("write an SQL expression of the type {}; it can use no column", column.type_name),
    );
    Ok(None)
}

/// Returns a column of the type that the plan names.
async fn new_type(
    conn: &mut PgConnection,
    change: &Pair<'_>,
    to: &str,
    user_path: &str,
    found: &mut Inspection,
) -> Result<Option<Column>, CatalogError> {
    let subject = format!("type `{to}` of column \"{}\"", change.old);
    let Some(column) = plain_type(conn, to, &subject, user_path, found).await? else { return Ok(None) };
    if column.domain_constrained {
        found.refuse(
            "catalog::constrained_domain",
            format!("{subject} is a domain with constraints"),
            "adding such a column rewrites the table under a lock; change to the base type and add a CHECK later",
        );
        return Ok(None);
    }
    Ok(Some(column))
}

/// Returns a column of the type `to`, which must be a type and nothing more.
pub(super) async fn plain_type(
    conn: &mut PgConnection,
    to: &str,
    subject: &str,
    user_path: &str,
    found: &mut Inspection,
) -> Result<Option<Column>, CatalogError> {
    // The line break ends a comment in the plan's text.
    let create = format!("CREATE TEMPORARY TABLE crossfade_type (crossfade_value {to}\n)");
    let made = if to.contains('\0') {
        Err(zero_byte())
    } else {
        attempt_under(conn, "try the new type", Some(user_path), [create]).await?
    };
    if let Err(objection) = made {
        let (code, help) = match objection.code.as_str() {
            "42704" | "3F000" => {
                ("catalog::type_missing", "check the spelling; a type outside the search_path needs its schema")
            }
            _ => ("catalog::type", "write a type as in CREATE TABLE: varchar(10), numeric(12,2), app.my_enum"),
        };
        found.refuse(code, format!("{subject}: {}", objection.message), help);
        return Ok(None);
    }
    let table = oid(conn, "pg_temp.crossfade_type").await?;
    let columns = Column::read_all(conn, table).await?;
    let constrained = text(
        conn,
        "look at the new type",
        "SELECT count(*)::text FROM pg_constraint WHERE conrelid = 'pg_temp.crossfade_type'::regclass".to_owned(),
    )
    .await?;
    drop_table(conn, "crossfade_type").await?;
    let mut columns: Vec<_> = columns.into_iter().filter(|column| column.attnum > 0).collect();
    let column = columns.pop().filter(|_| columns.is_empty());
    let plain = |column: &Column| {
        column.default.is_none()
            && !column.not_null
            && column.identity.is_none()
            && column.generated.is_none()
            && constrained.as_deref() == Some("0")
    };
    let Some(column) = column.filter(plain) else {
        found.refuse(
            "catalog::type",
            format!("{subject} is more than a type"),
            "write a type, optionally with COLLATE; default and NOT NULL come from the old column, or have keys of their own",
        );
        return Ok(None);
    };
    Ok(Some(column))
}

/// One direction.
struct Way<'a> {
    change: &'a Pair<'a>,
    /// The plan's key.
    word: &'static str,
    /// The column as the expression names it.
    name: &'a str,
    source: &'a Column,
    target: &'a Column,
    user_path: &'a str,
    /// The table's owner, with whose rights the sync trigger converts.
    owner: &'a Owner,
}

/// What is asked of an expression that will be a function.
#[derive(serde::Deserialize)]
struct Asked {
    /// The functions and operators that it calls and that are not PostgreSQL's own, in words.
    foreign: Vec<String>,
    /// What the table's owner may not use of it.
    refused: Vec<String>,
}

impl Way<'_> {
    async fn resolve(
        &self,
        conn: &mut PgConnection,
        written: Option<&str>,
        found: &mut Inspection,
    ) -> Result<Option<Conversion>, CatalogError> {
        let plain = format!("CAST({} AS {})", quote_ident(self.name), self.target.base_type);
        let cast = self.deparse(conn, &plain, CATALOG).await?;
        let sql = match (written, cast.clone()) {
            (None, Ok(sql)) => sql,
            (None, Err(objection)) => {
                self.refuse_cast(&objection, found);
                return Ok(None);
            }
            (Some(written), _) => match self.deparse(conn, written, self.user_path).await? {
                Ok(sql) => sql,
                Err(objection) => {
                    self.refuse(written, &objection, found);
                    return Ok(None);
                }
            },
        };
        if cast.as_ref() == Ok(&sql) {
            if self.source.base_type == self.target.base_type && self.source.type_mod == self.target.type_mod {
                return Ok(Some(Conversion::Identity));
            }
            if self.cast_never_raises() {
                return Ok(Some(Conversion::InfallibleCast));
            }
        }
        match self.null_to_null(conn, &sql).await? {
            Ok((null_to_null, asked)) => {
                for refused in &asked.refused {
                    found.refuse(
                        "catalog::no_privilege",
                        format!(
                            "`{}` of column \"{}\" uses {refused}, which \"{}\" may not",
                            self.word, self.change.old, self.owner.role
                        ),
                        format!(
                            "the sync trigger converts with the rights of the table's owner: GRANT them to \"{}\"",
                            self.owner.role
                        ),
                    );
                }
                if let Some(written) = written
                    && self.deparse(conn, written, CATALOG).await?.as_ref() != Ok(&sql)
                {
                    let subject = format!("`{}` of column \"{}\"", self.word, self.change.old);
                    unqualified::warn(&subject, &asked.foreign, found);
                }
                let search_path = if asked.foreign.is_empty() { None } else { Some(self.schemas(conn).await?) };
                Ok(Some(Conversion::Expression { sql, null_to_null, search_path }))
            }
            Err(objection) => {
                self.refuse(written.unwrap_or(&plain), &objection, found);
                Ok(None)
            }
        }
    }

    /// Returns the schemas of the path of the owner's sessions, for `SET search_path`: what a conversion calls was written for
    /// them.
    async fn schemas(&self, conn: &mut PgConnection) -> Result<String, CatalogError> {
        const WHAT: &str = "read the search_path";
        super::query::run(conn, WHAT, search_path(&self.owner.path)).await?;
        let select = "SELECT coalesce(pg_catalog.string_agg(pg_catalog.quote_ident(s), ', '), '') FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS s";
        let schemas = text(conn, WHAT, select.to_owned()).await?.unwrap_or_default();
        super::query::run(conn, WHAT, search_path("")).await?;
        Ok(schemas)
    }

    fn cast_never_raises(&self) -> bool {
        let (from, to) = (self.source, self.target);
        if from.base_type == to.base_type {
            let widens = ["character varying", "bit varying"].contains(&to.base_type.as_str())
                && from.type_mod >= 0
                && from.type_mod <= to.type_mod;
            return to.type_mod < 0 || widens;
        }
        to.type_mod < 0 && NEVER_RAISE.iter().any(|(f, t)| *f == from.base_type && t.contains(&to.base_type.as_str()))
    }

    /// Returns the expression as PostgreSQL understands it, if it is immutable.
    async fn deparse(
        &self,
        conn: &mut PgConnection,
        sql: &str,
        path: &str,
    ) -> Result<Result<String, Objection>, CatalogError> {
        let result = self.generate(conn, &self.source.base_type, &self.target.base_type, sql, path).await?;
        match result {
            Err(objection) if objection.code == "42P17" && (self.source.is_enum || self.target.is_enum) => {
                let body = self.deparse_enum(conn, sql, path).await?;
                Ok(body.ok_or(objection))
            }
            result => Ok(result),
        }
    }

    /// Casts between text and an enum are not immutable, because the enum's labels can change, but they depend on no session
    /// setting. Returns the expression if everything else in it is immutable, with text in place of the enum.
    async fn deparse_enum(
        &self,
        conn: &mut PgConnection,
        sql: &str,
        path: &str,
    ) -> Result<Option<String>, CatalogError> {
        let Some(body) = self.function_body(conn, sql, path).await? else { return Ok(None) };
        let source = if self.source.is_enum { "text" } else { &self.source.base_type };
        let inner = if self.target.is_enum {
            let Some(inner) = body.strip_suffix(&format!("::{}", self.target.base_type)) else { return Ok(None) };
            // The cut is a guess; that the cast of what is left reads the same proves it.
            let cast = format!("CAST({inner} AS {})", self.target.base_type);
            if self.function_body(conn, &cast, CATALOG).await?.as_ref() != Some(&body) {
                return Ok(None);
            }
            inner
        } else {
            &body
        };
        let target = if self.target.is_enum { "text" } else { &self.target.base_type };
        Ok(self.generate(conn, source, target, inner, CATALOG).await?.is_ok().then_some(body))
    }

    /// Returns the expression as PostgreSQL writes it in a function's body, immutable or not.
    async fn function_body(
        &self,
        conn: &mut PgConnection,
        sql: &str,
        path: &str,
    ) -> Result<Option<String>, CatalogError> {
        let (name, from, to) = (quote_ident(self.name), &self.source.base_type, &self.target.base_type);
        let statements = [
            format!("CREATE FUNCTION pg_temp.crossfade_body({name} {from}) RETURNS {to} LANGUAGE sql RETURN ({sql}\n)"),
            "SELECT pg_get_function_sqlbody(oid) FROM pg_proc WHERE proname = 'crossfade_body' AND pronamespace = pg_my_temp_schema()"
                .to_owned(),
        ];
        let Ok(Some(body)) = attempt_under(conn, "try a conversion", Some(path), statements).await? else {
            return Ok(None);
        };
        super::query::run(conn, "end a trial", format!("DROP FUNCTION pg_temp.crossfade_body({from})")).await?;
        Ok(body.strip_prefix("RETURN ").map(str::to_owned))
    }

    /// Returns the expression as PostgreSQL writes it for a generated column, which accepts exactly what a conversion may
    /// be (docs/postgres.md, "Expressions must be immutable").
    async fn generate(
        &self,
        conn: &mut PgConnection,
        source: &str,
        target: &str,
        sql: &str,
        path: &str,
    ) -> Result<Result<String, Objection>, CatalogError> {
        if sql.contains('\0') {
            return Ok(Err(zero_byte()));
        }
        let out = if self.name == "crossfade_value" { "crossfade_out" } else { "crossfade_value" };
        let before = format!(
            "CREATE TEMPORARY TABLE crossfade_conversion ({} {source}{}, {out} {target} GENERATED ALWAYS AS (",
            quote_ident(self.name),
            self.source.collate(),
        );
        let create = format!("{before}{sql}\n) STORED)");
        if let Err(mut objection) = attempt_under(conn, "try a conversion", Some(path), [create]).await? {
            let within = 1..=sql.chars().count() + 1;
            let at = objection.position.and_then(|at| at.checked_sub(before.chars().count()));
            objection.position = at.filter(|at| within.contains(at));
            return Ok(Err(objection));
        }
        let table = oid(conn, "pg_temp.crossfade_conversion").await?;
        let columns = Column::read_all(conn, table).await?;
        drop_table(conn, "crossfade_conversion").await?;
        let columns: Vec<_> = columns.into_iter().filter(|column| column.attnum > 0).collect();
        if let [_, Column { generated: Some(made), .. }] = columns.as_slice() {
            return Ok(Ok(made.sql.clone()));
        }
        let message = "it is more than an expression".to_owned();
        Ok(Err(Objection { code: "42601".to_owned(), message, position: None }))
    }

    /// Creates the function that the run will use, and returns whether it returns NULL for NULL, and what it uses.
    async fn null_to_null(
        &self,
        conn: &mut PgConnection,
        sql: &str,
    ) -> Result<Result<(bool, Asked), Objection>, CatalogError> {
        let (name, from, to) = (quote_ident(self.name), &self.source.base_type, &self.target.base_type);
        let create = format!(
            "CREATE FUNCTION pg_temp.crossfade_raw({name} {from}) RETURNS {to} IMMUTABLE LANGUAGE sql RETURN ({sql})"
        );
        if let Err(objection) = attempt(conn, "try a conversion", [create]).await? {
            return Ok(Err(Objection { position: None, ..objection }));
        }
        let ask = format!("SELECT (pg_temp.crossfade_raw(CAST(NULL AS {from})) IS NULL)::text");
        let answer = query::ask(conn, "convert NULL", &ask, query::LIMITS).await?;
        let owner = quote_literal(&self.owner.role);
        let uses = format!(
            "SELECT json_build_object('foreign', (SELECT coalesce(json_agg(pg_describe_object(refclassid, refobjid, 0) ORDER BY 1), '[]') FROM d), 'refused', coalesce(json_agg(o.used ORDER BY 1), '[]'))::text FROM ( \
               SELECT pg_describe_object(refclassid, refobjid, 0) AS used FROM d \
                 WHERE refclassid = 'pg_proc'::regclass AND NOT has_function_privilege({owner}, refobjid, 'EXECUTE') \
               UNION ALL SELECT 'schema ' || n.nspname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                 WHERE t.oid = {}::regtype AND NOT has_schema_privilege({owner}, n.oid, 'USAGE')) o",
            quote_literal(to)
        );
        let uses = format!(
            "WITH d AS (SELECT refclassid, refobjid FROM pg_depend WHERE classid = 'pg_proc'::regclass \
               AND objid = (SELECT oid FROM pg_proc WHERE proname = 'crossfade_raw' AND pronamespace = pg_my_temp_schema()) \
               AND refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)) {uses}"
        );
        let asked = super::query::json(conn, "look what a conversion uses", uses).await?;
        super::query::run(conn, "end a trial", format!("DROP FUNCTION pg_temp.crossfade_raw({from})")).await?;
        // A function that raises for NULL does not return NULL.
        Ok(Ok((matches!(answer, Ok(Some(text)) if text == "true"), asked)))
    }

    fn refuse_cast(&self, objection: &Objection, found: &mut Inspection) {
        let (code, help) = match objection.code.as_str() {
            "42P17" => (
                "catalog::expression_volatile",
                if [self.source, self.target].iter().any(|column| column.base_type.starts_with("timestamp")) {
                    format!("say in `using` which one is meant, for example: {} AT TIME ZONE 'UTC'", self.name)
                } else {
                    "give an expression in `using` whose result is the same under all settings".to_owned()
                },
            ),
            _ => ("catalog::expression_type", "give an expression in `using`".to_owned()),
        };
        let why = match objection.code.as_str() {
            "42P17" => "its result depends on settings of the session, such as TimeZone or DateStyle",
            _ => said(objection),
        };
        found.refuse(
            code,
            format!(
                "a plain cast of column \"{}\" from {} to {} is refused: {why}",
                self.change.old, self.source.type_name, self.target.type_name,
            ),
            help,
        );
    }

    fn refuse(&self, written: &str, objection: &Objection, found: &mut Inspection) {
        let only = format!("only column \"{}\" itself may be used", self.name);
        let (code, help) = match objection.code.as_str() {
            "42601" => ("catalog::expression_syntax", "write one SQL expression, without a semicolon"),
            "42703" | "42P01" | "42P10" => ("catalog::expression_column", only.as_str()),
            "0A000" => (
                "catalog::expression_subquery",
                "subqueries and set-returning functions are not allowed; an immutable function can contain a CASE or a table of constants",
            ),
            "42803" | "42P20" => (
                "catalog::expression_aggregate",
                "the expression sees one row; aggregates and window functions are not allowed",
            ),
            "42P17" => (
                "catalog::expression_volatile",
                "the value may depend only on the column, not on time, session settings or tables; name the time zone or format, for example: col AT TIME ZONE 'UTC'",
            ),
            "42804" | "42846" => ("catalog::expression_type", "cast it to the target type"),
            "42883" | "42704" | "3F000" => (
                "catalog::expression_unknown",
                "check the spelling and the argument types; a function outside the search_path needs its schema",
            ),
            _ => ("catalog::expression", "correct the expression"),
        };
        let mut message = format!("`{}` of column \"{}\": {}", self.word, self.change.old, said(objection));
        if let Some(at) = objection.position.filter(|_| !written.contains('\n')) {
            message = format!("{message}\n  {written}\n  {}^", " ".repeat(at - 1));
        }
        found.refuse(code, message, help);
    }
}

fn zero_byte() -> Objection {
    Objection { code: "42601".to_owned(), message: "it contains a zero byte".to_owned(), position: None }
}

/// A statement that sets the `search_path` for the rest of the transaction.
fn search_path(path: &str) -> String {
    format!("SELECT pg_catalog.set_config('search_path', {}, true)", quote_literal(path))
}

async fn drop_table(conn: &mut PgConnection, table: &str) -> Result<(), CatalogError> {
    super::query::run(conn, "end a trial", format!("DROP TABLE pg_temp.{table}")).await
}

/// What the server said. Of an expression that is tried as that of a generated column it says so, which nobody asked for.
fn said(objection: &Objection) -> &str {
    if objection.code == "42P17" {
        "its result may differ from one session, or moment, to another (it is not immutable)"
    } else {
        &objection.message
    }
}
