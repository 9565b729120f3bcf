//! What `.env` and `crossfade.toml` say, in the working directory or above it up to the root of the repository.
//!
//! A command line counts more than the environment, the environment more than `.env`, and that more than `crossfade.toml`. A file may
//! hold passwords: no message shows a value.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::CliError;
use crate::ident::DestinationName;
use crate::plan::did_you_mean;

const DATABASE_URL: &str = "DATABASE_URL";
const LEDGER_SCHEMA: &str = "CROSSFADE_LEDGER_SCHEMA";
const LEDGER_OWNER: &str = "CROSSFADE_LEDGER_OWNER";
const HOOKS: &str = "CROSSFADE_HOOKS";
const SERVE_TOKEN: &str = "CROSSFADE_SERVE_TOKEN";
const NOTIFY: &str = "CROSSFADE_NOTIFY_";
const OURS: &str = "CROSSFADE_";

/// Keys of `crossfade.toml`, and the variables that mean the same.
const KEYS: [(&str, &str); 5] = [
    ("database_url", DATABASE_URL),
    ("ledger_schema", LEDGER_SCHEMA),
    ("ledger_owner", LEDGER_OWNER),
    ("hooks", HOOKS),
    ("serve_token", SERVE_TOKEN),
];

/// The table of `crossfade.toml` that holds one table for each destination, and what stands in each of those.
const NOTIFY_TABLE: &str = "notify";
const NOTIFY_KEYS: [&str; 2] = ["url", "secret"];

/// Variables of every PostgreSQL client, and the parameter of a URL that each of them is.
const CLIENT: [(&str, &str); 11] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGOPTIONS", "options"),
];
/// Those of them that say which database is meant.
const NAMES_DATABASE: [&str; 3] = ["PGHOST", "PGHOSTADDR", "PGDATABASE"];

/// What the files say, by the names of environment variables. Variables that are set are left out.
#[derive(Default)]
pub(super) struct Config {
    values: BTreeMap<String, String>,
    /// Where the database is.
    url: Option<String>,
    /// What is not used, and why.
    pub(super) warnings: Vec<String>,
}

impl Config {
    /// Reads the files for the working directory; nothing where there are none.
    ///
    /// # Errors
    /// A file that cannot be read, or a key in it that is not known, with its place.
    pub(super) fn load() -> Result<Self, CliError> {
        let Ok(folder) = std::env::current_dir() else { return Ok(Self::default()) };
        let mut config = Self::default();
        if let Some(file) = nearest(&folder, "crossfade.toml") {
            let text = read(&file)?;
            config.take(&file, from_toml(&file, &text)?);
        }
        // What counts more comes last.
        let url = config.values.remove(DATABASE_URL);
        if let Some(file) = nearest(&folder, ".env") {
            let text = read(&file)?;
            config.take(&file, from_env_file(&file, &text)?);
        }
        config.url = config.database(url);
        config.values.retain(|name, _| std::env::var_os(name).is_none());
        Ok(config)
    }

    /// Adds the values of a file; those that give somebody rights only where nobody else can write it.
    fn take(&mut self, file: &Path, values: Vec<(String, String)>) {
        let distrust = distrust(file);
        for (name, value) in values {
            let gives_rights = [LEDGER_OWNER, HOOKS, SERVE_TOKEN].contains(&name.as_str()) || name.starts_with(NOTIFY);
            match &distrust {
                Some(why) if gives_rights => {
                    self.warnings.push(format!("{name} of {} is not used: {why}", file.display()));
                }
                _ if name == HOOKS => {
                    let folder = file.parent().unwrap_or(Path::new(".")).join(&value);
                    self.values.insert(name, folder.to_string_lossy().into_owned());
                }
                _ => {
                    self.values.insert(name, value);
                }
            }
        }
    }

    /// Returns the URL of the database that the files name; `None` where the environment or nobody names one. `toml` is what
    /// `crossfade.toml` says.
    fn database(&self, toml: Option<String>) -> Option<String> {
        let set = |name: &str| std::env::var_os(name).is_some();
        if set(DATABASE_URL) {
            return None;
        }
        let in_file = |name: &str| self.values.get(name).filter(|value| !value.is_empty());
        if !NAMES_DATABASE.iter().any(|name| set(name))
            && let Some(url) = in_file(DATABASE_URL)
        {
            return Some(url.clone());
        }
        let given: Vec<_> = CLIENT.iter().filter(|(name, _)| !set(name)).collect();
        if !given.iter().any(|(name, _)| in_file(name).is_some()) {
            return toml.filter(|url| !url.is_empty() && !NAMES_DATABASE.iter().any(|name| set(name)));
        }
        // What the environment says is added by whoever reads the URL.
        let pair = |(name, parameter): &&(&str, &str)| Some(format!("{parameter}={}", encoded(in_file(name)?)));
        Some(format!("postgres:///?{}", given.iter().filter_map(pair).collect::<Vec<_>>().join("&")))
    }

    pub(super) fn database_url(&self) -> Option<String> {
        self.url.clone()
    }

    pub(super) fn ledger_schema(&self) -> Option<String> {
        self.values.get(LEDGER_SCHEMA).cloned()
    }

    pub(super) fn ledger_owner(&self) -> Option<String> {
        self.values.get(LEDGER_OWNER).cloned()
    }

    pub(super) fn hooks(&self) -> Option<PathBuf> {
        self.values.get(HOOKS).map(PathBuf::from)
    }

    /// Returns the token of `crossfade serve`.
    #[cfg(feature = "serve")]
    pub(super) fn serve_token(&self) -> Option<String> {
        self.values.get(SERVE_TOKEN).cloned()
    }

    /// Returns the variables that say where destinations are.
    #[cfg(feature = "notify")]
    pub(super) fn destinations(&self) -> Vec<(String, String)> {
        let of_notify = self.values.iter().filter(|(name, _)| name.starts_with(NOTIFY));
        of_notify.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Returns the nearest file of this name, in `folder` or above it up to the root of the repository; without a repository, only in
/// `folder`.
fn nearest(folder: &Path, name: &str) -> Option<PathBuf> {
    let up: Vec<_> = folder.ancestors().collect();
    let last = up.iter().position(|folder| folder.join(".git").exists()).unwrap_or(0);
    up[..=last].iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Returns why somebody else may have written the file, or put it there.
fn distrust(file: &Path) -> Option<String> {
    let me = nix::unistd::geteuid().as_raw();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    [file, folder].into_iter().find_map(|path| match std::fs::metadata(path) {
        Err(error) => Some(format!("{}: {error}", path.display())),
        Ok(found) if found.uid() != me && found.uid() != 0 => {
            Some(format!("{} belongs to another user; set it in the environment", path.display()))
        }
        Ok(found) if found.mode() & 0o022 != 0 => {
            Some(format!("others may write to {0}; chmod go-w {0}, or set it in the environment", path.display()))
        }
        Ok(_) => None,
    })
}

fn read(file: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(file).map_err(|error| {
        let message = format!("{} cannot be read: {error}", file.display());
        CliError::usage("usage::config", message, "correct or remove it; crossfade needs no such file")
    })
}

/// Returns the error of a place in a file, of which nothing is shown but keys.
fn wrong(file: &Path, text: &str, at: usize, what: &str, help: String) -> CliError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    CliError::usage("usage::config", format!("{}:{line}:{column}: {what}", file.display()), help)
}

/// Returns what `crossfade.toml` says.
fn from_toml(file: &Path, text: &str) -> Result<Vec<(String, String)>, CliError> {
    let parsed = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(file, text, at, "this is no TOML", "write key = \"value\", with quotes around the value".to_owned())
    })?;
    let mut values = Vec::new();
    let string = |at: usize, key: &str, value: &DeValue<'_>| match value {
        DeValue::String(value) => Ok(value.to_string()),
        _ => Err(wrong(file, text, at, &format!("`{key}` must be text"), format!("write {key} = \"...\""))),
    };
    for (key, value) in parsed.get_ref() {
        let (name, at) = (key.get_ref().as_ref(), key.span().start);
        if let Some((_, variable)) = KEYS.iter().find(|(known, _)| *known == name) {
            values.push(((*variable).to_owned(), string(at, name, value.get_ref())?));
        } else if let (NOTIFY_TABLE, DeValue::Table(destinations)) = (name, value.get_ref()) {
            for (key, value) in destinations {
                let (to, at) = (key.get_ref().as_ref(), key.span().start);
                DestinationName::new(to).map_err(|error| {
                    wrong(file, text, at, &format!("`{to}`: {error}"), "for example [notify.ops]".to_owned())
                })?;
                let DeValue::Table(keys) = value.get_ref() else {
                    return Err(wrong(
                        file,
                        text,
                        at,
                        &format!("`{to}` must be a table"),
                        format!("write [notify.{to}] above its url"),
                    ));
                };
                for (key, value) in keys {
                    let (name, at) = (key.get_ref().as_ref(), key.span().start);
                    if !NOTIFY_KEYS.contains(&name) {
                        let help = did_you_mean(name, &NOTIFY_KEYS);
                        return Err(wrong(file, text, at, &format!("unknown key `{name}` of destination {to}"), help));
                    }
                    let variable = format!("{NOTIFY}{}_{}", to.to_ascii_uppercase(), name.to_ascii_uppercase());
                    values.push((variable, string(at, name, value.get_ref())?));
                }
            }
        } else {
            let known: Vec<_> = KEYS.iter().map(|(known, _)| *known).chain([NOTIFY_TABLE]).collect();
            let what = if name == NOTIFY_TABLE {
                "`notify` must be a table".to_owned()
            } else {
                format!("unknown key `{name}`")
            };
            return Err(wrong(file, text, at, &what, did_you_mean(name, &known)));
        }
    }
    Ok(values)
}

/// Returns what `.env` says to crossfade. Other programs read it too: what it says to them is left alone.
fn from_env_file(file: &Path, text: &str) -> Result<Vec<(String, String)>, CliError> {
    let known = |name: &str| name == DATABASE_URL || CLIENT.iter().any(|(known, _)| *known == name);
    let mut values = Vec::new();
    for pair in dotenvy::from_read_iter(text.as_bytes()) {
        match pair {
            Ok((name, value)) if known(&name) || is_ours(&name) => values.push((name, value)),
            Ok((name, _)) if name.starts_with(OURS) => {
                let all: Vec<_> = KEYS.iter().map(|(_, variable)| *variable).collect();
                let help = did_you_mean(&name, &all);
                return Err(wrong(file, text, place(text, &name), &format!("unknown variable `{name}`"), help));
            }
            Ok(_) => {}
            Err(error) => {
                // The error shows the line.
                let dotenvy::Error::LineParse(line, _) = error else { continue };
                // A quote that is not closed takes what follows with it.
                let name = |line: &str| {
                    let name = line.trim_start().trim_start_matches("export ").split_once('=')?.0.trim().to_owned();
                    (known(&name) || name.starts_with(OURS)).then_some(name)
                };
                if let Some(name) = line.lines().find_map(name) {
                    let help = "write NAME=value, with single quotes around a value that holds blanks, quotes or a $, and close each \
                                quote that is opened above";
                    let what = format!("the value of `{name}` cannot be read");
                    return Err(wrong(file, text, place(text, &name), &what, help.to_owned()));
                }
            }
        }
    }
    Ok(values)
}

/// Returns whether crossfade reads the variable, which begins with its name.
fn is_ours(name: &str) -> bool {
    let destination = |rest: &str| {
        let to = rest.strip_suffix("_URL").or_else(|| rest.strip_suffix("_SECRET"));
        to.is_some_and(|to| DestinationName::new(&to.to_ascii_lowercase()).is_ok())
    };
    KEYS.iter().any(|(_, variable)| *variable == name) || name.strip_prefix(NOTIFY).is_some_and(destination)
}

/// Returns where a variable is set.
fn place(text: &str, name: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = line.find(name).filter(|start| {
            let before = line[..*start].trim();
            (before.is_empty() || before == "export") && line[start + name.len()..].trim_start().starts_with('=')
        });
        if let Some(start) = start {
            return at + start;
        }
        at += line.len();
    }
    0
}

/// Returns a value for the parameters of a URL.
fn encoded(value: &str) -> String {
    use std::fmt::Write as _;
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}
