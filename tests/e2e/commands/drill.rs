//! `drill run`: a scorecard for people and machines, a page with pictures, and what it refuses.

use serde_json::Value;

use crate::harness::run_in;

#[test]
fn a_drill_prints_the_same_scorecard_every_time_and_draws_what_it_saw() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| run_in(folder.path(), arguments);
    let drill = ["drill", "run", "--class", "leak", "--seeds", "1", "--output"];
    let as_json = run(&[&drill[..], &["json", "--threads", "1"]].concat()).expect_success();
    assert_eq!(as_json, run(&[&drill[..], &["json", "--threads", "2"]].concat()).expect_success());
    let cards: Value = serde_json::from_str(&as_json).expect("JSON");
    assert_eq!((&cards[0]["drills"], &cards[0]["recall"]), (&1.into(), &1.0.into()), "{cards}");
    assert_eq!(cards[0]["false_alarm_rate"], Value::Null, "no healthy day was played");

    let finished = run(&[&drill[..], &["markdown", "--out", "page.html"]].concat());
    assert!(finished.stderr.contains("page.html with 1 pictures"), "{finished:?}");
    assert!(finished.expect_success().contains("| leak | 1/1 |"));
    let page = std::fs::read_to_string(folder.path().join("page.html")).expect("a page");
    assert!(page.contains("<svg") && page.contains("coolant_return_flow"), "{} bytes", page.len());
}

#[test]
fn a_drill_of_nothing_that_is_known_says_what_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str], message: &str| {
        let finished = run_in(folder.path(), &[&["drill", "run"], arguments].concat());
        assert!(finished.code == 2 && finished.stderr.contains(message), "{finished:?}");
    };
    refused(
        &["--class", "lek"],
        "there is no class of faults \"lek\", did you mean \"leak\"?: known are pump_head_step",
    );
    refused(
        &["--conditions", "vacuum"],
        "there are no conditions \"vacuum\": known are standard, plant off by 15 %",
    );
    refused(&["--class", "leak", "--out", "none/page.html"], "none/page.html: No such file");
    refused(&["--output", "junit"], "prints --output text, json or markdown");
}
