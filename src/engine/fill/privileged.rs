//! Settings of a batch's transaction that a role may need a privilege for. Only those that the plan asks for, and each is
//! tried before it is relied on: what the catalog says of privileges is not the whole truth on managed servers.

use sqlx::PgConnection;

use crate::pg;
use crate::plan::{Backfill, Triggers};

/// For trying a setting.
const BRIEF: pg::Timeouts =
    pg::Timeouts { lock: std::time::Duration::from_secs(1), statement: std::time::Duration::from_secs(5) };

/// A setting that the plan asks for and the server refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The key of the plan, under `backfill`.
    pub(crate) key: &'static str,
    /// The server's message.
    pub(crate) said: String,
    /// What may help.
    pub(crate) help: String,
}

/// Returns the server's settings that the plan asks for: the plan's key, the setting, its value.
fn wanted(plan: &Backfill) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let triggers = (plan.triggers == Triggers::Skip).then_some(("triggers", "session_replication_role", "replica"));
    let compression = plan.wal_compression.map(|method| ("wal_compression", "wal_compression", method.server_value()));
    triggers.into_iter().chain(compression)
}

/// Returns the statements that make the settings in a transaction.
pub(super) fn statements(plan: &Backfill) -> String {
    let set = |(_, setting, value)| ["SET LOCAL ", setting, " = ", value, "; "];
    wanted(plan).flat_map(set).collect()
}

/// Returns those settings that the server refuses to this role.
///
/// # Errors
/// The server's, if it cannot be asked.
pub(crate) async fn refused(connection: &mut PgConnection, plan: &Backfill) -> Result<Vec<Refused>, sqlx::Error> {
    let mut refused = Vec::new();
    for (key, setting, value) in wanted(plan) {
        let set = format!("SET LOCAL {setting} = {value}");
        match pg::look(connection, BRIEF, &set, "SELECT 'set'::text").await {
            Ok(_) => {}
            Err(error) if pg::class_of(&error) == pg::ErrorClass::Connection => return Err(error),
            Err(error) => refused.push(Refused {
                key,
                said: pg::describe(&error),
                help: format!(
                    "leave `backfill.{key}` out, or have a superuser run: GRANT SET ON PARAMETER {setting} TO ... (PostgreSQL 15 and later)"
                ),
            }),
        }
    }
    Ok(refused)
}
