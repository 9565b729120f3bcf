//! What a plan requires of the database, held against what is there. Whatever cannot be seen is unknown, never assumed.

use serde::Deserialize;
use sqlx::{PgConnection, Row as _};

use super::{CatalogError, disk, query};
use crate::amounts::{count, plural};
use crate::pg;
use crate::plan::{Bytes, Disk, Extension, Plan, Replicas, RequiredColumn, Requires, Slots, TableName};
use crate::run::{Requirement, Verdict};
use crate::sql::{quote_ident, quote_literal};

/// The share of `max_slot_wal_keep_size` that a slot may have used up: beyond all of it its reader is lost.
const SLOT_PERCENT: u64 = 80;

/// What a run is still predicted to grow its table and indexes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// This many bytes.
    Bytes(u64),
    /// Nobody has predicted it.
    NotPredicted,
}

#[derive(Debug, Deserialize)]
struct Offered {
    major: u32,
    version: String,
    database: String,
    role: String,
    extensions: Vec<OfferedExtension>,
    tables: Vec<Option<String>>,
    columns: Vec<OfferedColumn>,
    slots: Vec<Slot>,
    slot_keep_megabytes: i64,
    replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
struct OfferedExtension {
    installed: Option<String>,
    available: Option<String>,
}

#[derive(Debug, Deserialize)]
struct OfferedColumn {
    /// Whether the table is there.
    table: bool,
    #[serde(rename = "type")]
    type_name: Option<String>,
    type_oid: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Slot {
    name: String,
    active: bool,
    kept: u64,
}

#[derive(Debug, Deserialize)]
struct Replica {
    name: Option<String>,
    seen: bool,
    streams: bool,
    behind: Option<u64>,
}

/// Returns what `plan` requires of the server and of what is in its database, each with what was found. The plans that it
/// requires are the ledger's to know.
///
/// Changes nothing and takes no lock. Takes as long as the plan's own query for the free disk space, 5 s at most.
///
/// # Errors
/// [`CatalogError`] when the catalog cannot be read. What cannot be told is [`Verdict::Unknown`].
pub async fn requirements(
    conn: &mut PgConnection,
    plan: &Plan,
    growth: Growth,
) -> Result<Vec<Requirement>, CatalogError> {
    let requires = &plan.requires;
    if *requires == (Requires { plans: requires.plans.clone(), ..Requires::default() }) {
        return Ok(vec![]);
    }
    let offered = read(conn, plan).await?;
    let mut all = Vec::new();
    all.extend(requires.postgres.map(|wanted| postgres(wanted, &offered)));
    all.extend(
        requires
            .extensions
            .iter()
            .zip(&offered.extensions)
            .map(|(wanted, there)| extension(wanted, there, &offered.database)),
    );
    all.extend(requires.tables.iter().zip(&offered.tables).map(|(wanted, kind)| table(wanted, kind.as_deref())));
    for (wanted, there) in requires.columns.iter().zip(&offered.columns) {
        all.push(column(conn, wanted, there).await?);
    }
    if let Some(wanted) = &requires.disk {
        all.push(free_disk(conn, &plan.table, wanted, growth, &offered).await?);
    }
    if let Some(wanted) = &requires.slots {
        slots(wanted, &offered, &mut all);
    }
    if let Some(wanted) = &requires.replicas {
        replicas(wanted, &offered, &mut all);
    }
    Ok(all)
}

async fn read(conn: &mut PgConnection, plan: &Plan) -> Result<Offered, CatalogError> {
    let requires = &plan.requires;
    let extensions: Vec<_> = requires.extensions.iter().map(|wanted| wanted.name.to_string()).collect();
    let (schemas, tables): (Vec<_>, Vec<_>) =
        requires.tables.iter().map(|table| (table.schema.clone(), table.name.clone())).unzip();
    let of = |part: fn(&RequiredColumn) -> String| requires.columns.iter().map(part).collect::<Vec<_>>();
    let query = query::fixed(include_str!("requirements.sql"))
        .bind(extensions)
        .bind(schemas)
        .bind(tables)
        .bind(of(|column| column.table.schema.clone()))
        .bind(of(|column| column.table.name.clone()))
        .bind(of(|column| column.column.to_string()));
    query::read(conn, "read what the plan requires", query).await
}

fn pass(key: &'static str, what: impl Into<String>, found: impl Into<String>) -> Requirement {
    Requirement { key, what: what.into(), verdict: Verdict::Pass, found: found.into(), help: String::new() }
}

/// Returns `requirement` as failed, or as unknown.
fn but(verdict: Verdict, requirement: Requirement, help: impl Into<String>) -> Requirement {
    Requirement { verdict, help: help.into(), ..requirement }
}

fn postgres(wanted: u32, offered: &Offered) -> Requirement {
    let met = pass("postgres", format!("PostgreSQL {wanted} or later"), format!("the server is {}", offered.version));
    if offered.major >= wanted {
        return met;
    }
    but(Verdict::Fail, met, "run the plan on a newer server, or change `requires.postgres`")
}

fn extension(wanted: &Extension, there: &OfferedExtension, database: &str) -> Requirement {
    let (what, sql) = (format!("extension {wanted}"), quote_ident(wanted.name.as_str()));
    let Some(installed) = &there.installed else {
        let missing = pass("extensions", what, format!("it is not installed in database \"{database}\""));
        let help = match &there.available {
            Some(_) => format!("run CREATE EXTENSION {sql}, or change `requires.extensions`"),
            None => format!("install its package on the server, then run CREATE EXTENSION {sql}"),
        };
        return but(Verdict::Fail, missing, help);
    };
    let met = pass("extensions", what, format!("version {installed} is installed"));
    match wanted.allows(installed) {
        Some(true) => met,
        None => {
            let found = format!("version {installed}, which is installed, is not made of numbers only");
            but(
                Verdict::Unknown,
                Requirement { found, ..met },
                "see which version that is, and name the extension alone if it will do",
            )
        }
        Some(false) => {
            let newer = there.available.as_ref().filter(|version| wanted.allows(version) == Some(true));
            let help = match newer {
                Some(version) => format!("run ALTER EXTENSION {sql} UPDATE: version {version} is there"),
                None => "install a package of that version on the server, then ALTER EXTENSION ... UPDATE".to_owned(),
            };
            but(Verdict::Fail, met, help)
        }
    }
}

fn table(wanted: &TableName, kind: Option<&str>) -> Requirement {
    let what = format!("table {wanted}");
    let found = match kind {
        Some("r" | "p" | "f") => return pass("tables", what, "it is there"),
        Some("v" | "m") => "it is a view".to_owned(),
        Some(_) => "something else has that name".to_owned(),
        None => "there is no such table".to_owned(),
    };
    but(Verdict::Fail, pass("tables", what, found), "create it first, or correct the name in `requires.tables`")
}

async fn column(
    conn: &mut PgConnection,
    wanted: &RequiredColumn,
    there: &OfferedColumn,
) -> Result<Requirement, CatalogError> {
    const HELP: &str = "add it first, or correct `requires.columns`";
    let fail = |found: String| but(Verdict::Fail, pass("columns", wanted.to_string(), found), HELP);
    let (Some(is), Some(oid)) = (&there.type_name, there.type_oid) else {
        return Ok(fail(if there.table { "there is no such column" } else { "there is no such table" }.to_owned()));
    };
    let met = pass("columns", wanted.to_string(), format!("it is there, of type {is}"));
    let Some(wanted_type) = &wanted.type_name else { return Ok(met) };
    let (base, modifier) = without_modifier(wanted_type);
    // Names of types are found as in the role's own sessions.
    let sql = format!(
        "SELECT pg_catalog.to_regtype({})::pg_catalog.oid::pg_catalog.int8::pg_catalog.text FROM (SELECT pg_catalog.set_config('search_path', (SELECT p.reset_val FROM pg_catalog.pg_settings AS p WHERE p.name = 'search_path'), true) OFFSET 0) AS s WHERE s.set_config IS NOT NULL",
        quote_literal(&base)
    );
    let resolved = match pg::query_scalar::<Option<String>>(&sql).fetch_one(conn).await {
        Ok(resolved) => resolved,
        Err(source) if pg::sqlstate(&source).is_some() => None,
        Err(source) => return Err(CatalogError::Database { what: "look up a type", source }),
    };
    let Some(resolved) = resolved else {
        return Ok(fail(format!("there is no type {wanted_type}; the column is of type {is}")));
    };
    let same = resolved == oid.to_string() && modifier.is_none_or(|wanted| same_modifier(&wanted, is));
    Ok(if same { met } else { fail(format!("it is of type {is}")) })
}

/// Returns a type without what stands in parentheses, and that.
fn without_modifier(type_name: &str) -> (String, Option<String>) {
    let parts = type_name.split_once('(').and_then(|(before, rest)| Some((before, rest.split_once(')')?)));
    match parts {
        Some((before, (modifier, after))) => {
            let modifier = modifier.chars().filter(|c| !c.is_whitespace()).collect();
            (format!("{}{after}", before.trim_end()), Some(modifier))
        }
        None => (type_name.to_owned(), None),
    }
}

/// Whether `is`, as the server writes types, has this modifier. `numeric(10)` is `numeric(10,0)`.
fn same_modifier(wanted: &str, is: &str) -> bool {
    let is = without_modifier(is).1;
    is.is_some_and(|is| is == wanted || is.strip_suffix(",0") == Some(wanted))
}

async fn free_disk(
    conn: &mut PgConnection,
    table: &TableName,
    wanted: &Disk,
    growth: Growth,
    offered: &Offered,
) -> Result<Requirement, CatalogError> {
    let (needed, what) = match (wanted.free, growth) {
        (Some(bytes), _) => (Some(bytes), format!("{bytes} of free disk space")),
        (None, Growth::Bytes(bytes)) => {
            (Some(Bytes(bytes)), format!("free disk space for the predicted growth ({})", Bytes(bytes)))
        }
        (None, Growth::NotPredicted) => (None, "free disk space for the predicted growth".to_owned()),
    };
    let unknown = |found: String, help: &str| Ok(but(Verdict::Unknown, pass("disk", what.clone(), found), help));
    let Some(needed) = needed else {
        return unknown(
            "the growth of this plan is not predicted".to_owned(),
            "write an amount in place of `predicted`",
        );
    };
    let free = match &wanted.query {
        Some(sql) => match asked(conn, sql).await? {
            Ok(free) => disk::Free { bytes: free, at: "the plan's query says so".to_owned() },
            Err(why) => return unknown(why, "correct `requires.disk.query`: it must return the number of free bytes"),
        },
        None => match disk::free(conn, table).await? {
            Ok(free) => free,
            Err(why) => {
                let help = match why {
                    disk::Unseen::Hidden => {
                        format!(
                            "GRANT pg_read_all_settings TO {}, if crossfade runs on the server's host",
                            quote_ident(&offered.role)
                        )
                    }
                    disk::Unseen::NotHere(_) => "PostgreSQL does not tell how full its disks are".to_owned(),
                };
                let help = format!(
                    "{help}; or give `requires.disk.query`, a SELECT that returns the free bytes, for example from your monitoring"
                );
                return unknown(why.to_string(), &help);
            }
        },
    };
    let met = pass("disk", what.clone(), format!("{} are free ({})", Bytes(free.bytes), free.at));
    Ok(if free.bytes >= needed.0 { met } else { but(Verdict::Fail, met, "free disk space on the server, or add some") })
}

/// Returns what the plan's query returns, or why that is no number of bytes.
async fn asked(conn: &mut PgConnection, sql: &str) -> Result<Result<u64, String>, CatalogError> {
    const WHAT: &str = "ask for the free disk space";
    // As a subquery it must be one query with one column and at most one row; the line break ends a comment.
    let sql = format!("SELECT ({}\n)::float8", sql.trim().trim_end_matches(';'));
    let limits = "BEGIN READ ONLY; SET LOCAL search_path TO DEFAULT; SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '1s'";
    query::run(conn, WHAT, limits.to_owned()).await?;
    let answer = pg::fetch(conn, &sql).await;
    let number = answer.and_then(|rows| rows.first().map_or(Ok(None), |row| row.try_get::<Option<f64>, _>(0)));
    if let Err(source) = number {
        if pg::sqlstate(&source).is_none() && pg::class_of(&source) == pg::ErrorClass::Connection {
            return Err(CatalogError::Database { what: WHAT, source });
        }
        query::run(conn, WHAT, "ROLLBACK".to_owned()).await?;
        return Ok(Err(format!("the plan's query fails: {}", pg::describe(&source))));
    }
    query::run(conn, WHAT, "ROLLBACK".to_owned()).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    let bytes = |number: f64| (number.is_finite() && (0.0..9e18).contains(&number)).then_some(number as u64);
    let number = number.ok().flatten().and_then(bytes);
    Ok(number.ok_or_else(|| "the plan's query returns no number of bytes".to_owned()))
}

fn slots(wanted: &Slots, offered: &Offered, all: &mut Vec<Requirement>) {
    const KEY: &str = "slots";
    let keeps = |slot: &Slot| format!("slot {} keeps {}", slot.name, Bytes(slot.kept));
    let worst = |slots: Vec<&Slot>| slots.into_iter().max_by_key(|slot| slot.kept).map(|slot| (slot.kept, keeps(slot)));
    let all_of_them = || worst(offered.slots.iter().collect());
    if let Some(most) = wanted.wal {
        let server = u64::try_from(offered.slot_keep_megabytes).ok().map(|megabytes| megabytes * 1024 * 1024);
        let server = server.map(|bytes| bytes / 100 * SLOT_PERCENT).filter(|bytes| *bytes < most.0);
        let what = format!("at most {most} of WAL kept by a replication slot");
        let found = all_of_them();
        let met = pass(KEY, what, found.as_ref().map_or("no slot keeps any".to_owned(), |(_, said)| said.clone()));
        all.push(match found {
            Some((kept, said)) if kept > server.unwrap_or(most.0) => {
                let found = match server {
                    Some(bytes) => format!(
                        "{said}, and the server gives a slot up soon after {} ({SLOT_PERCENT} % of max_slot_wal_keep_size)",
                        Bytes(bytes)
                    ),
                    None => said,
                };
                let help = "see why its reader does not catch up, or drop the slot if nobody needs it";
                but(Verdict::Fail, Requirement { found, ..met }, help)
            }
            _ => met,
        });
    }
    if let Some(most) = wanted.inactive_wal {
        let found = worst(offered.slots.iter().filter(|slot| !slot.active).collect());
        let what = format!("at most {most} of WAL kept by an inactive replication slot");
        let none = || "no inactive slot keeps any".to_owned();
        let met = pass(KEY, what, found.as_ref().map_or_else(none, |(_, said)| said.clone()));
        all.push(match found {
            Some((kept, _)) if kept > most.0 => but(
                Verdict::Fail,
                met,
                "start its reader, or drop it with pg_drop_replication_slot() if nobody needs it",
            ),
            _ => met,
        });
    }
    if wanted.bounded {
        let what = "a bound on the WAL that replication slots keep";
        all.push(match offered.slot_keep_megabytes {
            megabytes @ 0.. => pass(KEY, what, format!("max_slot_wal_keep_size is {megabytes} MB")),
            _ => but(
                Verdict::Fail,
                pass(KEY, what, "max_slot_wal_keep_size is -1: a reader that has gone away fills the disk"),
                "set max_slot_wal_keep_size to what the disk can spare, and reload the server's configuration",
            ),
        });
    }
}

fn replicas(wanted: &Replicas, offered: &Offered, all: &mut Vec<Requirement>) {
    const KEY: &str = "replicas";
    let hidden = offered.replicas.iter().any(|replica| !replica.seen);
    let help = format!("GRANT pg_monitor TO {}", quote_ident(&offered.role));
    let unknown = |what: String| {
        let found = format!("role \"{}\" may not see the state of replicas", offered.role);
        but(Verdict::Unknown, pass(KEY, what, found), help.as_str())
    };
    let streaming = offered.replicas.iter().filter(|replica| replica.streams).count();
    if let Some(least) = wanted.count {
        let what = format!("at least {}", plural(i64::from(least), "streaming replica"));
        let met = pass(KEY, what.clone(), format!("{} streaming", count(streaming, "replica")));
        all.push(match streaming >= usize::from(least) {
            true => met,
            false if hidden => unknown(what),
            false => {
                but(Verdict::Fail, met, "start the replicas that are missing, or correct `requires.replicas.count`")
            }
        });
    }
    if let Some(most) = wanted.behind {
        let what = format!("replicas at most {most} behind");
        let name =
            |replica: &Replica| replica.name.clone().filter(|name| !name.is_empty()).unwrap_or("(unnamed)".to_owned());
        let worst = offered.replicas.iter().max_by_key(|replica| replica.behind.unwrap_or(u64::MAX));
        all.push(match worst {
            None => pass(KEY, what, "there is no replica"),
            Some(_) if hidden => unknown(what),
            Some(replica) => {
                let found = match replica.behind {
                    Some(behind) => format!("replica {} is {} behind", name(replica), Bytes(behind)),
                    None => format!("replica {} has not said yet how far it is", name(replica)),
                };
                let met = pass(KEY, what, found);
                match replica.behind.map(|behind| behind <= most.0) {
                    Some(true) => met,
                    Some(false) => but(Verdict::Fail, met, "wait until it has caught up, or see what holds it"),
                    None => but(Verdict::Unknown, met, "try again in a moment"),
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_compared_as_the_server_writes_them() {
        let split = |text| without_modifier(text);
        assert_eq!(split("varchar(10)"), ("varchar".to_owned(), Some("10".to_owned())));
        assert_eq!(split("timestamp (3) with time zone").0, "timestamp with time zone");
        assert_eq!(split("numeric( 10, 2 )[]"), ("numeric[]".to_owned(), Some("10,2".to_owned())));
        assert_eq!(split("text"), ("text".to_owned(), None));
        assert!(same_modifier("10", "numeric(10,0)") && same_modifier("10", "character varying(10)"));
        assert!(!same_modifier("10", "numeric(10,2)") && !same_modifier("10", "text"));
    }
}
