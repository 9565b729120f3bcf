//! `crossfade demo`: the whole story on a throwaway server, under live traffic.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::CliError;
use super::{exit_code, signals, watchdog};
use crate::event::{Event, EventSink};
use crate::pg::Connector;
use crate::plan::{self, Plan};
use crate::report::human::{self, Demo};
use crate::report::{self, Reporter, Telling};
use crate::run::{Filled, Phase};
use crate::runner::{self, Tool};
use crate::testkit::fleet;
use crate::testkit::server::{Options, Server};
use crate::testkit::traffic::{Load, Release, Side, Subject, Traffic, TrafficReport};
use crate::view::RunView;

const PLAN_FILE: &str = "plans/vehicle-status.yaml";
const PLAN: &str = include_str!("../../plans/vehicle-status.yaml");
const DATABASE: &str = "fleet";
/// How long latency is measured before the run.
const IDLE: Duration = Duration::from_secs(5);
/// Of each release: enough to matter, few enough to leave room on two cores.
const CLIENTS: usize = 2;
/// Requests a second of one client.
const RATE: u32 = 50;

/// Watch a column being renamed under live traffic, on a throwaway server
///
/// Starts its own PostgreSQL, loads a table of vehicles, renames a column while three releases of an application write to
/// it, and reports what they noticed. Touches nothing else on this machine.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many vehicles
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1_000..=200_000_000))]
    rows: u32,
    /// Leave the server running afterwards
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<u8, CliError> {
    let stop = CancellationToken::new();
    let _signals = signals::stop_politely(stop.clone(), context.console.clone(), context.json(), None);
    let plan = plan::parse(PLAN_FILE, PLAN)?;
    introduce(context);

    let stage = Stage::begin(context, "server");
    let server = start_server().await?;
    let url = server.create_database(DATABASE).await? + "&sslmode=disable";
    let options = PgConnectOptions::from_str(&url).map_err(runner::Error::from)?;
    // The environment of whoever watches has nothing to do with this server.
    let options = options.ssl_mode(PgSslMode::Disable).password("");
    let mut connection = options.connect().await.map_err(runner::Error::from)?;
    let version = version(&mut connection).await.map_err(runner::Error::from)?;
    stage.done(&format!("PostgreSQL {version}"));

    let stage = Stage::begin(context, "fleet");
    let subject = load_fleet(&mut connection, &plan, args.rows).await.map_err(runner::Error::from)?;
    stage.done(&human::plural(i64::from(args.rows), "vehicle"));
    drop(connection);

    let story = Story { context, plan: &plan, url: &url, connector: Connector::new(options.clone()), stop: &stop };
    let told = story.tell(&subject).await;
    let (measured, report) = match told {
        Ok(told) => told,
        Err(error) if args.keep => {
            context.console.line(&keep(server, &url));
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let mut connection = options.connect().await.map_err(runner::Error::from)?;
    let mut demo = summary(i64::from(args.rows), &measured, &report, &subject, &mut connection).await?;
    drop(connection);
    let kept = args.keep.then(|| {
        demo.database_url = Some(url.clone());
        keep(server, &url)
    });
    context.result(&demo, || human::demo(&demo, &command(), context.out) + &kept.unwrap_or_default())?;
    Ok(verdict(&demo))
}

fn introduce(context: &Context) {
    if let Telling::Words { look, .. } = context.telling() {
        let title = look.bold("Renaming vehicles.status while three releases of an application write to it.");
        context.console.line(&format!("{title}\nOn a throwaway server; nothing else on this machine is affected.\n"));
    }
}

/// Returns what the process is to exit with.
fn verdict(demo: &Demo) -> u8 {
    if demo.lost_writes > 0 || demo.wrong_reads > 0 || demo.mismatches != Some(0) {
        exit_code::MISMATCH
    } else if demo.failed_statements > 0 {
        exit_code::INTERNAL
    } else {
        exit_code::DONE
    }
}

async fn start_server() -> Result<Server, CliError> {
    let settings = [("shared_buffers", "256MB"), ("max_wal_size", "4GB")];
    let options = Options {
        bin_dir: std::env::var_os("CROSSFADE_PG_BIN").map(PathBuf::from),
        search_path: std::env::var_os("PATH"),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Options::default()
    };
    match tokio::task::spawn_blocking(|| Server::start(options)).await {
        Ok(server) => Ok(server?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

async fn version(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let sql = "SELECT split_part(current_setting('server_version'), ' ', 1)";
    sqlx::query_scalar(sql).persistent(false).fetch_one(connection).await
}

async fn load_fleet(connection: &mut PgConnection, plan: &Plan, rows: u32) -> Result<Subject, sqlx::Error> {
    fleet::create(connection).await?;
    fleet::load(connection, rows).await?;
    fleet::subject(connection, plan).await
}

/// What is told: idle traffic, the run, the end.
struct Story<'a> {
    context: &'a Context,
    plan: &'a Plan,
    url: &'a str,
    connector: Connector,
    stop: &'a CancellationToken,
}

/// What the run took and found.
struct Measured {
    seconds: f64,
    backfill_seconds: f64,
    mismatches: Option<i64>,
    filled: Option<Filled>,
}

impl Story<'_> {
    async fn tell(&self, subject: &Subject) -> Result<(Measured, TrafficReport), CliError> {
        let releases = [Release::Old, Release::Both, Release::New];
        let load = Load { clients: releases.map(|release| (release, CLIENTS)).into(), rate: Some(RATE), seed: 1 };
        let mut traffic = Traffic::start(self.url, subject.clone(), load).await.map_err(runner::Error::from)?;

        let stage = Stage::begin(self.context, "idle");
        traffic.set_active(Release::Old, true).await;
        traffic.requests(20).await; // connections and caches are warm
        traffic.mark("idle");
        tokio::select! {
            () = tokio::time::sleep(IDLE) => {}
            () = self.stop.cancelled() => return Err(runner::Error::Interrupted.into()),
        }
        stage.done("the old release alone, for comparison");

        traffic.mark("run");
        let began = Instant::now();
        let clock = Arc::new(Clock::default());
        let watch = traffic.watch();
        let aside = Box::new(move || {
            let (requests, failed) = watch();
            let requests = human::plural(i64::try_from(requests).unwrap_or(i64::MAX), "request");
            format!("{requests}, {} failed", human::number(i64::try_from(failed).unwrap_or(i64::MAX)))
        });
        let reporter = Reporter::with_aside(self.context.telling(), &self.context.console, Some(aside));
        let tool = self.context.tool_on(self.connector.clone(), clock.sink(reporter.sink()), self.stop.clone());
        let watchdog = watchdog::start(&tool, self.context.json());
        let run = self.run(&tool, &traffic).await;
        drop(watchdog);
        let seconds = began.elapsed().as_secs_f64();
        drop(reporter);
        let report = traffic.stop().await;
        run?;
        let RunView { mismatches, filled, .. } = tool.status(self.plan.name.as_str()).await?;
        Ok((Measured { seconds, backfill_seconds: clock.backfill().as_secs_f64(), mismatches, filled }, report))
    }

    /// The run, and the deployments around it.
    async fn run(&self, tool: &Tool, traffic: &Traffic) -> Result<(), CliError> {
        tool.run(self.plan, PLAN, Some(Phase::Expand)).await?;
        self.deploy("deployed: a release that writes both columns, and one that writes only the new one");
        traffic.set_active(Release::Both, true).await;
        traffic.set_active(Release::New, true).await;
        tool.run(self.plan, PLAN, Some(Phase::Verify)).await?;
        self.deploy("stopped: the old release, and the one that writes both columns");
        traffic.set_active(Release::Old, false).await;
        traffic.set_active(Release::Both, false).await;
        // The server is thrown away: whoever starts the demo agrees to the drop.
        tool.clone().with_consent().run(self.plan, PLAN, None).await?;
        Ok(())
    }

    fn deploy(&self, what: &str) {
        match self.context.telling() {
            Telling::Nothing => {}
            Telling::Json => self.context.console.line(&json!({ "event": "deployed", "what": what }).to_string()),
            Telling::Words { look, .. } => {
                let mut text = String::new();
                look.wrap(&mut text, ("    ", "    "), &look.dim(what));
                self.context.console.line(text.trim_end());
            }
        }
    }
}

/// How long the backfill took.
#[derive(Default)]
struct Clock(Mutex<(Option<Instant>, Duration)>);

impl Clock {
    /// Returns a sink that takes the time and passes everything on.
    fn sink(self: &Arc<Self>, next: EventSink) -> EventSink {
        let clock = Arc::clone(self);
        Arc::new(move |event| {
            let mut time = clock.0.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::PhaseStarted { phase: Phase::Backfill } => time.0 = Some(Instant::now()),
                Event::PhaseDone { phase: Phase::Backfill } => {
                    let began = time.0.take();
                    time.1 += began.map(|began| began.elapsed()).unwrap_or_default();
                }
                _ => {}
            }
            drop(time);
            // It goes without saying that the run continues after each deployment.
            if !matches!(event, Event::Resumed { .. }) {
                next(event);
            }
        })
    }

    fn backfill(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

async fn summary(
    rows: i64,
    measured: &Measured,
    report: &TrafficReport,
    subject: &Subject,
    connection: &mut PgConnection,
) -> Result<Demo, CliError> {
    let lost = report.ledger.lost_writes(connection, subject, Side::New, |pair| Some(pair.final_name())).await;
    let lost = lost.map_err(runner::Error::from)?;
    let ms = |mark: &str, percent| {
        let latency = report.latencies.get(mark).map(|latencies| latencies.percentile(percent)).unwrap_or_default();
        (latency.as_secs_f64() * 100_000.0).round() / 100.0
    };
    let describe = |lost: &crate::testkit::traffic::LostWrite| {
        format!("vehicle {}: {} should be {}, is {:?}", lost.key, lost.column, lost.expected, lost.found)
    };
    Ok(Demo {
        rows,
        rows_filled: measured.filled.map_or(0, |filled| filled.rows),
        seconds: measured.seconds,
        backfill_seconds: measured.backfill_seconds,
        rows_per_second: measured.filled.and_then(|filled| filled.rows_per_second()).unwrap_or_default(),
        statements: report.statements,
        failed_statements: report.failed_statements,
        lost_writes: lost.len(),
        wrong_reads: report.wrong_reads,
        mismatches: measured.mismatches,
        p50_idle_ms: ms("idle", 50),
        p99_idle_ms: ms("idle", 99),
        p50_run_ms: ms("run", 50),
        p99_run_ms: ms("run", 99),
        max_run_ms: ms("run", 100),
        database_url: None,
        failures: report.failures.iter().cloned().chain(lost.iter().take(5).map(describe)).collect(),
    })
}

/// Leaves the server running. Returns a text that says how to look around and how to stop it.
fn keep(server: Server, url: &str) -> String {
    let (directory, pid) = server.keep();
    let command = command();
    let stop = pid.map(|pid| format!("  kill -INT {pid}; rm -r '{}'\n", directory.display())).unwrap_or_default();
    format!(
        "\nThe server is still running. To look around:\n  psql '{url}'\n  \
         {command} status --database-url '{url}'\n  {command} history vehicle-status --database-url '{url}'\n\
         To stop it:\n{stop}"
    )
}

/// Returns the command that starts this program: its name if the shell would find it.
fn command() -> String {
    let Ok(this) = std::env::current_exe() else { return "crossfade".to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("crossfade")).find(|file| file.is_file());
    let same = found.and_then(|file| file.canonicalize().ok()).is_some_and(|file| file == this);
    if same {
        return "crossfade".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    this.strip_prefix(here).unwrap_or(&this).display().to_string()
}

/// One step of the preparation, with a spinner while it lasts.
struct Stage<'a> {
    context: &'a Context,
    name: &'static str,
    began: Instant,
}

impl<'a> Stage<'a> {
    fn begin(context: &'a Context, name: &'static str) -> Self {
        if let Telling::Words { look, terminal: true, .. } = context.telling() {
            let bar = report::bar(look, false);
            bar.set_prefix(name);
            context.console.show(Some(bar));
        }
        Self { context, name, began: Instant::now() }
    }

    fn done(self, note: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        let (console, name) = (&self.context.console, self.name);
        console.show(None);
        match self.context.telling() {
            Telling::Nothing => {}
            Telling::Json => {
                console
                    .line(&json!({ "event": "prepared", "what": name, "seconds": seconds, "note": note }).to_string());
            }
            Telling::Words { look, .. } => {
                console.line(&format!("  {name:<9} {} {}   {}", look.done(), human::duration(seconds), look.dim(note)));
            }
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.context.console.show(None);
    }
}
