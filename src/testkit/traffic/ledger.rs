//! What clients were told was committed, and whether the table agrees.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::{Release, Subject, Value};
use crate::sql::quote_ident;

/// What a row's two columns must hold after a client's last commit. A side that cannot be known is `None`; several
/// literals mean that any one of them is right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) old: Option<Vec<String>>,
    pub(super) new: Option<Vec<String>>,
    /// The period (see `Shared::era`) in which the new side was written or kept in sync; reads before the backfill
    /// must not expect it earlier.
    pub(super) new_since: Option<u64>,
}

impl Known {
    /// Returns what is known after `release` has written `value` over this.
    ///
    /// A write that does not change its own side leaves the other alone: a value that a newer release wrote is not
    /// overwritten by an older one that writes what it read.
    pub(super) fn after(&self, release: Release, value: &Value, bijective: bool, era: Option<u64>) -> Self {
        let holds = |side: &Option<Vec<String>>, literal: &String| side.as_ref().is_some_and(|l| l.contains(literal));
        let and = |more: &Option<Vec<String>>, literal: &String| {
            let mut all = more.clone()?;
            if !all.contains(literal) {
                all.push(literal.clone());
            }
            Some(all)
        };
        let (mut old, mut new) = (Some(vec![value.old.clone()]), Some(vec![value.new.clone()]));
        match release {
            Release::Old if holds(&self.old, &value.old) => new = and(&self.new, &value.new),
            Release::New if holds(&self.new, &value.new) => old = and(&self.old, &value.back),
            // The row as it was loaded may have held this very value on the new side, made from another old one.
            Release::New if self.new.is_none() && !bijective => old = None,
            Release::New => old = Some(vec![value.back.clone()]),
            Release::Old | Release::Both | Release::Either => {}
        }
        Self { old, new, new_since: era }
    }

    /// Returns what is known when it is not known whether the write that leads to `other` was committed.
    pub(super) fn or(&self, other: &Self) -> Self {
        let either = |a: &Option<Vec<String>>, b: &Option<Vec<String>>| {
            let mut all = a.clone()?;
            all.extend(b.clone()?.into_iter().filter(|literal| !a.iter().flatten().any(|have| have == literal)));
            Some(all)
        };
        let new_since = if self.new_since == other.new_since { self.new_since } else { None };
        Self { old: either(&self.old, &other.old), new: either(&self.new, &other.new), new_since }
    }
}

/// What is known of one row.
#[derive(Debug, Clone, Default)]
pub(super) struct RowState {
    /// One for each pair of the subject; `None` when no client has written it.
    pub(super) pairs: Vec<Option<Known>>,
    pub(super) deleted: bool,
}

impl RowState {
    pub(super) fn untouched(pairs: usize) -> Self {
        Self { pairs: vec![None; pairs], deleted: false }
    }
}

/// Which side of each pair is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What the old column must hold: after a rollback.
    Old,
    /// What the new column must hold: after a finished run.
    New,
}

/// A write that was committed and is not in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostWrite {
    /// The row's key.
    pub key: i64,
    /// The column.
    pub column: String,
    /// The literal that was committed, or what should have become of the row.
    pub expected: String,
    /// What the table holds; `None` for NULL and for a missing row.
    pub found: Option<String>,
}

/// Every committed write of every client.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub(super) rows: BTreeMap<i64, RowState>,
}

impl Ledger {
    /// Returns in how many rows something was committed.
    pub fn rows(&self) -> usize {
        self.rows.values().filter(|row| row.deleted || row.pairs.iter().any(Option::is_some)).count()
    }

    /// Returns the writes that the table does not hold, comparing for each pair of `subject` the column that
    /// `column` names for it: `None` skips the pair. Reads only.
    ///
    /// # Errors
    /// The server's refusal, for example because there is no such column.
    pub async fn lost_writes(
        &self,
        connection: &mut PgConnection,
        subject: &Subject,
        side: Side,
        column: impl Fn(&super::Pair) -> Option<String>,
    ) -> Result<Vec<LostWrite>, sqlx::Error> {
        let (table, key) = (subject.table.sql(), quote_ident(&subject.key));
        let mut lost = self.wrongly_there_or_gone(connection, &table, &key).await?;
        for (number, pair) in subject.pairs.iter().enumerate() {
            let Some(name) = column(pair) else { continue };
            let quoted = quote_ident(&name);
            let mut by_literals: BTreeMap<&[String], Vec<i64>> = BTreeMap::new();
            for (id, row) in self.rows.iter().filter(|(_, row)| !row.deleted) {
                let Some(known) = row.pairs.get(number).and_then(Option::as_ref) else { continue };
                let literals = if side == Side::Old { &known.old } else { &known.new };
                if let Some(literals) = literals {
                    by_literals.entry(literals).or_default().push(*id);
                }
            }
            for (literals, ids) in by_literals {
                let same = literals.iter().map(|literal| format!("{quoted} IS NOT DISTINCT FROM {literal}"));
                let same = same.collect::<Vec<_>>().join(" OR ");
                let sql = format!(
                    "SELECT {key}::bigint, {quoted}::text FROM {table} WHERE {key} = ANY($1) AND NOT ({same}) ORDER BY 1"
                );
                let query = sqlx::query(AssertSqlSafe(sql)).bind(ids).persistent(false);
                for row in query.fetch_all(&mut *connection).await? {
                    lost.push(LostWrite {
                        key: row.get(0),
                        column: name.clone(),
                        expected: literals.join(" or "),
                        found: row.get(1),
                    });
                }
            }
        }
        Ok(lost)
    }

    /// Returns rows that were committed and are missing, and rows that were deleted and are there.
    async fn wrongly_there_or_gone(
        &self,
        connection: &mut PgConnection,
        table: &str,
        key: &str,
    ) -> Result<Vec<LostWrite>, sqlx::Error> {
        let mut lost = Vec::new();
        for (deleted, expected) in [(false, "the row"), (true, "no row")] {
            let ids: Vec<i64> = self.rows.iter().filter(|(_, row)| row.deleted == deleted).map(|(id, _)| *id).collect();
            let sql = format!(
                "SELECT i FROM unnest($1::bigint[]) AS i
                 WHERE EXISTS (SELECT 1 FROM {table} AS t WHERE t.{key} = i) = $2 ORDER BY 1"
            );
            let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(ids).bind(deleted).persistent(false);
            let wrong: Vec<i64> = query.fetch_all(&mut *connection).await?;
            lost.extend(wrong.into_iter().map(|id| LostWrite {
                key: id,
                column: key.to_owned(),
                expected: expected.to_owned(),
                found: None,
            }));
        }
        Ok(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(old: &str, new: &str, back: &str) -> Value {
        Value { old: old.to_owned(), new: new.to_owned(), back: back.to_owned() }
    }

    fn one(literal: &str) -> Vec<String> {
        vec![literal.to_owned()]
    }

    #[test]
    fn each_release_determines_both_sides() {
        let long = value("'KX-1042-AB (export)'", "'KX-1042-AB'", "'KX-1042-AB'");
        let unknown = Known::default();
        let by_old = unknown.after(Release::Old, &long, false, None);
        assert_eq!((by_old.old.clone(), by_old.new.clone()), (Some(one(&long.old)), Some(one(&long.new))));
        // The newer release writes what it sees: nothing changes, and the remark may stay on the old side.
        let by_new = by_old.after(Release::New, &long, false, Some(1));
        assert_eq!(by_new.old, Some(vec![long.old.clone(), long.back.clone()]));
        assert_eq!(by_new.new, Some(one(&long.new)));
        // It writes something else: the old side follows.
        let short = value("'A'", "'A'", "'A'");
        assert_eq!(by_new.after(Release::New, &short, false, Some(1)).old, Some(one("'A'")));
        // Nobody knows what the loaded row held.
        assert_eq!(unknown.after(Release::New, &long, false, Some(1)).old, None);
    }

    #[test]
    fn a_commit_in_doubt_allows_both_outcomes() {
        let (a, b) = (value("'a'", "'a'", "'a'"), value("'b'", "'b'", "'b'"));
        let before = Known::default().after(Release::Both, &a, true, Some(1));
        let after = before.after(Release::Both, &b, true, Some(1));
        assert_eq!(before.or(&after).new, Some(vec!["'a'".to_owned(), "'b'".to_owned()]));
        assert_eq!(before.or(&before), before);
    }
}
