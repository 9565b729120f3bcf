//! Ticks by a schedule, in all zones, with the dates computed again by another crate.

use std::time::Duration;

use chrono::{Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Timelike as _};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::ident::{PlanName, RunTag};
use crate::plan::{Day, Freeze, Window};
use crate::run::planned;

const DAYS: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

fn program() -> Program {
    let tag = RunTag::new(&PlanName::new("p").unwrap());
    Program { tag, relations: vec![], phases: Phase::ALL.to_vec(), steps: vec![], surround: vec![] }
}

fn plan(schedule: Schedule) -> Plan {
    let text = "version: 1\nname: p\ntable: t\nchanges:\n  - rename_column: { from: a, to: b }\n";
    Plan { schedule: Some(schedule), ..crate::plan::parse("p", text).unwrap() }
}

/// The first instant of a day, by jiff.
fn midnight(zone: &TimeZone, day: NaiveDate) -> i64 {
    let small = |n: u32| i8::try_from(n).unwrap();
    let day = jiff::civil::date(i16::try_from(day.year()).unwrap(), small(day.month()), small(day.day()));
    day.to_zoned(zone.clone()).unwrap().timestamp().as_second()
}

/// When a phase is due: its week, or that of a phase before it; its date; the end of the soak of the phase before.
fn other_due(schedule: &Schedule, zone: &TimeZone, phase: Phase, entered: Option<i64>) -> i64 {
    let at = Phase::ALL.iter().position(|of| *of == phase).unwrap();
    let weeks = schedule.weekly.iter().filter(|(of, _)| Phase::ALL[..=at].contains(of));
    let week = weeks.map(|(_, week)| *week).max().unwrap_or(1);
    let mut due = midnight(zone, schedule.start + Days::new(7 * u64::from(week - 1)));
    for (_, day) in schedule.not_before.iter().filter(|(of, _)| *of == phase) {
        due = due.max(midnight(zone, *day));
    }
    let before = at.checked_sub(1).map(|before| Phase::ALL[before]);
    for (_, soak) in schedule.soak.iter().filter(|(of, _)| Some(*of) == before) {
        due = due.max(entered.unwrap() + i64::try_from(soak.as_secs()).unwrap());
    }
    due
}

fn number(of: i8) -> u32 {
    u32::try_from(of).unwrap()
}

/// Whether a window is open and nothing frozen, by jiff: at a whole second, a local time of day on a local day.
fn other_open(schedule: &Schedule, zone: &TimeZone, at: DateTime<Utc>) -> bool {
    let here = jiff::Timestamp::from_second(at.timestamp()).unwrap().to_zoned(zone.clone()).datetime();
    let day = NaiveDate::from_ymd_opt(here.year().into(), number(here.month()), number(here.day())).unwrap();
    let minute = number(here.hour()) * 60 + number(here.minute());
    if schedule.freeze.iter().any(|freeze| freeze.from <= day && day <= freeze.to) {
        return false;
    }
    let Some(window) = &schedule.window else { return true };
    let of = |time: NaiveTime| time.hour() * 60 + time.minute();
    window.days.iter().any(|named| *named == DAYS[day.weekday().num_days_from_monday() as usize])
        && of(window.from) <= minute
        && minute < of(window.to)
}

/// Zones of which both crates know the same, whose clocks change at night, at midnight, or not at all.
const ZONES: [Tz; 8] = [
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::America__Santiago,
    Tz::Asia__Beirut,
    Tz::Australia__Sydney,
    Tz::Asia__Kolkata,
    Tz::Asia__Tokyo,
];

fn schedules() -> impl Strategy<Value = Schedule> {
    let day = (0_u64..7_300).prop_map(|days| NaiveDate::from_ymd_opt(2020, 1, 1).unwrap() + Days::new(days));
    // At least one day a week, between 04:00 and 24:00, when no clock changes in these zones.
    let days = proptest::sample::subsequence(DAYS.to_vec(), 1..=4);
    let window = (days, 4_u32..20, 1_u32..4).prop_map(|(days, from, long)| {
        let time = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
        Window { days, from: time(from), to: time(from + long) }
    });
    let weekly = proptest::collection::vec(0_u16..3, 6).prop_map(|steps| {
        let mut week = 1;
        Phase::ALL
            .into_iter()
            .zip(steps)
            .map(|(phase, more)| {
                (phase, {
                    week += more;
                    week
                })
            })
            .collect::<Vec<_>>()
    });
    let later = |max: i64| (proptest::sample::select(Phase::ALL[..5].to_vec()), 0..max);
    (
        proptest::sample::select(ZONES.to_vec()),
        day,
        proptest::option::of(window),
        weekly,
        proptest::collection::vec(later(60), 0..2),
        proptest::collection::vec(later(20 * 24), 0..2),
        proptest::collection::vec((0_i64..60, 0_i64..10), 0..3),
    )
        .prop_map(|(timezone, start, window, weekly, dates, soaks, freezes)| Schedule {
            timezone,
            start,
            window,
            weekly,
            not_before: dates.into_iter().map(|(phase, days)| (phase, start + TimeDelta::days(days))).collect(),
            soak: soaks.into_iter().map(|(phase, hours)| (phase, Duration::from_hours(hours.unsigned_abs()))).collect(),
            freeze: freezes
                .into_iter()
                .map(|(from, days)| {
                    let from = start + TimeDelta::days(from);
                    Freeze { from, to: from + TimeDelta::days(days), why: "sale".to_owned() }
                })
                .collect(),
            extra: vec![],
        })
}

/// Does what ticks at these moments do, at most one phase each. Returns when each phase was done.
fn live(plan: &Plan, ticks: impl IntoIterator<Item = DateTime<Utc>>) -> Vec<(Phase, DateTime<Utc>)> {
    let program = program();
    let mut done: Vec<(Phase, DateTime<Utc>)> = Vec::new();
    for at in ticks {
        let Some(phase) = Phase::ALL.get(done.len()).copied() else { break };
        let entered = done.last().map(|(_, at)| *at);
        if scheduled(plan, &program, (phase, entered), at).iter().all(GateReading::is_open) {
            done.push((phase, at));
        }
    }
    done
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// No phase is early, none is in a freeze or outside its window, and each is done at the first tick that both crates allow.
    #[test]
    fn each_phase_is_done_at_the_first_tick_that_allows_it(schedule in schedules(), first in 0_i64..3_600, every in 1_200_i64..3_600) {
        let zone = TimeZone::get(schedule.timezone.name()).unwrap();
        let begin = schedule.start.and_time(NaiveTime::MIN).and_utc() - TimeDelta::days(2) + TimeDelta::seconds(first);
        let ticks: Vec<_> = (0..100_000).map(|n| begin + TimeDelta::seconds(n * every)).take_while(|at| *at < begin + TimeDelta::days(400)).collect();
        let plan = plan(schedule.clone());
        let done = live(&plan, ticks.iter().copied());
        prop_assert_eq!(done.len(), 6, "it comes to its end: {:?}", done);
        let mut rest = ticks.as_slice();
        let mut entered = None;
        for (phase, at) in done {
            let due = other_due(&schedule, &zone, phase, entered);
            let allowed = |at: &DateTime<Utc>| at.timestamp() >= due && other_open(&schedule, &zone, *at);
            let here = rest.iter().position(|tick| *tick == at).unwrap();
            prop_assert_eq!(rest.iter().position(allowed), Some(here), "{} at {}", phase, at);
            rest = &rest[here + 1..];
            entered = Some(at.timestamp());
        }
    }

    /// What was promised is kept by a tick at that moment and not by one a second before; ten ticks do no more than one for each
    /// phase, and a week without ticks changes nothing but the dates.
    #[test]
    fn a_promise_is_kept_and_no_tick_is_ever_missed(schedule in schedules(), week in 0_i64..60) {
        let plan = plan(schedule.clone());
        let begin = schedule.start.and_time(NaiveTime::MIN).and_utc() - TimeDelta::days(2);
        let promised: Vec<_> =
            planned(&schedule, &program(), (Phase::Expand, None), begin).into_iter().map(|of| (of.phase, of.opens.unwrap())).collect();
        let just_before = promised.iter().map(|(_, at)| *at - TimeDelta::seconds(1));
        let mut ticks: Vec<_> = promised.iter().map(|(_, at)| *at).chain(just_before).collect();
        ticks.sort_unstable();
        prop_assert_eq!(live(&plan, ticks.iter().copied()), promised.clone());
        let often = ticks.iter().flat_map(|at| [*at; 10]);
        prop_assert_eq!(live(&plan, often).len(), 6);
        let hours = || (0..24 * 500).map(|hour| begin + TimeDelta::hours(hour));
        let away = begin + TimeDelta::days(week)..begin + TimeDelta::days(week + 7);
        let with_gap = live(&plan, hours().filter(|at| !away.contains(at)));
        prop_assert_eq!(with_gap.len(), 6);
        prop_assert!(with_gap.iter().zip(&promised).all(|(done, promised)| done.0 == promised.0 && done.1 >= promised.1));
    }
}

#[test]
fn a_gate_says_why_and_until_when() {
    let text = "version: 1\nname: p\ntable: t\nchanges:\n  - rename_column: { from: a, to: b }\nschedule:\n  timezone: America/New_York\n  start: 2027-01-05\n  weekly: { contract: 4 }\n  window: { days: [tue], from: \"22:00\", to: \"04:00\" }\n  freeze: [{ from: 2027-01-12, to: 2027-01-13, why: sale }]\n";
    let plan = crate::plan::parse("p", text).unwrap();
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let told = |phase, now: &str| {
        let found = scheduled(&plan, &program(), (phase, None), at(now));
        found
            .iter()
            .map(|of| format!("{} {}: {}", of.gate, of.verdict.as_str(), of.reason))
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(told(Phase::Contract, "2027-01-06T03:00:00Z"), @"
        due fail: contract is due Tue 2027-01-26 00:00 EST (05:00 UTC) (week 4 of its schedule)
        window pass: until Wed 2027-01-06 04:00 EST (09:00 UTC)
        ");
    insta::assert_snapshot!(told(Phase::Expand, "2027-01-13T03:00:00Z"), @"
    due pass: expand was due Tue 2027-01-05 00:00 EST (05:00 UTC) (week 1 of its schedule)
    window fail: frozen until the end of 2027-01-13 (sale); the next one opens Tue 2027-01-19 22:00 EST (Wed 03:00 UTC)
    ");
    insta::assert_snapshot!(told(Phase::Expand, "2027-01-06T12:00:00Z"), @"
    due pass: expand was due Tue 2027-01-05 00:00 EST (05:00 UTC) (week 1 of its schedule)
    window fail: no window is open; the next one opens Tue 2027-01-19 22:00 EST (Wed 03:00 UTC)
    ");
}

#[test]
fn every_word_of_a_gate_is_read_back() {
    for kind in KINDS {
        assert_eq!(GateKind::of(kind.as_str()), Some(kind));
    }
    for verdict in [Verdict::Pass, Verdict::Fail, Verdict::Unknown] {
        assert_eq!(Verdict::of(verdict.as_str()), Some(verdict));
    }
    assert_eq!((GateKind::of("x"), Verdict::of("x")), (None, None));
}
