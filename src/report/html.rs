//! Pages: whole in themselves, without a script and without anything from elsewhere, on paper as well as on a small screen.
//!
//! `parts` and `chart` are what pages are made of, with the styles in `style.css`; `run` is the report of a run, `overview` the list of
//! all runs, `actions` what can be done to a run, `message` a page that says one thing.

#[cfg(feature = "serve")]
mod actions;
mod chart;
mod costs;
mod excerpt;
#[cfg(feature = "serve")]
mod message;
#[cfg(feature = "serve")]
mod overview;
mod parts;
mod run;
mod statements;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::look::Look;

#[cfg(feature = "serve")]
pub(crate) use actions::{Checking, Visitor, actions};
#[cfg(feature = "serve")]
pub(crate) use message::{Message, entrance, message, welcome};
#[cfg(feature = "serve")]
pub(crate) use overview::overview;
#[cfg(feature = "serve")]
pub(crate) use run::live;
pub(crate) use run::report;

/// Styles of all pages.
const STYLE: &str = include_str!("html/style.css");
/// Nothing may be loaded from anywhere, no script may run, and of styles only those of this program count, by their hash.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action ")
});
/// Text without colours, whose lines end where the page ends them.
const LOOK: Look = Look { color: false, unicode: true, columns: Look::ENDLESS };

/// Pages that show what goes on are loaded anew after so many seconds.
#[cfg(feature = "serve")]
const REFRESH: u8 = 5;

/// Returns the Content-Security-Policy of pages whose forms go nowhere or, for `forms`, to where the page comes from.
pub(crate) fn policy(forms: bool) -> String {
    format!("{}{}", *POLICY, if forms { "'self'" } else { "'none'" })
}

/// Returns a page without forms, which a browser loads anew after `refresh` seconds.
fn page(title: &str, refresh: Option<u8>, body: &Markup) -> String {
    whole(title, refresh.map(|seconds| seconds.to_string()).as_deref(), false, body)
}

/// Returns a page with forms.
#[cfg(feature = "serve")]
fn form_page(title: &str, body: &Markup) -> String {
    whole(title, None, true, body)
}

/// Returns a page. `refresh` is when a browser loads which page after it, in the words of HTML.
fn whole(title: &str, refresh: Option<&str>, forms: bool, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(forms));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                @if let Some(refresh) = refresh { meta http-equiv="refresh" content=(refresh); }
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string() + "\n"
}
