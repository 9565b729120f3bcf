//! What is made anew in a swap, because PostgreSQL does not take it along: whether it can be.

use serde::Deserialize;
use sqlx::PgConnection;

use super::dependants::{Hanging, is_made_anew};
use super::{CatalogError, Inspection, query};
use crate::names::is_our_trigger;

/// What is made anew.
#[derive(Debug, Default)]
pub(super) struct MadeAnew {
    /// Everything, as PostgreSQL describes it, in order.
    pub(super) objects: Vec<String>,
    /// The materialized views among them, by name, in order.
    pub(super) materialized_views: Vec<String>,
}

impl MadeAnew {
    /// Adds what is made anew elsewhere.
    pub(super) fn join(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.materialized_views.extend(other.materialized_views);
        for all in [&mut self.objects, &mut self.materialized_views] {
            all.sort();
            all.dedup();
        }
    }
}

#[derive(Debug, Deserialize)]
struct Above {
    /// The views on the columns, and those on these, as PostgreSQL describes them.
    views: Vec<String>,
    materialized_views: Vec<String>,
    /// What cannot be made anew: description, why, what to do.
    obstacles: Vec<(String, String, String)>,
}

/// Returns what of `hanging` is made anew with columns `attnums` of `table`; refuses what cannot be. Takes no lock on the table.
pub(super) async fn judge(
    conn: &mut PgConnection,
    table: i64,
    attnums: &[i16],
    hanging: &[Hanging],
    found: &mut Inspection,
) -> Result<MadeAnew, CatalogError> {
    let of_them = hanging.iter().filter(|h| attnums.contains(&h.attnum) && is_made_anew(&h.what.kind));
    // Publications are made anew by a statement of their own.
    let of_them = of_them.filter(|h| h.what.kind != "publication");
    let of_them = of_them.filter(|h| h.what.kind != "trigger" || !is_our_trigger(&h.what.name));
    let of_them: Vec<_> = of_them.map(|h| h.what.clone()).collect();
    if of_them.is_empty() {
        return Ok(MadeAnew::default());
    }
    let attnums: Vec<_> = attnums.iter().copied().map(i32::from).collect();
    let query = query::fixed(include_str!("made_anew.sql")).bind(table).bind(attnums);
    let above: Above = query::read(conn, "read the views above the column", query).await?;
    for (description, why, help) in above.obstacles {
        found.refuse("catalog::made_anew", format!("{description} {why}"), help);
    }
    let others = of_them.into_iter().filter(|what| !matches!(what.kind.as_str(), "view" | "materialized_view"));
    let mut all: Vec<_> = others.map(|what| what.description).chain(above.views).collect();
    all.sort();
    all.dedup();
    Ok(MadeAnew { objects: all, materialized_views: above.materialized_views })
}
