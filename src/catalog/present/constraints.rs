//! The CHECK constraints and foreign keys of a run's columns, in the middle of the run.

use sqlx::PgConnection;

use super::{Both, Look, Present};
use crate::catalog::constraint::{self, Constraint, Referred};
use crate::catalog::dependants::Bond;
use crate::catalog::inspect::enter;
use crate::catalog::server::Server;
use crate::catalog::{CatalogError, Inspection};
use crate::run::{CarriedConstraint, Phase, ReferringKey, Stage, StepKey, What};

/// Those that are there now.
pub(super) struct Seen {
    /// Known to the run.
    pub(super) known: Vec<CarriedConstraint>,
    /// On old columns, and made since.
    pub(super) added: Vec<Constraint>,
    /// On new columns of single partitions alone, in words.
    pub(super) lost: Vec<String>,
}

impl Look<'_> {
    pub(super) async fn constraints(&self, conn: &mut PgConnection, pairs: &[Both<'_>]) -> Result<Seen, CatalogError> {
        let own = self.program.tag.name("");
        let attnums: Vec<_> = pairs.iter().flat_map(|p| [i32::from(p.old.attnum), i32::from(p.new.attnum)]).collect();
        let all = Constraint::read_all(conn, self.was.main().oid, &attnums).await?;
        let stays = |constraint: &Constraint| {
            pairs.iter().all(|pair| pair.change.borrows() || !constraint.mentions(pair.old.attnum))
        };
        let mut seen = Seen { known: vec![], added: vec![], lost: vec![] };
        let referred: Vec<_> = Self::referred(pairs).iter().map(|column| i32::from(column.attnum)).collect();
        let all = all.into_iter().filter(|constraint| !constraint.own_name.starts_with(&own));
        for constraint in all.filter(|constraint| !constraint.comes_in(&self.plan.table, &referred)) {
            let was = self.was.main().constraints.iter().find(|was| was.name == constraint.name);
            match was {
                Some(was) if constraint.is(was, self.stage, self.is_last(was)) => {
                    seen.known.push(constraint.seen(was, self.is_last(was)));
                }
                _ if stays(&constraint) => {}
                _ if pairs.iter().any(|pair| !pair.moved && constraint.mentions(pair.old.attnum)) => {
                    seen.added.push(constraint);
                }
                // On a new column alone; what is on the table itself is found elsewhere.
                _ if constraint.is_of_member() => seen.lost.push(format!("constraint {}", constraint.name)),
                _ => {}
            }
        }
        Ok(seen)
    }

    /// The columns under whose names foreign keys refer to the table.
    fn referred(pairs: &[Both<'_>]) -> Vec<Referred> {
        let carried = pairs.iter().filter(|pair| Bond::of(&pair.change) == Bond::Carried);
        carried
            .map(|pair| {
                let (visible, other) = pair.sides();
                let to = (!pair.moved).then(|| format!("{}{}", other.type_name, other.collate()));
                Referred { attnum: visible.attnum, beside: pair.change.new.sql(), to }
            })
            .collect()
    }

    /// Reads the foreign keys that refer to the columns.
    pub(super) async fn referring(
        &self,
        conn: &mut PgConnection,
        (pairs, server): (&[Both<'_>], &Server),
        present: &mut Present,
        found: &mut Inspection,
    ) -> Result<(), CatalogError> {
        let own = self.program.tag.name("");
        let referred = Self::referred(pairs);
        let attnums: Vec<_> = referred.iter().map(|column| i32::from(column.attnum)).collect();
        let was = &self.was.main().referring;
        let next = was.iter().map(|key| key.number + 1).max().unwrap_or(0);
        let mut now = Vec::new();
        let mut added = Vec::new();
        for constraint in Constraint::read_incoming(conn, self.was.main().oid, &attnums).await? {
            if constraint.name.starts_with(&own) {
                continue;
            }
            let known = was.iter().find(|key| {
                let table = self.was.tables.get(usize::from(key.table.0)).map(|table| &table.name);
                table.is_some_and(|table| constraint.is_key(table, key, !self.is_under_way(key)))
            });
            match known {
                Some(key) => now.push(ReferringKey { comment: constraint.comment().cloned(), ..key.clone() }),
                None if self.stage == Stage::Soak => added.push((next + added.len(), constraint)),
                // It refers to the new column, and stays; a rollback would lose it.
                None => {}
            }
        }
        // That of a partitioned table is made of what its partitions have.
        let of_parts = |key: &&ReferringKey| {
            let table = self.was.tables.get(usize::from(key.table.0));
            self.is_under_way(key) && table.is_some_and(|table| table.partitioned)
        };
        let missing = |key: &&ReferringKey| !now.iter().any(|seen: &ReferringKey| seen.number == key.number);
        let made: Vec<_> = was.iter().filter(of_parts).filter(missing).cloned().collect();
        now.extend(made);
        // Whether they fit is tried as the owner.
        let table = (&self.plan.table, self.was.main().oid);
        if !added.is_empty() && enter(conn, table.0, table.1, server, found).await?.is_none() {
            return Ok(());
        }
        now.extend(constraint::incoming(conn, &added, &referred, &mut present.facts.tables, found).await?);
        now.sort_by_key(|key| key.number);
        present.facts.tables[0].referring = now;
        Ok(())
    }

    /// Whether a foreign key that refers to a partitioned table was made anew by the swap, or by its undoing, and is not all of it again:
    /// the steps behind the swap are to come, or the undoing of the one before.
    fn is_under_way(&self, key: &ReferringKey) -> bool {
        let Some(table) = self.was.tables.get(usize::from(key.table.0)).filter(|_| self.was.main().partitioned) else {
            return false;
        };
        let called = format!("{}.{}", table.name, key.name);
        let is_done = |what: What| self.state.is_done(&StepKey::new(Phase::Switch, what));
        let behind = [What::Validate(called.clone()), What::Constraint(called.clone())];
        let mut behind =
            behind.into_iter().filter(|what| self.program.step(&StepKey::new(Phase::Switch, what.clone())).is_some());
        is_done(What::Promise(called)) && (!is_done(What::Swap) || !behind.all(is_done))
    }

    /// Whether the twin of the constraint has its name: a CHECK of a conversion that can fail waits for the end.
    pub(super) fn is_last(&self, constraint: &CarriedConstraint) -> bool {
        crate::change::is_carried(self.plan, self.was, constraint, self.stage)
    }
}
