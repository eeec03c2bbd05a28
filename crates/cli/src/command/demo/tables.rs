//! What the demo shows at its end: verdicts, objectives, and where to look further.

use std::path::Path;

use gate::Verdict;
use service::running::Running;
use telemetry::Name;
use telemetry::facts::{ObjectiveStatus, Scope};
use wire::gate::v1::EvaluateRequest;

use crate::arguments::ServiceArguments;
use crate::client;
use crate::failure::Failure;
use crate::terminal::{judged, table};

/// Asks the gate about every rack, as a pipeline would.
pub async fn verdicts(service: &ServiceArguments, racks: &[Name]) -> Result<(), Failure> {
    let mut gates = client::gates(service).await?;
    let mut rows = Vec::new();
    for rack in racks {
        let request = EvaluateRequest { racks: vec![rack.to_string()], ..EvaluateRequest::default() };
        let evaluation = gates.evaluate(request).await?.into_inner().evaluation.unwrap_or_default();
        let verdict = Verdict::from_json(&evaluation.canonical_json).map_err(|error| Failure::unreachable(error.to_string()))?;
        let cause = verdict.cause.map_or_else(|| "-".to_owned(), |cause| format!("{cause:?}").to_lowercase());
        rows.push(vec![rack.to_string(), judged(verdict.verdict.name()), cause, verdict.reason.clone(), verdict.evaluation_id.to_string()]);
    }
    println!("\nverdicts of the gate policy `default`");
    table(&["rack", "verdict", "cause", "reason", "evaluation"], rows.into_iter());
    Ok(())
}

/// Objectives of every rack with budget and burn.
pub fn objectives(running: &Running, racks: &[Name]) {
    let rows = racks.iter().filter_map(|rack| running.shared.pipeline.board.rack(rack)).flat_map(|facts| {
        let rack = facts.place.rack.as_deref().unwrap_or_default().to_owned();
        facts.objectives.iter().filter(|status| status.scope == Scope::Rolling).map(|status| row(&rack, status)).collect::<Vec<_>>()
    });
    println!("\nobjectives");
    table(&["rack", "objective", "promise", "state", "coverage", "bad", "budget left", "burn", "worst"], rows);
}

fn row(rack: &str, status: &ObjectiveStatus) -> Vec<String> {
    let share = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let burn: Vec<String> = status
        .burn
        .iter()
        .map(|burn| format!("{}/{} {}", burn.long, burn.short, burn.burn_long.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))))
        .collect();
    vec![
        rack.to_owned(),
        status.objective.to_string(),
        format!("{} {} {}", status.comparison.sign(), status.threshold, shown(&status.unit)),
        judged(evaluator::state_name(status.outcome)),
        share(status.time.coverage()),
        format!("{:.0} s", status.time.bad.as_seconds()),
        share(status.budget_left),
        burn.join("  "),
        status.worst.as_ref().map_or_else(|| "-".to_owned(), |worst| format!("{:.1} {}", worst.value, shown(&status.unit))),
    ]
}

/// A unit as people write it.
fn shown(unit: &str) -> &str {
    match unit {
        "Cel" => "°C",
        "1" => "",
        unit => unit,
    }
}

/// Three commands to look further, with the ports and paths of this demo.
pub fn further(data: &Path, site: &Path, racks: &[Name], running: &Running) {
    let addresses = running.addresses;
    let worst = racks.last().map_or("r1", |rack| rack);
    println!("\nlook further:");
    println!("  thermogate sql --data {} --query thermal_margin_by_rack", data.join("service").display());
    println!("  thermogate gate evaluate --grpc http://{} --rack {worst}", addresses.grpc);
    println!("  thermogate check {}", site.display());
}
