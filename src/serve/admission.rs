//! Who is let in: the one place that every request goes through, whatever it asks for.
//!
//! The order matters. A request under a name that is not this server's is refused before anything is read of it, one from another page before its
//! form is read, and one without a session before a path is looked at: so to somebody without the token all paths look the same.

use std::net::IpAddr;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};

use super::token::{Session, Token};
use super::{Server, answer, see_other};
use crate::report::html;

/// The most bytes that a form may send.
const FORM_BYTES: usize = 16 * 1024;
/// The longest name of a person, in characters.
const NAME_LENGTH: usize = 80;
/// For how many seconds a browser remembers the name of the person in front of it: a year.
const NAME_AGE: u32 = 365 * 24 * 60 * 60;

/// A request that was let in.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    /// The browser.
    pub(super) session: Session,
    /// Who uses it, as that person says.
    pub(super) person: Option<String>,
    /// Whether the browser came by HTTPS, as the proxy says.
    pub(super) by_https: bool,
    /// What a form has sent.
    form: Vec<(String, String)>,
}

impl Visit {
    /// Returns a field of the form, without blanks around it; `None` where it is empty.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let value = self.form.iter().find_map(|(key, value)| (key == name).then_some(value.trim()));
        value.filter(|value| !value.is_empty())
    }
}

impl Server {
    /// Returns the request, with its [`Visit`], if it may come in, and the answer to it otherwise.
    pub(super) async fn admitted(&self, request: Request) -> Result<Request, Box<Response>> {
        let headers = request.headers();
        if !is_ours(headers, &self.settings.hosts) {
            let why = "This server was not started for the host name in the address. Use its IP address, or restart it with `--host NAME`.";
            return Err(Box::new(answer(StatusCode::MISDIRECTED_REQUEST, "Not this server", why)));
        }
        let by_https = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let session = cookies(headers, &self.cookie("")).find_map(|text| self.settings.token.session(text));
        if request.method() == Method::POST {
            return self.form(request, session, by_https).await;
        }
        let path = request.uri().path();
        if path == "/metrics" && self.may_read_numbers(headers) {
            return Ok(request);
        }
        if let Some(given) = request.uri().query().filter(|_| path == "/").and_then(token_of) {
            return Err(Box::new(if self.settings.token.is(&given) {
                (self.new_session(by_https), Html(html::welcome())).into_response()
            } else {
                entrance(path, true)
            }));
        }
        match session {
            Some(session) => Ok(self.with_visit(request, session, by_https, Vec::new())),
            None if path == "/metrics" => {
                let why = "the token is missing: send it as `Authorization: Bearer TOKEN`\n";
                Err(Box::new((StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], why).into_response()))
            }
            None => Err(Box::new(entrance(path, false))),
        }
    }

    /// Lets in a form that was shown by this server in this session, or opens a session to whoever sends the token.
    async fn form(&self, request: Request, session: Option<Session>, by_https: bool) -> Result<Request, Box<Response>> {
        let refused = |status, why: &str| Err(Box::new(answer(status, "This was not done", why)));
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let opens = path == "/enter";
        if !opens && session.is_none() {
            return Err(Box::new(entrance(path, false)));
        }
        if !comes_from_here(&parts.headers) {
            return refused(
                StatusCode::FORBIDDEN,
                "The form was not sent by a page of this server. Behind a proxy, see that it passes the Host on as it is.",
            );
        }
        if parts.headers.get(CONTENT_TYPE).is_none_or(|of| of != "application/x-www-form-urlencoded") {
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is not what a form sends.");
        }
        let Ok(bytes) = to_bytes(body, FORM_BYTES).await else {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "This is more than a form of this server sends.");
        };
        let form: Vec<_> = form_urlencoded::parse(&bytes).into_owned().collect();
        let field = |name| form.iter().find_map(|(key, value)| (key == name).then_some(value.trim()));
        match session {
            _ if opens && field("token").is_some_and(|given| self.settings.token.is(given)) => {
                Err(Box::new((self.new_session(by_https), see_other("./")).into_response()))
            }
            Some(session) if !opens => {
                if field("proof").is_some_and(|proof| self.settings.token.proves(&session, proof)) {
                    return Ok(self.with_visit(Request::from_parts(parts, bytes.into()), session, by_https, form));
                }
                refused(
                    StatusCode::FORBIDDEN,
                    "The page with this form is from an earlier visit. Go back, load it again, and send it once more.",
                )
            }
            _ => Err(Box::new(entrance(path, true))),
        }
    }

    fn with_visit(
        &self,
        mut request: Request,
        session: Session,
        by_https: bool,
        form: Vec<(String, String)>,
    ) -> Request {
        let named = cookies(request.headers(), &self.cookie("_name")).next();
        let named = named.and_then(|text| form_urlencoded::parse(text.as_bytes()).next());
        let person = named.and_then(|(name, _)| person(&name));
        request.extensions_mut().insert(Visit { session, person, by_https, form });
        request
    }

    fn may_read_numbers(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let opens = |token: &Token| given.is_some_and(|given| token.is(given.trim()));
        opens(&self.settings.token) || self.settings.numbers.as_ref().is_some_and(opens)
    }

    /// Returns the name of a cookie of this server.
    fn cookie(&self, which: &str) -> String {
        format!("crossfade{which}_{}", self.port)
    }

    fn new_session(&self, by_https: bool) -> [(HeaderName, String); 1] {
        let session = self.settings.token.new_session();
        [(SET_COOKIE, format!("{}={}{}", self.cookie(""), session.text(), attributes(by_https)))]
    }

    /// Returns what makes a browser remember who uses it.
    pub(super) fn remembered(&self, person: &str, by_https: bool) -> [(HeaderName, String); 1] {
        let text: String = form_urlencoded::byte_serialize(person.as_bytes()).collect();
        [(SET_COOKIE, format!("{}={text}; Max-Age={NAME_AGE}{}", self.cookie("_name"), attributes(by_https)))]
    }
}

/// Returns the page that asks for the token, and shows nothing else.
fn entrance(path: &str, wrong: bool) -> Response {
    let up = "../".repeat(path.matches('/').count().saturating_sub(1).min(20));
    (StatusCode::UNAUTHORIZED, Html(html::entrance(&format!("{up}enter"), wrong))).into_response()
}

/// Returns what a person wants to be called, if that is a name.
pub(super) fn person(text: &str) -> Option<String> {
    let name = text.trim();
    let fits = !name.is_empty() && name.chars().count() <= NAME_LENGTH && !name.contains(char::is_control);
    fits.then(|| name.to_owned())
}

/// A browser sends the cookie with requests of this server's own pages only, and shows it to no script.
fn attributes(by_https: bool) -> &'static str {
    if by_https { "; Path=/; HttpOnly; SameSite=Strict; Secure" } else { "; Path=/; HttpOnly; SameSite=Strict" }
}

/// Returns the values of the cookies that are called so.
fn cookies<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    all.filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Returns the token in the query of an address.
fn token_of(query: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(key, value)| (key == "token").then(|| value.into_owned()))
}

/// Returns whether a browser says that the request was made by a page of this server. All browsers say so of forms.
fn comes_from_here(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(ORIGIN).and_then(|origin| origin.strip_prefix("http://").or(origin.strip_prefix("https://")));
    let same = origin.zip(text(HOST)).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
    same && headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin")
}

/// Whether the host that a request names is an address, `localhost` or one of `hosts`. A page from elsewhere may have made a name of its own
/// lead here (DNS rebinding).
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(of: &[(HeaderName, &'static str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_addresses_localhost_and_names_that_were_given_are_answered() {
        let ours = |host: &'static str| is_ours(&headers(&[(HOST, host)]), &["runs.example.org".to_owned()]);
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

    #[test]
    fn a_form_must_come_from_a_page_of_this_server() {
        let site = HeaderName::from_static("sec-fetch-site");
        let from = |of: &[(HeaderName, &'static str)]| comes_from_here(&headers(of));
        let host = (HOST, "127.0.0.1:8080");
        assert!(from(&[host.clone(), (ORIGIN, "http://127.0.0.1:8080")]));
        assert!(from(&[host.clone(), (ORIGIN, "http://127.0.0.1:8080"), (site.clone(), "same-origin")]));
        assert!(from(&[(HOST, "Runs.example.org"), (ORIGIN, "https://runs.example.org")]));
        for origin in [
            "null",
            "",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "http://evil.org",
            "ftp://127.0.0.1:8080",
            "127.0.0.1:8080",
        ] {
            assert!(!from(&[host.clone(), (ORIGIN, origin)]), "{origin}");
        }
        for wrong in ["same-site", "cross-site", "none", ""] {
            assert!(!from(&[host.clone(), (ORIGIN, "http://127.0.0.1:8080"), (site.clone(), wrong)]), "{wrong}");
        }
        assert!(!from(&[host]) && !from(&[(ORIGIN, "http://127.0.0.1:8080")]));
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let sent =
            headers(&[(COOKIE, "a=1; crossfade_80=x; crossfade_8080=y;crossfade_80=z"), (COOKIE, "crossfade_80=w")]);
        assert_eq!(cookies(&sent, "crossfade_80").collect::<Vec<_>>(), ["x", "z", "w"]);
    }

    #[test]
    fn a_name_has_letters_and_an_end() {
        assert_eq!(person(" Ann O'Neil "), Some("Ann O'Neil".to_owned()));
        for text in ["", "  ", "a\nb", "a\u{1b}b", &"x".repeat(81)] {
            assert_eq!(person(text), None, "{text}");
        }
    }
}
