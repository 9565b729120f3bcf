//! A server whose clock can be set.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use crossfade::testkit::server::Server;
use tempfile::TempDir;

use super::{missing, own_server_with};

/// A server whose clock can be set.
pub(crate) struct Clock {
    pub(crate) server: Server,
    file: PathBuf,
    _dir: TempDir,
}

impl Clock {
    /// Starts a server with a clock; `None` where faketime is missing.
    pub(crate) fn start() -> Option<Self> {
        let found = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
            .map(|dir| Path::new(dir).join("faketime/libfaketime.so.1"));
        let Some(library) = found.iter().find(|path| path.is_file()) else {
            missing("faketime");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let file = dir.path().join("clock");
        std::fs::write(&file, "+0\n").unwrap();
        let server = own_server_with(&[
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]);
        Some(Self { server, file, _dir: dir })
    }

    /// Sets the clock to so much before or after that of the machine: `-1h`, `+90s`.
    pub(crate) fn set(&self, offset: &str) {
        // A reader never sees half of it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{offset}\n")).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    /// Sets the clock to a moment, or less than a second after it.
    pub(crate) fn go_to(&self, at: DateTime<Utc>) {
        self.set(&format!("{:+}", (at - Utc::now()).num_seconds() + 1));
    }
}
