//! What opens the pages: a token, and what a browser keeps in its place.
//!
//! Nothing of a visitor is stored here. A browser keeps a session, a random number that only the holder of the token can have signed, and each
//! form carries a proof that belongs to its session. So a new token ends all sessions, and a new process with the same token none.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::ident::hex;

/// How many bytes are random.
const RANDOM: usize = 16;

/// What opens the pages.
pub(crate) struct Token(String);

/// A browser that has shown the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session(String);

impl Token {
    /// Returns a token of 128 random bits, in hexadecimal.
    pub(crate) fn random() -> Self {
        Self(random())
    }

    /// Returns the token that somebody has chosen.
    pub(crate) fn chosen(text: String) -> Self {
        Self(text)
    }

    /// Returns its text.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns whether `text` is the token. How long that takes does not depend on where they differ.
    pub(super) fn is(&self, text: &str) -> bool {
        self.signed("token", text, &self.signature("token", &self.0))
    }

    /// Returns what a browser keeps that has shown the token.
    pub(super) fn new_session(&self) -> Session {
        let number = random();
        Session(format!("{number}.{}", hex(&self.signature("session", &number))))
    }

    /// Returns the session that a browser has sent, if it was made with this token.
    pub(super) fn session(&self, text: &str) -> Option<Session> {
        let (number, signature) = text.split_once('.')?;
        let same = hex(&self.signature("session", number));
        self.is_same(&same, signature).then(|| Session(text.to_owned()))
    }

    /// Returns what proves that a form was shown in this session.
    pub(super) fn proof(&self, session: &Session) -> String {
        hex(&self.signature("form", &session.0))
    }

    /// Returns whether `proof` is that of the session.
    pub(super) fn proves(&self, session: &Session, proof: &str) -> bool {
        self.is_same(&self.proof(session), proof)
    }

    /// Compares two texts, one of which a stranger must not find out by the time that it takes.
    fn is_same(&self, ours: &str, theirs: &str) -> bool {
        self.signed("same", theirs, &self.signature("same", ours))
    }

    fn signature(&self, what: &str, text: &str) -> Vec<u8> {
        self.mac(what, text).finalize().into_bytes().to_vec()
    }

    fn signed(&self, what: &str, text: &str, signature: &[u8]) -> bool {
        self.mac(what, text).verify_slice(signature).is_ok()
    }

    /// What is signed for one purpose is worth nothing for another.
    fn mac(&self, what: &str, text: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes keys of any length");
        mac.chain_update(what).chain_update([0]).chain_update(text)
    }
}

impl Session {
    /// Returns what the browser keeps.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

fn random() -> String {
    hex(&rand::random::<[u8; RANDOM]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_and_a_proof_count_with_the_token_that_made_them_and_for_nothing_else() {
        let (token, other) = (Token::random(), Token::random());
        assert_eq!(token.text().len(), 2 * RANDOM);
        assert!(token.is(token.text()) && !token.is(other.text()) && !token.is("") && !token.is(&token.text()[..31]));
        let session = token.new_session();
        assert_ne!(session, token.new_session());
        assert_eq!(token.session(session.text()).as_ref(), Some(&session));
        assert_eq!(other.session(session.text()), None);
        let proof = token.proof(&session);
        assert!(
            token.proves(&session, &proof)
                && !token.proves(&token.new_session(), &proof)
                && !token.proves(&session, "")
        );
        let (number, _) = session.text().split_once('.').unwrap();
        for text in [
            "",
            ".",
            number,
            &format!("{number}."),
            &format!("{number}.{proof}"),
            &format!("{number}.{}", token.text()),
        ] {
            assert_eq!(token.session(text), None, "{text}");
        }
    }
}
