//! Puts events on standard error: a bar on a terminal, lines elsewhere, JSON lines for scripts, or nothing.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::narrator::{Narrator, Progress};
use super::{Look, json};
use crate::event::{Event, EventSink};

/// Without a terminal, something is said at least this often while a phase goes on.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often the bar is brought up to date.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Standard error, shared between the bar and everything else that writes there.
#[derive(Clone, Default)]
pub(crate) struct Console {
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

impl Console {
    /// Writes a line, above the bar if there is one. Nobody can be told when standard error is closed.
    pub(crate) fn line(&self, text: &str) {
        let bar = lock(&self.bar).clone();
        let write = || drop(writeln!(io::stderr().lock(), "{text}"));
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Shows `bar` until the next call.
    pub(crate) fn show(&self, bar: Option<ProgressBar>) {
        // A bar that is cleared writes to the terminal: not under our lock.
        let old = std::mem::replace(&mut *lock(&self.bar), bar);
        if let Some(old) = old {
            old.finish_and_clear();
        }
    }
}

/// How events are told.
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
        /// Whether steps are told, not only phases.
        verbose: bool,
    },
}

/// Says something about the moment.
pub(crate) type Aside = Box<dyn Fn() -> String + Send + Sync>;

/// Tells events until it is dropped.
pub(crate) struct Reporter {
    sink: EventSink,
    console: Console,
}

impl Reporter {
    /// Returns a reporter that writes to `console`.
    pub(crate) fn new(telling: Telling, console: &Console) -> Self {
        Self::with_aside(telling, console, None)
    }

    /// Returns a reporter that also says what `aside` says, beside the bar or behind the line.
    pub(crate) fn with_aside(telling: Telling, console: &Console, aside: Option<Aside>) -> Self {
        let sink: EventSink = match telling {
            Telling::Nothing => crate::event::silent(),
            Telling::Json => {
                let console = console.clone();
                Arc::new(move |event| console.line(&json::event(&event)))
            }
            Telling::Words { look, terminal, verbose } => Self::narrating(Teller {
                narrator: Narrator::new(look, verbose),
                console: console.clone(),
                look,
                terminal,
                aside,
                bar: None,
                said: Instant::now(),
            }),
        };
        Self { sink, console: console.clone() }
    }

    fn narrating(teller: Teller) -> EventSink {
        let teller = Arc::new(Mutex::new(teller));
        // Ends when the sink, the only strong reference, is gone.
        let weak = Arc::downgrade(&teller);
        thread::spawn(move || keep_telling(&weak));
        Arc::new(move |event| lock(&teller).tell(&event))
    }

    /// Returns where events go.
    pub(crate) fn sink(&self) -> EventSink {
        Arc::clone(&self.sink)
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.console.show(None);
    }
}

fn keep_telling(teller: &Weak<Mutex<Teller>>) {
    loop {
        thread::sleep(LOOK_AGAIN);
        match teller.upgrade() {
            Some(teller) => lock(&teller).refresh(),
            None => return,
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
            self.console.line(&text);
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
                self.console.line(&format!("  {phase:<9} {text}"));
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
        let counted = progress.is_some_and(|progress| progress.total > 0);
        if self.bar.as_ref().is_none_or(|(_, has_length)| *has_length != counted) {
            let bar = bar(self.look, counted);
            self.console.show(Some(bar.clone()));
            self.bar = Some((bar, counted));
        }
        if let Some((bar, _)) = &self.bar {
            bar.set_prefix(phase.as_str());
            bar.set_message(text);
            if let Some(Progress { done, total, .. }) = progress {
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
