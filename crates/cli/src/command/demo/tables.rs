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
use crate::output::print_line;
use crate::terminal::{judged, table};

/// Asks the gate about every rack, as a pipeline would.
pub async fn verdicts(service: &ServiceArguments, racks: &[Name]) -> Result<(), Failure> {
    let mut gates = client::gates(service).await?;
    let mut rows = Vec::new();
    for rack in racks {
        let request = EvaluateRequest { racks: vec![rack.to_string()], ..EvaluateRequest::default() };
        let evaluation = gates.evaluate(request).await?.into_inner().evaluation.unwrap_or_default();
        let verdict = Verdict::from_json(&evaluation.canonical_json)
            .map_err(|error| Failure::unreachable(error.to_string()))?;
        let cause = verdict.cause.map_or_else(|| "-".to_owned(), |cause| format!("{cause:?}").to_lowercase());
        rows.push(vec![
            rack.to_string(),
            judged(verdict.verdict.name()),
            cause,
            verdict.reason.clone(),
            verdict.evaluation_id.to_string(),
        ]);
    }
    print_line!("\nverdicts of the gate policy `default`");
    table(&["rack", "verdict", "cause", "reason", "evaluation"], rows.into_iter());
    Ok(())
}

/// Objectives of every loop and rack with budget and burn.
pub fn objectives(running: &Running, racks: &[Name]) {
    let board = &running.shared.pipeline.board;
    let facts: Vec<_> = racks.iter().filter_map(|rack| board.rack(rack)).collect();
    // A rack's facts hold its loop's objectives too: each is shown once, the loops first.
    let mut statuses: Vec<&ObjectiveStatus> = facts
        .iter()
        .flat_map(|facts| &facts.objectives)
        .filter(|status| status.scope == Scope::Rolling)
        .collect();
    statuses.sort_by(|one, other| (&one.place, &one.objective).cmp(&(&other.place, &other.objective)));
    statuses.dedup_by(|one, other| one.place == other.place && one.objective == other.objective);
    print_line!("\nobjectives");
    let header =
        ["where", "objective", "promise", "state", "coverage", "bad", "budget left", "burn", "worst"];
    table(&header, statuses.into_iter().map(row));
}

fn row(status: &ObjectiveStatus) -> Vec<String> {
    let share =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    // The pair that burns most says it all; the others are in SQL.
    let burn = status
        .burn
        .iter()
        .filter_map(|burn| Some((burn.burn_long?, burn)))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map_or_else(|| "-".to_owned(), |(rate, burn)| format!("{rate:.1} over {}", burn.long));
    let place = &status.place;
    vec![
        place
            .rack
            .as_ref()
            .or(place.cooling_loop.as_ref())
            .map_or_else(|| "-".to_owned(), ToString::to_string),
        status.objective.to_string(),
        format!("{} {} {}", status.comparison.sign(), status.threshold, shown(&status.unit))
            .trim_end()
            .to_owned(),
        judged(evaluator::state_name(status.outcome)),
        share(status.time.coverage()),
        format!("{:.0} s", status.time.bad.as_seconds()),
        share(status.budget_left),
        burn,
        status.worst.as_ref().map_or_else(
            || "-".to_owned(),
            |worst| format!("{:.1} {}", worst.value, shown(&status.unit)).trim_end().to_owned(),
        ),
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

/// Three commands to look further, with the ports and paths of this demo. A gate answers while the demo serves; after
/// its end (`once`) the folder tells what is left of the budgets.
pub fn further(data: &Path, site: &Path, racks: &[Name], running: &Running, once: bool) {
    let worst = racks.last().map_or("r1", |rack| rack);
    let service = data.join("service");
    print_line!("\nlook further:");
    print_line!("  thermogate sql --data {} --query thermal_margin_by_rack", service.display());
    if once {
        print_line!("  thermogate sql --data {} --query budget_left", service.display());
    } else {
        print_line!("  thermogate gate evaluate --grpc http://{} --rack {worst}", running.addresses.grpc);
    }
    print_line!("  thermogate check {}", site.display());
}
