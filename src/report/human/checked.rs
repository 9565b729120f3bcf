//! What `crossfade history --check` has found.

use crate::report::look::{Look, printable};
use crate::run::SHORT_HEAD;
use crate::view::CheckedLog;

/// Returns whether the logs of a name's runs are what was recorded.
pub(crate) fn checked(checked: &CheckedLog, look: Look) -> String {
    let mut text = String::new();
    let several = checked.runs.len() > 1;
    for run in &checked.runs {
        let which = if several { format!("{}@{}", checked.name, run.number) } else { checked.name.clone() };
        let found = match &run.broken {
            None => format!(
                "{}; the chain holds; head {}",
                if run.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", run.entries) },
                printable(&run.head.to_string())
            ),
            Some(broken) => format!("{} {broken}. What stands before it is as it was recorded", look.failed()),
        };
        look.wrap(&mut text, ("", "  "), &format!("{}: {found}", look.bold(&which)));
    }
    if let Some(noted) = &checked.noted {
        let short = noted.digits.get(..SHORT_HEAD).unwrap_or(&noted.digits);
        let found = match (noted.run, noted.seq) {
            (Some(run), Some(seq)) => {
                let of = if several { format!(" of run {run}") } else { String::new() };
                format!("head {short} is entry {seq}{of}")
            }
            _ => format!(
                "{} head {short} is in no log of {}: since it was noted, entries were removed or rewritten",
                look.failed(),
                checked.name
            ),
        };
        look.wrap(&mut text, ("", "  "), &found);
    }
    for part in &checked.parts {
        text.push_str(&self::checked(part, look));
    }
    text
}
