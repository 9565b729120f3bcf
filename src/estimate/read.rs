//! Reads what the model wants to know, and asks it for both orders.

use serde::Deserialize;
use sqlx::PgConnection;

use super::calibrate::{self, Sample, Value};
use super::facts::{Added, Column, Index, LINE_POINTER, NewIndex, SHORT, Server, Subject};
use super::model::{blocks_hot, predict};
use crate::catalog::COUNTED_PAGES;
use crate::change::column_of_index;
use crate::engine::fill::{Method, Shape};
use crate::ident::{ColumnName, TableName};
use crate::pg::{self, Owner};
use crate::plan::{BuildIndexes, Pair, Plan, Triggers};
use crate::run::{
    AddedColumn, ChangeFacts, Conversion, Estimates, Facts, FillSpec, IndexFacts, Orders, PairFacts, PlannedPace,
};

/// Since this version a BRIN index does not keep updates from being HOT.
const BRIN_LEAVES_HOT: u32 = 160_000;

#[derive(Debug, Deserialize)]
struct Answer {
    fillfactor: f64,
    unlogged: bool,
    full_identity: bool,
    analyzed: bool,
    columns: Vec<Column>,
    indexes: Vec<AnsweredIndex>,
    types: Vec<Type>,
    server: Server,
}

#[derive(Debug, Deserialize)]
struct AnsweredIndex {
    name: String,
    bytes: f64,
    entries: f64,
    summary: bool,
    correlation: f64,
    columns: Vec<Column>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Type {
    len: Option<i16>,
    align: Option<u8>,
}

/// Returns what a run of `plan` would cost, whose backfill is `spec`. Reads the catalog; with `may_read`, times reads of
/// the table as well, for at most one second.
///
/// # Errors
/// The server's.
pub(crate) async fn estimate(
    connection: &mut PgConnection,
    plan: &Plan,
    facts: &Facts,
    spec: &FillSpec,
    may_read: bool,
) -> Result<Estimates, sqlx::Error> {
    let active: Vec<Filled> = filled(plan, facts).collect();
    let mut types: Vec<_> = active.iter().map(|filled| filled.facts.new_base_type.clone()).collect();
    types.extend(by_default(facts).map(|added| added.type_name.clone()));
    let Place { table, oid, pages } = place(connection, facts).await?;
    let spec = &FillSpec { table: table.clone(), ..spec.clone() };
    let query = pg::query_scalar(include_str!("facts.sql")).bind(oid).bind(types);
    let text: String = query.fetch_one(&mut *connection).await?;
    let mut answer: Answer = serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let times = float(facts.main().pages) / float(pages.max(1));
    for index in answer.indexes.iter_mut().filter(|_| facts.main().has_members()) {
        index.bytes *= times;
        index.entries *= times;
    }
    let values: Vec<_> = active.iter().map(value).collect();
    let pages = u32::try_from(pages).unwrap_or(u32::MAX);
    let sample = if may_read {
        let owner = Owner::enter(&mut *connection, oid).await?;
        calibrate::calibrate(connection, &owner, (&table, oid), pages, &values).await?
    } else {
        Sample::default()
    };
    let analyzed = answer.analyzed;
    let subject = subject(plan, facts, &active, answer, &sample);
    let shape = shape(connection, facts, (spec, oid), &subject, may_read).await?;
    let predicted = |order| {
        let method = Method::choose(&Shape { filled_is_indexed: blocks_hot(&subject, order), ..shape });
        predict(&subject, order, method, &sample.machine, plan.backfill.batch_target.as_secs_f64())
    };
    let before_backfill = predicted(BuildIndexes::BeforeBackfill);
    let after_backfill = predicted(BuildIndexes::AfterBackfill);
    let pace = PlannedPace { workers: plan.backfill.workers, max_rows_per_second: plan.backfill.max_rows_per_second };
    let order = plan.indexes.build;
    let own = if order == BuildIndexes::BeforeBackfill { &before_backfill } else { &after_backfill };
    let backfill_paced = own.seconds.paced(subject.rows, pace);
    let paced = backfill_paced.plus(own.build_seconds);
    Ok(Estimates {
        rows: whole(subject.rows),
        wal_bytes: own.all_wal_bytes(),
        seconds: f64::midpoint(paced.low, paced.high),
        orders: Some(Orders {
            order,
            order_matters: before_backfill != after_backfill,
            paced,
            backfill_paced,
            pace,
            machine: sample.machine,
            assumptions: assumptions(plan, &subject, analyzed, &sample),
            before_backfill,
            after_backfill,
        }),
    })
}

/// The table of which rows are read.
struct Place {
    table: TableName,
    oid: i64,
    pages: i64,
}

/// Returns the plan's table, or the largest of its partitions or of it and the tables that inherit from it.
async fn place(connection: &mut PgConnection, facts: &Facts) -> Result<Place, sqlx::Error> {
    let main = facts.main();
    let largest = "WITH RECURSIVE member AS (SELECT $1::bigint::oid AS oid UNION \
                     SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN member AS m ON m.oid = i.inhparent) \
                   SELECT c.oid::bigint, n.nspname::text, c.relname::text, \
                     pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint \
                   FROM member AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.oid \
                   JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'r' ORDER BY 4 DESC, 1 LIMIT 1";
    let found: Option<(i64, String, String, i64)> =
        if main.has_members() { pg::query_as(largest).bind(main.oid).fetch_optional(connection).await? } else { None };
    let found = found
        .and_then(|(oid, schema, name, pages)| Some(Place { table: TableName::new(&schema, &name).ok()?, oid, pages }));
    Ok(found.unwrap_or_else(|| Place { table: main.name.clone(), oid: main.oid, pages: main.pages }))
}

/// Returns what the engine will choose its method from; where that may not or cannot be read, the same from `subject`.
async fn shape(
    connection: &mut PgConnection,
    facts: &Facts,
    (spec, oid): (&FillSpec, i64),
    subject: &Subject,
    may_read: bool,
) -> Result<Shape, sqlx::Error> {
    if may_read {
        match Shape::read(connection, spec, oid).await {
            Ok((shape, _)) => {
                let pages = u32::try_from(facts.main().pages).unwrap_or(u32::MAX);
                return Ok(Shape { pages: if facts.main().has_members() { pages } else { shape.pages }, ..shape });
            }
            Err(error) if error.as_database_error().is_some() => tracing::debug!(%error, "read the table's shape"),
            Err(error) => return Err(error),
        }
    }
    Ok(Shape {
        pages: u32::try_from(facts.main().pages).unwrap_or(u32::MAX),
        rows_per_page: subject.rows_per_page(),
        row_bytes: Some(subject.row_bytes().0 + LINE_POINTER),
        filled_is_indexed: false,
    })
}

/// Returns the new value of a change as SQL over the row `t` of the table, without the run's own functions: those would
/// have to be created.
fn value(filled: &Filled<'_>) -> String {
    let Filled { change, facts, .. } = filled;
    let old = format!("t.{}", change.old.sql());
    match &facts.forward {
        Conversion::Identity => old,
        Conversion::InfallibleCast => format!("CAST({old} AS {})", facts.new_base_type),
        Conversion::Expression { sql, .. } => format!("CAST(({sql}) AS {})", facts.new_type),
        Conversion::None => format!("CAST(NULL AS {})", facts.new_base_type),
    }
}

/// A pair whose new column is filled.
struct Filled<'a> {
    /// Its position in the plan.
    position: usize,
    change: Pair<'a>,
    facts: &'a PairFacts,
}

fn filled<'a>(plan: &'a Plan, facts: &'a Facts) -> impl Iterator<Item = Filled<'a>> {
    let filled = plan.pairs().filter_map(|(position, change)| {
        let facts = facts.pair(position)?;
        Some(Filled { position, change, facts })
    });
    filled.filter(|filled| !filled.facts.metadata_only)
}

/// The columns without an old one that are filled.
fn by_default(facts: &Facts) -> impl Iterator<Item = &AddedColumn> {
    facts.changes.iter().filter_map(|facts| match facts {
        ChangeFacts::AddColumn(added) if added.default.is_some() && !added.in_catalog => Some(added),
        _ => None,
    })
}

fn subject(plan: &Plan, facts: &Facts, active: &[Filled<'_>], answer: Answer, sample: &Sample) -> Subject {
    let pages = float(facts.main().pages);
    // Where the planner has not counted, or every page was read, what was read is better.
    let rows = match sample.rows_per_page {
        _ if facts.main().pages <= COUNTED_PAGES => float(facts.main().rows.max(0)),
        Some(rows_per_page) if sample.whole || !answer.analyzed => rows_per_page * pages,
        _ => float(facts.main().rows.max(0)),
    };
    let share = |entries: f64| if rows > 0.0 && entries >= 0.0 { (entries / rows).min(1.0) } else { 1.0 };
    let added: Vec<_> = active
        .iter()
        .enumerate()
        .map(|(at, filled)| {
            let old = answer.columns.iter().find(|column| column.attnum == filled.facts.old.attnum);
            let computed = filled.facts.forward != Conversion::Identity;
            added(old, answer.types.get(at).copied(), sample.values.get(at).copied(), computed)
        })
        // A default is not tried: it may be that of a sequence.
        .chain(answer.types.iter().skip(active.len()).map(|new| added(None, Some(*new), None, true)))
        .collect();
    let new_indexes = new_indexes(plan, facts, active, &answer, &added, share);
    let index = |index: &AnsweredIndex| Index {
        bytes: index.bytes,
        share: share(index.entries),
        columns: index.columns.clone(),
        correlation: index.correlation,
        summary: index.summary,
    };
    Subject {
        rows,
        pages,
        indexes: answer.indexes.iter().map(index).collect(),
        columns: answer.columns,
        added,
        new_indexes,
        fillfactor: answer.fillfactor,
        unlogged: answer.unlogged,
        full_identity: answer.full_identity,
        locks: plan.backfill.triggers == Triggers::Fire,
        server: Server {
            wal_compression: answer.server.wal_compression || plan.backfill.wal_compression.is_some(),
            ..answer.server
        },
    }
}

/// The new column: as what was read says, or else as the old column is.
fn added(old: Option<&Column>, new: Option<Type>, value: Option<Value>, computed: bool) -> Added {
    /// Bytes that a computed value's length word has more than the one that is stored with it.
    const LONG_LENGTH_WORD: f64 = 3.0;
    let len = new.and_then(|new| new.len).unwrap_or(-1);
    let align = new.and_then(|new| new.align).unwrap_or(4);
    let of_old = old.filter(|old| old.len == len).and_then(|old| old.width);
    let width = value.map(|value| match value.width {
        width if computed && len < 0 && width < SHORT + LONG_LENGTH_WORD => (width - LONG_LENGTH_WORD).max(1.0),
        width => width,
    });
    Added {
        column: Column {
            name: String::new(),
            attnum: 0,
            len,
            align,
            dropped: false,
            width: width.or(of_old),
            null_share: value.map(|value| value.null_share).or(old.and_then(|old| old.null_share)),
            n_distinct: old.and_then(|old| old.n_distinct),
        },
        toast_bytes: value.map_or(0.0, |value| value.toast_bytes),
    }
}

/// The indexes of the index phase: twins and added ones that are not unique.
fn new_indexes<'p>(
    plan: &'p Plan,
    facts: &'p Facts,
    active: &[Filled<'_>],
    answer: &Answer,
    added: &[Added],
    share: impl Fn(f64) -> f64,
) -> Vec<NewIndex> {
    // What an old column's attribute number becomes.
    let new_of = |attnum: i16| {
        let at = active.iter().position(|filled| filled.facts.old.attnum == attnum)?;
        added.get(at).map(|added| added.column.clone())
    };
    let twin = |index: &IndexFacts| {
        let original = answer.indexes.iter().find(|original| original.name == index.name)?;
        let columns = original.columns.iter().map(|column| new_of(column.attnum).unwrap_or_else(|| column.clone()));
        Some(NewIndex {
            columns: columns.collect(),
            blocks_hot: !original.summary || facts.server_version < BRIN_LEAVES_HOT,
            filled: true,
            share: share(original.entries),
            summary: original.summary,
        })
    };
    let copied = |index: &&IndexFacts| {
        plan.indexes.copies(&index.name)
            && !index.unique
            && !index.constraint.as_ref().is_some_and(|constraint| constraint.exclusion)
            && index.changes.iter().any(|change| active.iter().any(|filled| filled.position == *change))
    };
    let in_place = || {
        let cheap = |(at, change)| facts.pair(at).is_some_and(|pair| pair.metadata_only).then_some(change);
        plan.pairs().filter_map(cheap)
    };
    let of_the_plan = |add: &'p crate::plan::AddIndex| {
        let position = |column: &ColumnName| active.iter().position(|filled| filled.change.new == column);
        let filled = add.columns.iter().any(|column| position(column).is_some());
        let columns = add.columns.iter().filter_map(|column| {
            if let Some(at) = position(column) {
                return added.get(at).map(|added| added.column.clone());
            }
            let name = column_of_index(column, in_place()).as_str();
            answer.columns.iter().find(|column| column.name == name && !column.dropped).cloned()
        });
        NewIndex { columns: columns.collect(), blocks_hot: filled, filled, share: 1.0, summary: false }
    };
    let twins = facts.main().indexes.iter().filter(copied).filter_map(twin);
    twins.chain(plan.indexes.add.iter().filter(|add| !add.unique).map(of_the_plan)).collect()
}

/// What a person should know of how the figures came about.
fn assumptions(plan: &Plan, subject: &Subject, analyzed: bool, sample: &Sample) -> Vec<String> {
    let mut said = Vec::new();
    if plan.backfill.goal_latency.is_some() {
        said.push(
            "backfill.goal_latency makes the backfill as slow as applications need it: that time is not in these"
                .into(),
        );
    }
    if !analyzed {
        let what = if subject.pages <= float(COUNTED_PAGES) { "widths" } else { "rows and widths" };
        said.push(format!(
            "the table was never analysed: {what} are estimated from a few pages; ANALYZE improves this"
        ));
    }
    if !sample.machine.measured && subject.rows > 0.0 {
        said.push("the table could not be read for calibration: times are those of another machine".into());
    }
    if subject.unlogged {
        said.push("the table is unlogged: its changes are not written to WAL".into());
    } else if !subject.server.full_page_writes {
        said.push("full_page_writes is off: no page images are counted".into());
    } else if subject.server.wal_compression {
        said.push("wal_compression is on: page images are assumed to be half as large".into());
    }
    if subject.server.logical && !subject.unlogged {
        said.push("wal_level is logical: every new row version is logged in full".into());
    }
    said
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(count: i64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "a float that does not fit saturates")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}
