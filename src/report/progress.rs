//! Puts events on standard error: a bar on a terminal, lines elsewhere, JSON lines for scripts, or nothing.
//!
//! A thread of its own does the writing. A terminal that was halted (Ctrl-S), or a pipe that nobody reads, makes whoever
//! writes wait for ever, and that must not be a loop that keeps a run going.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

use super::narrator::Narrator;
use super::{Look, json};
use crate::event::{Event, EventSink};
use crate::run::Progress;

/// Without a terminal, progress is reported at least this often during a phase.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often the bar is updated.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Standard error, shared between the bar and everything else that writes there.
#[derive(Clone, Default)]
pub(crate) struct Console {
    bar: Arc<Mutex<Option<ProgressBar>>>,
    /// While a bar is shown, the terminal does not echo keys such as Ctrl-C: `^C` would push the bar up by a line, where it
    /// stayed.
    silent: Arc<Mutex<Option<Unechoed>>>,
    /// The thread of the reporter, while there is one: lines stay in order with events.
    writer: Arc<Mutex<Option<Sender<Said>>>>,
    /// Whether the process ends: no bar is shown any more.
    ended: Arc<AtomicBool>,
}

/// What is to be written.
enum Said {
    Event(Box<Event>),
    Line(String),
}

impl Console {
    /// Writes a line, above the bar if there is one. Nobody can be told when standard error is closed.
    pub(crate) fn line(&self, text: &str) {
        let writer = lock(&self.writer).clone();
        let queued = writer.is_some_and(|writer| writer.send(Said::Line(text.to_owned())).is_ok());
        if !queued {
            self.write(text);
        }
    }

    fn write(&self, text: &str) {
        let bar = lock(&self.bar).clone();
        let write = || drop(writeln!(io::stderr().lock(), "{text}"));
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Shows `bar` until the next call.
    pub(crate) fn show(&self, bar: Option<ProgressBar>) {
        let ended = self.ended.load(Ordering::SeqCst);
        let bar = bar.filter(|bar| {
            if ended {
                bar.finish_and_clear();
            }
            !ended
        });
        let shown = bar.is_some();
        // A bar that is cleared writes to the terminal: not under our lock.
        let old = std::mem::replace(&mut *lock(&self.bar), bar);
        if let Some(old) = old {
            old.finish_and_clear();
        }
        let mut silent = lock(&self.silent);
        if shown != silent.is_some() {
            *silent = if shown { Unechoed::begin() } else { None };
        }
    }

    /// Clears the bar for good: the process ends.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.show(None);
    }
}

/// A terminal that echoes no control characters, until the value is dropped.
struct Unechoed(Termios);

impl Unechoed {
    fn begin() -> Option<Self> {
        let before = foreground().then(|| tcgetattr(io::stderr()).ok()).flatten()?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ECHOCTL);
        tcsetattr(io::stderr(), OptionalActions::Now, &now).ok()?;
        Some(Self(before))
    }
}

impl Drop for Unechoed {
    fn drop(&mut self) {
        if foreground() {
            let _ = tcsetattr(io::stderr(), OptionalActions::Now, &self.0);
        }
    }
}

/// Whether this process has the terminal. One in the background is stopped when it changes it.
fn foreground() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp())
}

/// How events are reported.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Telling {
    /// Not at all.
    Nothing,
    /// As JSON lines.
    Json,
    /// For people.
    Words {
        /// What the terminal can show.
        look: Look,
        /// Whether standard error is a terminal, where a bar makes sense.
        terminal: bool,
        /// Whether steps are reported, not only phases.
        verbose: bool,
    },
}

/// Says something about the moment.
pub(crate) type Aside = Box<dyn Fn() -> String + Send + Sync>;

/// Tells events until it is dropped; then everything that was said before is written.
pub(crate) struct Reporter {
    sink: EventSink,
    console: Console,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Returns a reporter that writes to `console`.
    pub(crate) fn new(telling: Telling, console: &Console) -> Self {
        Self::with_aside(telling, console, None)
    }

    /// Returns a reporter that also says what `aside` says, beside the bar or behind the line.
    pub(crate) fn with_aside(telling: Telling, console: &Console, aside: Option<Aside>) -> Self {
        let teller = match telling {
            Telling::Nothing => {
                return Self { sink: crate::event::silent(), console: console.clone(), thread: None };
            }
            Telling::Json => None,
            Telling::Words { look, terminal, verbose } => Some(Teller {
                narrator: Narrator::new(look, verbose),
                console: console.clone(),
                look,
                terminal,
                aside,
                bar: None,
                said: Instant::now(),
            }),
        };
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn({
            let console = console.clone();
            move || keep_telling(&receiver, &console, teller)
        });
        *lock(&console.writer) = Some(sender);
        let writer = Arc::clone(&console.writer);
        let sink: EventSink = Arc::new(move |event| {
            let writer = lock(&writer).clone();
            // Once the reporter is gone nobody is interested.
            drop(writer.map(|writer| writer.send(Said::Event(Box::new(event)))));
        });
        Self { sink, console: console.clone(), thread: Some(thread) }
    }

    /// Returns where events go.
    pub(crate) fn sink(&self) -> EventSink {
        Arc::clone(&self.sink)
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The only sender but for those who are sending right now: the thread ends once all is written.
            *lock(&self.console.writer) = None;
            let _ = thread.join();
        }
        self.console.show(None);
    }
}

fn keep_telling(said: &Receiver<Said>, console: &Console, mut teller: Option<Teller>) {
    loop {
        match (said.recv_timeout(LOOK_AGAIN), &mut teller) {
            (Ok(Said::Line(text)), _) => console.write(&text),
            (Ok(Said::Event(event)), Some(teller)) => teller.tell(&event),
            (Ok(Said::Event(event)), None) => console.write(&json::event(&event)),
            (Err(RecvTimeoutError::Timeout), Some(teller)) => teller.refresh(),
            (Err(RecvTimeoutError::Timeout), None) => {}
            (Err(RecvTimeoutError::Disconnected), _) => return,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Teller {
    narrator: Narrator,
    console: Console,
    look: Look,
    terminal: bool,
    aside: Option<Aside>,
    /// The bar, and whether it has a length.
    bar: Option<(ProgressBar, bool)>,
    /// When something was last said.
    said: Instant,
}

impl Teller {
    fn tell(&mut self, event: &Event) {
        let now = Instant::now();
        if let Some(text) = self.narrator.tell(event, now) {
            self.console.write(&text);
            self.said = now;
        }
        self.refresh();
    }

    fn refresh(&mut self) {
        let now = Instant::now();
        let mut moment = self.narrator.now(now, self.terminal);
        if let (Some((_, _, text)), Some(aside)) = (&mut moment, &self.aside) {
            text.push_str("; ");
            text.push_str(&aside());
        }
        if !self.terminal {
            if let Some((phase, _, text)) = moment
                && now.duration_since(self.said) >= LINE_EVERY
            {
                self.console.write(&format!("  {phase:<9} {text}"));
                self.said = now;
            }
            return;
        }
        let Some((phase, progress, text)) = moment else {
            if self.bar.take().is_some() {
                self.console.show(None);
            }
            return;
        };
        let counted = progress.is_some_and(|progress| progress.rows_percent.is_some());
        if self.bar.as_ref().is_none_or(|(_, has_length)| *has_length != counted) {
            // Two bars would write to one line, and the first could stay.
            self.console.show(None);
            let bar = bar(self.look, counted);
            self.console.show(Some(bar.clone()));
            self.bar = Some((bar, counted));
        }
        if let Some((bar, _)) = &self.bar {
            bar.set_prefix(phase.as_str());
            bar.set_message(text);
            if let Some(Progress { rows_done: done, rows_total: total, .. }) = progress {
                bar.set_length(u64::try_from(total).unwrap_or(0));
                bar.set_position(u64::try_from(done.min(total)).unwrap_or(0));
            }
        }
    }
}

/// Returns a bar, or a spinner where it is not known how long it takes.
pub(crate) fn bar(look: Look, counted: bool) -> ProgressBar {
    let template = if counted { "  {prefix:<9} [{bar:20}] {wide_msg}" } else { "  {prefix:<9} {spinner} {wide_msg}" };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let style =
        if look.unicode { style.progress_chars("━╸ ") } else { style.progress_chars("=> ").tick_chars("|/-\\ ") };
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr()).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
