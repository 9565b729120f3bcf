//! What crossfade's sessions are set to, whatever the role, the database or the URL say.

use std::time::Duration;

use super::answer::ORDINARY;

/// How long a transaction of crossfade may sit idle before the server ends it; below the lease, so that a stopped process
/// cannot hold locks, nor commit, once somebody else has taken over.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(8);

/// Settings, with values as `SHOW` shows them, that are set where they exist (`transaction_timeout` does from 17 on) and
/// differ: some may only be set by a superuser. Each is here for one of these reasons: it changes how a literal, a default or
/// a value is read or written; it ends a session or a statement of ours; or it says how soon somebody's absence is noticed.
const PINS: [(&str, &str); 30] = [
    // How text is read and written: what pg_dump pins, and what else changes the meaning of an expression.
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, MDY"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("escape_string_warning", "off"),
    ("quote_all_identifiers", "off"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("check_function_bodies", "on"),
    ("row_security", "off"),
    // What ends a session or a transaction, or changes what it may do.
    ("lock_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("session_replication_role", "origin"),
    ("exit_on_error", "off"),
    // The planner cannot know the cost of catalog queries, and the JIT compiler takes seconds over them.
    ("jit", "off"),
    ("enable_tidscan", "on"),
    // A backend whose client is gone gives its locks back, also if it was a network that took the client away
    // (docs/postgres.md, "Abandoned backends"). The packets also keep a firewall from forgetting a connection on which a
    // statement has been running for long.
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30000"),
];

/// Returns the statements that pin a session's settings; they return nothing. The `search_path` comes first: what follows
/// uses operators.
pub(super) fn statements() -> Vec<String> {
    let mut values: Vec<_> = PINS.iter().map(|(name, value)| format!("('{name}', '{value}')")).collect();
    for (name, time) in [("statement_timeout", ORDINARY), ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION)]
    {
        values.push(format!("('{name}', '{}s')", time.as_secs()));
    }
    let values = values.join(", ");
    // Where a commit is waited for, it may be waited for in any way.
    let commit = "CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'on' END";
    vec![
        "SET search_path = pg_catalog, pg_temp".to_owned(),
        // Of its own, because the role's may be too short for the one that comes next.
        format!("SET statement_timeout = '{}s'", ORDINARY.as_secs()),
        format!(
            "DO $cf$ BEGIN PERFORM pg_catalog.set_config(v.name, v.value, false) \
             FROM (VALUES {values}, ('synchronous_commit', {commit})) AS v (name, value) \
             WHERE pg_catalog.current_setting(v.name, true) <> v.value; END $cf$"
        ),
    ]
}
