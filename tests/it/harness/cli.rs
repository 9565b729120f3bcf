//! The tool as a process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::limit;
use super::wait::PATIENCE;

/// An invocation of `crossfade` that has not been made yet. It sees no environment but `PATH` and what is given.
#[derive(Debug, Clone)]
pub(crate) struct Cli {
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    input: Option<String>,
    folder: Option<PathBuf>,
}

/// What an invocation said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cli {
    /// Returns an invocation with `DATABASE_URL` set, unless `url` is empty.
    pub(crate) fn new(url: &str) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let cli = Self { args: Vec::new(), env: Vec::new(), input: None, folder: None }.env("PATH", path);
        if url.is_empty() { cli } else { cli.env("DATABASE_URL", url) }
    }

    /// Adds arguments.
    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives it a text on standard input, which is empty otherwise.
    pub(crate) fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    /// Starts it in a directory.
    pub(crate) fn folder(mut self, path: &Path) -> Self {
        self.folder = Some(path.to_owned());
        self
    }

    /// Starts the tool. It is killed if the value is dropped before it has ended.
    pub(crate) fn spawn(&self) -> Running {
        limit::begin();
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade"));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), self.input.clone()) {
            // Who does not read it does not need it.
            tokio::spawn(async move { stdin.write_all(text.as_bytes()).await });
        }
        let stdout = Capture::of(child.stdout.take().unwrap());
        let stderr = Capture::of(child.stderr.take().unwrap());
        let pid = child.id().unwrap();
        limit::tool_began(pid);
        Running { child, pid, stdout, stderr }
    }

    /// Runs the tool to its end.
    ///
    /// # Panics
    /// When it takes longer than [`PATIENCE`].
    pub(crate) async fn run(&self) -> Output {
        self.spawn().wait(PATIENCE).await
    }
}

/// The tool at work.
pub(crate) struct Running {
    child: Child,
    pid: u32,
    stdout: Capture,
    stderr: Capture,
}

impl Running {
    /// Returns what it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Returns what it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Returns the number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal: SIGKILL, SIGSTOP, SIGCONT, SIGINT. One that has ended already gets none.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id() {
            let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
        }
    }

    /// Kills it with SIGKILL and returns what it had said.
    pub(crate) async fn kill(self) -> Output {
        self.signal(Signal::SIGKILL);
        self.wait(PATIENCE).await
    }

    /// Returns what it said once it has ended.
    ///
    /// # Panics
    /// When it has not ended within `timeout`, with what it said so far.
    pub(crate) async fn wait(mut self, timeout: Duration) -> Output {
        let Ok(status) = tokio::time::timeout(timeout, self.child.wait()).await else {
            panic!("still running after {timeout:?}\n--- stdout\n{}--- stderr\n{}", self.stdout(), self.stderr());
        };
        let code = status.unwrap().code();
        Output { code, stdout: self.stdout.finish().await, stderr: self.stderr.finish().await }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        limit::tool_ended(self.pid);
    }
}

/// A pipe that is read as it fills.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Capture {
    fn of(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
                into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    async fn finish(&mut self) -> String {
        (&mut self.reader).await.unwrap();
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}
