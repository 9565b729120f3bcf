//! `crossfade status`.

use std::io::IsTerminal as _;
use std::time::Duration;

use super::context::{self, Context, run_name};
use super::error::CliError;
use super::{exit_code, signals};
use crate::report::{self, Screen, human, json};
use crate::runner::Tool;
use crate::view::{Need, RunView};

/// The interval of `--watch`.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Show the state of a run, or of every run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run; without it, every run
    name: Option<String>,
    /// Update every second until the run has ended
    #[arg(short, long)]
    watch: bool,
    /// Exit with 0 only if no run shown needs anybody
    ///
    /// 10 if a person must do something (approve, agree, resume, finish a rollback, find out why no tick comes), 4 if a step failed, 6 if rows
    /// are not equal, 7 if the database differs from the ledger, 5 if others must do something first: releases that
    /// still use the old column, a lock, another plan. Of several runs the most urgent counts: 4, 6, 7, 10, 5, 0. A run that is over, at work, or waits
    /// for its time or for the next run or advance counts as 0.
    #[arg(long)]
    exit_code: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = args.name.as_deref().map(run_name).transpose()?;
    let tool = context.tool()?;
    if !args.watch {
        let shown = Shown::read(&tool, name).await?;
        report::result(&shown.text(context))?;
        return Ok(shown.exit_code(args));
    }
    let stop = signals::asked_to_stop();
    tokio::pin!(stop);
    let redraw = std::io::stdout().is_terminal() && !context.json();
    let mut screen = Screen::default();
    let mut last = String::new();
    loop {
        let shown = tokio::select! {
            shown = Shown::read(&tool, name) => shown?,
            () = &mut stop => return Ok(exit_code::INTERRUPTED),
        };
        let text = if context.json() { shown.line() } else { shown.text(context) };
        if redraw {
            let (columns, rows) = context::size(&std::io::stdout());
            report::result(&screen.draw(&text, columns, rows))?;
        } else if context.json() || text != last {
            report::result(&text)?;
        }
        last = text;
        if shown.over() {
            return Ok(shown.exit_code(args));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = &mut stop => return Ok(exit_code::INTERRUPTED),
        }
    }
}

enum Shown {
    One(Box<RunView>),
    All(Vec<RunView>),
    /// There is no ledger, but objects of a run are left in tables.
    Lost,
}

impl Shown {
    async fn read(tool: &Tool, name: Option<&str>) -> Result<Self, CliError> {
        if let Some(name) = name {
            return Ok(Self::One(Box::new(tool.status(name).await?)));
        }
        let all = tool.statuses().await?;
        if all.is_empty() && tool.has_lost_its_ledger().await? {
            return Ok(Self::Lost);
        }
        Ok(Self::All(all))
    }

    fn text(&self, context: &Context) -> String {
        match self {
            Self::One(status) if context.json() => json::result(status),
            Self::All(_) | Self::Lost if context.json() => json::result(&self.runs()),
            Self::One(status) => human::status(status, context.out),
            Self::All(all) => human::statuses(all, context.out),
            Self::Lost => human::lost_ledger(context.out),
        }
    }

    /// One line of JSON.
    fn line(&self) -> String {
        match self {
            Self::One(status) => json::line(status),
            Self::All(_) | Self::Lost => json::line(&self.runs()),
        }
    }

    fn over(&self) -> bool {
        self.runs().iter().all(RunView::is_over)
    }

    fn runs(&self) -> &[RunView] {
        match self {
            Self::One(status) => std::slice::from_ref(&**status),
            Self::All(all) => all,
            Self::Lost => &[],
        }
    }

    /// Returns what the process exits with.
    fn exit_code(&self, args: &Args) -> u8 {
        let need = match self {
            Self::Lost => Need::Drifted,
            Self::One(_) | Self::All(_) => Need::of_all(self.runs().iter().map(|run| run.needs)),
        };
        match need {
            _ if !args.exit_code => exit_code::DONE,
            Need::Nobody => exit_code::DONE,
            Need::Others => exit_code::BLOCKED,
            Need::Person => exit_code::PERSON,
            Need::Drifted => exit_code::DRIFTED,
            Need::Unequal => exit_code::MISMATCH,
            Need::Failed => exit_code::DATABASE,
        }
    }
}
