//! What others do to the defaults of a pair in mid-run.

use sqlx::PgConnection;

use super::{Both, Present};
use crate::catalog::CatalogError;
use crate::catalog::rehearsal::{deparsed_default, is_repeatable};
use crate::change::beside_text;
use crate::run::PairFacts;

impl Both<'_> {
    /// Whether the plan says what default the column has under its new type.
    pub(super) fn has_given_default(&self) -> bool {
        self.change.retype.is_some_and(|retype| retype.default.is_some())
    }

    /// Whether somebody has changed a default, that of a domain too.
    pub(super) fn default_differs(&self, present: &Present) -> bool {
        let Some(now) = present.facts.pair(self.position) else { return false };
        let all = |facts: &PairFacts| {
            let PairFacts { old, new_default, new_type_default, .. } = facts.clone();
            (old.default, old.type_default, new_default, new_type_default)
        };
        all(now) != all(self.was)
    }

    /// Whether the default of the new column, while the old one has its own, does not read as the run has set it.
    pub(super) fn is_odd(&self) -> bool {
        let null = |default: &&str| default.starts_with("NULL::");
        match (self.new.default.as_deref(), beside_text(self.was).as_deref()) {
            _ if self.moved => false,
            (Some(seen), None | Some("NULL")) => !null(&seen),
            (seen, expected) => seen != expected,
        }
    }

    /// The default of the new column does not read as the one that the run has set: unless PostgreSQL only writes it in
    /// another way, somebody has changed it.
    pub(super) async fn judge_odd(&self, conn: &mut PgConnection, present: &mut Present) -> Result<(), CatalogError> {
        let now = self.facts(present).map(|facts| beside_text(facts));
        for expected in [Some(beside_text(self.was)), now].into_iter().flatten() {
            let expected = match expected {
                Some(expected) => deparsed_default(conn, self.new, &expected).await?,
                None => None,
            };
            if expected == self.new.default {
                return Ok(());
            }
        }
        present.obstacles.push(format!(
            "the default of column \"{}\" is {}, and not {}: by it the sync trigger knows what an INSERT has given",
            self.new.name,
            says(self.new.default.as_deref()),
            says(beside_text(self.was).as_deref())
        ));
        Ok(())
    }

    /// The default of the old column, `now`, is not the one whose place the plan gives to another: whoever changed it would
    /// lose it in `switch`.
    pub(super) fn judge_replaced(&self, now: &PairFacts, present: &mut Present) {
        let (was, now) = (self.was.old.effective_default(), now.old.effective_default());
        if self.has_given_default() && was != now {
            present.obstacles.push(format!(
                "the default of column \"{}\" is {}, and not {}: the plan replaces it with {}; put it back, and set another when the \
                 run is done",
                self.old.name,
                says(now),
                says(was),
                says(self.was.final_default())
            ));
        }
    }

    /// The default was changed after it had moved: on the way back the old column gets it, if its type takes it.
    pub(super) async fn follow_moved(
        &self,
        conn: &mut PgConnection,
        present: &mut Present,
    ) -> Result<(), CatalogError> {
        let default = self.new.default.as_deref();
        let fits = match default {
            Some(default) => deparsed_default(conn, self.old, default).await?.is_some(),
            None => true,
        };
        // The plan has a default for either type.
        let own = self.was.old.default.as_deref().filter(|_| self.has_given_default());
        let old = if fits { default } else { own };
        let of_old = is_repeatable(conn, self.old, old).await?;
        let of_new = is_repeatable(conn, self.new, default).await?;
        if let Some(facts) = self.facts(present) {
            facts.old.default = old.map(ToOwned::to_owned);
            (facts.old.default_is_repeatable, facts.new_default_is_repeatable) = (of_old, of_new);
        }
        Ok(())
    }

    /// The default of a column that has got its new name was changed.
    pub(super) async fn follow_renamed(
        &self,
        conn: &mut PgConnection,
        present: &mut Present,
    ) -> Result<(), CatalogError> {
        let repeatable = is_repeatable(conn, self.old, self.old.default.as_deref()).await?;
        if let Some(facts) = self.facts(present) {
            (facts.old.default_is_repeatable, facts.new_default_is_repeatable) = (repeatable, repeatable);
        }
        Ok(())
    }

    /// What the old column cannot have is lost on the way back.
    pub(super) fn lose_moved(&self, present: &mut Present) {
        let none = present.facts.pair(self.position).is_some_and(|facts| facts.old.default.is_none());
        let Some(default) = self.new.default.as_ref().filter(|_| none && self.moved && !self.has_given_default())
        else {
            return;
        };
        let (name, of_type) = (&self.new.name, &self.old.type_name);
        present.lost.push(format!("the default {default} of column \"{name}\", which type {of_type} does not take"));
    }
}

fn says(default: Option<&str>) -> &str {
    default.unwrap_or("none")
}
