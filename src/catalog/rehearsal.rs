//! The change, made the way plain ALTER TABLE would on an empty temporary copy of the table: the new default
//! and index definitions are read from there, as PostgreSQL writes them.

use sqlx::PgConnection;

use super::columns::Column;
use super::constraint::{self, Constraint};
use super::copy::{COPY, Outcome, Part, all_changes, alter_type, change_one, give_back};
use super::index::{Index, Twin, shape};
use super::query::{self, Objection, attempt, run};
use super::{CatalogError, Inspection};
use crate::change::column_of_index;
use crate::ident::TableName;
use crate::plan::{AddIndex, ChangeType, Plan};
use crate::run::{Conversion, MirrorIndex, TableFacts};
use crate::sql::quote_ident;

const INDEX: &str = "pg_temp.crossfade_index";
/// A name that is taken was refused when the names were looked at.
pub(super) const DUPLICATE_COLUMN: &str = "42701";

/// A time zone in which no value looks the same as in UTC: a type change that is free only in UTC is not free.
const NOT_UTC: &str = "SET LOCAL timezone = 'Asia/Kathmandu'";

/// The outcome.
pub(super) struct Rehearsed {
    /// One for each part.
    pub(super) outcomes: Vec<Outcome>,
    /// Each index's twin, `None` where it was refused, or only refusals were asked for.
    pub(super) twins: Vec<Option<Twin>>,
    /// Each constraint's twin, `None` where it was refused.
    pub(super) constraints: Vec<Option<constraint::Twin>>,
}

/// Makes the empty copy of a table, without the columns of `ours`; returns whether that was possible, else refuses it.
pub(super) async fn copy(
    conn: &mut PgConnection,
    table: &TableName,
    ours: &[String],
    found: &mut Inspection,
) -> Result<bool, CatalogError> {
    let copy = format!(
        "CREATE TEMPORARY TABLE crossfade_copy (LIKE {} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION)",
        table.sql()
    );
    let mut copy = vec![copy];
    copy.extend(ours.iter().map(|column| format!("ALTER TABLE {COPY} DROP COLUMN {}", quote_ident(column))));
    let made = attempt(conn, "copy the table's definition", copy).await?;
    if let Err(objection) = &made {
        found.refuse(
            "catalog::rehearsal",
            format!("no empty copy of {table} could be made: {}", objection.message),
            "the change is rehearsed on such a copy, which needs SELECT on the table and TEMPORARY on the database",
        );
    }
    Ok(made.is_ok())
}

/// What is asked of a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// What the plan is compiled from. For each index, one row of the table is read, and the index's functions are called with it.
    Facts,
    /// Only what rules the change out; no row is read.
    Refusals,
}

/// Rehearses all changes, the twins of `indexes` and `constraints`, and the plan's own indexes, on the [`copy`], and leaves it changed.
/// The other tables of foreign keys are added to `tables`.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    plan: &Plan,
    parts: &[Part<'_>],
    (indexes, constraints): (&[Index], &[Constraint]),
    asked: Asked,
    tables: &mut Vec<TableFacts>,
    found: &mut Inspection,
) -> Result<Option<Rehearsed>, CatalogError> {
    let mut outcomes = Vec::new();
    // The indexes of partitions are built anew by every ALTER TYPE (docs/postgres.md, "Partitioned tables").
    let partitioned = tables.first().is_some_and(|table| table.partitioned);
    let rebuilt = |part: &Part<'_>| partitioned && indexes.iter().any(|index| index.mentions(part.old.attnum));
    for part in parts {
        let repeatable = asked == Asked::Facts && is_repeatable(conn, part.old, part.old.default.as_deref()).await?;
        outcomes.push(Outcome {
            default_is_repeatable: repeatable,
            metadata_only: !rebuilt(part) && metadata_only(conn, part, indexes, constraints).await?,
            new_default: None,
            new_default_is_repeatable: true,
        });
    }
    let mut twins = Vec::new();
    for index in indexes {
        let twin = twin(conn, index, parts, &outcomes, asked, found).await?;
        if let Some(twin) = &twin {
            try_entry(conn, plan, (index, &twin.tail), parts, &outcomes, found).await?;
        }
        twins.push(twin);
    }
    let mut constraint_twins = Vec::new();
    for constraint in constraints {
        constraint_twins.push(constraint.twin(conn, (parts, &outcomes), tables, found).await?);
    }
    if !change_all(conn, parts, &outcomes, found).await? {
        return Ok(None);
    }
    if asked == Asked::Refusals {
        return Ok(Some(Rehearsed { outcomes, twins, constraints: constraint_twins }));
    }
    let copy = query::oid(conn, COPY).await?;
    let columns = Column::read_all(conn, copy).await?;
    for (part, outcome) in parts.iter().zip(&mut outcomes) {
        let name = if outcome.metadata_only { part.change.old } else { part.change.new };
        let column = columns.iter().find(|column| column.name == name.as_str());
        let Some(column) = column else { continue };
        outcome.new_default.clone_from(&column.default);
        outcome.new_default_is_repeatable = is_repeatable(conn, column, column.default.as_deref()).await?;
    }
    for add in &plan.indexes.add {
        judge_added(add, parts, &outcomes, found);
        try_added(conn, add, parts, &outcomes, found).await?;
    }
    Ok(Some(Rehearsed { outcomes, twins, constraints: constraint_twins }))
}

/// Makes all changes; returns whether PostgreSQL accepted them.
async fn change_all(
    conn: &mut PgConnection,
    parts: &[Part<'_>],
    outcomes: &[Outcome],
    found: &mut Inspection,
) -> Result<bool, CatalogError> {
    let mut accepted = true;
    for (part, outcome) in parts.iter().zip(outcomes) {
        let result = attempt(conn, "rehearse the change", change_one(part, outcome.metadata_only)).await?;
        let Err(objection) = result else { continue };
        accepted = false;
        if objection.code == DUPLICATE_COLUMN {
            continue;
        }
        let old = part.change.old;
        if objection.code == "42804" && part.old.default.is_some() {
            found.refuse(
                "catalog::default",
                format!("PostgreSQL refuses to change column \"{old}\": {}", objection.message),
                "plain ALTER TABLE would fail too: write the default that the new type has in the plan, `default: ...`, or drop it first",
            );
        } else {
            found.refuse(
                "catalog::rehearsal",
                format!("PostgreSQL refuses to change column \"{old}\": {}", objection.message),
                "plain ALTER TABLE would fail in the same way",
            );
        }
    }
    Ok(accepted)
}

/// Defaults that are not constants, and yet can be evaluated again: the time at which the transaction began.
const OF_THE_TRANSACTION: [&str; 9] = [
    "now()",
    "transaction_timestamp()",
    "CURRENT_TIMESTAMP",
    "LOCALTIMESTAMP",
    "CURRENT_DATE",
    "(now())::date",
    "(now())::text",
    "(now())::timestamp without time zone",
    "(now() AT TIME ZONE 'utc'::text)",
];

/// Returns whether the default of a column (its own, or its type's) is a constant or the time of the transaction: then it
/// can be evaluated again, by whoever writes, and gives the same value. A column without one has NULL.
pub(super) async fn is_repeatable(
    conn: &mut PgConnection,
    column: &Column,
    own: Option<&str>,
) -> Result<bool, CatalogError> {
    let Some(default) = own.or(column.type_default.as_deref()) else { return Ok(true) };
    if OF_THE_TRANSACTION.contains(&default) {
        return Ok(true);
    }
    // PostgreSQL takes an immutable expression here and no other. Functions of others may be no more than said to be so.
    let statements = [
        format!(
            "CREATE TEMPORARY TABLE crossfade_default (a integer, b {} GENERATED ALWAYS AS (CAST(({default}) AS {})) STORED)",
            column.type_name, column.type_name
        ),
        "SELECT (count(*) = 0)::text FROM pg_attrdef d JOIN pg_depend o ON o.classid = 'pg_attrdef'::regclass AND o.objid = d.oid \
         WHERE d.adrelid = 'pg_temp.crossfade_default'::regclass AND o.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)"
            .to_owned(),
    ];
    let answer = in_savepoint(conn, statements).await?;
    Ok(matches!(answer, Ok(Some(text)) if text == "true"))
}

/// Returns the default of a column like this one, as PostgreSQL writes it down; `None` where it has none.
pub(super) async fn deparsed_default(
    conn: &mut PgConnection,
    column: &Column,
    default: &str,
) -> Result<Option<String>, CatalogError> {
    let statements = [
        format!("CREATE TEMPORARY TABLE crossfade_default (a {} DEFAULT {default})", column.type_name),
        "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'pg_temp.crossfade_default'::regclass"
            .to_owned(),
    ];
    Ok(in_savepoint(conn, statements).await?.ok().flatten())
}

/// Runs statements and rolls them back, whatever they did.
async fn in_savepoint(
    conn: &mut PgConnection,
    statements: impl IntoIterator<Item = String>,
) -> Result<Result<Option<String>, Objection>, CatalogError> {
    const WHAT: &str = "rehearse the change";
    run(conn, WHAT, "SAVEPOINT crossfade_rehearsal".to_owned()).await?;
    let answer = attempt(conn, WHAT, statements).await?;
    run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_rehearsal; RELEASE SAVEPOINT crossfade_rehearsal".to_owned())
        .await?;
    Ok(answer)
}

/// Returns whether plain ALTER would only touch the catalog: neither the table nor an index gets a new file, and nothing
/// is scanned (docs/postgres.md, "Type changes that only touch the catalog").
async fn metadata_only(
    conn: &mut PgConnection,
    part: &Part<'_>,
    indexes: &[Index],
    constraints: &[Constraint],
) -> Result<bool, CatalogError> {
    let Some(ChangeType { using, keep_name: true, adopt: None, .. }) = part.change.retype else {
        return Ok(false);
    };
    let Some(retyped) = &part.retyped else { return Ok(false) };
    if retyped.column.collation_oid != part.old.collation_oid {
        return Ok(false);
    }
    // PostgreSQL knows a plain cast when it sees one.
    let using = match &retyped.forward {
        Conversion::Expression { sql, .. } if using.is_some() => format!(" USING ({sql})"),
        _ => String::new(),
    };
    let constraints: Vec<_> = constraints.iter().filter(|constraint| constraint.mentions(part.old.attnum)).collect();
    // What refers to another table cannot be tried on a temporary copy.
    let Some(checks) = constraints.iter().enumerate().map(|(n, check)| check.on_copy(n)).collect::<Option<Vec<_>>>()
    else {
        return Ok(false);
    };
    let files = format!(
        "SELECT string_agg(concat_ws(' ', relname, pg_relation_filenode(oid)), ', ' ORDER BY relname) || ' ' || pg_stat_get_xact_numscans('{COPY}'::regclass) \
         FROM pg_class WHERE oid = '{COPY}'::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = '{COPY}'::regclass)"
    );
    let mut before = checks;
    let mentioning = indexes.iter().filter(|index| index.mentions(part.old.attnum));
    before.extend(mentioning.enumerate().filter_map(|(n, index)| {
        if let Some(exclusion) = index.exclusion() {
            return Some(format!("ALTER TABLE {COPY} ADD CONSTRAINT crossfade_index_{n} {exclusion}"));
        }
        let unique = if index.unique { "UNIQUE " } else { "" };
        let complete = index.completes(COPY).map(|complete| format!("{complete}; ")).unwrap_or_default();
        Some(format!("{complete}CREATE {unique}INDEX crossfade_index_{n} ON {COPY} {}", index.carried(false)?))
    }));
    let mut after = before.clone();
    before.push(files.clone());
    after.extend([format!("{NOT_UTC}; {}", alter_type(part, retyped, &using)), files]);
    run(conn, "rehearse the change", "SAVEPOINT crossfade_cheap".to_owned()).await?;
    let same = match attempt(conn, "rehearse the change", before).await? {
        Ok(before) => {
            let rest = after.split_off(after.len() - 2);
            matches!(attempt(conn, "rehearse the change", rest).await?, Ok(after) if after == before)
        }
        Err(_) => false,
    };
    run(
        conn,
        "rehearse the change",
        "ROLLBACK TO SAVEPOINT crossfade_cheap; RELEASE SAVEPOINT crossfade_cheap".to_owned(),
    )
    .await?;
    Ok(same)
}

/// Returns what the index is after the changes; `None` where it was refused, or nobody asked.
async fn twin(
    conn: &mut PgConnection,
    index: &Index,
    parts: &[Part<'_>],
    outcomes: &[Outcome],
    asked: Asked,
    found: &mut Inspection,
) -> Result<Option<Twin>, CatalogError> {
    let stays = index.stays(parts.iter().map(Part::side));
    let exclusion = index.exclusion().filter(|_| !stays);
    let Some(tail) = index.carried(stays).or(exclusion) else { return Ok(None) };
    let is_btree = tail.starts_with("USING btree");
    // The twin of a deferrable constraint is unique like any other, which is part of its shape; a mirror would refuse too early.
    let unique = if index.is_unique() && is_btree { "UNIQUE " } else { "" };
    let create = match exclusion {
        Some(exclusion) => format!("ALTER TABLE {COPY} ADD CONSTRAINT crossfade_index {exclusion}"),
        None => format!("CREATE {unique}INDEX crossfade_index ON {COPY} {tail}"),
    };
    run(conn, "rehearse an index", "SAVEPOINT crossfade_twin".to_owned()).await?;
    let mut refuse = |objection: Objection, what: &str| {
        let (code, noun) = match exclusion {
            Some(_) => ("catalog::exclusion", "exclusion constraint"),
            None => ("catalog::index", "index"),
        };
        found.refuse(
            code,
            format!("{noun} \"{}\" {what}: {}", index.name, objection.message),
            if exclusion.is_some() {
                "plain ALTER TABLE would fail too: drop the constraint, or change it so that it fits both types"
            } else {
                "drop the index, or change it so that plain ALTER TABLE would accept it"
            },
        );
    };
    let built = attempt(conn, "rehearse an index", index.completes(COPY).into_iter().chain([create])).await?;
    let mut twin = None;
    if let Err(objection) = built {
        refuse(objection, "cannot be rebuilt");
    } else if let Err(objection) = attempt(conn, "rehearse an index", all_changes(parts, outcomes)).await? {
        // What is wrong with the change itself is reported once, without an index.
        if attempt_without_index(conn, exclusion.is_some(), parts, outcomes).await? {
            refuse(objection, "does not fit the new type");
        }
    } else if asked == Asked::Facts {
        let swapped = parts.iter().zip(outcomes).filter(|(part, out)| !out.metadata_only && part.change.keeps_name());
        let renamed = swapped.map(|(part, _)| {
            let (new, last) = (part.change.new.sql(), part.change.final_name().sql());
            format!("ALTER TABLE {COPY} RENAME COLUMN {new} TO {last}")
        });
        let renamed: Vec<_> = renamed.collect();
        let renamed_tail = tail_of(conn, INDEX).await?;
        if let (Some(renamed_tail), Ok(_)) = (renamed_tail, attempt(conn, "rehearse an index", renamed).await?) {
            let shape = shape(conn, INDEX).await?;
            let mirror =
                stays.then_some(MirrorIndex { tail: renamed_tail, unique: index.is_unique_at_once() && is_btree });
            // With the names that columns have while the twin is built.
            let first = parts.iter().zip(outcomes).filter(|(part, out)| !out.metadata_only && part.change.keeps_name());
            let first = first.map(|(part, _)| {
                let (new, last) = (part.change.new.sql(), part.change.final_name().sql());
                format!("ALTER TABLE {COPY} RENAME COLUMN {last} TO {new}")
            });
            let first = first.chain(give_back(parts.iter().map(|part| part.change)));
            let named = attempt(conn, "rehearse an index", first.collect::<Vec<_>>()).await?;
            let tail = if exclusion.is_some() { exclusion_of_copy(conn).await? } else { tail_of(conn, INDEX).await? };
            if let (Ok(_), Some(tail)) = (named, tail) {
                twin = Some(Twin { tail, mirror, shape });
            }
        }
    }
    run(conn, "rehearse an index", "ROLLBACK TO SAVEPOINT crossfade_twin; RELEASE SAVEPOINT crossfade_twin".to_owned())
        .await?;
    Ok(twin)
}

/// Returns what stands behind the name of the copy's exclusion constraint.
async fn exclusion_of_copy(conn: &mut PgConnection) -> Result<Option<String>, CatalogError> {
    let definition = format!(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{COPY}'::regclass AND conname = 'crossfade_index'"
    );
    query::text(conn, "read an exclusion constraint's new definition", definition).await
}

/// Returns the definition of an index of the copy behind the table's name.
pub(super) async fn tail_of(conn: &mut PgConnection, index: &str) -> Result<Option<String>, CatalogError> {
    let tail = query::fixed(include_str!("index_tail.sql")).bind(index.to_owned()).fetch_optional(conn).await;
    tail.map_err(|source| CatalogError::Database { what: "read an index's new definition", source })
}

/// Builds the index on the changed copy with one row of the table: an index on no rows calls no function.
async fn try_entry(
    conn: &mut PgConnection,
    plan: &Plan,
    (index, tail): (&Index, &str),
    parts: &[Part<'_>],
    outcomes: &[Outcome],
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    const WHAT: &str = "rehearse an entry of an index";
    run(conn, WHAT, "SAVEPOINT crossfade_entry".to_owned()).await?;
    if let Some(complete) = index.completes(COPY) {
        attempt(conn, WHAT, [complete]).await?.ok();
    }
    // The copy may lack columns of the table.
    let columns = format!(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '{COPY}'::regclass AND attnum > 0 AND NOT attisdropped"
    );
    let columns = query::text(conn, WHAT, columns).await?.unwrap_or_default();
    let place = index.place().unwrap_or_else(|| plan.table.clone());
    let row = format!("INSERT INTO {COPY} ({columns}) SELECT {columns} FROM {} AS t LIMIT 1", place.sql());
    let changes = all_changes(parts, outcomes).into_iter().chain(give_back(parts.iter().map(|part| part.change)));
    let row = std::iter::once(row).chain(changes);
    // That its value does not convert is found elsewhere.
    if attempt(conn, WHAT, row).await?.is_ok() {
        let exclusion = tail.starts_with("EXCLUDE ");
        let create = if exclusion {
            format!("ALTER TABLE {COPY} ADD CONSTRAINT crossfade_entry {tail}")
        } else {
            format!("CREATE INDEX crossfade_entry ON {COPY} {tail}")
        };
        if let Err(objection) = attempt(conn, WHAT, [create]).await? {
            found.refuse(
                "catalog::index",
                format!("index \"{}\" cannot be built for the new column: {}", index.name, objection.message),
                "correct the function, for example with its schema before each name: CREATE INDEX may run it under another search_path than applications have",
            );
        }
    }
    run(conn, WHAT, "ROLLBACK TO SAVEPOINT crossfade_entry; RELEASE SAVEPOINT crossfade_entry".to_owned()).await
}

async fn attempt_without_index(
    conn: &mut PgConnection,
    exclusion: bool,
    parts: &[Part<'_>],
    outcomes: &[Outcome],
) -> Result<bool, CatalogError> {
    let drop = if exclusion {
        format!("ALTER TABLE {COPY} DROP CONSTRAINT crossfade_index")
    } else {
        format!("DROP INDEX {INDEX}")
    };
    run(conn, "rehearse an index", drop).await?;
    Ok(in_savepoint(conn, all_changes(parts, outcomes)).await?.is_ok())
}

/// Refuses an index on a column that will go, or that will never be.
fn judge_added(add: &AddIndex, parts: &[Part<'_>], outcomes: &[Outcome], found: &mut Inspection) {
    for (part, outcome) in parts.iter().zip(outcomes) {
        let (old, new) = (part.change.old, part.change.new);
        if !outcome.metadata_only && add.columns.contains(old) {
            found.refuse(
                "catalog::index_on_old_column",
                format!("index \"{}\" of the plan names \"{old}\", a name that goes", add.name),
                format!("name \"{new}\" instead; an index follows its column through every renaming"),
            );
        }
    }
}

/// Tries an index that the plan adds, on the changed copy.
async fn try_added(
    conn: &mut PgConnection,
    add: &AddIndex,
    parts: &[Part<'_>],
    outcomes: &[Outcome],
    found: &mut Inspection,
) -> Result<(), CatalogError> {
    let in_place =
        || parts.iter().zip(outcomes).filter(|(_, outcome)| outcome.metadata_only).map(|(part, _)| part.change);
    let columns: Vec<_> = add.columns.iter().map(|column| column_of_index(column, in_place()).sql()).collect();
    let create =
        format!("CREATE INDEX {} ON {COPY} USING btree ({})", quote_ident("crossfade_added"), columns.join(", "));
    match in_savepoint(conn, [create]).await? {
        // Names that are not there were refused before.
        Err(objection) if objection.code != "42703" => found.refuse(
            "catalog::index",
            format!("index \"{}\" of the plan cannot be built: {}", add.name, objection.message),
            "change `indexes.add`; a plain btree needs types that can be sorted",
        ),
        _ => {}
    }
    Ok(())
}
