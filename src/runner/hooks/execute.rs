//! One hook as a process.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{Ended, Told};
use crate::engine::Work;
use crate::plan::Hook;
use crate::runner::Error;
use crate::sql::one_line;

/// How much of what a hook prints is kept: the end of it.
const KEPT: usize = 4096;
/// How many lines of it.
const LINES: usize = 20;
/// How long its pipes are read after it has ended: a process that it left behind may hold them for ever.
const REST: Duration = Duration::from_secs(1);

/// Runs `hook` in its own process group, which is killed when its time is over, or when this is dropped before.
///
/// # Errors
/// [`Error::Interrupted`] when this process is told to stop meanwhile.
pub(super) async fn execute(directory: &Path, hook: &Hook, told: &Told, work: &Work) -> Result<Ended, Error> {
    // The name has no separator, so this is a file of that directory.
    let path = directory.join(hook.run.as_str());
    let mut command = Command::new(&path);
    // What messages are signed with is no business of a hook.
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("CROSSFADE_NOTIFY_")) {
        command.env_remove(name);
    }
    let spawned = command
        .envs(told.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Ok(ended(false, format!("could not be started: {error}"), "")),
    };
    let mut group = Group::of(&child);
    let tail = Tail::default();
    let readers =
        [child.stdout.take().map(|pipe| tail.follow(pipe)), child.stderr.take().map(|pipe| tail.follow(pipe))];
    if let Some(mut stdin) = child.stdin.take() {
        let input = told.input.clone();
        // Many hooks do not read it.
        tokio::spawn(async move {
            let _ = stdin.write_all(input.as_bytes()).await;
        });
    }
    let status = tokio::select! {
        status = child.wait() => Some(status),
        () = tokio::time::sleep(hook.timeout) => None,
        () = work.stop.cancelled() => return Err(Error::Interrupted),
    };
    let (ok, how) = match &status {
        Some(Ok(status)) => {
            group.has_ended();
            (status.success(), said(*status))
        }
        Some(Err(error)) => (false, format!("was lost: {error}")),
        None => {
            drop(group);
            let _ = tokio::time::timeout(REST, child.wait()).await;
            (false, format!("was ended after {}, its time limit", humantime::format_duration(hook.timeout)))
        }
    };
    for mut reader in readers.into_iter().flatten() {
        if tokio::time::timeout(REST, &mut reader).await.is_err() {
            reader.abort();
        }
    }
    Ok(ended(ok, how, &tail.text()))
}

fn ended(ok: bool, how: String, output: &str) -> Ended {
    Ended { ok, how, output: output.to_owned() }
}

fn said(status: ExitStatus) -> String {
    match status.code() {
        Some(0) => "ended well".to_owned(),
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    }
}

/// A process group, killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Leaves it alone: its number may be another's from now on.
    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::debug!(%error, "end a hook");
        }
    }
}

/// The end of what was printed.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    fn follow(&self, mut pipe: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let tail = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
                tail.push(&buffer[..read]);
            }
        })
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }

    /// Returns the last lines, in which every character is what it looks like.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> =
            text.lines().map(|line| one_line(line.trim_end())).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_every_character_is_what_it_looks_like() {
        let tail = Tail::default();
        tail.push(b"\x1b[31mred\x1b[0m\r\n\xff\0\n\n  two\n");
        assert_eq!(tail.text(), "\\u{1b}[31mred\\u{1b}[0m\n\u{fffd}\\u{0}\n  two");
        for number in 0..10_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        assert_eq!(tail.text().lines().count(), LINES);
        assert!(tail.text().ends_with("line 9999"));
        tail.push(&vec![b'x'; 100_000]);
        assert_eq!(tail.text().len(), KEPT);
    }
}
