//! Windows and freezes beside another crate's arithmetic, in every zone.

use chrono::{Datelike as _, Timelike as _};
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};
use proptest::prelude::*;

use super::*;
use crate::plan::Day;

const ALL_DAYS: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn time(text: &str) -> NaiveTime {
    NaiveTime::parse_from_str(text, "%H:%M").unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc()
}

fn schedule(zone: &str, window: Option<(&[Day], &str, &str)>) -> Schedule {
    Schedule {
        timezone: zone.parse().unwrap(),
        start: date("2027-01-05"),
        window: window.map(|(days, from, to)| Window { days: days.to_vec(), from: time(from), to: time(to) }),
        weekly: vec![],
        not_before: vec![],
        soak: vec![],
        freeze: vec![],
        extra: vec![],
    }
}

fn freeze(from: &str, to: &str) -> Freeze {
    Freeze { from: date(from), to: date(to), why: "because".to_owned() }
}

fn until(schedule: &Schedule, at: &str) -> Option<DateTime<Utc>> {
    match schedule.opening(utc(at)) {
        Opening::Open { until } => until,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_window_is_half_open_and_may_go_over_midnight() {
    let night = schedule("Europe/Berlin", Some((&[Day::Tue], "22:00", "04:00")));
    // Winter: one hour before UTC. 2027-01-05 is a Tuesday.
    assert_eq!(night.opening(utc("2027-01-05 20:59")), Opening::Outside);
    assert_eq!(until(&night, "2027-01-05 21:00"), Some(utc("2027-01-06 03:00")));
    assert_eq!(until(&night, "2027-01-06 02:59"), Some(utc("2027-01-06 03:00")));
    assert_eq!(night.opening(utc("2027-01-06 03:00")), Opening::Outside);
    assert_eq!(night.next_opening(utc("2027-01-06 03:00"), TimeDelta::zero()), Some(utc("2027-01-12 21:00")));
    assert_eq!(night.next_opening(utc("2027-01-05 23:00"), TimeDelta::hours(4)), Some(utc("2027-01-05 23:00")));
    assert_eq!(night.next_opening(utc("2027-01-05 23:01"), TimeDelta::hours(4)), Some(utc("2027-01-12 21:00")));
    assert_eq!(night.next_opening(utc("2027-01-05 23:00"), TimeDelta::hours(7)), None);
}

#[test]
fn where_the_clocks_change_a_window_shrinks_grows_or_is_not_there() {
    let in_the_gap = schedule("Europe/Berlin", Some((&ALL_DAYS, "02:00", "03:00")));
    // 2027-03-28: 02:00 becomes 03:00; 2027-10-31: 03:00 becomes 02:00 again.
    assert_eq!(in_the_gap.window_on(date("2027-03-28")), None);
    let twice = in_the_gap.window_on(date("2027-10-31")).unwrap();
    assert_eq!((twice.from, twice.to), (utc("2027-10-31 00:00"), utc("2027-10-31 02:00")));
    let odd = in_the_gap.odd_windows(date("2027-01-01"), date("2028-01-01"));
    let told: Vec<_> = odd.iter().map(|odd| (odd.day.to_string(), odd.length.num_minutes())).collect();
    assert_eq!(told, [("2027-03-28".to_owned(), 0), ("2027-10-31".to_owned(), 120)]);
    // Half of it is in the gap: it begins with the first instant after.
    let half = schedule("Europe/Berlin", Some((&ALL_DAYS, "02:30", "04:00")));
    let window = half.window_on(date("2027-03-28")).unwrap();
    assert_eq!((window.from, window.to), (utc("2027-03-28 01:00"), utc("2027-03-28 02:00")));
}

#[test]
fn a_freeze_closes_windows_and_says_so() {
    let mut nights = schedule("UTC", Some((&ALL_DAYS, "22:00", "02:00")));
    nights.freeze = vec![freeze("2027-01-18", "2027-01-20")];
    assert_eq!(until(&nights, "2027-01-17 23:00"), Some(utc("2027-01-18 00:00")));
    assert_eq!(nights.opening(utc("2027-01-18 00:00")), Opening::Frozen(&nights.freeze[0]));
    assert_eq!(nights.opening(utc("2027-01-20 23:59")), Opening::Frozen(&nights.freeze[0]));
    // The window of the last frozen day goes on after midnight.
    assert_eq!(nights.next_opening(utc("2027-01-18 00:00"), TimeDelta::zero()), Some(utc("2027-01-21 00:00")));
    let mut always = schedule("UTC", None);
    always.freeze = vec![freeze("2027-01-18", "2027-01-18"), freeze("2027-01-19", "2027-12-31")];
    assert_eq!(always.next_opening(utc("2027-01-18 10:00"), TimeDelta::zero()), Some(utc("2028-01-01 00:00")));
    assert_eq!(until(&always, "2028-01-01 00:00"), None);
}

#[test]
fn an_extra_window_opens_once() {
    let mut nights = schedule("UTC", Some((&[Day::Mon], "01:00", "03:00")));
    let at = |text: &str| utc(text).naive_utc();
    // It begins where the weekly one ends.
    nights.extra =
        vec![ExtraWindow { from: at("2027-01-11 03:00"), to: at("2027-01-11 09:00"), why: "the big index".to_owned() }];
    assert_eq!(until(&nights, "2027-01-11 01:00"), Some(utc("2027-01-11 09:00")));
    assert_eq!(nights.next_opening(utc("2027-01-04 02:30"), TimeDelta::hours(5)), Some(utc("2027-01-11 01:00")));
    assert_eq!(nights.next_opening(utc("2027-01-11 05:00"), TimeDelta::hours(5)), None);
}

#[test]
fn a_phase_is_due_by_its_week_its_date_and_the_soak_before_it() {
    let mut weeks = schedule("America/New_York", None);
    weeks.weekly = vec![(Phase::Expand, 1), (Phase::Backfill, 2), (Phase::Contract, 4)];
    weeks.not_before = vec![(Phase::Contract, date("2027-02-01"))];
    weeks.soak = vec![(Phase::Switch, std::time::Duration::from_hours(14 * 24))];
    let due = |phase, entered| {
        let at = Phase::ALL.iter().position(|other| *other == phase).unwrap();
        weeks.due(phase, &Phase::ALL[..at], entered)
    };
    let week = |week, at| Due { at: utc(at), cause: Cause::Week(week) };
    assert_eq!(due(Phase::Expand, None), week(1, "2027-01-05 05:00"));
    assert_eq!(due(Phase::Index, None), week(1, "2027-01-05 05:00"));
    assert_eq!(due(Phase::Backfill, Some(utc("2027-01-05 06:00"))), week(2, "2027-01-12 05:00"));
    assert_eq!(due(Phase::Switch, None), week(2, "2027-01-12 05:00"));
    assert_eq!(
        due(Phase::Contract, Some(utc("2027-01-12 06:00"))),
        Due { at: utc("2027-02-01 05:00"), cause: Cause::NotBefore(date("2027-02-01")) }
    );
    assert_eq!(
        due(Phase::Contract, Some(utc("2027-01-20 06:00"))),
        Due { at: utc("2027-02-03 06:00"), cause: Cause::Soak }
    );
}

/// The instant of a local time by jiff, as seconds.
fn other_instant(zone: &TimeZone, local: NaiveDateTime, end: End) -> i64 {
    let small = |n: u32| i8::try_from(n).unwrap();
    let local = civil::date(i16::try_from(local.year()).unwrap(), small(local.month()), small(local.day())).at(
        small(local.hour()),
        small(local.minute()),
        0,
        0,
    );
    let at = |offset: jiff::tz::Offset| offset.to_timestamp(local).unwrap();
    match (zone.to_ambiguous_timestamp(local).offset(), end) {
        (AmbiguousOffset::Unambiguous { offset }, _) => at(offset).as_second(),
        (AmbiguousOffset::Fold { before, .. }, End::First) => at(before).as_second(),
        (AmbiguousOffset::Fold { after, .. }, End::Last) => at(after).as_second(),
        (AmbiguousOffset::Gap { after, .. }, _) => {
            zone.following(at(after)).next().expect("a transition").timestamp().as_second()
        }
    }
}

/// Whether both crates know the same rules for the zone from 2020 to 2040: their copies of the time zone database may be of
/// different years.
fn known_alike(name: Tz) -> bool {
    let Ok(zone) = TimeZone::get(name.name()) else { return false };
    let same = |at: jiff::Timestamp| {
        let ours = name.offset_from_utc_datetime(&DateTime::from_timestamp(at.as_second(), 0).unwrap().naive_utc());
        chrono::Offset::fix(&ours).local_minus_utc() == zone.to_offset(at).seconds()
    };
    let (first, last) = (date("2019-12-01"), date("2041-01-01"));
    let of = |day: NaiveDate| jiff::Timestamp::from_second(day.and_time(NaiveTime::MIN).and_utc().timestamp()).unwrap();
    let mut changes = zone.following(of(first)).map(|change| change.timestamp()).take_while(|at| *at < of(last));
    // The other crate's rules are the same wherever this one's change, and in the middle of each month.
    let months = (0..253).map(|month| of(first + TimeDelta::days(30 * month)));
    let second = jiff::SignedDuration::from_secs(1);
    changes.all(|at| same(at) && same(at - second)) && months.into_iter().all(same)
}

#[test]
fn both_crates_know_nearly_all_zones_alike() {
    let alike = chrono_tz::TZ_VARIANTS.iter().filter(|zone| known_alike(**zone)).count();
    assert!(alike * 100 > chrono_tz::TZ_VARIANTS.len() * 93, "{alike} of {}", chrono_tz::TZ_VARIANTS.len());
}

/// Whether work may be done, minute by minute and without any cleverness.
fn other_opening(schedule: &Schedule, zone: &TimeZone, at: i64) -> bool {
    let midnight = |day: NaiveDate, end| other_instant(zone, day.and_time(NaiveTime::MIN), end);
    let frozen = |freeze: &Freeze| {
        midnight(freeze.from, End::First) <= at && at < midnight(freeze.to.succ_opt().unwrap(), End::Last)
    };
    if schedule.freeze.iter().any(frozen) {
        return false;
    }
    let Some(window) = &schedule.window else { return true };
    let here = DateTime::from_timestamp(at, 0).unwrap().date_naive();
    let near = (-3..=3).map(|days| here + TimeDelta::days(days));
    let open = |day: NaiveDate| {
        let named = window.days.contains(&ALL_DAYS[day.weekday().num_days_from_monday() as usize]);
        let last = if window.to > window.from { day } else { day.succ_opt().unwrap() };
        named
            && other_instant(zone, day.and_time(window.from), End::First) <= at
            && at < other_instant(zone, last.and_time(window.to), End::Last)
    };
    let extra = |extra: &ExtraWindow| {
        other_instant(zone, extra.from, End::First) <= at && at < other_instant(zone, extra.to, End::Last)
    };
    near.into_iter().any(open) || schedule.extra.iter().any(extra)
}

/// Days from 2020 to 2040.
fn day() -> impl Strategy<Value = NaiveDate> {
    (0_u64..7_500).prop_map(|days| date("2020-01-01") + Days::new(days))
}

fn minute() -> impl Strategy<Value = NaiveTime> {
    (0_u32..24, prop_oneof![Just(0_u32), Just(30), 0_u32..60])
        .prop_map(|(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0).unwrap())
}

fn calendar() -> impl Strategy<Value = (Schedule, NaiveDate)> {
    let window = (proptest::sample::subsequence(ALL_DAYS.to_vec(), 1..=7), minute(), minute());
    let window = window.prop_filter("empty", |(_, from, to)| from != to);
    let window = window.prop_map(|(days, from, to)| Window { days, from, to });
    let near = || (-20_i64..40, 0_i64..9);
    let zones = proptest::sample::select(chrono_tz::TZ_VARIANTS.to_vec());
    let changes = (zones, day(), any::<prop::sample::Index>());
    (
        changes,
        proptest::option::weighted(0.9, window),
        proptest::collection::vec(near(), 0..3),
        proptest::collection::vec((near(), minute(), 1_i64..600), 0..2),
    )
        .prop_map(|((timezone, day, which), window, freezes, extras)| {
            // Half of them near a change of the clocks, if the zone has any by then.
            let zone = TimeZone::get(timezone.name()).ok();
            let midday = jiff::Timestamp::from_second(day.and_time(NaiveTime::MIN).and_utc().timestamp()).unwrap();
            let change =
                zone.and_then(|zone| zone.following(midday).next().map(|change| change.timestamp().as_second()));
            let by_change = change.and_then(|at| Some(DateTime::from_timestamp(at, 0)?.date_naive()));
            let by_change = by_change.filter(|near| which.index(2) == 0 && *near < date("2040-06-01"));
            let day = by_change.unwrap_or(day);
            let freeze = |(from, days): (i64, i64)| {
                let from = day + TimeDelta::days(from);
                Freeze { from, to: from + TimeDelta::days(days), why: String::new() }
            };
            let extra = |((from, _), at, minutes): ((i64, i64), NaiveTime, i64)| {
                let from = (day + TimeDelta::days(from)).and_time(at);
                ExtraWindow { from, to: from + TimeDelta::minutes(minutes), why: String::new() }
            };
            let schedule = Schedule {
                timezone,
                start: day,
                window,
                weekly: vec![],
                not_before: vec![],
                soak: vec![],
                freeze: freezes.into_iter().map(freeze).collect(),
                extra: extras.into_iter().map(extra).collect(),
            };
            (schedule, day)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 2_000, ..ProptestConfig::default() })]

    /// Open and closed, minute by minute around a day, and the next opening, are what another crate says.
    #[test]
    fn every_zone_opens_and_closes_as_another_crate_says((schedule, day) in calendar(), minutes in 0_i64..4_000) {
        prop_assume!(known_alike(schedule.timezone));
        let zone = TimeZone::get(schedule.timezone.name()).unwrap();
        let at = day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::minutes(minutes - 1_500);
        let open = |at: DateTime<Utc>| matches!(schedule.opening(at), Opening::Open { .. });
        for at in (0..60).map(|minute| at + TimeDelta::minutes(minute * 7)) {
            prop_assert_eq!(open(at), other_opening(&schedule, &zone, at.timestamp()), "at {}", at);
        }
        if let Opening::Open { until: Some(until) } = schedule.opening(at) {
            prop_assert!(until > at && !open(until));
            let mut between = at;
            while between < until && between < at + TimeDelta::days(3) {
                prop_assert!(other_opening(&schedule, &zone, between.timestamp()), "closed at {}", between);
                between += TimeDelta::minutes(11);
            }
        }
        if let Some(next) = schedule.next_opening(at, TimeDelta::zero()) {
            prop_assert!(open(next));
            let mut between = at;
            while between < next && between < at + TimeDelta::days(5) {
                prop_assert!(!other_opening(&schedule, &zone, between.timestamp()), "open at {}", between);
                between += TimeDelta::minutes(13);
            }
            if next > at {
                prop_assert!(!other_opening(&schedule, &zone, next.timestamp() - 1));
            }
        }
    }
}
