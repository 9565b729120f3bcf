//! The chain of hashes through a log: each entry's hash covers all of the entry and the hash of the one before, and the first
//! stands on the hash of the run itself. A trigger of the ledger's log computes the hashes when entries are recorded
//! (`ledger/schema.sql`); this is the same arithmetic, for whoever checks them and does not want to ask the database whether the
//! database is right.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The hash of an entry, which stands for the log up to there: SHA-256, as 64 hex digits. Shown, it is the first 12 of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Head(String);

/// So many hex digits of a [`Head`] are shown, and are enough to find it again.
pub const SHORT_HEAD: usize = 12;

impl Head {
    /// Returns the hash that is stored as `text`.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// Returns the hash of `parts`. Each is preceded by its length in bytes, so that no two lists of parts read the same.
    pub fn of(parts: &[&str]) -> Self {
        let text = parts.iter().fold(String::new(), |text, part| text + &format!("{}:{part}", part.len()));
        Self(crate::ident::sha256_hex(&text))
    }

    /// Returns all its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it begins with `digits`, of which there are enough.
    pub fn begins_with(&self, digits: &str) -> bool {
        digits.len() >= SHORT_HEAD && self.0.starts_with(&digits.to_ascii_lowercase())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.get(..SHORT_HEAD).unwrap_or(&self.0))
    }
}

/// An entry as far as the chain is concerned.
#[derive(Debug, Clone)]
pub struct Link<'e> {
    /// Its number.
    pub seq: i64,
    /// What is stored with it as the hash of the one before.
    pub previous: &'e Head,
    /// What is stored as its own.
    pub hash: &'e Head,
    /// What its hash should be.
    pub computed: Head,
}

/// The first place at which a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The number of the first entry that cannot be trusted.
    pub seq: i64,
    /// What is wrong with it.
    pub what: Flaw,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// It is not what it was when it was recorded.
    Changed,
    /// It is not there.
    Missing,
    /// It does not follow the entry before it: one was removed, put in between or moved.
    Unlinked,
    /// What is stored of the run itself (its plan, facts or program) is not what it was when it began.
    RunChanged,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.seq;
        match self.what {
            Flaw::Changed => write!(f, "entry {seq} is not what was recorded"),
            Flaw::Missing => write!(f, "entry {seq} is missing"),
            Flaw::Unlinked => write!(f, "entry {seq} was not recorded after the one before it"),
            Flaw::RunChanged => write!(f, "the run's stored plan, facts or program are not those that it began with"),
        }
    }
}

/// Returns the first place at which the chain of a run does not hold. `run` is the hash of what is stored of the run itself,
/// `links` are all its entries, in the order of their numbers.
pub fn broken<'e>(run: &'e Head, links: &'e [Link<'e>]) -> Option<Broken> {
    let mut before = run;
    for (link, seq) in links.iter().zip(1..) {
        let what = if link.seq != seq {
            Flaw::Missing
        } else if link.computed != *link.hash {
            Flaw::Changed
        } else if link.previous != before {
            if seq == 1 { Flaw::RunChanged } else { Flaw::Unlinked }
        } else {
            before = link.hash;
            continue;
        };
        return Some(Broken { seq, what });
    }
    links.is_empty().then_some(Broken { seq: 1, what: Flaw::Missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of `texts`, computed as the trigger does.
    fn chain(run: &Head, texts: &[&str]) -> Vec<(i64, Head, String, Head)> {
        let mut previous = run.clone();
        let mut entries = vec![];
        for (text, seq) in texts.iter().zip(1..) {
            let hash = computed(seq, text, &previous);
            entries.push((seq, previous, (*text).to_owned(), hash.clone()));
            previous = hash;
        }
        entries
    }

    fn computed(seq: i64, text: &str, previous: &Head) -> Head {
        Head::of(&[&seq.to_string(), text, previous.as_str()])
    }

    fn first_broken(run: &Head, entries: &[(i64, Head, String, Head)]) -> Option<(i64, Flaw)> {
        let link = |(seq, previous, text, hash)| {
            let (seq, previous): (&i64, &Head) = (seq, previous);
            Link { seq: *seq, previous, hash, computed: computed(*seq, text, previous) }
        };
        let links: Vec<_> = entries.iter().map(|(a, b, c, d)| link((a, b, c, d))).collect();
        broken(run, &links).map(|Broken { seq, what }| (seq, what))
    }

    #[test]
    fn each_way_to_tamper_is_found_at_the_first_entry_it_touches() {
        let run = Head::of(&["run"]);
        let whole = chain(&run, &["a", "b", "c", "d"]);
        assert_eq!(first_broken(&run, &whole), None);
        assert_eq!(first_broken(&Head::of(&["other"]), &whole), Some((1, Flaw::RunChanged)));
        assert_eq!(first_broken(&run, &[]), Some((1, Flaw::Missing)));

        let mut changed = whole.clone();
        changed[1].2 = "B".to_owned();
        assert_eq!(first_broken(&run, &changed), Some((2, Flaw::Changed)));

        let mut removed = whole.clone();
        removed.remove(1);
        assert_eq!(first_broken(&run, &removed), Some((2, Flaw::Missing)));
        for (entry, seq) in removed.iter_mut().zip(1..) {
            entry.0 = seq;
        }
        assert_eq!(first_broken(&run, &removed), Some((2, Flaw::Changed)), "renumbered");
        removed[1].3 = computed(2, &removed[1].2, &removed[1].1);
        assert_eq!(first_broken(&run, &removed), Some((2, Flaw::Unlinked)), "renumbered and hashed again");

        let mut moved = whole.clone();
        moved.swap(1, 2);
        (moved[1].0, moved[2].0) = (2, 3);
        assert_eq!(first_broken(&run, &moved), Some((2, Flaw::Changed)));

        // Nobody can tell but those who have noted the head.
        assert_eq!(first_broken(&run, &whole[..3]), None);
        assert!(whole[..3].iter().all(|entry| !entry.3.begins_with(&whole[3].3.to_string())));
    }

    #[test]
    fn no_two_lists_of_parts_read_the_same() {
        assert_ne!(Head::of(&["ab", "c"]), Head::of(&["a", "bc"]));
        assert_ne!(Head::of(&["a", ""]), Head::of(&["", "a"]));
        assert_eq!(Head::of(&["ä"]).as_str(), crate::ident::sha256_hex("2:ä"), "lengths are in bytes");
    }

    #[test]
    fn a_head_is_shown_by_its_first_digits_and_found_by_them() {
        let head = Head::of(&["x"]);
        assert_eq!(head.to_string(), head.as_str()[..12]);
        assert!(head.begins_with(&head.to_string().to_uppercase()) && head.begins_with(head.as_str()));
        assert!(!head.begins_with(&head.as_str()[..11]) && !head.begins_with("0123456789ab"));
    }
}
