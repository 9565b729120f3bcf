//! Other people's code, with its owner's rights and under its owner's `search_path`.
//!
//! An UPDATE runs the table's triggers, and the functions in its indexes, constraints and conversions; whoever owns the table
//! decides what those do. With nothing but SET ROLE around it, such code says RESET ROLE and has the rights of crossfade. So a
//! statement that may run it is handed to a function that belongs to the table's owner and is SECURITY DEFINER: inside, the
//! server refuses to change the role. What could still run outside is cut off before the transaction goes on: settings are
//! reset, cursors closed, deferred triggers fired inside (docs/postgres.md, "Other people's code").
//!
//! The functions are in the session's temporary schema: nobody else reaches them, and they end with the session.

use sqlx::PgConnection;

use super::{Limits, batch, columns, query_as, query_scalar, transaction};
use crate::sql::{dollar_quote, quote_ident, quote_literal};

/// [`OWNER`] belongs to the table's owner, [`GUARD`] to the session's role.
const OWNER: &str = "pg_temp.crossfade_owner";
const GUARD: &str = "pg_temp.crossfade_as_owner";
const SETTLED: &str = "pg_temp.crossfade_settled";
/// Whatever somebody has set in the session.
const RESET: &str = "RESET ALL";
const ARGUMENTS: &str = "statement pg_catalog.text, asks pg_catalog.bool, path pg_catalog.text";
const TYPES: &str = "pg_catalog.text, pg_catalog.bool, pg_catalog.text";

/// Since this version a deferred trigger runs as the role that was there when it was queued, and cannot change it.
const TRIGGERS_RUN_AS_QUEUED: i32 = 180_000;

/// The owner of a table, as whom a session runs statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The role.
    pub(crate) role: String,
    role_oid: i64,
    /// Whether the session has no other role.
    is_session: bool,
    /// Whether the session may act as the role.
    pub(crate) may_switch: bool,
    /// Whether the role sees every row of the table.
    pub(crate) sees_all_rows: bool,
    version: i32,
    /// The `search_path` of the role's sessions.
    pub(crate) path: String,
}

columns!(Owner { role, role_oid, is_session, may_switch, sees_all_rows, version, path });

impl Owner {
    /// Reads the owner of the table with this oid; `None` where there is none.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn of(connection: &mut PgConnection, table_oid: i64) -> Result<Option<Self>, sqlx::Error> {
        query_as(include_str!("owner.sql")).bind(table_oid).fetch_optional(connection).await
    }

    /// Reads the owner of the table with this oid, and prepares the session to run statements as the owner.
    ///
    /// # Errors
    /// The server's error; [`sqlx::Error::RowNotFound`] where there is no such table.
    pub(crate) async fn enter(connection: &mut PgConnection, table_oid: i64) -> Result<Self, sqlx::Error> {
        let owner = Self::of(connection, table_oid).await?.ok_or(sqlx::Error::RowNotFound)?;
        owner.prepare(connection).await?;
        Ok(owner)
    }

    /// Returns whether the session has rights of its own that the owner's code must not get.
    pub(crate) fn is_another(&self) -> bool {
        !self.is_session
    }

    /// Returns whether a trigger that is deferred to COMMIT would run with the session's rights.
    pub(crate) fn must_not_defer(&self) -> bool {
        self.is_another() && self.version < TRIGGERS_RUN_AS_QUEUED
    }

    /// Makes the session's functions.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn prepare(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // What a pooler's session has left from somebody else goes first.
        let mut text = String::from("DISCARD TEMP; ");
        let function = |name: &str, arguments: &str, definer: &str, body: &str| {
            format!(
                "CREATE FUNCTION {name}({arguments}) RETURNS pg_catalog.text LANGUAGE plpgsql{definer} \
                 SET search_path = pg_catalog, pg_temp AS {}; ",
                dollar_quote(body)
            )
        };
        if self.is_another() {
            text += &function(OWNER, ARGUMENTS, " SECURITY DEFINER", &self.body());
            text += &["ALTER FUNCTION ", OWNER, "(", TYPES, ") OWNER TO ", &quote_ident(&self.role), "; "].concat();
            text += &function(GUARD, ARGUMENTS, "", &self.guard());
        } else {
            text += &function(GUARD, ARGUMENTS, "", &self.body());
        }
        if self.must_not_defer() {
            text += &function(SETTLED, "", "", &self.settled());
        }
        batch(connection, &text).await
    }

    /// What [`OWNER`] does. Deferred triggers fire here and not at COMMIT, where they would have the session's rights.
    fn body(&self) -> String {
        format!(
            "
DECLARE answer pg_catalog.text; changed pg_catalog.int8;
BEGIN
  PERFORM pg_catalog.set_config('search_path', COALESCE(path, {}), true);
  IF asks THEN EXECUTE statement INTO answer; RETURN answer; END IF;
  EXECUTE statement;
  GET DIAGNOSTICS changed = ROW_COUNT;
  SET CONSTRAINTS ALL IMMEDIATE;
  RETURN changed;
END ",
            quote_literal(&self.path)
        )
    }

    /// What [`GUARD`] does: the owner's code may replace a function that belongs to the owner.
    fn guard(&self) -> String {
        format!(
            "
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.oid = '{OWNER}({TYPES})'::pg_catalog.regprocedure
                 AND p.prosecdef AND p.proowner = {}) THEN
    RAISE insufficient_privilege USING MESSAGE = {};
  END IF;
  RETURN {OWNER}(statement, asks, path);
END ",
            self.role_oid,
            quote_literal(&format!(
                "code that belongs to role \"{}\" has changed the function through which crossfade runs it",
                self.role
            )),
        )
    }

    /// What [`SETTLED`] does.
    fn settled(&self) -> String {
        let refusal = format!(
            "a trigger that can be deferred, %s, could run at COMMIT with the rights of role \"%s\" instead of \"{}\"",
            self.role.replace('%', "%%")
        );
        format!(
            "
DECLARE found pg_catalog.text;
BEGIN
  {} INTO found;
  IF found IS NOT NULL THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format({}, found, SESSION_USER),
      HINT = {};
  END IF;
  RETURN NULL;
END ",
            include_str!("deferrable.sql").trim_end(),
            quote_literal(&refusal),
            quote_literal(&format!("connect as role \"{}\"", self.role)),
        )
    }

    /// Returns the statement that runs `statement` as the owner and says how many rows it changed, as text. To be followed
    /// by [`Owner::settle`] where the transaction goes on.
    #[expect(clippy::unused_self, reason = "there is an owner where the session has the functions")]
    pub(crate) fn run(&self, statement: &str) -> String {
        format!("SELECT {}", call(statement, false, None))
    }

    /// Returns the query that answers with the one text that `query` returns, asked as the owner.
    #[expect(clippy::unused_self, reason = "there is an owner where the session has the functions")]
    pub(crate) fn ask(&self, query: &str) -> String {
        format!("SELECT {}", call(query, true, None))
    }

    /// As [`Owner::run`] with [`Owner::settle`], under `path` if there is one, in a transaction that will be rolled back.
    pub(crate) fn try_under(path: Option<&str>, statement: &str, limits: Limits) -> String {
        format!("SELECT {}; {}", call(statement, false, path), again(limits).join("; "))
    }

    /// As [`Owner::ask`], in a transaction that will be rolled back.
    pub(crate) fn try_ask(query: &str, limits: Limits) -> String {
        format!("SELECT {}; {}", call(query, true, None), again(limits).join("; "))
    }

    /// Returns the statements that do what [`Owner::run`] and [`Owner::settle`] do, and leave two numbers in settings of the
    /// transaction: in `changed` how many rows the statement changed, and in the setting that `meter` begins with by how much
    /// it has made the number grow for which the expression in `meter` stands.
    pub(crate) fn run_metered(
        &self,
        statement: &str,
        limits: Limits,
        changed: &str,
        (grown, meter): (&str, &str),
    ) -> String {
        let body = format!(
            "DECLARE before pg_catalog.int8 := COALESCE({meter}, 0); changed pg_catalog.text; BEGIN changed := {}; {RESET}; \
             PERFORM pg_catalog.set_config('{changed}', changed, true), \
             pg_catalog.set_config('{grown}', (COALESCE({meter}, 0) OPERATOR(pg_catalog.-) before)::pg_catalog.text, true); END",
            call(statement, false, None)
        );
        format!("DO {}; {}", dollar_quote(&body), self.settled_but_reset(limits).join("; "))
    }

    /// Returns the statements that do what [`Owner::run`] and [`Owner::settle`] do, and leave the setting `kept` of the transaction
    /// as the statement has left it.
    pub(crate) fn run_keeping(&self, statement: &str, limits: Limits, kept: &str) -> Vec<String> {
        let body = format!(
            "DECLARE kept pg_catalog.text; BEGIN PERFORM {}; kept := pg_catalog.current_setting('{kept}', true); {RESET}; \
             PERFORM pg_catalog.set_config('{kept}', COALESCE(kept, ''), true); END",
            call(statement, false, None)
        );
        [format!("DO {}", dollar_quote(&body))].into_iter().chain(self.settled_but_reset(limits)).collect()
    }

    /// Returns the statements that undo what the owner's code may have left in the session, so that what follows in the
    /// transaction, and its COMMIT, runs nothing of it.
    pub(crate) fn settle(&self, limits: Limits) -> Vec<String> {
        [RESET.to_owned()].into_iter().chain(self.settled_but_reset(limits)).collect()
    }

    fn settled_but_reset(&self, limits: Limits) -> Vec<String> {
        let mut all = transaction::settings_again(limits);
        all.push("CLOSE ALL".to_owned());
        if self.must_not_defer() {
            all.push(format!("DO $cf$ BEGIN PERFORM {SETTLED}(); END $cf$"));
        }
        all
    }

    /// Returns the trigger because of which [`Owner::settle`] refuses, if there is one.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn deferrable(&self, connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
        if !self.must_not_defer() {
            return Ok(None);
        }
        query_scalar(include_str!("deferrable.sql")).fetch_optional(connection).await
    }
}

fn call(statement: &str, asks: bool, path: Option<&str>) -> String {
    let (statement, path) = (quote_literal(statement), path.map_or_else(|| "NULL".to_owned(), quote_literal));
    format!("{GUARD}({statement}::pg_catalog.text, {asks}, {path}::pg_catalog.text)")
}

/// The session's settings and those of a transaction with these limits, whatever the owner's code has made of them.
fn again(limits: Limits) -> Vec<String> {
    [RESET.to_owned()].into_iter().chain(transaction::settings_again(limits)).collect()
}
