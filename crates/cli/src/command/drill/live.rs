//! `thermogate drill live`: a fault laid over the telemetry of a running rack, followed to its result.

use std::path::Path;
use std::time::Duration;

use wire::drill::v1::{
    Drill, DrillState, EndDrillRequest, GetDrillRequest, RehearseGateRequest, RehearseGateResponse,
    StartDrillRequest,
};

use crate::arguments::{DrillEndArguments, DrillLiveArguments, Output};
use crate::command::run::time;
use crate::failure::Failure;
use crate::output::print_line;
use crate::{client, documents};

/// How often the service is asked how far a drill has come.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(500);

/// Begins a drill and follows it.
pub fn run(arguments: &DrillLiveArguments) -> Result<u8, Failure> {
    if matches!(arguments.output, Output::Junit | Output::Markdown) {
        return Err(Failure::bad_input("`drill live` prints --output text or json"));
    }
    client::runtime()?.block_on(live(arguments))
}

/// Breaks a drill off.
pub fn end(arguments: &DrillEndArguments) -> Result<u8, Failure> {
    client::runtime()?.block_on(async {
        let request = EndDrillRequest {
            drill_id: arguments.drill.clone(),
            by: who(arguments.by.as_ref()),
            why: arguments.why.clone(),
        };
        let ended = client::drills(&arguments.service).await?.end_drill(request).await?.into_inner();
        let drill = there(ended.drill)?;
        print_line!("drill {} is {}", drill.drill_id, state(&drill));
        Ok(0)
    })
}

async fn live(arguments: &DrillLiveArguments) -> Result<u8, Failure> {
    // Before the drill, not after it.
    let gate = arguments.policy.as_deref().map(policy).transpose()?;
    let request = StartDrillRequest {
        request_id: arguments.request_id.clone(),
        rack: arguments.rack.clone(),
        class: arguments.class.clone(),
        severity: arguments.severity,
        by: who(arguments.by.as_ref()),
        why: arguments.why.clone(),
    };
    let mut drills = client::drills(&arguments.service).await?;
    let mut drill = there(drills.start_drill(request).await?.into_inner().drill)?;
    tell(&begun(&drill));
    if arguments.detach {
        show(&drill, None, arguments.output);
        return Ok(0);
    }
    while drill.state() == DrillState::Running {
        tokio::time::sleep(LOOKED_AT_EVERY).await;
        let request = GetDrillRequest { drill_id: drill.drill_id.clone() };
        let next = there(drills.get_drill(request).await?.into_inner().drill)?;
        if drill.detector.is_empty() && !next.detector.is_empty() {
            tell(&format!("found by {} at {}", next.detector, time(next.detected.as_ref())));
        }
        if drill.alert_fired.is_none() && next.alert_fired.is_some() {
            tell(&format!(
                "its alert fired at {}, with the label drill=\"{}\"",
                time(next.alert_fired.as_ref()),
                next.drill_id
            ));
        }
        drill = next;
    }
    let rehearsed = match gate {
        Some((gate, policy_document)) => {
            let request = RehearseGateRequest { drill_id: drill.drill_id.clone(), gate, policy_document };
            Some(drills.rehearse_gate(request).await?.into_inner())
        }
        None => None,
    };
    show(&drill, rehearsed.as_ref(), arguments.output);
    Ok(if drill.state() == DrillState::Passed { 0 } else { 1 })
}

/// A policy in force, or the text of a file.
fn policy(name: &str) -> Result<(String, String), Failure> {
    let file = Path::new(name);
    if documents::has_extension(file, &["yaml", "yml"]) {
        return Ok((String::new(), documents::read_one(file)?.text));
    }
    Ok((name.to_owned(), String::new()))
}

/// Who is responsible, where it is not said.
fn who(by: Option<&String>) -> String {
    let of_system = || {
        ["USER", "LOGNAME"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok())
            .filter(|name| !name.is_empty())
    };
    by.cloned().or_else(of_system).unwrap_or_else(|| "thermogate drill".to_owned())
}

fn there(drill: Option<Drill>) -> Result<Drill, Failure> {
    drill.ok_or_else(|| Failure::unreachable("the service answered without a drill"))
}

/// Progress goes where it is in no pipe's way.
fn tell(text: &str) {
    eprintln!("thermogate: {text}");
}

fn place(drill: &Drill) -> String {
    if drill.of_loop { format!("loop {}", drill.r#loop) } else { format!("rack {}", drill.rack) }
}

fn begun(drill: &Drill) -> String {
    format!(
        "drill {} of {} on {}, severity {}, since {}: {} is awaited until {}, event time",
        drill.drill_id,
        drill.class,
        place(drill),
        drill.severity,
        time(drill.started.as_ref()),
        drill.detectors.join(" or "),
        time(drill.until.as_ref())
    )
}

fn state(drill: &Drill) -> &'static str {
    match drill.state() {
        DrillState::Unspecified => "unknown",
        DrillState::Running => "running",
        DrillState::Passed => "passed",
        DrillState::Failed => "failed",
        DrillState::Cancelled => "cancelled",
    }
}

/// Seconds from its beginning until it was found.
fn delay_seconds(drill: &Drill) -> Option<f64> {
    let (started, detected) = drill.started.as_ref().zip(drill.detected.as_ref())?;
    Some((detected.seconds - started.seconds) as f64 + f64::from(detected.nanos - started.nanos) / 1e9)
}

fn show(drill: &Drill, rehearsed: Option<&RehearseGateResponse>, output: Output) {
    match output {
        Output::Text | Output::Junit | Output::Markdown => {
            let found = delay_seconds(drill)
                .map_or_else(String::new, |delay| format!(", found by {} after {delay} s", drill.detector));
            let missing =
                if drill.missing.is_empty() { String::new() } else { format!(": {}", drill.missing) };
            print_line!(
                "drill {} of {} on {}: {}{found}{missing}",
                drill.drill_id,
                drill.class,
                place(drill),
                state(drill)
            );
            if let Some(gate) = rehearsed {
                print_line!("gate {} would say {}: {}", gate.policy, gate.verdict, gate.reason);
            }
        }
        Output::Json => {
            let gate = rehearsed.map(|gate| serde_json::json!({ "policy": gate.policy, "would_be": gate.verdict, "reason": gate.reason }));
            let time = |of: &Option<prost_types::Timestamp>| of.as_ref().map(|of| time(Some(of)));
            let value = serde_json::json!({
                "drill": drill.drill_id, "class": drill.class, "rack": drill.rack, "loop": drill.r#loop, "of_loop": drill.of_loop,
                "severity": drill.severity, "detectors": drill.detectors, "started": time(&drill.started), "until": time(&drill.until),
                "result": state(drill), "ended": time(&drill.ended), "detector": drill.detector, "detected": time(&drill.detected),
                "alert_fired": time(&drill.alert_fired), "delay_seconds": delay_seconds(drill), "missing": drill.missing,
                "by": drill.by, "why": drill.why, "gate": gate,
            });
            print_line!("{value}");
        }
    }
}
