//! The watch by itself: what a story of load and signal says about its bursts.

use telemetry::expression::{Expression, KnownSignals};

use super::*;
use crate::objective::{Band, Step, Trigger};

const LIMIT: Microseconds = Microseconds::from_seconds(600);

fn promise(from: BurstEdge) -> RecoveryTime {
    RecoveryTime {
        trigger: Trigger {
            expression: Expression::parse("rack_power", &KnownSignals::canonical()).unwrap(),
            unit: "kW".into(),
            step: Step::Amount(10.0),
            within: Microseconds::from_seconds(60),
            debounce: Microseconds::from_seconds(30),
        },
        from,
        band: Band { minimum: None, maximum: Some(50.0) },
        hold: Microseconds::from_seconds(60),
        target_ppm: 950_000,
    }
}

fn at(seconds: i64) -> EventTime {
    EventTime::from_unix_micros(seconds * 1_000_000)
}

/// Level or state by the second from which it is so; `None` is unknown.
type Steps<T> = [(i64, Option<T>)];

fn state_at<T: Copy>(steps: &Steps<T>, second: i64) -> Option<T> {
    steps.iter().rev().find(|(from, _)| *from <= second).and_then(|(_, state)| *state)
}

/// What is told up to `until`, with spans cut every `cut` seconds: `730 within 120`.
fn story(from: BurstEdge, load: &Steps<f64>, inside: &Steps<bool>, until: i64, cut: i64) -> Vec<String> {
    let promise = promise(from);
    let mut cuts: Vec<i64> = (0..).map(|number| number * cut).take_while(|second| *second < until).collect();
    cuts.extend(load.iter().map(|(second, _)| *second).chain(inside.iter().map(|(second, _)| *second)));
    cuts.retain(|second| *second < until);
    cuts.push(until);
    cuts.sort_unstable();
    cuts.dedup();
    let (mut settling, mut news) = (Settling::default(), Vec::new());
    for pair in cuts.windows(2) {
        let span = SettlingSpan {
            from: at(pair[0]),
            to: at(pair[1]),
            load: state_at(load, pair[0]).map(|load| (load, 10.0)),
            is_inside: state_at(inside, pair[0]),
        };
        settling.take(&promise, LIMIT, span, &mut news);
    }
    let told = news.iter().map(|burst| {
        let from = (burst.from - at(0)).0 / 1_000_000;
        match burst.what {
            BurstOutcome::Within(length) => format!("{from} within {length}"),
            BurstOutcome::Late(_) => format!("{from} late"),
            BurstOutcome::LateSettled(length) => format!("{from} settled {length}"),
            BurstOutcome::Censored => format!("{from} censored"),
            BurstOutcome::Unknown => format!("{from} unknown"),
        }
    });
    told.collect()
}

/// The same whether spans are long or cut to pieces: slices are no part of what happened.
fn told(from: BurstEdge, load: &Steps<f64>, inside: &Steps<bool>) -> Vec<String> {
    let told = story(from, load, inside, 3_600, 3_600);
    for cut in [1, 7, 60] {
        assert_eq!(story(from, load, inside, 3_600, cut), told, "spans of {cut} s");
    }
    told
}

/// The load falls at 300 s.
const FALLS: &Steps<f64> = &[(0, Some(100.0)), (300, Some(30.0))];

#[test]
fn time_is_credited_to_the_entry_into_the_band_and_not_to_the_end_of_the_hold() {
    let inside = [(0, Some(false)), (420, Some(true))];
    assert_eq!(told(BurstEdge::End, FALLS, &inside), ["300 within 2m"]);
    assert_eq!(told(BurstEdge::Start, FALLS, &inside), [] as [&str; 0], "nothing rose");
    let leaves = [(0, Some(false)), (420, Some(true)), (479, Some(false)), (500, Some(true))];
    assert_eq!(told(BurstEdge::End, FALLS, &leaves), ["300 within 200s"], "59 s in the band are no stay");
    let stays = [(0, Some(false)), (420, Some(true)), (480, Some(false)), (500, Some(true))];
    assert_eq!(told(BurstEdge::End, FALLS, &stays), ["300 within 2m"], "60 s are");
}

#[test]
fn a_signal_that_never_left_its_band_recovers_at_once() {
    assert_eq!(told(BurstEdge::End, FALLS, &[(0, Some(true))]), ["300 within 0s"]);
}

#[test]
fn a_recovery_is_late_as_soon_as_it_cannot_be_in_time_and_its_length_follows() {
    let inside = [(0, Some(false)), (1_121, Some(true))];
    assert_eq!(told(BurstEdge::End, FALLS, &inside), ["300 late", "300 settled 821s"]);
    let on_the_limit = [(0, Some(false)), (900, Some(true))];
    assert_eq!(told(BurstEdge::End, FALLS, &on_the_limit), ["300 within 10m"], "exactly on the limit");
    assert_eq!(told(BurstEdge::End, FALLS, &[(0, Some(false))]), ["300 late"], "it never comes back");
}

#[test]
fn a_new_burst_leaves_the_one_before_unseen() {
    let load = [(0, Some(100.0)), (300, Some(30.0)), (400, Some(100.0)), (1_000, Some(30.0))];
    let inside = [(0, Some(false)), (1_100, Some(true))];
    assert_eq!(told(BurstEdge::End, &load, &inside), ["300 censored", "1000 within 100s"]);
    assert_eq!(told(BurstEdge::Start, &load, &inside), ["400 censored"], "its end is another disturbance");
    // In the band for 40 s when the next burst comes: 60 s were not seen, whatever the signal does afterwards.
    let back = [(0, Some(false)), (360, Some(true))];
    assert_eq!(told(BurstEdge::End, &load, &back), ["300 censored", "1000 within 0s"]);
    // Late before the next burst came: that stays so.
    let load = [(0, Some(100.0)), (300, Some(30.0)), (950, Some(100.0))];
    assert_eq!(told(BurstEdge::End, &load, &[(0, Some(false))]), ["300 late"]);
}

#[test]
fn a_dip_a_spike_and_noise_are_no_bursts_and_disturb_none() {
    let inside = [(0, Some(false)), (420, Some(true))];
    let dip = [(0, Some(100.0)), (100, Some(30.0)), (129, Some(100.0)), (300, Some(30.0))];
    assert_eq!(told(BurstEdge::End, &dip, &inside), ["300 within 2m"]);
    let spike = [(0, Some(100.0)), (300, Some(30.0)), (400, Some(90.0)), (420, Some(31.0))];
    assert_eq!(told(BurstEdge::End, &spike, &inside), ["300 within 2m"], "20 s of load");
    let noise =
        [(0, Some(100.0)), (100, Some(92.0)), (200, Some(99.0)), (300, Some(30.0)), (400, Some(38.0))];
    assert_eq!(told(BurstEdge::End, &noise, &inside), ["300 within 2m"]);
    let slow = [(0, Some(100.0)), (100, Some(95.0)), (200, Some(90.0)), (300, Some(85.0)), (400, Some(80.0))];
    assert_eq!(told(BurstEdge::End, &slow, &inside), [] as [&str; 0], "never 10 kW within 60 s");
}

#[test]
fn a_ramp_is_one_burst_that_ends_where_it_begins_to_fall() {
    let ramp: Vec<(i64, Option<f64>)> =
        (0..8).map(|step| (300 + 20 * step, Some(100.0 - 10.0 * step as f64))).collect();
    let inside = [(0, Some(false)), (700, Some(true))];
    // The first level that is 10 kW below one of the last 60 s stands at 320 s.
    assert_eq!(told(BurstEdge::End, &ramp, &inside), ["320 within 380s"]);
}

#[test]
fn a_gap_that_is_longer_than_the_hold_makes_a_burst_unknown_and_a_shorter_one_does_not() {
    let gap = |from, to| [(0, Some(false)), (from, None), (to, Some(true))];
    assert_eq!(told(BurstEdge::End, FALLS, &gap(400, 460)), ["300 within 160s"], "credited to what was seen");
    assert_eq!(told(BurstEdge::End, FALLS, &gap(400, 461)), ["300 unknown"]);
    let across_the_limit = gap(880, 920);
    assert_eq!(
        told(BurstEdge::End, FALLS, &across_the_limit),
        ["300 unknown"],
        "back before 900 s, or after?"
    );
    let in_the_band = [(0, Some(false)), (420, Some(true)), (430, None), (450, Some(true))];
    assert_eq!(told(BurstEdge::End, FALLS, &in_the_band), ["300 within 2m"]);
}

#[test]
fn load_that_is_unknown_may_hide_a_burst() {
    let inside = [(0, Some(false)), (700, Some(true))];
    let gap = |to| [(0, Some(100.0)), (300, Some(30.0)), (400, None), (to, Some(30.0))];
    assert_eq!(told(BurstEdge::End, &gap(460), &inside), ["300 within 400s"]);
    assert_eq!(told(BurstEdge::End, &gap(461), &inside), ["300 unknown"]);
    // Nobody saw whether the step lasted.
    let lost = [(0, Some(100.0)), (300, Some(30.0)), (310, None), (500, Some(30.0))];
    assert_eq!(told(BurstEdge::End, &lost, &inside), ["300 unknown"]);
    // A step across a gap is seen when the levels before and after are within 60 s.
    let across = [(0, Some(100.0)), (280, None), (300, Some(30.0))];
    assert_eq!(told(BurstEdge::End, &across, &inside), ["300 within 400s"]);
    let too_long = [(0, Some(100.0)), (230, None), (300, Some(30.0))];
    assert_eq!(told(BurstEdge::End, &too_long, &inside), [] as [&str; 0]);
}

#[test]
fn what_is_still_watched_is_open_and_nothing_else() {
    let promise = promise(BurstEdge::End);
    let mut settling = Settling::default();
    let mut news = Vec::new();
    let mut take = |settling: &mut Settling, from, to, load, is_inside| {
        let span =
            SettlingSpan { from: at(from), to: at(to), load: Some((load, 10.0)), is_inside: Some(is_inside) };
        settling.take(&promise, LIMIT, span, &mut news);
    };
    take(&mut settling, 0, 300, 100.0, false);
    take(&mut settling, 300, 400, 30.0, false);
    assert!(settling.is_open_since(at(300)) && !settling.is_open_since(at(301)));
    take(&mut settling, 400, 901, 30.0, false);
    assert!(!settling.is_open_since(at(0)), "it is known to be late");
}

#[test]
fn levels_that_change_all_the_time_take_no_more_memory() {
    let promise = promise(BurstEdge::End);
    let (mut settling, mut news) = (Settling::default(), Vec::new());
    for tenth in 0..10_000 {
        let from = EventTime::from_unix_micros(tenth * 100_000);
        let to = from + Microseconds::from_milliseconds(100);
        let load = Some((100.0 + (tenth % 7) as f64, 10.0));
        settling.take(&promise, LIMIT, SettlingSpan { from, to, load, is_inside: Some(true) }, &mut news);
        assert!(settling.levels.len() <= LEVELS_MAX);
    }
    assert_eq!(news, []);
}

/// One state for each second, from pieces of some seconds each.
fn seconds_of<T: Copy>(pieces: &[(usize, T)]) -> Vec<T> {
    pieces.iter().flat_map(|(length, state)| std::iter::repeat_n(*state, *length)).collect()
}

/// Steps of load by their definition, second by second: when, whether up, and whether one goes on from the one before.
fn steps_of(load: &[f64]) -> Vec<(usize, bool, bool)> {
    let (step, within, debounce) = (10.0, 60, 30);
    let (mut steps, mut levels_from, mut lasted) = (Vec::new(), 0, None::<(bool, usize)>);
    let mut at = 0;
    while at < load.len() {
        let before = &load[levels_from.max(at.saturating_sub(within)).min(at)..at];
        let lowest = before.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = before.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (rise, fall) = (load[at] - lowest, highest - load[at]);
        let decided = at + debounce;
        if before.is_empty() || rise.max(fall) < step || load.len() <= decided {
            at += 1;
            continue;
        }
        let up = fall <= rise;
        let away = if up { load[decided] - lowest } else { highest - load[decided] };
        if step <= away {
            let goes_on = lasted.is_some_and(|(before, last)| before == up && at < last + within);
            steps.push((at, up, goes_on));
            lasted = Some((up, decided));
        }
        (levels_from, at) = (decided, decided + 1);
    }
    steps
}

/// What becomes of a burst at `from` when the next step comes at `next`, by the definition.
fn burst_of(inside: &[Option<bool>], from: usize, next: Option<usize>) -> Option<String> {
    let (hold, limit) = (60, 600);
    let (mut entry, mut missing, mut late) = (None, 0, false);
    let seen = &inside[from..next.unwrap_or(inside.len())];
    for (second, state) in seen.iter().enumerate() {
        match state {
            Some(true) => {
                missing = 0;
                let entered = *entry.get_or_insert(second);
                if second + 1 - entered >= hold {
                    let length = Microseconds::from_seconds(entered as i64);
                    return Some(match (late, entered <= limit) {
                        (true, _) => format!("{from} settled {length}"),
                        (false, true) => format!("{from} within {length}"),
                        (false, false) => format!("{from} unknown"),
                    });
                }
            }
            Some(false) => {
                (missing, entry) = (0, None);
                late |= second + 1 > limit;
            }
            None => {
                missing += 1;
                if missing > hold {
                    return Some(format!("{from} {}", if late { "late" } else { "unknown" }));
                }
            }
        }
    }
    match next {
        _ if late => Some(format!("{from} late")),
        Some(_) => Some(format!("{from} censored")),
        None => None,
    }
}

proptest::proptest! {
    /// Spans, debouncing and what is taken back give what the definition gives when all is known beforehand.
    #[test]
    fn bursts_become_what_their_definition_says(
        load in proptest::collection::vec((1usize..200, proptest::sample::select(vec![30.0, 36.0, 44.0, 100.0])), 20..60),
        inside in proptest::collection::vec(
            (1usize..250, proptest::sample::select(vec![Some(true), Some(true), Some(false), None])), 20..60),
        cut in 1i64..50,
    ) {
        let (mut load, inside) = (seconds_of(&load), seconds_of(&inside));
        let length = load.len().min(inside.len());
        // The load rests at the end, so that no step is left undecided there.
        let rests = length - length.min(100);
        let level = load[rests];
        load[rests..].fill(level);
        let (load, inside) = (&load[..length], &inside[..length]);
        let mut expected = Vec::new();
        let real: Vec<(usize, bool)> =
            steps_of(load).into_iter().filter(|(.., goes_on)| !goes_on).map(|(at, up, _)| (at, up)).collect();
        for (number, (at, up)) in real.iter().enumerate() {
            if !up {
                let told = burst_of(inside, *at, real.get(number + 1).map(|(next, _)| *next));
                // A burst that settled late was told as late before.
                expected.extend(told.iter().filter(|told| told.contains("settled")).map(|_| format!("{at} late")));
                expected.extend(told);
            }
        }
        let steps = |states: &[f64]| (0..).zip(states).map(|(at, level)| (at, Some(*level))).collect::<Vec<_>>();
        let states: Vec<(i64, Option<bool>)> = (0..).zip(inside.iter().copied()).collect();
        let mut told = story(BurstEdge::End, &changes(&steps(load)), &changes(&states), length as i64, cut);
        told.sort();
        expected.sort();
        proptest::prop_assert_eq!(told, expected);
    }
}

/// Only where the state changes, so that spans are as long as they can be.
fn changes<T: Copy + PartialEq>(steps: &[(i64, Option<T>)]) -> Vec<(i64, Option<T>)> {
    let mut changes: Vec<(i64, Option<T>)> = Vec::new();
    for step in steps {
        if changes.last().is_none_or(|last| last.1 != step.1) {
            changes.push(*step);
        }
    }
    changes
}
