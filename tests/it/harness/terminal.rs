//! A terminal with a person at its keyboard, at which the tool runs.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use super::wait::{PATIENCE, wait_for};

/// A terminal of 80 columns and 24 rows.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    shown: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Runs the tool at a terminal, on the database at `url`.
    pub(crate) fn run(url: &str, args: &[&str]) -> Self {
        Self::shell(url, &format!("exec {}", Self::command(args)))
    }

    /// Returns how a shell calls the tool.
    pub(crate) fn command(args: &[&str]) -> String {
        let quoted = |arg: &&str| format!(" '{}'", arg.replace('\'', "'\\''"));
        env!("CARGO_BIN_EXE_crossfade").to_owned() + &args.iter().map(quoted).collect::<String>()
    }

    /// Runs a command of a shell at a terminal. The tool finds the database at `url`.
    pub(crate) fn shell(url: &str, command: &str) -> Self {
        // Whoever runs the tests in the background of a shell ignores Ctrl-C, and hands that on.
        let mut child = Command::new("env")
            .args(["--default-signal=INT", "script"])
            .args(["--quiet", "--return", "--command", &format!("stty cols 80 rows 24; {command}"), "/dev/null"])
            .env_remove("NO_COLOR")
            .env("DATABASE_URL", url)
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let keyboard = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&shown);
        let reader = tokio::spawn(async move {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = output.read(&mut buffer).await {
                bytes.extend_from_slice(&buffer[..read]);
                *into.lock().unwrap_or_else(PoisonError::into_inner) = String::from_utf8_lossy(&bytes).into_owned();
            }
        });
        Self { child, keyboard, shown, reader }
    }

    /// Returns everything that the terminal was sent so far.
    pub(crate) fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Types these keys.
    pub(crate) async fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).await.unwrap();
        self.keyboard.flush().await.unwrap();
    }

    /// Waits until the terminal shows `text`.
    pub(crate) async fn shows(&self, text: &str) {
        wait_for(&format!("the terminal to show {text:?}"), PATIENCE, async || self.shown().contains(text)).await;
    }

    /// Returns the exit code and what was shown, once the command has ended.
    pub(crate) async fn ends(mut self) -> (Option<i32>, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = status else { panic!("still running after {PATIENCE:?}: {}", self.shown()) };
        drop(self.keyboard);
        let _ = (&mut self.reader).await;
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (status.unwrap().code(), shown)
    }
}
