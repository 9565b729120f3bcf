//! Files that commands write.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::error::CliError;

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Those of any other new file: what the umask leaves.
    AsUsual,
    /// Everybody, whatever the umask.
    Everybody,
}

/// Writes a file whole or not at all: beside its place first, under a name that begins with `.crossfade-` and ends in `.tmp`, and then
/// into it.
///
/// # Errors
/// [`CliError::Written`].
pub(super) fn replace(path: &Path, text: &str, readers: Readers) -> Result<(), CliError> {
    written(path, text, readers).map_err(|source| CliError::Written { path: PathBuf::from(path), source })
}

fn written(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    // The file that a link names, not the link.
    let path = match fs::canonicalize(path) {
        Ok(path) if !path.is_file() => return Err(io::Error::other("it is there already, and is no ordinary file")),
        Ok(path) => path,
        Err(_) => path.to_owned(),
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = Permissions::from_mode(0o666);
    let mut file =
        tempfile::Builder::new().prefix(".crossfade-").suffix(".tmp").permissions(mode).tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    if readers == Readers::Everybody {
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map(drop).map_err(|error| error.error)
}
