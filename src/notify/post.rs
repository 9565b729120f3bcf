//! One request.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{Destination, Message};

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The receiver has it, and said so with this status.
    Accepted(u16),
    /// 410: it wants nothing more.
    Gone,
    /// It answered with something else, and may have asked for time.
    Refused(u16, Option<Duration>),
    /// There was no answer.
    Failed(String),
}

/// How long a request may take, with the lookup of the name and the connection.
const REQUEST: Duration = Duration::from_secs(5);

static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "certificates of the system");
    }
    let certificates = found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certificates.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(REQUEST))
        // A redirect would carry a signed message to whoever the receiver names.
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("crossfade/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::new_with_config(config)
});

/// Returns what makes requests, one within [`REQUEST`] and with the system's certificates.
#[cfg(feature = "otlp")]
pub(crate) fn agent() -> &'static Agent {
    &AGENT
}

/// Sends a message to `destination`; takes at most [`REQUEST`] and a little. The answer's body is not read. If this is dropped,
/// the request ends by itself.
pub(crate) async fn post(destination: &Destination, message: &Message) -> Answer {
    let (tell, told) = oneshot::channel();
    let (url, body, id) = (destination.url().to_owned(), message.body.clone(), message.id.clone());
    // The time of this attempt: receivers refuse what is old, and a repeated one is not.
    let timestamp = Utc::now().timestamp();
    let signature = destination.signature(&id, timestamp, &body);
    let send = move || {
        let request = AGENT
            .post(&url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp.to_string());
        let request = if signature.is_empty() { request } else { request.header("webhook-signature", &signature) };
        let answer = match request.send(&body) {
            Ok(response) => {
                let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
                judge(response.status(), asked.and_then(|text| retry_after(text, Utc::now())))
            }
            Err(error) => Answer::Failed(said(&error)),
        };
        // Nobody may be listening any more.
        let _ = tell.send(answer);
    };
    // A thread of its own: the end of the runtime waits for none of its own threads.
    if let Err(error) = std::thread::Builder::new().name("webhook".to_owned()).spawn(send) {
        return Answer::Failed(error.to_string());
    }
    match tokio::time::timeout(REQUEST * 2, told).await {
        Ok(Ok(answer)) => answer,
        _ => Answer::Failed(format!("no answer in {} s", REQUEST.as_secs())),
    }
}

fn judge(status: StatusCode, asked: Option<Duration>) -> Answer {
    match status {
        StatusCode::GONE => Answer::Gone,
        status if status.is_success() => Answer::Accepted(status.as_u16()),
        status => Answer::Refused(status.as_u16(), asked),
    }
}

/// Returns what went wrong, without the address: it may be a secret.
fn said(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer in {} s", REQUEST.as_secs()),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::BadUri(_) => "the address is not one of HTTP".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        ureq::Error::Protocol(_) => "the answer was not HTTP".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        _ => "the request failed".to_owned(),
    }
}

/// Returns the time that `Retry-After` asks for: seconds, or a date.
fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc2822("Sun, 06 Nov 1994 08:49:37 GMT").unwrap().to_utc();
        assert_eq!(retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_mins(1)));
        for none in ["", "-1", "soon", "1e9", "Sun, 06 Nov 1994 08:40:37 GMT", "99999999999999999999999"] {
            assert_eq!(retry_after(none, now), None, "{none}");
        }
    }
}
