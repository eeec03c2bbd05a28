//! `kill -9` at random moments and at the places where it hurts most: nothing acknowledged is lost, nothing is there
//! twice, and no verdict and no alert is another one afterwards.
//!
//! `THERMOGATE_CRASH_SEED` repeats a run, `THERMOGATE_CRASHES` asks for more crashes than twenty.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{PATIENCE, Service, run, wait_for};
use crate::remote_write::{Reading, Sender, send};

/// Connections that send at once.
const SENDERS: usize = 4;
/// Racks of one connection.
const RACKS: usize = 5;
/// Flushes and checkpoints come so often that a crash finds one under way.
const SETTINGS: [&str; 8] = [
    "--set",
    "clock.kind=telemetry",
    "--set",
    "history.flush_every=200ms",
    "--set",
    "history.checkpoint_every=400ms",
    "--set",
    "history.maintenance_every=1s",
];
/// Inside a flush, a commit, a compaction, a checkpoint and the trimming of the log: where something is half done. Each is
/// the place of every other crash in turn.
const PLACES: [&str; 9] = [
    "after_log_sync",
    "before_delta_commit",
    "before_compaction_commit",
    "before_file",
    "after_checkpoint",
    "after_compaction_commit",
    "after_delta_commit",
    "before_checkpoint",
    "before_trim",
];

/// What became of a sample, as its sender knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It was answered: it must be there.
    Acknowledged,
    /// It was not, and was not sent again: it may be there, once.
    Unknown,
}

/// All samples by rack and second.
type Ledger = BTreeMap<(String, i64), Sent>;

#[test]
fn a_kill_at_any_moment_loses_and_doubles_nothing_and_changes_no_verdict_and_no_alert() {
    let seed = number("THERMOGATE_CRASH_SEED").unwrap_or_else(|| u64::from(now().subsec_nanos()));
    let crashes = number("THERMOGATE_CRASHES").unwrap_or(20).max(20);
    println!("crashes: seed {seed} (THERMOGATE_CRASH_SEED={seed} repeats it), {crashes} crashes");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let began = now().as_secs() as i64 - 6 * 3_600;

    let mut service = Service::start(&data, &SETTINGS);
    // Wet for two minutes, and a minute more of event time, after which those are final.
    let minutes = (-180..0).step_by(10).flat_map(|second| {
        let wet = Reading { metric: "leak_state", rack: "wet", time: 1_000 * (began + second), value: 2.0 };
        [Some(supply("wet", began + second, 39.0)), (second < -60).then_some(wet)].into_iter().flatten()
    });
    send(&service.http, &minutes.collect::<Vec<_>>());
    let alert = wait_for("the alert", || leaks(&service).pop());
    let asked =
        service.run(&["gate", "evaluate", "--rack", "wet", "--request-id", "before", "--output", "json"]);
    assert_eq!(asked.code, 1, "a leak fails: {asked:?}");
    let verdict = asked.stdout;

    let to = Mutex::new(service.http.clone());
    let (ends, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut reached: BTreeMap<&str, u32> = BTreeMap::new();
    let (ledger, service) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                let (to, ends, acknowledged) = (&to, &ends, &acknowledged);
                scope.spawn(move || keep_sending(number, began, to, ends, acknowledged))
            })
            .collect();
        // Also when an assertion fails: else the scope waits for the senders for ever.
        let _end = EndSenders(&ends);
        for crash in 0..crashes {
            let place = (crash % 2 == 0).then(|| PLACES[crash as usize / 2 % PLACES.len()]);
            service = crash_once(service, &data, place, &mut random, &to, &mut reached);
            let before = acknowledged.load(Ordering::Relaxed);
            wait_for("samples to be taken again", || {
                (acknowledged.load(Ordering::Relaxed) > before + 20).then_some(())
            });
        }
        ends.store(true, Ordering::Relaxed);
        let ledgers = senders.into_iter().flat_map(|sender| sender.join().expect("a sender ends well"));
        (ledgers.collect::<Ledger>(), service)
    });

    let at_places: u32 = PLACES.iter().filter_map(|place| reached.get(place)).sum();
    println!("crashes: {reached:?}, {at_places} of them where something is half done");
    assert!(at_places >= 10 && PLACES.iter().all(|place| reached.contains_key(place)), "{reached:?}");
    let stored = stored(&service.run(&["sql", SAMPLES, "--output", "csv"]).expect_success());
    compare(&ledger, &stored, "from the running service");
    let alerts = leaks(&service);
    assert_eq!(alerts[0], alert, "the alert fires since it began");
    let states: Vec<_> = alerts.iter().map(|alert| alert["state"].as_str()).collect();
    assert_eq!(
        states,
        [Some("firing"), Some("unknown_hold")],
        "its sensor's silence resolves nothing: {alerts:#?}"
    );
    let again =
        service.run(&["gate", "evaluate", "--rack", "wet", "--request-id", "before", "--output", "json"]);
    assert_eq!(again.stdout, verdict, "the same request is answered by the same evaluation");
    let id = serde_json::from_str::<serde_json::Value>(&verdict).expect("JSON")["evaluation_id"].clone();
    let explained =
        service.run(&["gate", "explain", id.as_str().expect("an id"), "--again"]).expect_success();
    assert!(explained.contains("identical, to the byte"), "{explained}");
    let rows = service.sql("select count(*) as n, count(distinct evaluation) as ids from verdicts");
    assert_eq!((&rows[0]["n"], &rows[0]["ids"]), (&1.into(), &1.into()), "a verdict is stored once");

    let data = service.stop();
    let path = data.display().to_string();
    let at_rest = run(&["sql", "--data", &path, SAMPLES, "--output", "csv"]).expect_success();
    compare(&ledger, &self::stored(&at_rest), "from the folder at rest");
}

/// Ends the service in one way or the other and starts it again.
fn crash_once(
    mut service: Service,
    data: &Path,
    place: Option<&'static str>,
    random: &mut Random,
    to: &Mutex<String>,
    reached: &mut BTreeMap<&'static str, u32>,
) -> Service {
    if let Some(place) = place {
        // The place is named at the start: so the service is started once more, with the mine laid.
        let nth = match place {
            "after_log_sync" => 1 + random.below(200),
            "before_file" => 1 + random.below(30),
            // Files are merged once there are sixteen.
            "before_compaction_commit" | "after_compaction_commit" => 1,
            _ => 1 + random.below(3),
        };
        drop(service.kill());
        let mine = format!("{place}:{nth}");
        // It may go off before the service is ready, which is as good a moment as any.
        if let Ok(mut mined) = Service::try_start(data, &SETTINGS, &[("THERMOGATE_FAILPOINT", &mine)]) {
            mined.http.clone_into(&mut to.lock().expect("no panic under this lock"));
            assert!(mined.ended_within(PATIENCE), "{mine} was not reached:\n{}", mined.log());
            wait_for("its last words", || {
                mined.log().contains(&format!("failpoint {place} reached")).then_some(())
            });
        }
        *reached.entry(place).or_default() += 1;
    } else {
        std::thread::sleep(Duration::from_millis(random.below(900)));
        service.kill();
        *reached.entry("at a random moment").or_default() += 1;
    }
    service = Service::start(data, &SETTINGS);
    service.http.clone_into(&mut to.lock().expect("no panic under this lock"));
    service
}

/// Sends one sample of each of its racks for each second of event time until `ends`. Every other sender sends what was
/// not acknowledged again, as Prometheus does; the others go on with the next second.
fn keep_sending(
    number: usize,
    began: i64,
    to: &Mutex<String>,
    ends: &AtomicBool,
    acknowledged: &AtomicU64,
) -> Ledger {
    let sender = Sender::new();
    let racks: Vec<String> = (0..RACKS).map(|rack| format!("r{number}-{rack}")).collect();
    let is_persistent = number % 2 == 0;
    let (mut ledger, mut step) = (Ledger::new(), 1);
    while !ends.load(Ordering::Relaxed) {
        let time = began + step;
        let http = to.lock().expect("no panic under this lock").clone();
        let readings: Vec<Reading<'_>> = racks.iter().map(|rack| supply(rack, time, value(time))).collect();
        let sent = match sender.send(&http, &readings) {
            Ok(204) => Sent::Acknowledged,
            Ok(503) | Err(_) => Sent::Unknown,
            Ok(status) => panic!("a sound request was answered with {status}"),
        };
        ledger.extend(racks.iter().map(|rack| ((rack.clone(), time), sent)));
        if sent == Sent::Acknowledged {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        if sent == Sent::Acknowledged || !is_persistent {
            step += 1;
        }
        // Paced, so that the whole stays small enough to be compared one by one.
        std::thread::sleep(Duration::from_millis(if sent == Sent::Acknowledged { 10 } else { 100 }));
    }
    ledger
}

/// A supply temperature, at a second.
pub fn supply(rack: &str, second: i64, value: f64) -> Reading<'_> {
    Reading { metric: "coolant_supply_temperature", rack, time: 1_000 * second, value }
}

/// The value of a sample tells its time, so that a mixed-up row is seen.
fn value(time: i64) -> f64 {
    30.0 + (time % 1_024) as f64 / 1_024.0
}

const SAMPLES: &str =
    "select rack, cast(time as bigint) / 1000000 as second, value from samples where rack like 'r%-%'";

/// How often each sample is there.
fn stored(csv: &str) -> BTreeMap<(String, i64), u32> {
    let mut stored = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let time: i64 = fields[1].parse().expect("a time");
        assert_eq!(fields[2].parse::<f64>(), Ok(value(time)), "the value of {line}");
        *stored.entry((fields[0].to_owned(), time)).or_default() += 1;
    }
    stored
}

fn compare(ledger: &Ledger, stored: &BTreeMap<(String, i64), u32>, from: &str) {
    let acknowledged = ledger.values().filter(|sent| **sent == Sent::Acknowledged).count();
    println!("{from}: {} samples sent, {acknowledged} acknowledged, {} stored", ledger.len(), stored.len());
    assert!(acknowledged > 1_000, "there is something to compare");
    let lost: Vec<_> = ledger
        .iter()
        .filter(|(key, sent)| **sent == Sent::Acknowledged && !stored.contains_key(*key))
        .collect();
    assert!(lost.is_empty(), "{from}: {} lost, the first {:?}", lost.len(), lost[0]);
    let doubled: Vec<_> = stored.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "{from}: {} doubled, the first {:?}", doubled.len(), doubled[0]);
    let invented = stored.keys().find(|key| !ledger.contains_key(*key));
    assert_eq!(invented, None, "{from}: nobody sent this");
}

/// All changes of the alert about the leak.
fn leaks(service: &Service) -> Vec<serde_json::Value> {
    service.sql("select rack, severity, state, since, time, reason from alerts where alertname = 'LeakCritical' order by seq, time")
}

/// Event time goes on with rack `steady`; rack `hot` tells of two hot spells, the second of which ends in silence.
#[test]
fn a_kill_in_pending_firing_hold_and_keep_firing_changes_no_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    let began = now().as_secs() as i64 / 600 * 600 - 6 * 3_600;
    let told = play(&folder.path().join("undisturbed"), began, &[]);
    let states: Vec<&str> = told.iter().filter_map(|row| row["state"].as_str()).collect();
    assert_eq!(
        states,
        ["pending", "firing", "resolved", "pending", "firing", "unknown_hold", "resolved"],
        "a spell, and one that ends in silence: {told:#?}"
    );
    let minute = |row: usize| {
        let text = told[row]["time"].as_str().expect("a time");
        let time =
            telemetry::EventTime::from_rfc3339(&format!("{}Z", text.trim_end_matches('Z'))).expect("a time");
        (time.unix_micros() / 1_000_000 - began) / 60
    };
    assert!(
        (15..19).contains(&minute(0)) && (17..21).contains(&minute(1)),
        "2 minutes of pending: {told:#?}"
    );
    assert!((29..33).contains(&minute(2)), "it is kept for 5 minutes after the spell: {told:#?}");
    assert!((45..47).contains(&minute(5)), "on hold once the data is gone: {told:#?}");
    assert!((75..77).contains(&minute(6)), "good data again, for as long as the short window: {told:#?}");

    let (pending, firing, kept, held, known_again) = (minute(0) + 1, minute(1) + 2, minute(2) - 2, 60, 75);
    let killed = play(&folder.path().join("killed"), began, &[pending, firing, kept, held, known_again]);
    assert_eq!(killed, told, "the same changes at the same times for the same reasons");
}

/// Plays both racks, killing the service after some minutes; all changes of the alert of rack `hot`.
fn play(data: &Path, began: i64, kills: &[i64]) -> Vec<serde_json::Value> {
    let objectives = quick_objectives();
    let settings = [&SETTINGS[..], &["--set", &objectives]].concat();
    let mut service = Service::start(data, &settings);
    for minute in 0..100 {
        let hot = match minute {
            15..25 | 35..45 => Some(46.0),
            45..75 => None,
            _ => Some(39.0),
        };
        let readings = (0..6).flat_map(|slice| {
            let time = began + 60 * minute + 10 * slice;
            let hot = hot.map(|value| supply("hot", time, value));
            [Some(supply("steady", time, 39.0)), hot].into_iter().flatten()
        });
        send(&service.http, &readings.collect::<Vec<_>>());
        if kills.contains(&minute) {
            service.kill();
            service = Service::start(data, &settings);
        }
    }
    service.sql(
        "select state, previous, since, time, reason, severity from alerts \
         where alertname = 'QuickBudgetBurn' and severity = 'page' and rack = 'hot' order by time, seq",
    )
}

/// The setting that adds an objective whose alerts come within minutes.
pub fn quick_objectives() -> String {
    let tests = env!("CARGO_MANIFEST_DIR");
    format!("documents.objectives={tests}/e2e/quick.yaml,{tests}/../slo")
}

/// Ends the senders when it goes.
struct EndSenders<'a>(&'a AtomicBool);

impl Drop for EndSenders<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number: {text:?}")))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}
