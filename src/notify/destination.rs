//! Where announcements go, as the operator of this host has said.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::plan::Shape;

/// The destinations that this process can reach, by the names that plans have for them.
#[derive(Debug, Clone, Default)]
pub struct Destinations(BTreeMap<String, Destination>);

/// An address, and the secrets with which messages to it are signed. Neither is ever shown: an address may be a secret itself.
#[derive(Clone)]
pub(crate) struct Destination {
    url: String,
    /// Each signs: a receiver that knows one of them accepts the message, so a secret can be replaced.
    secrets: Result<Vec<Vec<u8>>, String>,
}

const PREFIX: &str = "CROSSFADE_NOTIFY_";

impl Destinations {
    /// Returns the destinations that environment variables name: `CROSSFADE_NOTIFY_OPS_URL` is where `ops` is, and
    /// `CROSSFADE_NOTIFY_OPS_SECRET` has its secrets, separated by blanks.
    pub fn from_env(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let (mut urls, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        for (variable, value) in variables {
            let Some(rest) = variable.strip_prefix(PREFIX).filter(|_| !value.is_empty()) else { continue };
            if let Some(name) = rest.strip_suffix("_URL") {
                urls.insert(name.to_ascii_lowercase(), value);
            } else if let Some(name) = rest.strip_suffix("_SECRET") {
                secrets.insert(name.to_ascii_lowercase(), value);
            }
        }
        let with_secret = |(name, url): (String, String)| {
            let secrets = read_secrets(&name, secrets.get(&name).map_or("", String::as_str));
            (name, Destination { url, secrets })
        };
        Self(urls.into_iter().map(with_secret).collect())
    }

    /// Returns their names.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the destination of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Destination> {
        self.0.get(name)
    }
}

/// Returns the variable that holds the address of a destination.
pub(crate) fn url_variable(name: &str) -> String {
    format!("{PREFIX}{}_URL", name.to_ascii_uppercase())
}

fn read_secrets(name: &str, text: &str) -> Result<Vec<Vec<u8>>, String> {
    let variable = format!("{PREFIX}{}_SECRET", name.to_ascii_uppercase());
    let key = |word: &str| {
        let key = STANDARD.decode(word.strip_prefix("whsec_")?).ok()?;
        (24..=64).contains(&key.len()).then_some(key)
    };
    let keys: Option<Vec<_>> = text.split_whitespace().map(key).collect();
    keys.ok_or_else(|| format!("{variable} must be whsec_ and the base64 of 24 to 64 bytes"))
}

impl Destination {
    /// Returns why nothing can be sent there in this shape, if so.
    pub(crate) fn flaw(&self, name: &str, shape: Shape) -> Option<String> {
        let is_http = self.url.starts_with("http://") || self.url.starts_with("https://");
        if !is_http {
            return Some(format!("{} must begin with https:// (or http://)", url_variable(name)));
        }
        match (&self.secrets, shape) {
            (Err(flaw), _) => Some(flaw.clone()),
            (Ok(secrets), Shape::Standard) if secrets.is_empty() => {
                let variable = format!("{PREFIX}{}_SECRET", name.to_ascii_uppercase());
                Some(format!("{variable} is not set: messages in the shape `standard` are signed"))
            }
            _ => None,
        }
    }

    /// Returns the address, for the request.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address as it may be shown: without user, path and parameters, each of which may be a secret.
    pub(crate) fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }

    /// Returns the value of `webhook-signature` for a message, after the Standard Webhooks specification.
    pub(crate) fn signature(&self, id: &str, timestamp: i64, body: &str) -> String {
        let sign = |key: &Vec<u8>| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        };
        let secrets = self.secrets.as_deref().unwrap_or_default();
        secrets.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Destinations {
        Destinations::from_env(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    /// The example of the specification, and of the libraries that go with it.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let all = of(&[("CROSSFADE_NOTIFY_OPS_URL", "https://x.org/"), ("CROSSFADE_NOTIFY_OPS_SECRET", secret)]);
        let signature =
            all.get("ops").unwrap().signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = format!("{secret} {secret}");
        let all = of(&[("CROSSFADE_NOTIFY_OPS_URL", "https://x.org/"), ("CROSSFADE_NOTIFY_OPS_SECRET", &two)]);
        assert_eq!(all.get("ops").unwrap().signature("a", 1, "b").split(' ').count(), 2);
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        let shown = |url| of(&[("CROSSFADE_NOTIFY_A_URL", url)]).get("a").unwrap().shown();
        assert_eq!(shown("https://me:pw@hooks.example.org:8443/T0/B0/xyz?key=1#f"), "https://hooks.example.org:8443");
        assert_eq!(shown("https://u:p@ss@h.org"), "https://h.org");
        assert_eq!(shown("https://h.org?token=1"), "https://h.org");
        let all = of(&[("CROSSFADE_NOTIFY_A_URL", "https://me:pw@h.org/secret")]);
        assert_eq!(format!("{all:?}"), "Destinations({\"a\": https://h.org})");
    }

    #[test]
    fn what_cannot_work_is_said() {
        let flaw = |url, secret, shape| {
            let all = of(&[("CROSSFADE_NOTIFY_A_1_URL", url), ("CROSSFADE_NOTIFY_A_1_SECRET", secret)]);
            all.get("a_1").unwrap().flaw("a_1", shape)
        };
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(flaw("https://x.org", good, Shape::Standard), None);
        assert_eq!(flaw("https://x.org", "", Shape::Slack), None);
        let said = |flaw: Option<String>| flaw.unwrap();
        assert!(said(flaw("https://x.org", "", Shape::Standard)).contains("CROSSFADE_NOTIFY_A_1_SECRET is not set"));
        assert!(said(flaw("https://x.org", "whsec_AAAA", Shape::Standard)).contains("24 to 64 bytes"));
        assert!(said(flaw("https://x.org", "secret", Shape::Slack)).contains("whsec_"));
        assert!(said(flaw("postgres://x.org", good, Shape::Standard)).contains("https://"));
    }
}
