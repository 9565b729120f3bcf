use super::*;
use crate::run::{Compiled, StepKey};

const PLAN: &str = "\
version: 1
name: p
table: t
changes:
  - add_index: { name: i, columns: [a] }
approve: [index]
";

/// A log that is written hour by hour.
struct Log {
    plan: Plan,
    digest: Head,
    lines: Vec<(DateTime<Utc>, Actor, Entry)>,
    now: DateTime<Utc>,
}

fn actor(role: &str, user: &str) -> Actor {
    Actor::new(user, "host", role)
}

impl Log {
    fn new(more: &str) -> Self {
        let plan = crate::plan::parse("plan", &format!("{PLAN}{more}")).unwrap();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let log = Self { plan, digest: Head::of(&["digest"]), lines: vec![], now };
        log.and("starter", "sam", Entry::Registered)
    }

    fn and(mut self, role: &str, user: &str, entry: Entry) -> Self {
        self.now += TimeDelta::hours(1);
        self.lines.push((self.now, actor(role, user), entry));
        self
    }

    fn then(self, entry: Entry) -> Self {
        self.and("starter", "sam", entry)
    }

    fn approved(self, role: &str, person: &str) -> Self {
        let digest = self.digest.as_str().to_owned();
        let entry = Entry::Approved {
            phase: Phase::Index,
            person: person.to_owned(),
            comment: Some("fine".to_owned()),
            digest,
        };
        self.and(role, "whoever", entry)
    }

    fn bypassed(self, role: &str) -> Self {
        let digest = self.digest.as_str().to_owned();
        let (person, reason) = ("eve".to_owned(), "incident 7".to_owned());
        self.and(role, "whoever", Entry::ApprovalBypassed { phase: Phase::Index, person, reason, digest })
    }

    fn at(&self, phase: Phase, later: TimeDelta) -> Approval {
        let lines = self.lines.iter().map(|(at, actor, entry)| Line { at: *at, actor, entry });
        approval(&self.plan, &self.digest, phase, lines, self.now + later)
    }

    fn now(&self) -> Approval {
        self.at(Phase::Index, TimeDelta::zero())
    }

    /// Why the latest approval does not count; `None` where it does.
    fn void(&self) -> Option<Voided> {
        match self.now() {
            Approval::Given(_) => None,
            Approval::Void { why, .. } => Some(why),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_what_the_plan_names_needs_an_approval() {
    let log = Log::new("");
    assert_eq!(log.at(Phase::Expand, TimeDelta::zero()), Approval::NotNeeded);
    assert_eq!(log.now(), Approval::Missing);
    assert!(!log.now().is_open() && log.at(Phase::Switch, TimeDelta::zero()).is_open());
}

#[test]
fn an_approval_says_who_and_until_when() {
    let log = Log::new("").approved("approver", "ann");
    let Approval::Given(given) = log.now() else { panic!("{:?}", log.now()) };
    assert_eq!((given.person.as_str(), given.role.as_str(), given.bypass), ("ann", "approver", false));
    assert_eq!((given.comment.as_deref(), given.expires - given.at), (Some("fine"), TimeDelta::days(14)));
}

#[test]
fn it_expires() {
    let log = Log::new("").approved("approver", "ann");
    let day = TimeDelta::days(1);
    assert!(log.at(Phase::Index, day * 14 - TimeDelta::seconds(1)).is_open());
    assert!(matches!(log.at(Phase::Index, day * 14), Approval::Void { why: Voided::Expired, .. }));
    let log = Log::new("approval: { expiry: 1h }\n").approved("approver", "ann");
    assert!(!log.at(Phase::Index, TimeDelta::hours(1)).is_open());
    // Given in a future that has not come: it counts from when that was noticed.
    let mut log = log;
    log.now -= TimeDelta::days(30);
    let log = log.then(Entry::ClockSetBack { seconds: 1 });
    assert!(log.now().is_open() && !log.at(Phase::Index, TimeDelta::hours(1)).is_open());
}

#[test]
fn whoever_started_the_run_may_not_approve_it() {
    for (role, person, own) in [
        ("approver", "ann", false),
        ("starter", "ann", true),
        ("approver", "sam", true),
        ("approver", " SAM ", true),
        ("starter", "sam", true),
    ] {
        let why = Log::new("").approved(role, person).void();
        assert_eq!(why, own.then_some(Voided::Own), "{role} {person}");
        assert_eq!(Log::new("approval: { self: true }\n").approved(role, person).void(), None, "{role} {person}");
    }
    // One's own does not take away what another has given.
    assert_eq!(Log::new("").approved("approver", "ann").approved("starter", "sam").void(), None);
}

#[test]
fn every_change_voids_it() {
    let log = || Log::new("").approved("approver", "ann");
    let mut other = log();
    other.digest = Head::of(&["other"]);
    assert_eq!(other.void(), Some(Voided::Changed));
    let compiled = || {
        let program = Program {
            tag: other.plan.tag(),
            relations: vec![],
            phases: vec![Phase::Index],
            steps: vec![],
            surround: vec![],
        };
        Box::new(Compiled {
            facts: crate::run::Facts {
                server_version: 15,
                tables: vec![],
                changes: vec![],
                functions: vec![],
                triggers: vec![],
            },
            program,
        })
    };
    // Though the same digest comes back, nobody has seen what was in between.
    let replanned = || Entry::Replanned { changes: vec![], undone: vec![], compiled: compiled() };
    assert_eq!(log().then(replanned()).void(), Some(Voided::Replanned));
    let tuned = |key: &str| Entry::Tuned { key: key.to_owned(), value: "0s".to_owned() };
    assert_eq!(log().then(tuned("grace")).void(), Some(Voided::Tuned));
    assert_eq!(log().then(tuned("quiet")).void(), Some(Voided::Tuned));
    assert_eq!(log().then(tuned("max_rows_per_second")).void(), None);
    assert_eq!(log().then(Entry::UndoStarted { to: None }).void(), Some(Voided::RolledBack));
    // A new one counts.
    assert_eq!(log().then(replanned()).approved("approver", "ann").void(), None);
}

#[test]
fn it_can_be_revoked_until_it_is_used_up() {
    let revoked = |phase| Entry::ApprovalRevoked { phase, person: "bob".to_owned() };
    let log = || Log::new("").approved("approver", "ann");
    assert_eq!(log().then(revoked(Phase::Index)).void(), Some(Voided::Revoked));
    assert_eq!(log().then(revoked(Phase::Switch)).void(), None);
    let step: StepKey = "index.build:i".parse().unwrap();
    let used = log().then(Entry::StepStarted { step: step.clone() });
    assert_eq!(used.void(), None, "it lasts for all steps of its phase");
    assert_eq!(used.then(Entry::PhaseDone { phase: Phase::Index }).now(), Approval::Missing);
}

#[test]
fn a_bypass_stands_out_and_ends_as_an_approval_does() {
    let log = Log::new("").bypassed("starter");
    let Approval::Given(given) = log.now() else { panic!("{:?}", log.now()) };
    assert!(given.bypass && given.comment.as_deref() == Some("incident 7"));
    assert!(!log.at(Phase::Index, TimeDelta::days(14)).is_open());
    let log = log.then(Entry::UndoStarted { to: None });
    assert_eq!(log.void(), Some(Voided::RolledBack));
}
