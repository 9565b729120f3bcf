//! How many objects the tables of a run have: read by the log, which keeps the count when a run begins and ends, and for reports.

use super::Ledger;
use crate::ident::RunId;
use crate::run::Moment;

/// How many objects each table of run `$1` has now.
pub(super) const OBJECTS: &str = include_str!("objects.sql");

/// Returns the statement that keeps how many objects the tables of a run have now. It takes no lock on them.
pub(super) fn count_objects(ledger: &Ledger, run: RunId, moment: Moment) -> String {
    let insert = format!(
        "INSERT INTO crossfade.object_count (run_id, relation, moment, at, columns, indexes, constraints, triggers) \
         SELECT o.run_id, o.relation, '{}', o.at, o.columns, o.indexes, o.constraints, o.triggers FROM (\n{OBJECTS}) AS o \
         ON CONFLICT DO NOTHING",
        moment.as_str()
    );
    ledger.sql(&insert.replace("$1", &run.to_string()))
}
