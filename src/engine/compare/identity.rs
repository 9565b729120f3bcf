//! What a result of a check counts for.

use sqlx::PgConnection;

use crate::ident::RunTag;
use crate::ledger::{Ledger, Run};
use crate::names::{FIRST_TRIGGER, LAST_TRIGGER};
use crate::pg;
use crate::run::{Identity, Relation, RelationId};
use crate::sql::{quote_literal, with_values};

pg::columns!(Identity { started_at, body_hash, relfilenode });

/// Returns the query of [`identify`] with its values, for a script.
pub(crate) fn identity_query(ledger: &Ledger, relation: &Relation, tag: &RunTag) -> String {
    let of = [relation.oid.to_string(), quote_literal(&tag.to_string()), quote_literal(&relation.table.sql())];
    query(ledger, of, "pg_catalog.pg_proc")
}

/// Returns the query of which of these relations is as it was when it was checked last, whenever that was: the numbers of their runs (`run_id`),
/// each once for each relation, and whether it is so (`is_of_now`). It reads the functions of the ledger once for all of them.
pub(crate) fn checked_query(ledger: &Ledger, relations: &[(&Run, RelationId, &Relation)]) -> String {
    let row = |(run, id, relation): &(&Run, RelationId, &Relation)| {
        format!(
            "({}::bigint, {}::smallint, {}::bigint, {}::text, {}::text, {}::text)",
            run.id,
            id.0,
            relation.oid,
            quote_literal(&run.program.tag.to_string()),
            quote_literal(&relation.table.sql()),
            quote_literal(&run.fingerprint)
        )
    };
    let rows: Vec<_> = relations.iter().map(row).collect();
    let identity = query(ledger, ["q.oid", "q.tag", "q.name"].map(str::to_owned), "ours");
    let latest = ledger.progress().latest_check("q.run_id", "q.relation");
    format!(
        "WITH ours AS MATERIALIZED (SELECT p.oid, p.xmin, p.proname, p.prosrc, p.pronamespace FROM pg_catalog.pg_proc AS p \
           JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = {}) \
         SELECT q.run_id, COALESCE(v.fingerprint = q.fingerprint AND v.body_hash = i.body_hash AND v.relfilenode::bigint = i.relfilenode \
           AND NOT v.repaired AND v.started_at <= pg_catalog.clock_timestamp(), false) AS is_of_now \
         FROM (VALUES {}) AS q (run_id, relation, oid, tag, name, fingerprint) \
         LEFT JOIN LATERAL ({latest}) AS v ON true CROSS JOIN LATERAL ({identity}\n) AS i",
        quote_literal(ledger.schema().as_str()),
        rows.join(", ")
    )
}

/// Returns the query of a relation, of which `[oid, tag, name]` are expressions, as is `functions`.
fn query(ledger: &Ledger, [oid, tag, name]: [String; 3], functions: &str) -> String {
    let others = format!("ARRAY[{}, {}]", quote_literal(FIRST_TRIGGER), quote_literal(LAST_TRIGGER));
    let values = [oid, quote_literal(ledger.schema().as_str()), tag, name, others, functions.to_owned()];
    with_values(include_str!("identity.sql"), &values)
}

/// Returns the clock, the table's file (0 where another table has its name), its triggers and the run's functions as they are
/// now.
///
/// # Errors
/// The server's error.
pub async fn identify(
    ledger: &Ledger,
    connection: &mut PgConnection,
    relation: &Relation,
    tag: &RunTag,
) -> Result<Identity, sqlx::Error> {
    pg::query_as(&identity_query(ledger, relation, tag)).fetch_one(connection).await
}
