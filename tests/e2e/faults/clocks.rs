//! Clocks that are wrong: the machine's steps by an hour and back, a sender's is off.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Service, skipped, wait_for};
use crate::remote_write::{Reading, send};

const HOUR: i64 = 3_600;

/// The library that shifts a program's clock by what a file says.
fn faketime() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime"];
    let found =
        folders.iter().map(|folder| Path::new(folder).join("libfaketimeMT.so.1")).find(|path| path.exists());
    found.or_else(|| skipped("libfaketime: apt-get install faketime"))
}

/// The true time, seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the year 292 billion")
}

fn temperature(rack: &str, second: i64) -> Reading<'_> {
    Reading { metric: "coolant_supply_temperature", rack, time: 1_000 * second, value: 39.0 }
}

/// How many readings of a rack are there under each flag.
fn flags(service: &Service, rack: &str) -> Value {
    let rows = service.sql(&format!(
        "select flag, count(*) as n, count(distinct time) as times from samples where rack = '{rack}' group by flag"
    ));
    rows.iter()
        .map(|row| {
            assert_eq!(row["n"], row["times"], "each is there once");
            (row["flag"].as_str().expect("a flag").to_owned(), row["n"].clone())
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn watermark(service: &Service) -> i64 {
    service.metric("thermogate_evaluate_watermark_seconds").unwrap_or_default() as i64
}

/// Waits until a second of event time after this one is final.
fn wait_for_watermark(service: &Service, after: i64) {
    wait_for(&format!("the watermark to pass {after}"), || (watermark(service) > after).then_some(()));
}

#[test]
fn a_clock_that_steps_by_an_hour_and_back_loses_doubles_and_undoes_nothing() {
    let Some(library) = faketime() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("offset"));
    let set_clock = |seconds: i64| {
        // Renamed into its place: the program may look at any moment.
        let beside = file.with_extension("new");
        std::fs::write(&beside, format!("{seconds:+}")).expect("a file");
        std::fs::rename(&beside, &file).expect("a file");
    };
    let (library, shown) = (library.display().to_string(), file.display().to_string());
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", shown.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        // A machine's other clock, by which tokio waits, does not step.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    set_clock(0);
    let service = Service::start_with(&data, &[], &environment);
    let steps_back = || service.metric("thermogate_clock_steps_back_total").unwrap_or_default();
    let began = now();
    send(
        &service.http,
        &[
            Reading { metric: "leak_state", rack: "wet", time: 1_000 * began, value: 2.0 },
            temperature("r01", began),
        ],
    );
    let alerts =
        || service.sql("select state, since from alerts where alertname = 'LeakCritical' order by time, seq");
    let alert = wait_for("the alert", || alerts().first().cloned());
    assert_eq!(alert["state"], "firing");
    wait_for_watermark(&service, began - 31);

    // Back: time holds still, and what comes in at the true time is judged.
    set_clock(-HOUR);
    wait_for("the step back to be counted", || (steps_back() >= 1.0).then_some(()));
    let held = watermark(&service);
    send(&service.http, &[temperature("r01", began + 1)]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(watermark(&service), held, "time holds still");
    assert_eq!(flags(&service, "r01"), json!({"ok": 2}));

    // Right again: time goes on.
    set_clock(0);
    wait_for_watermark(&service, held);
    send(&service.http, &[temperature("r01", began + 2)]);

    // An hour ahead: the true time is behind it. It is stored, and changes nothing that was judged.
    set_clock(HOUR);
    wait_for_watermark(&service, began + HOUR - 60);
    send(&service.http, &[temperature("r01", began + 3)]);
    wait_for("the late reading", || (flags(&service, "r01") == json!({"ok": 3, "late": 1})).then_some(()));
    set_clock(0);
    let stepped = steps_back();
    wait_for("the step back to be counted", || (steps_back() > stepped).then_some(()));
    let held = watermark(&service);
    send(&service.http, &[temperature("r01", began + 4)]);
    wait_for("the late reading", || (flags(&service, "r01") == json!({"ok": 3, "late": 2})).then_some(()));
    assert_eq!(watermark(&service), held, "time never goes back");

    // A crash in between changes nothing, and once the clock has passed the hour all is as it was.
    let told = alerts();
    assert_eq!(told[0], alert);
    assert!(told.iter().all(|alert| alert["state"] != "resolved"), "silence resolves nothing: {told:#?}");
    let service = {
        let data = service.kill();
        Service::start_with(&data, &[], &environment)
    };
    assert_eq!(watermark(&service), held, "also after a crash");
    set_clock(HOUR + 60);
    wait_for_watermark(&service, held);
    send(&service.http, &[temperature("r01", now() + HOUR + 60)]);
    wait_for("the next reading", || (flags(&service, "r01") == json!({"ok": 4, "late": 2})).then_some(()));
    let again =
        service.sql("select state, since from alerts where alertname = 'LeakCritical' order by time, seq");
    assert_eq!(again[..told.len()], told[..], "what was told stays told");
    service.stop();
}

#[test]
fn a_sender_whose_clock_is_an_hour_off_harms_only_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &[]);
    let began = now();
    send(&service.http, &[temperature("right", began)]);
    wait_for_watermark(&service, began - 31);
    for second in 1..=5 {
        for (rack, off) in [("ahead", HOUR), ("right", 0), ("behind", -HOUR)] {
            send(&service.http, &[temperature(rack, began + second + off)]);
        }
    }
    wait_for("all of them", || {
        let seen = ["ahead", "right", "behind"].map(|rack| flags(&service, rack));
        (seen == [json!({"future": 5}), json!({"ok": 6}), json!({"late": 5})]).then_some(())
    });
    assert!(watermark(&service) < began + HOUR / 2, "a sender does not move time");
    let aside = "thermogate_ingest_quarantined_samples_total{reason=\"future\",source=\"remote_write\"}";
    assert_eq!(service.metric(aside), Some(5.0));
    assert_eq!(service.metric("thermogate_evaluate_late_samples_total"), Some(5.0));
    service.stop();
}
