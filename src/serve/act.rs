//! What a person decides on a page: the calls of the command line, with the same checks and the same messages.

use std::sync::{Arc, PoisonError};

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use chrono::Utc;

use super::admission::{Visit, person};
use super::{Server, can_be_a_run, nothing_here, see_other, stopped};
use crate::report::html::{self, Checking, Message};
use crate::report::redacted;
use crate::run::Phase;
use crate::runner::{Error, Tool};

/// The way back from what could not be done.
const BACK: Option<(&str, &str)> = Some(("actions", "Back"));

/// Does what a form asks for, and leads back to the page, which shows what was decided.
pub(super) async fn act(
    State(server): State<Arc<Server>>,
    Path((name, act)): Path<(String, String)>,
    Extension(visit): Extension<Visit>,
) -> Response {
    if !can_be_a_run(&name) {
        return nothing_here().await;
    }
    if act == "name" {
        return match visit.field("person").and_then(person) {
            Some(person) => (server.remembered(&person, visit.by_https), see_other("actions")).into_response(),
            None => not_done("A name has at most 80 characters, and at least one that is seen."),
        };
    }
    // The page asks for the name.
    let Some(person) = visit.person.as_deref() else { return see_other("actions") };
    let Ok(_turn) = server.at_once.acquire().await else { return stopped() };
    let tool = server.tool.clone().on_behalf_of(person);
    let phase = visit.field("phase").and_then(|phase| phase.parse::<Phase>().ok());
    let done = match (act.as_str(), phase) {
        ("pause", _) => tool.pause(&name).await.map(drop),
        ("resume", _) => tool.resume(&name).await.map(drop),
        ("verify", _) => return server.begin_check(&name, person, tool).await,
        ("tune", _) => match visit.field("key").zip(visit.field("value")) {
            Some((key, value)) => tool.tune(&name, &[(key.to_owned(), value.to_owned())]).await,
            None => return not_done("Choose a setting and give it a value."),
        },
        ("approve", Some(phase)) => return server.approve(&name, phase, person, &visit).await,
        // As on the command line, what is said of approvals is that of the process, and the person beside it.
        ("revoke", Some(phase)) => server.tool.revoke_approval(&name, phase, Some(person)).await,
        _ => return nothing_here().await,
    };
    server.finished(done)
}

fn not_done(why: &str) -> Response {
    let message =
        Message { title: "This was not done".to_owned(), why: why.to_owned(), back: BACK, ..Message::default() };
    (StatusCode::CONFLICT, Html(html::message(&message))).into_response()
}

impl Server {
    fn finished(&self, done: Result<(), Error>) -> Response {
        match done {
            Ok(()) => see_other("actions"),
            Err(error) => self.failed(&error, BACK),
        }
    }

    /// Approves a phase if it is still what the person has seen.
    async fn approve(&self, name: &str, phase: Phase, person: &str, visit: &Visit) -> Response {
        let seen = visit.field("digest").unwrap_or_default();
        match self.tool.report(name).await {
            Ok(view) if view.digest.as_str() != seen => {
                return not_done(
                    "The plan, the SQL or the warnings have changed since this page was shown. Look at them again, then approve.",
                );
            }
            Ok(_) => {}
            Err(error) => return self.failed(&error, BACK),
        }
        let approved = self.tool.approve(name, phase, Some(person), visit.field("comment")).await;
        self.finished(approved.map(drop))
    }

    /// Returns the latest check of this run that this server was asked for.
    pub(super) fn checking(&self, name: &str) -> Option<Checking> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Begins to compare all rows of a run, beside the requests: nobody's browser waits for hours.
    async fn begin_check(self: &Arc<Self>, name: &str, person: &str, tool: Tool) -> Response {
        // Only what is a run is remembered, by the name that all of its pages have.
        let name = match self.tool.status(name).await {
            Ok(run) => run.name,
            Err(error) => return self.failed(&error, BACK),
        };
        {
            let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
            let busy = checks.iter().find(|(_, check)| matches!(check, Checking::UnderWay { .. }));
            if let Some((other, _)) = busy {
                return not_done(&format!(
                    "This server compares the rows of {other} now, and makes one check at a time."
                ));
            }
            checks.insert(name.clone(), Checking::UnderWay { by: person.to_owned(), since: Utc::now() });
        }
        let (server, by) = (Arc::clone(self), person.to_owned());
        tokio::spawn(async move {
            let (of, checked) = (name.clone(), tool);
            // In a task of its own, so that a check that breaks off does not look as if it went on.
            let work = tokio::spawn(async move { checked.verify(&of, None).await });
            let found = match work.await {
                Ok(found) => found.map_err(|error| redacted(&error.to_string())),
                Err(_) => Err("it ended before its time".to_owned()),
            };
            let ended = Checking::Ended { by, at: Utc::now(), found };
            server.checks.lock().unwrap_or_else(PoisonError::into_inner).insert(name, ended);
        });
        see_other("actions")
    }
}
