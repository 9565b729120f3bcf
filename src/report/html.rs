//! Pages: whole in themselves, without a script and without anything from elsewhere, on paper as well as on a small screen.
//!
//! `parts` and `chart` are what pages are made of, with the styles in `style.css`; `run` is the report of a run, `overview` the list of
//! all runs.

mod chart;
mod costs;
mod excerpt;
#[cfg(feature = "serve")]
mod overview;
mod parts;
mod run;
mod statements;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::look::Look;

#[cfg(feature = "serve")]
pub(crate) use overview::{message, overview};
#[cfg(feature = "serve")]
pub(crate) use run::live;
pub(crate) use run::report;

/// Styles of all pages.
const STYLE: &str = include_str!("html/style.css");
/// Nothing may be loaded from anywhere, no script may run, and only the page's own styles count.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// Text without colours, whose lines end where the page ends them.
const LOOK: Look = Look { color: false, unicode: true, columns: Look::ENDLESS };

/// Pages that show what goes on are loaded anew after so many seconds.
#[cfg(feature = "serve")]
const REFRESH: u8 = 5;

/// Returns a page, which a browser loads anew after `refresh` seconds.
fn page(title: &str, refresh: Option<u8>, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                @if let Some(seconds) = refresh { meta http-equiv="refresh" content=(seconds); }
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string() + "\n"
}
