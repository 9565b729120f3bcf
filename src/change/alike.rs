//! Gives a column what is written on another one, beside its default and NOT NULL.

use crate::run::ColumnFacts;
use crate::sql::quote_literal;

/// Returns the statements that make of `was` what is `now` on `column`, which has the grants of `other`; `type_storage` is the
/// storage of its type. Each may be repeated.
pub(super) fn alike(
    (table, column): (&str, &str),
    (was, now): (&ColumnFacts, &ColumnFacts),
    (other, type_storage): (&ColumnFacts, &str),
) -> Vec<String> {
    let alter = |what: &str| format!("ALTER TABLE {table} ALTER COLUMN {column} {what}");
    let mut all = Vec::new();
    if was.statistics != now.statistics {
        all.push(alter(&format!("SET STATISTICS {}", now.statistics.unwrap_or(-1))));
    }
    if was.options != now.options {
        let name = |option: &String| option.split('=').next().unwrap_or_default().to_owned();
        let names: Vec<_> = now.options.iter().map(name).collect();
        let gone: Vec<_> = was.options.iter().map(name).filter(|option| !names.contains(option)).collect();
        all.extend((!gone.is_empty()).then(|| alter(&format!("RESET ({})", gone.join(", ")))));
        all.extend((!now.options.is_empty()).then(|| alter(&format!("SET ({})", now.options.join(", ")))));
    }
    if was.storage != now.storage {
        all.push(alter(&format!("SET STORAGE {}", now.storage.as_deref().unwrap_or(type_storage))));
    }
    if was.compression != now.compression {
        all.push(alter(&format!("SET COMPRESSION {}", now.compression.as_deref().unwrap_or("default"))));
    }
    if was.comment != now.comment {
        let text = now.comment.as_ref().map_or_else(|| "NULL".to_owned(), |text| quote_literal(text));
        all.push(format!("COMMENT ON COLUMN {table}.{column} IS {text}"));
    }
    all.extend(grants(table, column, was, now, other));
    all
}

fn grants(table: &str, column: &str, was: &ColumnFacts, now: &ColumnFacts, other: &ColumnFacts) -> Vec<String> {
    let mut all = Vec::new();
    for (grantee, privilege, grantable) in was.grants.iter().filter(|grant| !now.grants.contains(grant)) {
        // A role that is gone has nothing on either column.
        if !other.grants.iter().any(|(to, what, _)| (to, what) == (grantee, privilege)) {
            continue;
        }
        let kept = now.grants.iter().any(|(to, what, _)| (to, what) == (grantee, privilege));
        match (kept, grantable) {
            (true, true) => {
                all.push(format!("REVOKE GRANT OPTION FOR {privilege} ({column}) ON {table} FROM {grantee} CASCADE"));
            }
            (true, false) => {}
            (false, _) => all.push(format!("REVOKE {privilege} ({column}) ON {table} FROM {grantee} CASCADE")),
        }
    }
    for (grantee, privilege, grantable) in now.grants.iter().filter(|grant| !was.grants.contains(grant)) {
        let option = if *grantable { " WITH GRANT OPTION" } else { "" };
        all.push(format!("GRANT {privilege} ({column}) ON {table} TO {grantee}{option}"));
    }
    all
}
