//! `thermogate check`: 0 when all is well, 1 when a unit test fails, 2 when a document is refused.

use std::path::Path;

use crate::harness::{run, run_in};

fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The shipped coolant objectives and their tests in a folder, the tests with one word changed.
fn folder(from: &str, to: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let tests = shipped("slo/coolant.test.yaml");
    assert!(tests.contains(from), "{from}");
    std::fs::write(folder.path().join("coolant.yaml"), shipped("slo/coolant.yaml")).expect("a file");
    std::fs::write(folder.path().join("coolant.test.yaml"), tests.replacen(from, to, 1)).expect("a file");
    folder
}

#[test]
fn what_is_compiled_in_passes_its_own_tests() {
    let text = run(&["check"]).expect_success();
    assert!(
        text.contains("a hot spell") || text.contains("a-hot-spell"),
        "the tests beside the objectives are run: {text}"
    );
    let (_, counts) = text.trim_end().rsplit_once('\n').expect("lines and their counts");
    assert!(counts.ends_with("0 failed, 0 refused") && !counts.starts_with("0 ok"), "{counts}");
    let defaults = run(&["check", "--print-defaults"]).expect_success();
    for word in ["kind: SLO", "kind: BurnRatePolicy", "kind: GatePolicy"] {
        assert!(defaults.contains(word), "{word}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("thermogate.toml"),
        run(&["serve", "--print-settings"]).expect_success(),
    )
    .expect("a file");
    run_in(folder.path(), &["check", "thermogate.toml"]).expect_success();
}

#[test]
fn a_unit_test_that_fails_is_exit_code_1_with_expected_and_observed() {
    let well = folder("state: firing", "state: firing");
    run_in(well.path(), &["check", "."]).expect_success();
    let folder = folder(
        "{at: 63m, alert: CoolantSupplyTemperatureBudgetBurn, severity: page, rack: r1, state: firing}",
        "{at: 63m, alert: CoolantSupplyTemperatureBudgetBurn, severity: page, rack: r1, state: inactive}",
    );
    let finished = run_in(folder.path(), &["check", "."]);
    assert_eq!(finished.code, 1, "{finished:?}");
    let line = finished.stderr.lines().next().unwrap_or_default();
    assert!(
        line.starts_with("./coolant.test.yaml:")
            && line.contains("expected")
            && line.contains("inactive")
            && line.contains("observed")
            && line.contains("firing"),
        "{finished:?}"
    );
    assert!(finished.stdout.contains("1 failed, 0 refused"), "{finished:?}");
}

#[test]
fn junit_and_json_say_the_same_as_the_text() {
    let folder = folder("state: firing", "state: inactive");
    let xml = run_in(folder.path(), &["check", ".", "--output", "junit"]);
    assert_eq!(xml.code, 1, "{xml:?}");
    let tests = xml.stdout.matches("<testcase ").count();
    assert!(
        xml.stdout
            .starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"thermogate check\""),
        "{}",
        xml.stdout
    );
    assert!(xml.stdout.contains(&format!("tests=\"{tests}\" failures=\"1\"")), "{}", xml.stdout);
    assert_eq!(xml.stdout.matches("<failure ").count(), 1, "{}", xml.stdout);

    let json = run_in(folder.path(), &["check", ".", "--output", "json"]);
    assert_eq!(json.code, 1, "{json:?}");
    let checked: Vec<serde_json::Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(checked.len(), tests);
    let failed: Vec<_> = checked.iter().filter(|checked| checked["outcome"] == "failed").collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0]["at"].as_str().is_some_and(|at| at.contains("coolant.test.yaml:")), "{failed:?}");

    std::fs::write(
        folder.path().join("bad.yaml"),
        "apiVersion: openslo/v1\nkind: SLo\nmetadata: {name: x}\n",
    )
    .expect("a file");
    let finished = run_in(folder.path(), &["check", "."]);
    assert_eq!(finished.code, 2, "a refused document weighs more than a failed test: {finished:?}");
    assert!(
        finished
            .stderr
            .contains("bad.yaml:2: refused document: SLo x: kind: \"SLo\" is no kind of openslo/v1"),
        "{}",
        finished.stderr
    );
    let missing = run_in(folder.path(), &["check", "none.yaml"]);
    assert!(missing.code == 2 && missing.stderr.contains("none.yaml: No such file"), "{missing:?}");
}
