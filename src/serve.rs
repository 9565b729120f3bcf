//! Pages of all runs for browsers, computed when they are asked for: the overview, the same report as `crossfade report` writes, what a person
//! can decide about a run, and the numbers of `crossfade metrics`.
//!
//! Whoever has the token sees them and decides; nobody else sees anything. `admission` is the one place that lets a request in, `act` makes the
//! calls of the command line, `connections` keeps the slow and the greedy within limits. What the role of the database may not do, no visitor may.

mod act;
mod admission;
mod connections;
mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::admission::Visit;
pub(crate) use self::token::Token;
use crate::ident::PlanName;
use crate::ledger::{LedgerError, called};
use crate::pg::ErrorClass;
use crate::report::html::{self, Checking, Message, Visitor};
use crate::report::{self, redacted};
use crate::runner::{Error, Tool};

/// How long an answer may take, with its wait for others.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many pages are computed at once, each with a connection to the database.
const AT_ONCE: usize = 4;
/// The most runs that the overview lists.
const MOST_RUNS: usize = 100;

/// What a server is started with.
pub(crate) struct Settings {
    /// What opens the pages.
    pub(crate) token: Token,
    /// What opens the numbers, besides that.
    pub(crate) numbers: Option<Token>,
    /// Names under which browsers reach it, besides addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
    /// Returns what the command line would tell a person to do about an error.
    pub(crate) advise: fn(&Error) -> Vec<String>,
}

/// What answers requests.
struct Server {
    tool: Tool,
    settings: Settings,
    /// Cookies are told apart by it: a browser sends those of one server on this host to all others.
    port: u16,
    at_once: Semaphore,
    /// The checks of rows that this server was asked for, the latest of each run.
    checks: Mutex<BTreeMap<String, Checking>>,
}

/// Answers requests on `listener` until `stop` is cancelled.
///
/// # Errors
/// That the listener has no address.
pub(crate) async fn serve(
    listener: TcpListener,
    tool: Tool,
    settings: Settings,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let port = listener.local_addr()?.port();
    let at_once = Semaphore::new(AT_ONCE);
    let server = Arc::new(Server { tool, settings, port, at_once, checks: Mutex::default() });
    let router = Router::new()
        .route("/", get(overview))
        .route("/metrics", get(metrics))
        .route("/runs/{name}", get(run))
        .route("/runs/{name}/actions", get(actions))
        .route("/runs/{name}/{act}", post(act::act))
        .fallback(nothing_here)
        .layer(from_fn_with_state(Arc::clone(&server), guarded))
        .with_state(server);
    connections::answer(listener, router, stop).await;
    Ok(())
}

/// Lets in who may come in, ends what takes too long, and adds what browsers should know.
async fn guarded(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let answered = async {
        match server.admitted(request).await {
            Ok(request) => next.run(request).await,
            Err(refusal) => *refusal,
        }
    };
    let mut response = tokio::time::timeout(PATIENCE, answered).await.unwrap_or_else(|_| {
        let why = format!("There was no answer for {} seconds. This page tries again.", PATIENCE.as_secs());
        answer(StatusCode::GATEWAY_TIMEOUT, "No answer", &why)
    });
    let said: [(HeaderName, &'static str); 6] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Without a referrer, browsers would not say where a form comes from.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    response.headers_mut().extend(said.map(|(name, value)| (name, HeaderValue::from_static(value))));
    let policy = format!("{}; frame-ancestors 'none'", html::policy(true));
    let policy = HeaderValue::from_str(&policy).expect("a policy is plain text");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

async fn overview(State(server): State<Arc<Server>>) -> Response {
    let Ok(_turn) = server.at_once.acquire().await else { return stopped() };
    match server.tool.overview(MOST_RUNS).await {
        Ok(mut overview) => {
            for (_, run) in &mut overview.runs {
                *run = std::mem::replace(run, Err(String::new())).map_err(|why| redacted(&why));
            }
            Html(html::overview(&overview)).into_response()
        }
        Err(error) => server.failed(&error, None),
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let Ok(_turn) = server.at_once.acquire().await else { return stopped() };
    match server.tool.metrics().await {
        Ok(metrics) => {
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], report::metrics(&metrics)).into_response()
        }
        Err(error) => server.failed(&error, None),
    }
}

async fn run(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Response {
    if !can_be_a_run(&name) {
        return nothing_here().await;
    }
    let Ok(_turn) = server.at_once.acquire().await else { return stopped() };
    match server.tool.report(&name).await {
        Ok(view) => Html(html::live(&view)).into_response(),
        Err(error) => server.failed(&error, None),
    }
}

async fn actions(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Extension(visit): Extension<Visit>,
) -> Response {
    if !can_be_a_run(&name) {
        return nothing_here().await;
    }
    let Ok(_turn) = server.at_once.acquire().await else { return stopped() };
    let view = match server.tool.report(&name).await {
        Ok(view) => view,
        Err(error) => return server.failed(&error, None),
    };
    let person = visit.person.as_deref();
    let tool = person.map_or_else(|| server.tool.clone(), |person| server.tool.clone().on_behalf_of(person));
    let proof = server.settings.token.proof(&visit.session);
    let visitor = Visitor { name: person, signature: &tool.actor().to_string(), proof: &proof };
    let checking = server.checking(&view.run.name);
    Html(html::actions(&view, visitor, checking.as_ref())).into_response()
}

fn can_be_a_run(name: &str) -> bool {
    PlanName::new(called(name).0).is_ok()
}

async fn nothing_here() -> Response {
    answer(StatusCode::NOT_FOUND, "Nothing here", "There is no run of this name, and no such page.")
}

fn stopped() -> Response {
    answer(StatusCode::SERVICE_UNAVAILABLE, "Stopped", "The server is ending.")
}

impl Server {
    /// Returns the page of an error, with what the command line says to do about it. `back` leads to where it was asked for.
    fn failed(&self, error: &Error, back: Option<(&'static str, &'static str)>) -> Response {
        let unreachable = error.class() == ErrorClass::Connection || matches!(error, Error::Unreachable { .. });
        let (status, title) = match error {
            _ if unreachable => (StatusCode::SERVICE_UNAVAILABLE, "The database cannot be reached"),
            Error::Ledger(LedgerError::NoSuchRun { .. }) => (StatusCode::NOT_FOUND, "Nothing here"),
            Error::MayNotApprove { .. } | Error::OwnApproval { .. } => (StatusCode::FORBIDDEN, "This was not done"),
            _ if back.is_some() => (StatusCode::CONFLICT, "This was not done"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "This could not be read"),
        };
        let hints = (self.settings.advise)(error);
        let message = Message {
            title: title.to_owned(),
            why: redacted(&error.to_string()),
            hints: hints.iter().map(|hint| redacted(hint)).collect(),
            again: back.is_none() && status.is_server_error(),
            back,
        };
        (status, Html(html::message(&message))).into_response()
    }
}

/// Returns a page with one sentence.
fn answer(status: StatusCode, title: &str, why: &str) -> Response {
    let (title, why) = (title.to_owned(), why.to_owned());
    let message = Message { title, why, again: status.is_server_error(), ..Message::default() };
    (status, Html(html::message(&message))).into_response()
}

/// Sends a browser to another page, which it asks for by GET.
fn see_other(to: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}
