//! Approvals are recorded by functions of the ledger, so that a role that can only execute these can approve: they append an
//! entry in the name of the role that has logged in, and nothing else.

use sqlx::PgConnection;

use super::Log;
use crate::ident::RunId;
use crate::ledger::{BOOKKEEPING, LedgerError};
use crate::pg;
use crate::run::{Actor, Head, Phase};

impl Log<'_> {
    /// Records that `person` has approved `phase`, which is now what `digest` stands for.
    ///
    /// # Errors
    /// The server's: the role may not execute the function, or the run does not let this phase be approved.
    pub(crate) async fn approve(
        self,
        connection: &mut PgConnection,
        run: RunId,
        phase: Phase,
        (person, comment): (&str, Option<&str>),
        digest: &Head,
        actor: &Actor,
    ) -> Result<(), LedgerError> {
        let call = self.ledger.sql("SELECT crossfade.approve($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            let call = pg::query(&call).bind(run.0).bind(phase.as_str()).bind(person).bind(comment);
            let call = call.bind(digest.as_str()).bind(&actor.user).bind(&actor.host).bind(actor.pid);
            call.bind(&actor.version).execute(tx).await?;
            Ok(())
        })
        .await
    }

    /// Records that `person` takes the approvals of `phase` back.
    ///
    /// # Errors
    /// As [`Log::approve`].
    pub(crate) async fn revoke_approval(
        self,
        connection: &mut PgConnection,
        run: RunId,
        phase: Phase,
        person: &str,
        actor: &Actor,
    ) -> Result<(), LedgerError> {
        let call = self.ledger.sql("SELECT crossfade.revoke_approval($1, $2, $3, $4, $5, $6, $7)");
        pg::transaction(connection, BOOKKEEPING, async |tx| {
            let call = pg::query(&call).bind(run.0).bind(phase.as_str()).bind(person);
            call.bind(&actor.user).bind(&actor.host).bind(actor.pid).bind(&actor.version).execute(tx).await?;
            Ok(())
        })
        .await
    }
}
