//! The servers: one per version for the whole test binary, started when first asked for. The server's own watchdog
//! stops it when the test binary has ended.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use crossfade::testkit::server::{Options, Server};

/// A PostgreSQL that is installed here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    bin_dir: PathBuf,
    library_path: Option<PathBuf>,
}

impl Version {
    /// Returns what the binaries in `bin_dir` say they are; `None` if they do not run.
    fn of(bin_dir: &Path, library_path: Option<&Path>) -> Option<Self> {
        let mut command = Command::new(bin_dir.join("postgres"));
        command.arg("--version");
        if let Some(path) = library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        let output = command.output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let major = number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some(Self { major, bin_dir: bin_dir.to_owned(), library_path: library_path.map(Path::to_owned) })
    }

    /// Returns what to start for tests: without `fsync`, reachable over TCP too (proxies, PgBouncer).
    pub(crate) fn options(&self) -> Options {
        let settings = [
            ("max_connections", "300"),
            ("max_prepared_transactions", "10"),
            ("wal_level", "logical"),
            ("shared_buffers", "256MB"),
            ("max_wal_size", "1GB"),
            ("log_line_prefix", "%m [%p] %a %d "),
        ];
        Options {
            bin_dir: Some(self.bin_dir.clone()),
            library_path: self.library_path.clone(),
            unsafe_fast: true,
            tcp: true,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Options::default()
        }
    }
}

/// The oldest and the newest version that are supported.
const OLDEST: u32 = 14;
const NEWEST: u32 = 18;

/// The version that most tests run on: `CROSSFADE_PG_BIN` or the one installed on this machine.
static DEFAULT: LazyLock<Version> = LazyLock::new(|| {
    let options = Options {
        bin_dir: std::env::var_os("CROSSFADE_PG_BIN").map(PathBuf::from),
        search_path: std::env::var_os("PATH"),
        ..Options::default()
    };
    let bin_dir = options.find_bin_dir().unwrap_or_else(|error| panic!("{error}"));
    Version::of(&bin_dir, None).unwrap_or_else(|| panic!("{} does not run", bin_dir.display()))
});

/// Returns every version found, the default one first: it and those unpacked by `.ci/postgres-versions` in
/// `CROSSFADE_PG_VERSIONS_DIR`, by default `target/postgres`.
pub(crate) fn versions() -> Vec<Version> {
    let dir = std::env::var_os("CROSSFADE_PG_VERSIONS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/postgres"), PathBuf::from);
    let mut found: Vec<Version> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let native = entry.path().join("native");
            Version::of(&native.join("bin"), Some(&native.join("lib")))
        })
        .filter(|version| version.major != DEFAULT.major)
        .collect();
    found.sort();
    found.insert(0, DEFAULT.clone());
    for major in [OLDEST, NEWEST] {
        if !found.iter().any(|version| version.major == major) {
            missing(&format!("PostgreSQL {major} (.ci/postgres-versions fetches it)"));
        }
    }
    found
}

/// Says that a test does less than it should because something is not installed; an error where `CI` is set.
///
/// # Panics
/// Where `CI` is set.
pub(crate) fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing, and CI is set");
    // Not by a macro, whose output is shown only for tests that fail.
    let _ = writeln!(std::io::stderr(), "NOT TESTED: {what} is missing");
}

/// Returns the shared server of the default version.
pub(crate) fn server() -> &'static Server {
    server_of(&DEFAULT)
}

/// Returns the shared server of `version`.
pub(crate) fn server_of(version: &Version) -> &'static Server {
    static SERVERS: Mutex<BTreeMap<u32, &'static Server>> = Mutex::new(BTreeMap::new());
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    servers.entry(version.major).or_insert_with(|| Box::leak(Box::new(start(version))))
}

/// Returns a server of the default version for one test alone, which may kill it or restart it.
pub(crate) fn own_server() -> Server {
    start(&DEFAULT)
}

/// Returns a server for one test alone, with these variables in its environment.
pub(crate) fn own_server_with(environment: &[(&str, &str)]) -> Server {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = Options { environment, ..DEFAULT.options() };
    Server::start(options).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns a server for one test alone, with these settings.
pub(crate) fn own_server_set(settings: &[(&str, &str)]) -> Server {
    let mut options = DEFAULT.options();
    options.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Server::start(options).unwrap_or_else(|error| panic!("{error}"))
}

fn start(version: &Version) -> Server {
    Server::start(version.options()).unwrap_or_else(|error| panic!("PostgreSQL {}: {error}", version.major))
}
