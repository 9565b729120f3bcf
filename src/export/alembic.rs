//! Alembic: a revision above the only head.

use std::collections::BTreeSet;

use super::numbered::indented;
use super::python::{assigned, list, string};
use super::{File, Migration, NoExport, guard};
use crate::ident::sha256_hex;

/// A revision that is there.
struct Revision {
    id: String,
    down: Vec<String>,
}

pub(super) fn file(migration: &Migration, there: &[File]) -> Result<File, NoExport> {
    if there.iter().any(|file| file.path == "env.py") {
        let message = "this is the directory of Alembic's environment, not of its revisions";
        return Err(NoExport::new(message, "name the directory `versions` in it"));
    }
    let slug = migration.slug();
    let id = sha256_hex(&slug)[..12].to_owned();
    let revisions: Vec<Revision> =
        there.iter().filter(|file| file.path.strip_suffix(".py").is_some()).filter_map(read).collect();
    let down = match revisions.iter().find(|revision| revision.id == id) {
        Some(own) => own.down.first().cloned(),
        None => head(&revisions)?,
    };
    let path = format!("{id}_{slug}.py");
    let down = down.map_or_else(|| "None".to_owned(), |down| format!("\"{down}\""));
    let (plan, block) = (&migration.plan, indented(&guard::sql(migration), 8));
    let text = format!(
        "\"\"\"crossfade {plan}\n\nRevision ID: {id}\n\"\"\"\n\nfrom alembic import op\n\nrevision = \"{id}\"\ndown_revision = {down}\nbranch_labels = None\n\
         depends_on = None\n\n\ndef upgrade() -> None:\n    op.execute(\n        \"\"\"\n{block}        \"\"\"\n    )\n\n\ndef downgrade() -> None:\n    \
         raise NotImplementedError(\"crossfade export writes no way back\")\n"
    );
    Ok(File { path, text })
}

fn read(file: &File) -> Option<Revision> {
    let id = string(assigned(&file.text, "revision")?)?;
    let down = assigned(&file.text, "down_revision").unwrap_or_default();
    let down = match string(down) {
        Some(one) => vec![one],
        None => list(down).into_iter().filter_map(string).collect(),
    };
    Some(Revision { id, down })
}

/// Returns the revision that no other is above.
fn head(revisions: &[Revision]) -> Result<Option<String>, NoExport> {
    let below: BTreeSet<_> = revisions.iter().flat_map(|revision| &revision.down).collect();
    let heads: Vec<_> = revisions.iter().map(|revision| &revision.id).filter(|id| !below.contains(id)).collect();
    match heads.as_slice() {
        [] => Ok(None),
        [head] => Ok(Some((*head).clone())),
        several => {
            let several: Vec<_> = several.iter().map(|id| id.as_str()).collect();
            let message = format!("the revisions there have {} heads: {}", several.len(), several.join(", "));
            Err(NoExport::new(message, "join them first: alembic merge heads"))
        }
    }
}
