//! What one part of a plan contributes to a program, as data. The planner joins the parts: what several of them have to do
//! under one lock becomes one transaction.

use crate::ident::ColumnName;
pub(super) use crate::run::Stage;
use crate::run::{Action, Fill, Gate, Is, Pair, Step, StepKey};

/// One value for each stage.
#[derive(Debug, Default)]
pub(super) struct ByStage<T> {
    soak: T,
    swapped: T,
    retired: T,
}

impl<T> ByStage<T> {
    pub(super) fn new(of: impl Fn(Stage) -> T) -> Self {
        Self { soak: of(Stage::Soak), swapped: of(Stage::Swapped), retired: of(Stage::Retired) }
    }

    pub(super) fn at(&self, stage: Stage) -> &T {
        match stage {
            Stage::Soak => &self.soak,
            Stage::Swapped => &self.swapped,
            Stage::Retired => &self.retired,
        }
    }
}

/// Statements that do something, and those that undo it. Each of the latter may be repeated.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) forth: Vec<String>,
    pub(super) back: Vec<String>,
}

impl Moves {
    pub(super) fn extend(&mut self, more: Self) {
        self.forth.extend(more.forth);
        self.back.extend(more.back);
    }
}

/// A column that becomes NOT NULL without a scan under a strong lock.
#[derive(Debug)]
pub(super) struct Proof {
    /// The name of the constraint that proves it: crossfade's own, or the final one if PostgreSQL keeps it.
    pub(super) constraint: String,
    /// The column's name when it is proved.
    pub(super) column: String,
    /// Whether it must wait until nobody writes the old column, because a value that does not convert would make an
    /// application's write fail.
    pub(super) late: bool,
}

/// An old column that is NOT NULL and cannot stay so, because a value of the new one may have no way back.
#[derive(Debug)]
pub(super) struct Relax {
    pub(super) column: ColumnName,
    /// The constraint under which it comes back when the run is rolled back.
    pub(super) constraint: String,
    /// What makes, and what removes, the trigger that stands in for NOT NULL where neither column is.
    pub(super) guard: Option<[Vec<String>; 2]>,
}

/// A column that was NOT NULL until it was retired.
#[derive(Debug)]
pub(super) struct Restore {
    /// Its own name.
    pub(super) column: ColumnName,
    /// Its name while it is retired.
    pub(super) retired: String,
    /// The constraint under which NOT NULL comes back.
    pub(super) constraint: String,
}

/// What is dropped at the end.
#[derive(Debug, Default)]
pub(super) struct Drops {
    /// What goes for good, in words.
    pub(super) goes: Option<String>,
    pub(super) needs: Vec<Gate>,
    pub(super) statements: Vec<String>,
    pub(super) gone: Vec<Is>,
}

/// What one change, or the plan's list of indexes, contributes.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    /// Of the transaction that adds the new columns of pairs and their sync trigger.
    pub(super) expand: Moves,
    /// How existing rows are filled.
    pub(super) fill: Option<Fill>,
    /// What the check compares.
    pub(super) compare: Option<ByStage<Pair>>,
    /// What the catalog shows of columns and renamed indexes.
    pub(super) layout: ByStage<Vec<Is>>,
    pub(super) not_null: Vec<Proof>,
    pub(super) relax: Option<Relax>,
    /// Of the transaction that exchanges the names.
    pub(super) swap: Moves,
    /// What must be there before the names are exchanged back; each may be repeated.
    pub(super) before_back: Vec<Action>,
    /// Of the transaction that renames old columns away.
    pub(super) retire: Moves,
    /// NOT NULL that the way back of `retire` proves again.
    pub(super) restore: Option<Restore>,
    /// Of the transaction that ends the run.
    pub(super) drop: Drops,
    /// Steps with a transaction of their own.
    pub(super) steps: Vec<Step>,
    /// Steps right behind the transaction that exchanges the names.
    pub(super) after_swap: Vec<Step>,
    /// Steps of this fragment whose conditions name what `swap` and `retire` rename.
    pub(super) renamed: Vec<StepKey>,
    /// Steps of this fragment whose conditions name what `drop` drops.
    pub(super) dropped: Vec<StepKey>,
}
