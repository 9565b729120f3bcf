//! Options that every bench has.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::number::float;

/// Options that every bench has.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Rows of the table, such as 20k, 1m or 30m; several sizes are measured one after the other
    #[arg(long, value_name = "ROWS", default_value = "1m", value_delimiter = ',')]
    pub(crate) rows: Vec<Rows>,
    /// Secondary indexes of the table, none of them on a column that changes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=8))]
    pub(crate) indexes: u8,
    /// Repetitions; what is printed are medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    /// `shared_buffers` of the server
    #[arg(long, value_name = "SIZE", default_value = "2GB")]
    pub(crate) shared_buffers: String,
    /// The directory with `initdb` and `postgres`; without it, the newest that is installed
    #[arg(long, value_name = "DIR", env = "CROSSFADE_PG_BIN")]
    pub(crate) pg_bin: Option<PathBuf>,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rows(pub(crate) u32);

impl Rows {
    /// Returns the number for arithmetic.
    pub(crate) fn float(self) -> f64 {
        f64::from(self.0)
    }
}

impl FromStr for Rows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = match text.to_ascii_lowercase() {
            text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), 1000),
            text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), 1_000_000),
            text => (text, 1),
        };
        let rows = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit)).filter(|rows| *rows > 0);
        rows.map(Self).ok_or_else(|| "a number of rows is written like 20000, 20k or 30m".to_owned())
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rows if rows % 1_000_000 == 0 => write!(f, "{}m", rows / 1_000_000),
            rows if rows % 1000 == 0 => write!(f, "{}k", rows / 1000),
            rows => write!(f, "{rows}"),
        }
    }
}

/// Returns the order of `count` contestants in a repetition: every second one goes through them backwards, so that a
/// machine that gets slower or faster treats them alike.
pub(crate) fn alternating(repetition: u32, count: usize) -> Vec<usize> {
    let forth: Vec<usize> = (0..count).collect();
    if repetition.is_multiple_of(2) { forth } else { forth.into_iter().rev().collect() }
}

/// Tells on standard error how far the bench is.
#[expect(clippy::print_stderr, reason = "a bench is a program")]
pub(crate) fn tell(what: &str) {
    eprintln!("{what}");
}

/// Returns how far a repetition is, for [`tell`].
pub(crate) fn share(done: usize, of: usize) -> String {
    format!("{:3.0} %", 100.0 * float(done) / float(of.max(1)))
}
