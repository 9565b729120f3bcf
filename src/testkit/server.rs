//! A throwaway PostgreSQL: initialised in a temporary directory, started, and gone without a trace.
//!
//! Own code rather than a crate: `pgtemp` (0.7) panics instead of returning errors, needs `sudo` when it runs
//! as root, always switches `fsync` off, and cannot be given a library path, restarted or killed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::sql::quote_ident;

/// The role that owns everything on the server. Nobody is asked for a password; see [`Server`].
pub const SUPERUSER: &str = "postgres";

/// How long a start or a stop may take. Recovery after a kill is the slowest of them: seconds.
const PATIENCE: Duration = Duration::from_mins(1);
/// The interval for looking at a file or a process.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The longest path of a unix socket on every supported system (macOS has 104 bytes with the final zero).
const MAX_SOCKET_PATH: usize = 103;

/// Waits for the end of its standard input, which comes when the process that started the server ends, however
/// it ends; then stops the server and removes its directory. A word on standard input calls it off.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
read -r word && exit 0
file=$1/data/postmaster.pid
pid=$(head -n 1 "$file" 2>/dev/null)
if [ -n "$pid" ]; then
  kill -QUIT "$pid" 2>/dev/null
  while [ -e "$file" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
fi
rm -rf -- "$1"
"#;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No directory with `initdb` and `postgres` was found.
    #[error("PostgreSQL's server programs were not found; {}", how_to_install())]
    NoBinaries,
    /// The given directory has no server programs.
    #[error("there is no `initdb` and `postgres` in {}", .0.display())]
    NotABinDir(PathBuf),
    /// This process runs as root, PostgreSQL refuses to, and there is no other user.
    #[error("PostgreSQL does not run as root, and there is neither a user `postgres` nor a user `nobody`")]
    NoUser,
    /// A file, directory or process could not be made.
    #[error("could not {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// `initdb`, `pg_basebackup` or `cp` failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: &'static str,
        /// What it printed, both streams.
        output: String,
    },
    /// The server ended, or was not ready in time.
    #[error("the server did not start; its log ends with: {log}")]
    NotReady {
        /// The last lines of the log.
        log: String,
    },
    /// The server refused a connection or a statement.
    #[error("the throwaway server refused: {0}")]
    Database(#[from] sqlx::Error),
}

/// Returns one line on how to get the server programs on this system.
fn how_to_install() -> &'static str {
    if cfg!(target_os = "macos") {
        "get them with: brew install postgresql@17"
    } else if Path::new("/etc/debian_version").exists() {
        "get them with: apt-get install postgresql"
    } else if Path::new("/etc/redhat-release").exists() {
        "get them with: dnf install postgresql-server"
    } else {
        "get them from your package manager or https://www.postgresql.org/download"
    }
}

/// Attaches what was tried to an I/O error.
fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> ServerError {
    move |source| ServerError::Io { what, source }
}

/// What to start. [`Options::default`] is a durable server that only this user reaches, through a unix socket.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory with `initdb` and `postgres`; `None` looks for the newest.
    pub bin_dir: Option<PathBuf>,
    /// The value of `PATH`, searched first when `bin_dir` is `None`. The caller reads the environment.
    pub search_path: Option<OsString>,
    /// `LD_LIBRARY_PATH` for binaries that were moved away from their libraries.
    pub library_path: Option<PathBuf>,
    /// Whether a crash of the machine may lose everything (`fsync = off`): for tests, and several times faster.
    pub unsafe_fast: bool,
    /// Whether to listen on a free port of 127.0.0.1 too, where every local user can connect.
    pub tcp: bool,
    /// Further settings, as `-c name=value`.
    pub settings: Vec<(String, String)>,
    /// Variables of the server's environment.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// Returns the directory with the server programs: the one asked for, or the first of `PATH`, Debian's, Red
    /// Hat's, the source build's and Homebrew's that has them; of several versions in one place, the newest.
    ///
    /// # Errors
    /// [`ServerError::NotABinDir`] or [`ServerError::NoBinaries`].
    pub fn find_bin_dir(&self) -> Result<PathBuf, ServerError> {
        let complete = |dir: &PathBuf| dir.join("initdb").is_file() && dir.join("postgres").is_file();
        if let Some(dir) = &self.bin_dir {
            return if complete(dir) { Ok(dir.clone()) } else { Err(ServerError::NotABinDir(dir.clone())) };
        }
        // What is on PATH may be links to a few of the programs; the others are where the links lead.
        std::env::split_paths(self.search_path.as_deref().unwrap_or(OsStr::new("")))
            .filter_map(|dir| Some(fs::canonicalize(dir.join("postgres")).ok()?.parent()?.to_owned()))
            .chain(by_version(Path::new("/usr/lib/postgresql"), ""))
            .chain(by_version(Path::new("/usr"), "pgsql-"))
            .chain([PathBuf::from("/usr/local/pgsql/bin")])
            .chain(by_version(Path::new("/opt/homebrew/opt"), "postgresql@"))
            .chain(by_version(Path::new("/usr/local/opt"), "postgresql@"))
            .find(complete)
            .ok_or(ServerError::NoBinaries)
    }
}

/// A running throwaway server.
///
/// Its directory is readable by its user only, and connections through the socket in it are trusted. Dropping
/// the value stops the server and removes the directory. If this process is killed, a watchdog (a small shell
/// that waits on a pipe) does the same.
#[derive(Debug)]
pub struct Server {
    options: Options,
    bin_dir: PathBuf,
    /// Holds `data/`, `socket/` and `log`. `None` after [`Server::keep`].
    dir: Option<TempDir>,
    root: PathBuf,
    run_as: Option<(Uid, Gid)>,
    port: u16,
    postmaster: Option<Child>,
    watchdog: Option<Child>,
}

impl Server {
    /// Returns a new, empty server that is ready for connections. Blocks for one to three seconds.
    ///
    /// # Errors
    /// [`ServerError`] when there are no binaries, or one of them fails.
    pub fn start(options: Options) -> Result<Self, ServerError> {
        let mut server = Self::prepare(options)?;
        let mut initdb = server.program("initdb");
        initdb.arg("--pgdata").arg(server.data_dir()).args(["--username", SUPERUSER, "--auth", "trust"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        run("initdb", &mut initdb)?;
        server.launch()?;
        Ok(server)
    }

    /// Returns a streaming replica of this server with the same options, ready for read-only connections.
    /// Blocks for a few seconds; needs `pg_basebackup` beside the server programs.
    ///
    /// # Errors
    /// [`ServerError`] when the copy cannot be taken or does not start.
    pub fn replica(&self) -> Result<Self, ServerError> {
        let mut server = Self::prepare(self.options.clone())?;
        let mut copy = server.program("pg_basebackup");
        copy.arg("--pgdata").arg(server.data_dir()).arg("--host").arg(self.socket_dir());
        copy.args(["--port", &self.port.to_string(), "--username", SUPERUSER]);
        copy.args(["--checkpoint", "fast", "--wal-method", "stream", "--write-recovery-conf", "--no-sync"]);
        run("pg_basebackup", &mut copy)?;
        server.launch()?;
        Ok(server)
    }

    /// Returns a server that has its directory and watchdog but no data yet.
    fn prepare(options: Options) -> Result<Self, ServerError> {
        let bin_dir = options.find_bin_dir()?;
        let run_as = unprivileged_user()?;
        let dir = temporary_dir()?;
        let root = dir.path().to_owned();
        for path in [root.clone(), root.join("data"), root.join("socket")] {
            fs::create_dir_all(&path).map_err(io_error("make the server's directory"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
                .map_err(io_error("protect the server's directory"))?;
            if let Some((uid, gid)) = run_as {
                chown(&path, Some(uid.as_raw()), Some(gid.as_raw()))
                    .map_err(io_error("hand the server's directory to its user"))?;
            }
        }
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "crossfade-watchdog"])
            .arg(&root)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // Ctrl-C on the terminal must reach crossfade, not the server
            .spawn()
            .map_err(io_error("start the watchdog"))?;
        let port = if options.tcp { free_port()? } else { 5432 };
        let (dir, watchdog) = (Some(dir), Some(watchdog));
        let mut server = Self { options, bin_dir, dir, root, run_as, port, postmaster: None, watchdog };
        if run_as.is_some() && !everybody_may_enter(&server.bin_dir) {
            server.copy_binaries()?;
        }
        Ok(server)
    }

    /// Copies the installation into the server's directory: its user cannot enter, say, a checkout below `/root`.
    fn copy_binaries(&mut self) -> Result<(), ServerError> {
        let Some(installation) = self.bin_dir.parent().map(Path::to_owned) else { return Ok(()) };
        let copy = self.root.join("postgresql");
        run("cp", Command::new("cp").arg("-RP").arg(&installation).arg(&copy))?;
        let moved = |path: &Path| path.strip_prefix(&installation).map(|rest| copy.join(rest)).ok();
        self.options.library_path = self.options.library_path.take().map(|path| moved(&path).unwrap_or(path));
        if let Some(bin_dir) = moved(&self.bin_dir) {
            self.bin_dir = bin_dir;
        }
        Ok(())
    }

    /// Returns the command for one of the server programs, as the server's user.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin_dir.join(name));
        // The current directory may be closed to the server's user.
        command.current_dir(&self.root).stdin(Stdio::null());
        if let Some(path) = &self.options.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        if let Some((uid, gid)) = self.run_as {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    /// Starts the postmaster and returns when it accepts connections.
    fn launch(&mut self) -> Result<(), ServerError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut postmaster = self.spawn_postmaster()?;
            match self.wait_until_ready(&mut postmaster, deadline) {
                Ok(()) => {
                    self.postmaster = Some(postmaster);
                    return Ok(());
                }
                // After `kill -9` the old backends hold the shared memory for a moment longer.
                Err(ServerError::NotReady { log }) if log.contains("is still in use") && Instant::now() < deadline => {
                    thread::sleep(LOOK_AGAIN);
                }
                Err(error) => {
                    let _ = postmaster.kill();
                    let _ = postmaster.wait();
                    return Err(error);
                }
            }
        }
    }

    fn spawn_postmaster(&self) -> Result<Child, ServerError> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(io_error("open the server's log"))?;
        let log_too = log.try_clone().map_err(io_error("open the server's log"))?;
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data_dir()).arg("-k").arg(self.socket_dir());
        command.args(["-p", &self.port.to_string()]);
        let listen = if self.options.tcp { "listen_addresses=127.0.0.1" } else { "listen_addresses=" };
        command.args(["-c", listen, "-c", "logging_collector=off", "-c", "log_destination=stderr"]);
        if self.options.unsafe_fast {
            command.args(["-c", "fsync=off"]);
        }
        for (name, value) in &self.options.environment {
            command.env(name, value);
        }
        for (name, value) in &self.options.settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        command.stdout(log).stderr(log_too).process_group(0).spawn().map_err(io_error("start the server"))
    }

    /// Returns once `postmaster.pid` of *this* postmaster says `ready`: what `pg_ctl` looks at.
    fn wait_until_ready(&self, postmaster: &mut Child, deadline: Instant) -> Result<(), ServerError> {
        let pid = postmaster.id().to_string();
        loop {
            let file = fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap_or_default();
            let mut lines = file.lines();
            let ours = lines.next() == Some(&pid);
            if ours && lines.nth(6).is_some_and(|status| status.trim() == "ready") {
                return Ok(());
            }
            let ended = postmaster.try_wait().map_err(io_error("wait for the server"))?.is_some();
            if ended || Instant::now() > deadline {
                return Err(ServerError::NotReady { log: self.log_tail() });
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Returns the URL of `database` for this tool, `psql` and every other client.
    pub fn url(&self, database: &str) -> String {
        let database = percent_encoded(database);
        if self.options.tcp {
            format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
        } else {
            let socket = percent_encoded(&self.socket_dir().to_string_lossy());
            format!("postgres:///{database}?host={socket}&port={}&user={SUPERUSER}", self.port)
        }
    }

    /// Returns the directory with the server's programs.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Returns the directory with the server's data.
    pub fn data_dir(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Returns the directory with the server's unix socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.root.join("socket")
    }

    /// Returns the path of the server's log.
    pub fn log_path(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Returns the port, of 127.0.0.1 if [`Options::tcp`] was set, and in the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the postmaster's process id, unless the server is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Child::id)
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Errors
    /// [`ServerError::Database`] when the server refuses, for example because the name is taken.
    pub async fn create_database(&self, name: &str) -> Result<String, ServerError> {
        let mut connection = sqlx::PgConnection::connect(&self.url("postgres")).await?;
        let statement = format!("CREATE DATABASE {} TEMPLATE template0", quote_ident(name));
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(self.url(name))
    }

    /// Stops the server at once, as a crash would (open transactions are lost, committed ones recovered), and
    /// starts it again on the same port. Blocks until it is ready.
    ///
    /// # Errors
    /// [`ServerError::NotReady`] when it does not come back.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.halt(Signal::SIGQUIT)?;
        self.launch()
    }

    /// Kills the postmaster with SIGKILL; its backends notice and end by themselves. [`Server::restart`]
    /// brings it back.
    ///
    /// # Errors
    /// [`ServerError::Io`] when the process cannot be waited for.
    pub fn kill(&mut self) -> Result<(), ServerError> {
        self.halt(Signal::SIGKILL)
    }

    /// Stops the server and removes its directory, as dropping it does, but says what went wrong.
    ///
    /// # Errors
    /// [`ServerError::Io`] when it does not end or its directory cannot be removed.
    pub fn stop(mut self) -> Result<(), ServerError> {
        self.halt(Signal::SIGQUIT)?;
        self.call_off_watchdog();
        match self.dir.take() {
            Some(dir) => dir.close().map_err(io_error("remove the server's directory")),
            None => Ok(()),
        }
    }

    /// Leaves the server running after this process has ended and returns its directory and process id.
    /// Stop it with `kill -INT <pid>`, then remove the directory.
    pub fn keep(mut self) -> (PathBuf, Option<u32>) {
        self.call_off_watchdog();
        if let Some(dir) = self.dir.take() {
            let _ = dir.keep();
        }
        (self.root.clone(), self.postmaster.take().map(|child| child.id()))
    }

    /// Returns the last lines of the server's log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Sends `signal` to the postmaster and returns when it has ended.
    fn halt(&mut self, signal: Signal) -> Result<(), ServerError> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        if let Ok(pid) = i32::try_from(postmaster.id()) {
            let _ = kill(Pid::from_raw(pid), signal); // it may have ended already
        }
        let deadline = Instant::now() + PATIENCE;
        while postmaster.try_wait().map_err(io_error("wait for the server"))?.is_none() {
            if Instant::now() > deadline {
                let _ = postmaster.kill();
                postmaster.wait().map_err(io_error("wait for the server"))?;
                break;
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    fn call_off_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            if let Some(mut stdin) = watchdog.stdin.take() {
                let _ = stdin.write_all(b"off\n");
            }
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.dir.is_some() {
            let _ = self.halt(Signal::SIGQUIT);
            self.call_off_watchdog();
        }
    }
}

/// Runs a program to its end.
fn run(program: &'static str, command: &mut Command) -> Result<(), ServerError> {
    let output = command.output().map_err(io_error("start one of PostgreSQL's programs"))?;
    if output.status.success() {
        return Ok(());
    }
    let both = [output.stdout, output.stderr].concat();
    Err(ServerError::Program { program, output: String::from_utf8_lossy(&both).trim().to_owned() })
}

/// Returns a fresh directory in the system's place for them, or in `/tmp` if a socket's path there were too long.
fn temporary_dir() -> Result<TempDir, ServerError> {
    let make = |base: Option<&Path>| {
        let mut builder = tempfile::Builder::new();
        builder.prefix("crossfade-");
        base.map_or_else(|| builder.tempdir(), |base| builder.tempdir_in(base))
            .map_err(io_error("make a temporary directory"))
    };
    let dir = make(None)?;
    let socket = dir.path().join("socket/.s.PGSQL.65535.lock");
    if socket.as_os_str().len() > MAX_SOCKET_PATH { make(Some(Path::new("/tmp"))) } else { Ok(dir) }
}

/// Returns the user to run the server as: `None` is the current one, which PostgreSQL allows unless it is root.
fn unprivileged_user() -> Result<Option<(Uid, Gid)>, ServerError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| Some((user.uid, user.gid)))
        .ok_or(ServerError::NoUser)
}

/// Returns whether every user of the machine may run programs in `dir`.
fn everybody_may_enter(dir: &Path) -> bool {
    let open = |dir: &Path| fs::metadata(dir).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0);
    fs::canonicalize(dir).is_ok_and(|dir| dir.ancestors().all(open))
}

/// Returns a port of 127.0.0.1 that nobody listens on right now.
fn free_port() -> Result<u16, ServerError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io_error("find a free port"))?;
    Ok(listener.local_addr().map_err(io_error("find a free port"))?.port())
}

/// Returns `parent/<prefix><number>/bin` for every number there is, the highest first.
fn by_version(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Returns `text` fit for any part of a URL.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_by_number_not_by_text() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["9", "15", "18", "common"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = by_version(dir.path(), "");
        let expected: Vec<_> = ["18", "15", "9"].map(|name| dir.path().join(name).join("bin")).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn no_programs_is_one_line_that_says_what_to_do() {
        let message = ServerError::NoBinaries.to_string();
        assert!(message.starts_with("PostgreSQL's server programs were not found; get them "), "{message}");
        assert_eq!(message.lines().count(), 1);
        let empty = tempfile::tempdir().unwrap();
        let options = Options { bin_dir: Some(empty.path().to_owned()), ..Options::default() };
        assert!(matches!(Server::start(options), Err(ServerError::NotABinDir(_))));
    }
}
