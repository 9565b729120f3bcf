//! Drizzle: a file of SQL, its entry in the journal, and a snapshot of the schema after it, which drizzle-kit compares the code with.

use serde_json::{Map, Value, json};

use super::numbered::{leading_digits, next};
use super::{Alter, File, Migration, NoExport, guard};
use crate::ident::sha256_hex;

/// The list of all migrations.
pub(super) const JOURNAL: &str = "meta/_journal.json";

/// The version of the journal and of snapshots that this writes.
const VERSION: &str = "7";

pub(super) fn files(migration: &Migration, there: &[File]) -> Result<Vec<File>, NoExport> {
    let slug = migration.slug();
    let mut journal = read(there, JOURNAL)?;
    let version = journal.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
    if version != VERSION || journal.get("dialect").and_then(Value::as_str) != Some("postgresql") {
        let message = format!("{JOURNAL} has version {version:?}, and not {VERSION} for postgresql");
        return Err(NoExport::new(message, "bring it up to date first: drizzle-kit up"));
    }
    let entries = journal.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
    let tag_of = |entry: &Value| entry.get("tag").and_then(Value::as_str).unwrap_or_default().to_owned();
    let own = entries.iter().position(|entry| {
        let tag = tag_of(entry);
        tag[leading_digits(&tag).len()..] == format!("_{slug}")
    });
    let place = own.unwrap_or(entries.len());
    let Some(before) = place.checked_sub(1).and_then(|last| entries.get(last)) else {
        return Err(NoExport::new(
            "the journal has no migration before this one, so no snapshot has the table",
            "let drizzle-kit generate write the migration that creates the table first",
        ));
    };
    let before_tag = tag_of(before);
    let tag = match own {
        Some(own) => tag_of(&entries[own]),
        None => format!(
            "{}_{slug}",
            next([leading_digits(&before_tag)].into_iter().filter(|d| !d.is_empty()), migration.at)
        ),
    };
    let snapshot_of = |tag: &str| format!("meta/{}_snapshot.json", tag.split('_').next().unwrap_or_default());
    let snapshot = after(migration, read(there, &snapshot_of(&before_tag))?)?;
    if own.is_none() {
        // Drizzle applies what is later than the last one it has applied.
        let last = entries.iter().filter_map(|entry| entry.get("when")?.as_i64()).max().unwrap_or_default();
        let when = migration.at.timestamp_millis().max(last + 1);
        let index = before.get("idx").and_then(Value::as_i64).unwrap_or_default() + 1;
        let entry = json!({ "idx": index, "version": VERSION, "when": when, "tag": tag, "breakpoints": true });
        if let Some(entries) = journal.get_mut("entries").and_then(Value::as_array_mut) {
            entries.push(entry);
        }
    }
    let text = |value: &Value| format!("{value:#}");
    Ok(vec![
        File { path: format!("{tag}.sql"), text: guard::sql(migration) },
        File { path: snapshot_of(&tag), text: text(&snapshot) },
        File { path: JOURNAL.to_owned(), text: text(&journal) },
    ])
}

fn read(there: &[File], path: &str) -> Result<Value, NoExport> {
    let help = "name the directory that `out` in drizzle.config names; drizzle-kit generate makes it";
    let file = there.iter().find(|file| file.path == path);
    let file = file.ok_or_else(|| NoExport::new(format!("there is no {path}"), help))?;
    serde_json::from_str(&file.text).map_err(|error| NoExport::new(format!("{path} cannot be read: {error}"), help))
}

/// Returns the snapshot after the changes.
fn after(migration: &Migration, mut snapshot: Value) -> Result<Value, NoExport> {
    let previous = snapshot.get("id").cloned().unwrap_or_default();
    let id = sha256_hex(&format!("{previous}{}", migration.slug()));
    // As a UUID of version 4.
    let uuid = format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..32]);
    snapshot["id"] = uuid.into();
    snapshot["prevId"] = previous;
    for of in migration.all() {
        alter(of, &mut snapshot)?;
    }
    Ok(snapshot)
}

/// Makes the changes of one table.
fn alter(migration: &Migration, snapshot: &mut Value) -> Result<(), NoExport> {
    let key = format!("{}.{}", migration.table.schema, migration.table.name);
    if snapshot.get("tables").and_then(|tables| tables.get(&key)).is_none() {
        let message = format!("the last snapshot has no table {key}");
        return Err(NoExport::new(message, "name the directory of the schema that has it"));
    }
    for alter in &migration.alters {
        let (tables, table) = (&mut snapshot["tables"], &migration.table);
        match alter {
            Alter::Rename { from, to } => rename(tables, &key, &table.name, from, to)?,
            Alter::Retype { column, to, default, name, .. } => {
                let found = &mut tables[&key]["columns"][column];
                if found.is_null() {
                    return Err(no_column(column));
                }
                set_type(found, to);
                if let Some(default) = default {
                    found["default"] = default.clone().into();
                }
                if name != column {
                    rename(tables, &key, &table.name, column, name)?;
                }
            }
            Alter::Add { name, type_name, default, not_null, .. } => {
                let mut column = json!({ "name": name, "type": "", "primaryKey": false, "notNull": not_null });
                set_type(&mut column, type_name);
                if let Some(default) = default {
                    column["default"] = default.clone().into();
                }
                tables[&key]["columns"][name] = column;
            }
            Alter::Drop { name } => {
                let columns = tables[&key]["columns"].as_object_mut();
                columns.and_then(|columns| columns.shift_remove(name)).ok_or_else(|| no_column(name))?;
            }
        }
    }
    Ok(())
}

fn no_column(column: &str) -> NoExport {
    let message = format!("the last snapshot has no column {column} in this table");
    NoExport::new(message, "compare the schema in the code with the database: drizzle-kit generate")
}

/// Sets the type as drizzle writes it.
fn set_type(column: &mut Value, type_name: &str) {
    let own = if type_name.starts_with("character varying") {
        type_name.replacen("character varying", "varchar", 1)
    } else if type_name.starts_with("character(") {
        type_name.replacen("character", "char", 1)
    } else if type_name.starts_with("numeric(") {
        type_name.replace(',', ", ")
    } else {
        // Times without a zone have no words for that there, and a precision has a space in front.
        let short = type_name.strip_suffix(" without time zone").unwrap_or(type_name);
        short.replace("timestamp(", "timestamp (").replace("time(", "time (")
    };
    column["type"] = own.into();
}

/// Gives a column of `key` another name, wherever the snapshot has it.
fn rename(tables: &mut Value, key: &str, table: &str, from: &str, to: &str) -> Result<(), NoExport> {
    let own = &mut tables[key];
    let columns = own["columns"].as_object_mut().ok_or_else(|| no_column(from))?;
    let mut renamed = Map::new();
    for (name, mut column) in std::mem::take(columns) {
        if name == from {
            column["name"] = to.into();
            renamed.insert(to.to_owned(), column);
        } else {
            renamed.insert(name, column);
        }
    }
    let there = renamed.contains_key(to);
    *columns = renamed;
    if !there {
        return Err(no_column(from));
    }
    let replace = |value: &mut Value| {
        if value.as_str() == Some(from) {
            *value = to.into();
        }
    };
    let each = |objects: &mut Value, list: &str| {
        for object in objects.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let names = object.get_mut(list).and_then(Value::as_array_mut);
            names.into_iter().flatten().for_each(|name| {
                replace(name);
                if name.get("isExpression") == Some(&Value::Bool(false)) {
                    replace(&mut name["expression"]);
                }
            });
        }
    };
    each(&mut own["indexes"], "columns");
    each(&mut own["compositePrimaryKeys"], "columns");
    each(&mut own["uniqueConstraints"], "columns");
    each(&mut own["foreignKeys"], "columnsFrom");
    for other in tables.as_object_mut().into_iter().flat_map(Map::values_mut) {
        for foreign in other["foreignKeys"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            if foreign.get("tableTo").and_then(Value::as_str) == Some(table) {
                foreign["columnsTo"].as_array_mut().into_iter().flatten().for_each(replace);
            }
        }
    }
    Ok(())
}
