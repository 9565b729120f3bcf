//! How far a backfill is in each partition of its table, or in each table of those that inherit from it.

use serde::Serialize;

use crate::ledger::PartitionFill;

/// The most partitions that are listed: of a thousand, nobody reads all.
const MOST: usize = 50;

/// How far the backfill of a table is whose rows are in partitions, or also in tables that inherit from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionsView {
    /// What they are.
    pub kind: PartKind,
    /// How many the backfill has met. Those that were detached meanwhile do not count.
    pub total: i64,
    /// In how many of them every row is filled.
    pub filled: i64,
    /// Those whose rows are filled now, by name: as many as there are workers, or fewer.
    pub now: Vec<String>,
    /// At most 50 of them: those that are begun, those to come, and those that are filled, each by name.
    pub listed: Vec<PartitionView>,
    /// How many more there are.
    pub unlisted: i64,
}

/// What holds the rows of a table besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Partitions, of every level.
    Partition,
    /// The table itself and those that inherit from it.
    Table,
}

impl PartKind {
    /// Returns the word for several of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Partition => "partitions",
            Self::Table => "tables",
        }
    }
}

/// How far the backfill of one partition is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionView {
    /// Its name.
    pub table: String,
    /// Whether it is filled.
    pub state: PartitionState,
    /// The share of its pages that is done, from 0 to 100, rounded down.
    pub percent: i64,
    /// Rows that were filled; those that were right already do not count.
    pub rows_filled: i64,
}

/// Whether a partition is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// Some of its rows are, or somebody is at work on it.
    Begun,
    /// Nobody has begun.
    ToCome,
    /// Every row is.
    Filled,
}

impl PartitionState {
    /// Returns the word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::ToCome => "to come",
            Self::Filled => "filled",
        }
    }
}

impl PartitionsView {
    /// Returns how far these partitions are, which come by name; `None` where there are none. `at_work` is whether somebody fills rows.
    pub(super) fn of(kind: PartKind, partitions: &[PartitionFill], at_work: bool) -> Option<Self> {
        if partitions.is_empty() {
            return None;
        }
        let now = partitions.iter().filter(|partition| at_work && partition.is_at_work);
        let now = now.map(|partition| partition.table.to_string()).collect();
        let mut listed: Vec<_> = partitions.iter().map(PartitionView::of).collect();
        let filled = partitions.iter().filter(|partition| partition.is_filled).count();
        if listed.len() > MOST {
            // In order of name within a state.
            listed.sort_by_key(|partition| partition.state);
            listed.truncate(MOST);
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let unlisted = count(partitions.len() - listed.len());
        Some(Self { kind, total: count(partitions.len()), filled: count(filled), now, listed, unlisted })
    }
}

impl PartitionView {
    fn of(fill: &PartitionFill) -> Self {
        let PartitionFill { table, bound, done, rows, is_filled, is_at_work } = fill;
        let state = match (is_filled, *done > 0 || *is_at_work) {
            (true, _) => PartitionState::Filled,
            (false, true) => PartitionState::Begun,
            (false, false) => PartitionState::ToCome,
        };
        let share = i128::from(*done) * 100 / i128::from((*bound).max(1));
        // What is not filled is never at 100 %.
        let percent = if *is_filled { 100 } else { i64::try_from(share).unwrap_or(0).clamp(0, 99) };
        Self { table: table.to_string(), state, percent, rows_filled: *rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::TableName;

    fn partition(number: usize, bound: i64, done: i64) -> PartitionFill {
        let table = TableName::new("public", &format!("p_{number:04}")).unwrap();
        PartitionFill { table, bound, done, rows: done * 10, is_filled: done >= bound, is_at_work: false }
    }

    #[test]
    fn of_a_thousand_partitions_fifty_are_listed_the_unfinished_first() {
        let mut all: Vec<_> =
            (0..1000).map(|number| partition(number, 10, if number < 700 { 10 } else { 0 })).collect();
        all[700].done = 4;
        all[700].is_at_work = true;
        let view = PartitionsView::of(PartKind::Partition, &all, true).unwrap();
        assert_eq!((view.total, view.filled, view.unlisted, view.listed.len()), (1000, 700, 950, 50));
        assert_eq!(view.now, ["public.p_0700"]);
        let first: Vec<_> = view.listed.iter().take(2).map(|of| (of.table.as_str(), of.state, of.percent)).collect();
        let expected = [("public.p_0700", PartitionState::Begun, 40), ("public.p_0701", PartitionState::ToCome, 0)];
        assert_eq!(first, expected);
        let paused = PartitionsView::of(PartKind::Partition, &all, false).unwrap();
        assert!(paused.now.is_empty());
    }

    #[test]
    fn few_partitions_are_listed_by_name_and_what_is_not_filled_is_below_100_percent() {
        let mut all = vec![partition(1, 0, 0), partition(2, 8, 8), partition(3, 8, 0)];
        all[1].is_filled = false;
        let view = PartitionsView::of(PartKind::Table, &all, true).unwrap();
        let listed: Vec<_> = view.listed.iter().map(|of| (of.state.as_str(), of.percent, of.rows_filled)).collect();
        assert_eq!(listed, [("filled", 100, 0), ("begun", 99, 80), ("to come", 0, 0)]);
        assert_eq!((view.total, view.filled, view.unlisted, view.now), (3, 1, 0, vec![]));
        assert_eq!(PartitionsView::of(PartKind::Partition, &[], true), None);
    }
}
