//! `rename_column`: the column gets another name; for a while it can be read and written under both.

use super::fragment::Fragment;
use super::{Active, Context, pair};

pub(super) fn fragment(context: &Context<'_>, a: &Active<'_>) -> Fragment {
    let (table, new) = (context.table().sql(), a.change.new.sql());
    let alter = |what: &str, word: &str| format!("ALTER TABLE {table} ALTER COLUMN {new} SET {what} {word}");
    // A type change resets storage and compression, a rename keeps them.
    let mut kept: Vec<_> = a.facts.old.storage.iter().map(|word| alter("STORAGE", word)).collect();
    kept.extend(a.facts.old.compression.iter().map(|word| alter("COMPRESSION", word)));
    pair::fragment(context, a, kept)
}
