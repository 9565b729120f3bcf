//! Where the database is: a URL, or the variables that every PostgreSQL client knows.

use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::CliError;
use crate::pg::Connector;

/// Variables each of which names a database.
const VARIABLES: [&str; 6] = ["PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"];

/// The parameters of a URL that are understood.
const PARAMETERS: [&str; 14] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
];
/// These are accepted as well; no message may show their values.
const MORE_PARAMETERS: [&str; 3] = ["password", "application_name", "options"];

/// Those of them that name the root certificate.
const ROOT_CERTIFICATE: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];

const THREE_WAYS: &str = "use --database-url postgres://user@host/database, or set DATABASE_URL, \
     or set PGHOST, PGUSER and PGDATABASE (the password in PGPASSWORD or ~/.pgpass), in the environment or in .env";

/// Returns the connector to the database that `url`, or the environment, names.
pub(super) fn connector(url: Option<&str>) -> Result<Connector, CliError> {
    variable::<u16>("PGPORT", "a port number")?;
    variable::<PgSslMode>("PGSSLMODE", "disable, allow, prefer, require, verify-ca or verify-full")?;
    let options = match url {
        Some(url) => from_url(url)?,
        None if VARIABLES.iter().any(|name| text(name).is_some()) => PgConnectOptions::new(),
        None => return Err(CliError::usage("usage::no_database", "no database was given", THREE_WAYS)),
    };
    Ok(Connector::new(verified(options, named_root(url))))
}

/// As libpq does: with a root certificate, `require` verifies that the server's was signed by it.
fn verified(options: PgConnectOptions, root: Option<PathBuf>) -> PgConnectOptions {
    match (options.get_ssl_mode(), root) {
        (PgSslMode::Require, Some(root)) => options.ssl_root_cert(root).ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    }
}

/// Returns the root certificate that the URL or the environment names, or the one where every client looks for it.
fn named_root(url: Option<&str>) -> Option<PathBuf> {
    let query = url.and_then(|url| Some(url.split_once('?')?.1)).unwrap_or_default();
    let of_pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        ROOT_CERTIFICATE.contains(&key).then(|| percent_decode(value))
    };
    let named = query.split('&').filter_map(of_pair).next_back().or_else(|| text("PGSSLROOTCERT"));
    named.map(PathBuf::from).or_else(|| {
        let usual = PathBuf::from(text("HOME")?).join(".postgresql/root.crt");
        usual.is_file().then_some(usual)
    })
}

fn percent_decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.extend(code.or(Some(b'%')));
        bytes.extend(&part.as_bytes()[if code.is_some() { 2 } else { 0 }..]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// sqlx ignores a variable that it cannot parse, which for PGSSLMODE would mean a weaker mode.
fn variable<T: std::str::FromStr>(name: &'static str, expected: &str) -> Result<(), CliError> {
    match text(name) {
        Some(value) if value.parse::<T>().is_err() => Err(CliError::usage(
            "usage::environment",
            format!("{name} is not {expected}"),
            format!("set {name} to {expected}"),
        )),
        _ => Ok(()),
    }
}

fn from_url(url: &str) -> Result<PgConnectOptions, CliError> {
    let wrong = |what: &str| CliError::usage("usage::database_url", format!("the database URL {what}"), URL_HELP);
    let Some(rest) = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme)) else {
        return Err(wrong("does not begin with postgres://"));
    };
    // A password with one of these that is not escaped would be taken for a host, and end up in messages.
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if rest[authority..].contains(['@', '#']) {
        return Err(wrong(
            "has a `@` or `#` in the wrong place; in a password, write %40, %23, %2F and %3F for @ # / ?",
        ));
    }
    if let Some((_, query)) = rest.split_once('?') {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let key = pair.split('=').next().unwrap_or_default();
            let known =
                PARAMETERS.iter().chain(&MORE_PARAMETERS).any(|known| *known == key) || key.starts_with("options[");
            if !known {
                return Err(wrong("has an unknown parameter"));
            }
        }
    }
    // The message of the parser may show parts of the URL, so it is not passed on.
    PgConnectOptions::from_str(url).map_err(|_| wrong("cannot be parsed"))
}

const URL_HELP: &str = "write postgres://user@host:port/database?sslmode=verify-full; the parameters are \
     sslmode, sslrootcert, sslcert, sslkey, host (a directory for a unix socket), port, dbname, user, password, options";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_message_about_a_malformed_url() {
        for url in [
            "mysql://u:secret@h/db",
            "u:secret@h/db",
            "postgres://u:sec#secret@h/db",
            "postgres://u:12/secret@h/db",
            "postgres://u:12?secret@h/db",
            "postgres://u:secret@h:port/db",
            "postgres://u:secret@h/db?sslmode=secret",
            "postgres://u:secret@h/db?passwrd=secret",
            "postgres://u:secret@[h/db",
        ] {
            let error = from_url(url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "{url}: {text}");
        }
    }

    #[test]
    fn a_root_certificate_is_used_as_libpq_uses_it() {
        let url = "postgres://u@h/db?sslmode=require&sslrootcert=/etc/my%20ca.pem";
        assert_eq!(named_root(Some(url)), Some(PathBuf::from("/etc/my ca.pem")));
        let mode = |url: &str| verified(from_url(url).unwrap(), named_root(Some(url))).get_ssl_mode();
        assert!(matches!(mode(url), PgSslMode::VerifyCa));
        assert!(matches!(mode("postgres://u@h/db?sslmode=prefer&sslrootcert=/etc/ca.pem"), PgSslMode::Prefer));
    }

    #[test]
    fn the_target_is_shown_without_the_password() {
        let connector = Connector::new(from_url("postgres://u:secret@h:1/db?sslmode=require").unwrap());
        assert_eq!(connector.target(), "db at h:1");
        assert!(!format!("{connector:?}").contains("secret"));
    }
}
