//! Who writes to the log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who has done something: a process, and the role that the server knows it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The database role that logged in, by the server's word: `SESSION_USER`. Empty before the server was asked.
    pub role: String,
    /// The user of the operating system, or what a program calls itself. This and what follows is the process's own word.
    pub user: String,
    /// The host; empty where a program has given itself a name.
    pub host: String,
    /// The process.
    pub pid: i64,
    /// The version of crossfade.
    pub version: String,
}

impl Actor {
    /// Returns this process, run by `user` on `host`, as the server's `role`.
    pub fn new(user: impl Into<String>, host: impl Into<String>, role: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            user: user.into(),
            host: host.into(),
            pid: std::process::id().into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A program that uses the library calls itself something.
impl From<String> for Actor {
    fn from(name: String) -> Self {
        Self::new(name, "", "")
    }
}

impl From<&str> for Actor {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, user, host, pid, .. } = self;
        f.write_str(user)?;
        if !host.is_empty() {
            write!(f, "@{host}")?;
        }
        if !role.is_empty() {
            write!(f, " as {role}")?;
        }
        if host.is_empty() { Ok(()) } else { write!(f, ", pid {pid}") }
    }
}
