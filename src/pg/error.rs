//! Server errors by SQLSTATE class, never by text.

use sqlx::postgres::PgDatabaseError;

/// What an error means for what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// A lock could not be acquired in time, a deadlock was broken, or a concurrent change came first: try again.
    Contention,
    /// The connection is gone, or the server is going away or coming up: connect again.
    Connection,
    /// The server refuses: no privilege, read-only, wrong password, no such database.
    Refused,
    /// Anything else: the statement cannot work as it is.
    Other,
}

/// Characters of an error's context that are shown.
const MOST_CONTEXT: usize = 600;

/// Returns the SQLSTATE of a server error.
pub fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned))
}

/// Returns the class of an error.
pub fn class_of(error: &sqlx::Error) -> ErrorClass {
    let Some(code) = sqlstate(error) else {
        return match error {
            // What rustls says of a certificate or of the other end's TLS: it will be said again.
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => ErrorClass::Refused,
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => ErrorClass::Connection,
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => ErrorClass::Refused,
            _ => ErrorClass::Other,
        };
    };
    match code.as_str() {
        // lock_not_available, deadlock_detected, serialization_failure, query_canceled (a timeout)
        "55P03" | "40P01" | "40001" | "57014" => ErrorClass::Contention,
        // insufficient_privilege, read_only_sql_transaction, invalid_catalog_name, too_many_connections
        "42501" | "25006" | "3D000" | "53300" => ErrorClass::Refused,
        // admin_shutdown, crash_shutdown, cannot_connect_now; idle_in_transaction_session_timeout,
        // idle_session_timeout and transaction_timeout, after which the server closes the session
        "57P01" | "57P02" | "57P03" | "25P03" | "57P05" | "25P04" => ErrorClass::Connection,
        _ if code.starts_with("08") => ErrorClass::Connection,
        _ if code.starts_with("28") => ErrorClass::Refused,
        _ => ErrorClass::Other,
    }
}

/// Returns whether the answer has text that is not UTF-8, as a database in `SQL_ASCII` may hold it.
pub(crate) fn is_not_utf8(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::ColumnDecode { source, .. } | sqlx::Error::Decode(source) => source.is::<std::str::Utf8Error>(),
        // character_not_in_repertoire: the server itself looks, where JSON is made of it.
        error => sqlstate(error).as_deref() == Some("22021"),
    }
}

/// Returns the error as one sentence for people: the server's message with its detail and SQLSTATE, where in whose code it was
/// raised, and nothing of the connection string.
pub fn describe(error: &sqlx::Error) -> String {
    match error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) {
        Some(server) => {
            let detail = server.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            let context = context(server).map(|context| format!(", in {context}")).unwrap_or_default();
            format!("{}{detail} [SQLSTATE {}]{context}", server.message(), server.code())
        }
        None => error.to_string(),
    }
}

/// Returns the code in which the server raised an error, innermost first, if it is not a statement of crossfade's.
pub(crate) fn context(error: &PgDatabaseError) -> Option<String> {
    let lines = of_others(error.r#where()?).lines().map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join(" / ");
    let shown = if text.chars().count() > MOST_CONTEXT {
        text.chars().take(MOST_CONTEXT - 1).chain(['…']).collect()
    } else {
        text
    };
    (!shown.is_empty()).then_some(shown)
}

/// Returns the server's CONTEXT of an error without the lines that come from the functions of [`Owner`](super::Owner), and from a
/// DO block that they run.
fn of_others(context: &str) -> &str {
    let Some(own) = context.find("crossfade_owner(").or_else(|| context.find("crossfade_as_owner(")) else {
        return context;
    };
    let before = without_statement(context[..own].rfind('\n').map_or("", |end| &context[..end]));
    let last = before.rfind('\n').map_or(0, |end| end + 1);
    if before[last..].starts_with("PL/pgSQL function inline_code_block ") {
        return without_statement(before[..last].trim_end_matches('\n'));
    }
    before
}

/// Returns a CONTEXT without the statement at its end.
fn without_statement(context: &str) -> &str {
    let statement = if context.starts_with("SQL statement \"") { Some(0) } else { None };
    let last = context.rfind("\nSQL statement \"").or(statement);
    last.map_or(context, |start| &context[..start])
}

#[cfg(test)]
mod tests {
    use super::of_others;

    #[test]
    fn the_context_is_that_of_the_others() {
        let own = "SQL statement \"UPDATE t\n SET a = 1\"\nPL/pgSQL function pg_temp_3.crossfade_owner(text,boolean,text) line 6 at EXECUTE\nPL/pgSQL function pg_temp_3.crossfade_as_owner(text,boolean,text) line 7 at RETURN";
        assert_eq!(of_others(own), "");
        assert_eq!(of_others("PL/pgSQL function f() line 3 at RAISE"), "PL/pgSQL function f() line 3 at RAISE");
        let others = "SQL statement \"INSERT INTO a\"\nPL/pgSQL function f() line 3 at SQL statement";
        assert_eq!(of_others(&format!("{others}\n{own}")), others);
        let block =
            "SQL statement \"UPDATE ONLY t\nSET a = t.a\"\nPL/pgSQL function inline_code_block line 5 at SQL statement";
        assert_eq!(of_others(&format!("{block}\n{own}")), "");
        assert_eq!(of_others(&format!("{others}\n{block}\n{own}")), others);
    }
}
