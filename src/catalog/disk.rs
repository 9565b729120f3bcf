//! How much is free on the file systems of a server on this host. PostgreSQL itself does not tell (docs/postgres.md, "Free disk
//! space").

use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use sqlx::PgConnection;

use super::{CatalogError, query};
use crate::ident::TableName;
use crate::pg;

/// What the server says of where its files are; `None` where the role may not see it.
#[derive(Debug, Deserialize)]
struct Place {
    data_directory: Option<String>,
    /// Where the plan's table is, if not in there.
    tablespace: Option<String>,
    system_identifier: Option<String>,
}

/// The space on the fullest of the file systems that a run writes to.
pub(super) struct Free {
    pub(super) bytes: u64,
    /// Where that is.
    pub(super) at: String,
}

/// Why nobody can look.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unseen {
    /// The server does not tell where its files are.
    #[error("the server does not tell this role where its data directory is")]
    Hidden,
    /// The files cannot be looked at.
    #[error("{0}")]
    NotHere(String),
}

/// Returns what is free where the table, the rest of the database and the write-ahead log are.
pub(super) async fn free(conn: &mut PgConnection, table: &TableName) -> Result<Result<Free, Unseen>, CatalogError> {
    let query = query::fixed(include_str!("disk.sql")).bind(table.schema.clone()).bind(table.name.clone());
    match query::read(conn, "read where the server's files are", query).await {
        Ok(place) => Ok(look(&place)),
        Err(CatalogError::Database { source, .. }) if pg::sqlstate(&source).is_some() => {
            Ok(Err(Unseen::NotHere(pg::describe(&source))))
        }
        Err(error) => Err(error),
    }
}

/// A directory of that name may be here by chance, and belong to another server: its control file must be that of this one.
fn look(place: &Place) -> Result<Free, Unseen> {
    let (Some(directory), Some(identifier)) = (&place.data_directory, &place.system_identifier) else {
        return Err(Unseen::Hidden);
    };
    let directory = Path::new(directory);
    let mut begin = [0; 8];
    let read =
        std::fs::File::open(directory.join("global/pg_control")).and_then(|mut file| file.read_exact(&mut begin));
    if let Err(error) = read {
        let directory = directory.display();
        return Err(Unseen::NotHere(format!("its data directory {directory} cannot be read from here ({error})")));
    }
    if u64::from_ne_bytes(begin).to_string() != *identifier {
        let directory = directory.display();
        return Err(Unseen::NotHere(format!("the data directory {directory} on this host is another server's")));
    }
    let places = [
        Some(directory.to_owned()),
        Some(directory.join("pg_wal")),
        place.tablespace.as_ref().map(|path| directory.join(path)),
    ];
    let mut least = None;
    for path in places.into_iter().flatten() {
        let bytes = available(&path)
            .map_err(|error| Unseen::NotHere(format!("{} cannot be looked at ({error})", path.display())))?;
        if least.as_ref().is_none_or(|found: &Free| bytes < found.bytes) {
            least = Some(Free { bytes, at: format!("on the file system of {}", path.display()) });
        }
    }
    least.ok_or(Unseen::Hidden)
}

/// What others than root may still write.
fn available(path: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directory_of_this_very_server_counts() {
        let directory = tempfile::tempdir().unwrap();
        let place = |identifier: u64| Place {
            data_directory: Some(directory.path().to_string_lossy().into_owned()),
            tablespace: None,
            system_identifier: Some(identifier.to_string()),
        };
        let why = |place: &Place| look(place).map(|free| free.bytes).unwrap_err().to_string();
        assert!(why(&place(7)).contains("cannot be read from here"));
        std::fs::create_dir(directory.path().join("global")).unwrap();
        std::fs::create_dir(directory.path().join("pg_wal")).unwrap();
        std::fs::write(directory.path().join("global/pg_control"), [7_u64.to_ne_bytes(), [0; 8]].concat()).unwrap();
        assert!(why(&place(8)).ends_with("on this host is another server's"));
        assert!(look(&place(7)).is_ok_and(|free| free.bytes > 0));
        assert!(
            why(&Place { tablespace: Some("/nosuch".to_owned()), ..place(7) })
                .starts_with("/nosuch cannot be looked at")
        );
        assert!(why(&Place { system_identifier: None, ..place(7) }).contains("does not tell this role"));
    }
}
