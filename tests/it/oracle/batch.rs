//! Some cases in one pair of databases, and what was seen of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::case::Case;
use super::passes::{Failure, Way, same};
use super::places::{Places, with_sorted_statistics};
use crate::harness::Version;

/// Why a run may be refused: the codes of `crossfade plan`. Whatever else it refuses is a failure.
const KNOWN_FOR_RENAMES: &[&str] =
    &["catalog::generated_listener", "catalog::inheritance", "catalog::not_valid", "catalog::rule"];
const KNOWN_FOR_TYPE_CHANGES: &[&str] = &[
    "catalog::constraint",
    "catalog::default",
    "catalog::exclusion",
    "catalog::foreign_key",
    "catalog::function",
    "catalog::generated_column",
    "catalog::generated_listener",
    "catalog::identity",
    "catalog::index",
    "catalog::inheritance",
    "catalog::made_anew",
    "catalog::materialized_view",
    "catalog::not_valid",
    "catalog::primary_key",
    "catalog::row_type",
    "catalog::rule",
    "catalog::view",
];

/// Cases that share two databases.
pub(super) struct Batch {
    pub(super) version: Version,
    pub(super) rename: bool,
    pub(super) cases: Vec<Case>,
    /// Whether they only go to the end, without dumps: for a case that gets smaller.
    pub(super) short: bool,
}

/// A case that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) case: Case,
    pub(super) version: Version,
    pub(super) failure: Failure,
}

/// What was seen of some cases.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) cases: u64,
    pub(super) failures: Vec<Failed>,
    /// Those that were refused, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// Those that were run, by what hung on the table.
    ran: BTreeMap<&'static str, u64>,
    /// What PostgreSQL refused to make.
    not_made: BTreeMap<&'static str, u64>,
    killed: u64,
    in_place: u64,
    /// What the cases took, one after the other.
    took: Duration,
}

impl Seen {
    pub(super) fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.killed += other.killed;
        self.in_place += other.in_place;
        self.took += other.took;
        self.failures.extend(other.failures);
        for (all, some) in
            [(&mut self.refused, other.refused), (&mut self.ran, other.ran), (&mut self.not_made, other.not_made)]
        {
            for (key, count) in some {
                *all.entry(key).or_default() += count;
            }
        }
    }

    /// Prints it, for who runs the test with `--nocapture`.
    #[expect(clippy::print_stdout, reason = "what a test saw")]
    pub(super) fn say(&self, seed: u64, rename: bool) {
        let what = if rename { "renames" } else { "type changes" };
        let refused: u64 = self.refused.values().sum();
        let mut text = format!(
            "{} {what} of seed {seed}: {} failed, {} killed, {} in place, {:.1?} in all\n",
            self.cases,
            self.failures.len(),
            self.killed,
            self.in_place,
            self.took
        );
        for (title, counts) in
            [("run with", &self.ran), ("refused for", &self.refused), ("not made by PostgreSQL", &self.not_made)]
        {
            let all: Vec<_> = counts.iter().map(|(key, count)| format!("{key} {count}")).collect();
            let _ = writeln!(text, "  {title}: {}", all.join(", "));
        }
        for Failed { case, version, failure } in &self.failures {
            let message: String = failure.message.chars().take(700).collect();
            let _ =
                writeln!(text, "  case {} on PostgreSQL {}: {}: {message}", case.number, version.major, failure.stage);
        }
        println!("{text}  {refused} reasons to refuse");
    }
}

impl Batch {
    /// Takes its cases there and back, and to the end.
    pub(super) async fn run(self, places: Places) -> Seen {
        let begun = Instant::now();
        let seen = Box::pin(self.there_back_and_to_the_end(places)).await;
        Seen { took: begun.elapsed(), ..seen }
    }

    async fn there_back_and_to_the_end(self, mut places: Places) -> Seen {
        let mut seen = Seen { cases: self.cases.len() as u64, ..Seen::default() };
        let mut going = Vec::new();
        let exact = self.rename;
        for mut case in self.cases {
            match begin(&mut places, &mut case, &mut seen).await {
                Ok(Some(program)) => going.push((case, program)),
                Ok(None) => {}
                Err(failure) => {
                    places.remove(&case).await;
                    seen.failures.push(Failed { case, version: self.version.clone(), failure });
                }
            }
        }
        let before = if self.short { String::new() } else { places.ours.database.exact_schema().await };
        let mut back = Vec::new();
        let mut all_back = true;
        for (case, program) in going {
            let mut way = Way::new(&case, &program);
            let there_and_back = if self.short { Ok(()) } else { way.there_and_back(&mut places).await };
            match there_and_back {
                Ok(()) => back.push((case, program)),
                Err(failure) => {
                    all_back = false;
                    places.remove(&case).await;
                    seen.failures.push(Failed { case, version: self.version.clone(), failure });
                }
            }
        }
        if all_back
            && !self.short
            && let Err(failure) = same("dump of all, rolled back", &before, &places.ours.database.exact_schema().await)
        {
            let case = of_dump(&back, &failure);
            seen.failures.push(Failed { case, version: self.version.clone(), failure });
        }
        let mut ended = Vec::new();
        for (case, program) in back {
            let mut way = Way::new(&case, &program);
            match way.finish(&mut places).await {
                Ok(()) => ended.push((case, program)),
                Err(failure) => {
                    places.remove(&case).await;
                    seen.failures.push(Failed { case, version: self.version.clone(), failure });
                }
            }
        }
        if self.short {
            return seen;
        }
        let (ours, plain) = (&places.ours.database, &places.plain.database);
        let (found, expected) = if exact {
            (ours.exact_schema().await, plain.exact_schema().await)
        } else {
            (with_sorted_statistics(&ours.schema().await), with_sorted_statistics(&plain.schema().await))
        };
        if let Err(failure) = same("dump of all at the end", &expected, &found) {
            let case = of_dump(&ended, &failure);
            seen.failures.push(Failed { case, version: self.version.clone(), failure });
        }
        seen
    }
}

/// Returns the case whose schema a difference of dumps names.
fn of_dump(cases: &[(Case, crossfade::run::Program)], failure: &Failure) -> Case {
    let named = |case: &&(Case, _)| failure.message.contains(&case.0.schema);
    cases.iter().find(named).or(cases.last()).expect("dumps that differ have a case").0.clone()
}

/// Makes the tables, and asks what a run would do. Returns nothing where it is refused.
async fn begin(
    places: &mut Places,
    case: &mut Case,
    seen: &mut Seen,
) -> Result<Option<crossfade::run::Program>, Failure> {
    let refused = places.make(case).await.map_err(|error| Failure::new("making the table", error))?;
    for (piece, _) in &refused {
        *seen.not_made.entry(piece.kind).or_default() += 1;
    }
    let (ours, plain) = (places.ours.listing(case, true).await, places.plain.listing(case, true).await);
    same("making the table twice", &plain, &ours)?;
    let preview = places.tool.preview(&case.plan()).await;
    let preview = preview.map_err(|error| Failure::new("the preview", error.to_string()))?;
    let known = match case.alteration {
        super::case::Alteration::Rename(_) => KNOWN_FOR_RENAMES,
        super::case::Alteration::Retype(..) => KNOWN_FOR_TYPE_CHANGES,
    };
    if let Some(unknown) = preview.refusals.iter().find(|finding| !known.contains(&finding.code)) {
        return Err(Failure::new("refused", format!("{}: {}", unknown.code, unknown.message)));
    }
    let codes: std::collections::BTreeSet<_> = preview.refusals.iter().map(|finding| finding.code).collect();
    for code in &codes {
        *seen.refused.entry(code).or_default() += 1;
    }
    let Some(program) = preview.program.filter(|_| codes.is_empty()) else { return Ok(None) };
    for piece in &case.pieces {
        *seen.ran.entry(piece.kind).or_default() += 1;
    }
    seen.killed += u64::from(case.kills.is_some());
    seen.in_place += u64::from(!program.phases.contains(&crossfade::run::Phase::Backfill));
    Ok(Some(program))
}
