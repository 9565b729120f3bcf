//! `crossfade status`.

use std::io::IsTerminal as _;
use std::time::Duration;

use super::context::{self, Context, run_name};
use super::error::CliError;
use super::{exit_code, signals};
use crate::report::{self, Screen, human, json};
use crate::runner::Tool;
use crate::view::RunView;

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
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let name = args.name.as_deref().map(run_name).transpose()?;
    let tool = context.tool()?;
    if !args.watch {
        let shown = Shown::read(&tool, name).await?;
        report::result(&shown.text(context))?;
        return Ok(exit_code::DONE);
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
            return Ok(exit_code::DONE);
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
}

impl Shown {
    async fn read(tool: &Tool, name: Option<&str>) -> Result<Self, CliError> {
        if let Some(name) = name {
            return Ok(Self::One(Box::new(tool.status(name).await?)));
        }
        let mut all = Vec::new();
        for name in tool.names().await? {
            all.push(tool.status(&name).await?);
        }
        Ok(Self::All(all))
    }

    fn text(&self, context: &Context) -> String {
        match self {
            Self::One(status) if context.json() => json::result(status),
            Self::All(all) if context.json() => json::result(all),
            Self::One(status) => human::status(status, context.out),
            Self::All(all) => human::statuses(all, context.out),
        }
    }

    /// One line of JSON.
    fn line(&self) -> String {
        match self {
            Self::One(status) => json::line(status),
            Self::All(all) => json::line(all),
        }
    }

    fn over(&self) -> bool {
        match self {
            Self::One(status) => status.state.is_over(),
            Self::All(all) => all.iter().all(|status| status.state.is_over()),
        }
    }
}
