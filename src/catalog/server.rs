//! The server, and the privileges of crossfade's role on it.

use serde::Deserialize;
use sqlx::PgConnection;

use super::finding::list;
use super::{CatalogError, Inspection, query};
use crate::names::LedgerSchema;
use crate::sql::quote_ident;

/// The oldest version that has everything crossfade uses.
const OLDEST: u32 = 140_000;
/// The first release of 14 whose indexes are sound (docs/postgres.md, "CREATE INDEX CONCURRENTLY before 14.4").
const INDEXES_SOUND: u32 = 140_004;

#[derive(Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "rights")]
pub(super) struct Server {
    pub(super) version: u32,
    version_text: String,
    pub(super) role: String,
    database: String,
    may_create_schema: bool,
    pub(super) may_create_temp: bool,
    /// `None` where the ledger's schema is not there yet.
    may_use_ledger: Option<bool>,
    /// Whether everybody may use the ledger's schema, or this role can grant it.
    all_may_use_ledger: bool,
    pub(super) has_hypertables: bool,
    event_triggers: Vec<String>,
}

impl Server {
    pub(super) async fn read(conn: &mut PgConnection, ledger: &LedgerSchema) -> Result<Self, CatalogError> {
        query::read(
            conn,
            "read the server's version",
            query::fixed(include_str!("server.sql")).bind(ledger.as_str().to_owned()),
        )
        .await
    }

    /// Returns whether the version is one on which anything else may be tried.
    pub(super) fn supported(&self) -> bool {
        self.version >= INDEXES_SOUND
    }

    pub(super) fn judge(&self, ledger: &LedgerSchema, found: &mut Inspection) {
        let (version, role) = (&self.version_text, quote_ident(&self.role));
        if self.version < OLDEST {
            found.refuse(
                "catalog::server_version",
                format!("the server is PostgreSQL {version}"),
                "crossfade needs PostgreSQL 14 or later",
            );
        } else if self.version < INDEXES_SOUND {
            found.refuse(
                "catalog::server_version",
                format!("the server is PostgreSQL {version}, on which CREATE INDEX CONCURRENTLY may miss rows"),
                "update to 14.4 or later",
            );
        }
        match self.may_use_ledger {
            None if !self.may_create_schema => found.refuse(
                "catalog::no_privilege",
                format!(
                    "role \"{}\" may not create the ledger's schema \"{}\" in database \"{}\"",
                    self.role,
                    ledger.as_str(),
                    self.database
                ),
                format!(
                    "GRANT CREATE ON DATABASE {} TO {role}, or let an administrator run CREATE SCHEMA {} AUTHORIZATION {role}",
                    quote_ident(&self.database),
                    quote_ident(ledger.as_str()),
                ),
            ),
            Some(false) => found.refuse(
                "catalog::no_privilege",
                format!("role \"{}\" may not create objects in the ledger's schema \"{}\"", self.role, ledger.as_str()),
                format!(
                    "GRANT USAGE, CREATE ON SCHEMA {0} TO \"{1}\"; GRANT USAGE ON SCHEMA {0} TO PUBLIC",
                    quote_ident(ledger.as_str()),
                    self.role
                ),
            ),
            _ if !self.all_may_use_ledger => found.refuse(
                "catalog::no_privilege",
                format!(
                    "the ledger's schema \"{}\" belongs to another role, and not everybody may use it: the sync trigger calls functions there as whoever writes",
                    ledger.as_str()
                ),
                format!("GRANT USAGE ON SCHEMA {} TO PUBLIC", quote_ident(ledger.as_str())),
            ),
            _ => {}
        }
        if !self.may_create_temp {
            found.refuse(
                "catalog::no_privilege",
                format!("role \"{}\" may not create temporary tables in database \"{}\"", self.role, self.database),
                format!(
                    "GRANT TEMPORARY ON DATABASE {} TO {role}: the change is rehearsed on an empty copy of the table",
                    quote_ident(&self.database)
                ),
            );
        }
        if !self.event_triggers.is_empty() {
            found.warn(
                "catalog::event_trigger",
                format!("event triggers run inside crossfade's DDL: {}", list(&self.event_triggers)),
                "check that they allow ALTER TABLE and CREATE INDEX CONCURRENTLY",
            );
        }
    }
}
