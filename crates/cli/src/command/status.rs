//! `thermogate status`: every rack in one table.

use std::io::IsTerminal;

use service::status::{RackStatus, Status};

use crate::arguments::{Output, StatusArguments};
use crate::client;
use crate::failure::Failure;
use crate::output::{self, print_line, print_out};
use crate::terminal::{drawn, judged};

/// Runs the command.
pub fn run(arguments: &StatusArguments) -> Result<u8, Failure> {
    client::runtime()?.block_on(answer(arguments))
}

async fn answer(arguments: &StatusArguments) -> Result<u8, Failure> {
    loop {
        let body = client::http(&arguments.service, "/v1/status", None).await?;
        let text = match arguments.output {
            Output::Json => String::from_utf8_lossy(&body).trim_end().to_owned(),
            Output::Text => {
                let status: Status = serde_json::from_slice(&body).map_err(|error| {
                    Failure::unreachable(format!(
                        "{}: the answer is no status: {error}",
                        arguments.service.http
                    ))
                })?;
                rendered(&status)
            }
            Output::Junit | Output::Markdown => {
                return Err(Failure::bad_input("`status` prints --output text or json"));
            }
        };
        if !arguments.watch {
            print_line!("{text}");
            return Ok(0);
        }
        if std::io::stdout().is_terminal() {
            print_out!("\u{1b}[2J\u{1b}[H");
        }
        if !output::say(format_args!("{text}\n")) {
            return Ok(0);
        }
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(0),
        }
    }
}

/// The status as people read it.
pub fn rendered(status: &Status) -> String {
    let header = [
        "rack",
        "loop",
        "declared",
        "watermark",
        "coverage",
        "worst objective",
        "budget left",
        "burn",
        "findings",
        "alerts",
        "state",
    ];
    let rows = status.racks.iter().map(row);
    let mut text = format!(
        "tick {}  watermark {}  racks {}  unmapped metrics {}\n",
        status.tick.as_deref().unwrap_or("-"),
        status.watermark.as_deref().unwrap_or("-"),
        status.racks.len(),
        status.unmapped_series
    );
    text += &drawn(&header, rows);
    for never in &status.never_seen {
        text += &format!("\nnever seen: {never}");
    }
    text
}

fn row(rack: &RackStatus) -> Vec<String> {
    let share = |value: Option<f64>| {
        value.map_or_else(|| "unknown".to_owned(), |share| format!("{:.1} %", share * 100.0))
    };
    vec![
        rack.rack.clone(),
        rack.cooling_loop.clone().unwrap_or_else(|| "-".to_owned()),
        if rack.declared { "yes" } else { "undeclared" }.to_owned(),
        format!("{:.0} s old", rack.watermark_age_seconds),
        share(rack.coverage),
        rack.worst_objective.clone().unwrap_or_else(|| "-".to_owned()),
        share(rack.budget_left),
        rack.burn_rate.map_or_else(|| "-".to_owned(), |burn| format!("{burn:.1}")),
        if rack.findings.is_empty() { "-".to_owned() } else { rack.findings.join(" ") },
        rack.alerts_firing.to_string(),
        judged(&rack.state),
    ]
}
