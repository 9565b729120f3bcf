//! Pages of all runs for browsers: read-only, computed when they are asked for, and the same as `crossfade report` writes.
//!
//! There is no login and nothing to click that changes anything. Whoever can reach the address can read what a report holds, so it
//! listens on this machine alone unless it is told otherwise.

use std::future::IntoFuture as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::ident::PlanName;
use crate::ledger::{LedgerError, called};
use crate::pg::ErrorClass;
use crate::report::{html, redacted};
use crate::runner::{Error, Tool};

/// How long an answer may take, with its wait for others.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many pages are computed at once, each with a connection to the database.
const AT_ONCE: usize = 4;
/// How long requests under way have when the server ends.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// The most runs that the overview lists.
const MOST_RUNS: usize = 100;

/// What answers requests.
struct Server {
    tool: Tool,
    /// Names under which browsers reach it, besides addresses and `localhost`.
    hosts: Vec<String>,
    at_once: Semaphore,
}

/// Answers requests on `listener` until `stop` is cancelled. `hosts` are names under which browsers may reach it, besides addresses
/// and `localhost`.
///
/// # Errors
/// The listener's.
pub(crate) async fn serve(
    listener: TcpListener,
    tool: Tool,
    hosts: Vec<String>,
    stop: CancellationToken,
) -> io::Result<()> {
    let server = Arc::new(Server { tool, hosts, at_once: Semaphore::new(AT_ONCE) });
    let router = Router::new()
        .route("/", get(overview))
        .route("/runs/{name}", get(run))
        .fallback(nothing_here)
        .layer(from_fn_with_state(Arc::clone(&server), guarded))
        .with_state(server);
    let answering = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let given_up = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        ended = answering.into_future() => ended,
        () = given_up => Ok(()),
    }
}

/// Refuses requests that a page from elsewhere has sent here under a name of its own (DNS rebinding), ends those that take too long, and adds what
/// browsers should know.
async fn guarded(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let mut response = if is_ours(request.headers(), &server.hosts) {
        let answered = tokio::time::timeout(PATIENCE, next.run(request)).await;
        answered.unwrap_or_else(|_| {
            let why =
                format!("The database has not answered for {} seconds. This page tries again.", PATIENCE.as_secs());
            answer(StatusCode::GATEWAY_TIMEOUT, "No answer", &why)
        })
    } else {
        let why = "This server was not started for the host name in the address. Use its IP address, or restart it with `--host NAME`.";
        answer(StatusCode::MISDIRECTED_REQUEST, "Not this server", why)
    };
    let said: [(HeaderName, &'static str); 4] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    response.headers_mut().extend(said.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Whether the host that a request names is an address, `localhost` or one of `hosts`.
fn is_ours(headers: &HeaderMap, hosts: &[String]) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
}

async fn overview(State(server): State<Arc<Server>>) -> Response {
    let Ok(_turn) = server.at_once.acquire().await else { return stopped() };
    let names = match server.tool.names().await {
        Ok(names) => names,
        Err(error) => return failed(&error),
    };
    let mut runs = Vec::new();
    for name in names.iter().take(MOST_RUNS) {
        match server.tool.status(name).await {
            Err(error) if error.class() == ErrorClass::Connection => return failed(&error),
            // A run that cannot be read does not hide the others.
            status => runs.push((name.clone(), status.map_err(|error| redacted(&error.to_string())))),
        }
    }
    Html(html::overview(&runs, names.len() - runs.len())).into_response()
}

async fn run(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Response {
    if PlanName::new(called(&name).0).is_err() {
        return nothing_here().await;
    }
    let Ok(_turn) = server.at_once.acquire().await else { return stopped() };
    match server.tool.report(&name).await {
        Ok(view) => Html(html::live(&view)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn nothing_here() -> Response {
    answer(StatusCode::NOT_FOUND, "Nothing here", "There is no run of this name, and no such page.")
}

fn stopped() -> Response {
    answer(StatusCode::SERVICE_UNAVAILABLE, "Stopped", "The server is ending.")
}

fn failed(error: &Error) -> Response {
    let (status, title) = match error {
        Error::Ledger(LedgerError::NoSuchRun { .. }) => (StatusCode::NOT_FOUND, "Nothing here"),
        error if error.class() == ErrorClass::Connection => {
            (StatusCode::SERVICE_UNAVAILABLE, "The database cannot be reached")
        }
        Error::Unreachable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "The database cannot be reached"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "This could not be read"),
    };
    answer(status, title, &redacted(&error.to_string()))
}

/// Returns a page with one sentence.
fn answer(status: StatusCode, title: &str, why: &str) -> Response {
    (status, Html(html::message(title, why, status.is_server_error()))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_localhost_and_names_that_were_given_are_answered() {
        let ours = |host: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            is_ours(&headers, &["runs.example.org".to_owned()])
        };
        for host in
            ["127.0.0.1:8080", "[::1]:8080", "[::1]", "localhost", "LOCALHOST:1", "runs.Example.org:8080", "10.0.0.7"]
        {
            assert!(ours(host), "{host}");
        }
        for host in ["evil.example.org:8080", "localhost.evil.org", "127.0.0.1.evil.org", "", ":8080", "a:b:c"] {
            assert!(!ours(host), "{host}");
        }
        assert!(!is_ours(&HeaderMap::new(), &[]));
    }
}
