//! Verdicts as people and other tools read them.

use gate::report::{junit, markdown, text};
use gate::verdict::{InconclusiveAs, exit_code};
use telemetry::facts::Outcome;

use crate::rack::{FAIL, INCONCLUSIVE, PASS, PENDING, WARN, policy, verdict};

const FAILED: &str =
    "{objectives: {dt: {outcome: not_ok, observed: 13.4, threshold: 12, bad: 0.2, budgetLeft: -3.2}}}";

#[test]
fn a_verdict_reads_as_plain_text() {
    let policy = policy("- {objective: dt, weight: 2}\n- {coverage: {signals: [coolant_flow]}}", "");
    let text = text(&verdict(&policy, FAILED));
    let id = text.split("evaluation ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned();
    insta::assert_snapshot!(text.replace(&id, "0123456789abcdef"), @r##"
    FAIL  dt 13.4 K > 12 K on rack r1 (worst at 2026-01-05T10:00:00Z, now 13.4 K), bad 4h 48m of 1d, budget spent 4.2×, window 28d, coverage 100 %; time to threshold 0s
    policy test, score 33, cause release, watermark 2026-01-05T10:00:00Z, evaluation 0123456789abcdef

    rack r1  FAIL
      verdict  check     observed  threshold  coverage  budget left
      FAIL     dt        13.4 K    <= 12 K    100 %     -320 %
      PASS     coverage  1         >= 0.95    100 %     -
    "##);
}

#[test]
fn a_verdict_reads_as_markdown_for_a_step_summary() {
    let policy = policy("- {objective: dt}\n- {coverage: {signals: [coolant_flow]}}", "");
    let mut verdict = verdict(&policy, "{coverage: {coolant_flow: 0.5}}");
    verdict.evaluation_id = "0123456789abcdef".into();
    insta::assert_snapshot!(markdown(&verdict, Some("https://thermogate/evaluations/0123456789abcdef")), @r##"
    ## ❔ test: INCONCLUSIVE

    coverage: coolant_flow on rack r1: 50 % of 1h known, 95 % is asked; last 5 at 2026-01-05T10:00:00Z

    | | objective | group | observed | threshold | coverage | budget left |
    |---|---|---|---|---|---|---|
    | ✅ PASS | dt | site s1, loop loop-a, rack r1 | 5 K | &lt;= 10 K | 100 % | 100 % |
    | ❔ INCONCLUSIVE | coverage | site s1, loop loop-a, rack r1 | 0.5 | >= 0.95 | 50 % | - |

    - **INCONCLUSIVE** coverage: coolant_flow on rack r1: 50 % of 1h known, 95 % is asked; last 5 at 2026-01-05T10:00:00Z

    Evaluation [`0123456789abcdef`](https://thermogate/evaluations/0123456789abcdef), event time final up to 2026-01-05T10:00:00Z.
    "##);
}

#[test]
fn a_verdict_reads_as_junit() {
    let policy = policy("- {objective: dt}\n- {coverage: {signals: [coolant_flow]}}", "");
    let mut verdict = verdict(&policy, &FAILED.replacen('{', "{coverage: {coolant_flow: 0.5}, ", 1));
    verdict.evaluation_id = "0123456789abcdef".into();
    verdict.policy_hash = "abc".into();
    insta::assert_snapshot!(junit(&verdict, false, InconclusiveAs::Keep), @r##"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites tests="2" failures="1" errors="0" skipped="1">
      <testsuite name="thermogate gate test" tests="2" failures="1" errors="0" skipped="1" timestamp="2026-01-05T10:00:30Z">
        <properties>
          <property name="verdict" value="FAIL"/>
          <property name="reason" value="dt 13.4 K &gt; 12 K on rack r1 (worst at 2026-01-05T10:00:00Z, now 13.4 K), bad 4h 48m of 1d, budget spent 4.2×, window 28d, coverage 100 %; time to threshold 0s"/>
          <property name="evaluation_id" value="0123456789abcdef"/>
          <property name="policy_hash" value="abc"/>
          <property name="watermark" value="2026-01-05T10:00:00.000000Z"/>
        </properties>
        <testcase classname="test.r1" name="dt">
          <failure type="FAIL" message="dt 13.4 K &gt; 12 K on rack r1 (worst at 2026-01-05T10:00:00Z, now 13.4 K), bad 4h 48m of 1d, budget spent 4.2×, window 28d, coverage 100 %; time to threshold 0s"/>
        </testcase>
        <testcase classname="test.r1" name="coverage">
          <skipped message="INCONCLUSIVE: coverage: coolant_flow on rack r1: 50 % of 1h known, 95 % is asked; last 5 at 2026-01-05T10:00:00Z"/>
        </testcase>
      </testsuite>
    </testsuites>
    "##);
}

#[test]
fn junit_escapes_what_xml_would_misread() {
    let policy = policy("- {objective: dt, name: 'a<b> & \"c\"'}", "");
    let xml = junit(&verdict(&policy, FAILED), false, InconclusiveAs::Keep);
    assert!(xml.contains("name=\"a&lt;b&gt; &amp; &quot;c&quot;\""), "{xml}");
    assert!(!xml.contains("<b>"));
}

#[test]
fn junit_counts_what_it_shows() {
    let policy = policy("- {objective: dt}\n- {coverage: {signals: [coolant_flow]}}", "");
    let found = verdict(&policy, "{coverage: {coolant_flow: 0.5}, objectives: {dt: {budgetLeft: 0.1}}}");
    assert_eq!(found.checks[0].verdict, WARN);
    let cases = [
        (false, InconclusiveAs::Keep, 0, 1),
        (true, InconclusiveAs::Keep, 1, 1),
        (false, InconclusiveAs::Fail, 1, 0),
        (true, InconclusiveAs::Fail, 2, 0),
        (false, InconclusiveAs::Pass, 0, 0),
    ];
    for (warn_as_fail, inconclusive_as, failures, skipped) in cases {
        let xml = junit(&found, warn_as_fail, inconclusive_as);
        assert!(
            xml.contains(&format!("tests=\"2\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"")),
            "{xml}"
        );
        assert_eq!(xml.matches("<failure").count(), failures);
        assert_eq!(xml.matches("<skipped").count(), skipped);
    }
}

#[test]
fn exit_codes_keep_fail_apart_from_unknown_and_waiting() {
    use InconclusiveAs::{Fail, Keep, Pass};
    let cases = [
        (PASS, false, Keep, 0),
        (WARN, false, Keep, 0),
        (WARN, true, Keep, 1),
        (FAIL, false, Pass, 1),
        (INCONCLUSIVE, false, Keep, 3),
        (INCONCLUSIVE, true, Pass, 0),
        (INCONCLUSIVE, false, Fail, 1),
        (PENDING, false, Keep, 4),
        (PENDING, false, Fail, 4),
    ];
    for (verdict, warn_as_fail, inconclusive_as, code) in cases {
        assert_eq!(exit_code(verdict, warn_as_fail, inconclusive_as), code, "{verdict}");
    }
}

#[test]
fn absent_numbers_are_null_and_times_are_readable() {
    let policy = policy("- {objective: dt}", "");
    let found = verdict(&policy, "{missing: [dt]}");
    let json: serde_json::Value = serde_json::from_str(&found.to_json()).unwrap();
    assert_eq!(json["verdict"], "INCONCLUSIVE");
    assert_eq!(json["watermark"], "2026-01-05T10:00:00.000000Z");
    assert_eq!(json["checks"][0]["observed"], serde_json::Value::Null);
    assert_eq!(json["checks"][0]["unknown_reason"], "never_seen");
    assert_eq!(json["score"], serde_json::Value::Null);
    assert_eq!(serde_json::to_value(Outcome::NotOk).unwrap(), "not_ok");
}
