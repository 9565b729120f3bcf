//! Pages that say one thing, and the page of those who have not shown the token yet.

use maud::{Markup, html};

use super::excerpt::Room;
use super::{REFRESH, form_page, page, whole};

/// Of a whole text.
const ALL: usize = 60_000;

/// What a page says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// In a few words.
    pub(crate) title: String,
    /// Why.
    pub(crate) why: String,
    /// What to do about it.
    pub(crate) hints: Vec<String>,
    /// Whether the page asks again by itself.
    pub(crate) again: bool,
    /// The way back, as a link and its text.
    pub(crate) back: Option<(&'static str, &'static str)>,
}

/// Returns a page that says one thing.
pub(crate) fn message(message: &Message) -> String {
    let mut room = Room::new(ALL);
    let body = html! {
        @if let Some((link, words)) = message.back { nav { p { a href=(link) { (words) } } } }
        h1 { (message.title) }
        p { (room.line(&message.why, ALL)) }
        @for hint in &message.hints { p { b { "What to do: " } (room.line(hint, ALL)) } }
    };
    page(&message.title, message.again.then_some(REFRESH), &body)
}

/// Returns the page that asks for the token; `to` is where the form goes, `wrong` whether one was given that is not it.
pub(crate) fn entrance(to: &str, wrong: bool) -> String {
    let body = html! {
        h1 { "crossfade" }
        @if wrong { p role="alert" { b { "That is not the token of this server." } } }
        p { "This page opens with the token that " code { "crossfade serve" } " printed when it was started, or that it was started with." }
        form method="post" action=(to) {
            (field("token", "Token", &html! { input id="token" name="token" type="password" required autocomplete="off" maxlength="512"; }))
            p { button type="submit" { "Open" } }
        }
    };
    form_page("crossfade", &body)
}

/// Returns the page that leads from an address with the token in it to one without. A redirection would not do: after a link in another
/// page, browsers send no cookie with it.
pub(crate) fn welcome() -> String {
    let body = html! {
        h1 { "crossfade" }
        p { a href="./" { "Show the runs" } }
    };
    whole("crossfade", Some("0; url=./"), false, &body)
}

/// Returns a field of a form with its name for people.
pub(super) fn field(id: &str, name: &str, field: &Markup) -> Markup {
    html! { p.field { label for=(id) { (name) } (field) } }
}
