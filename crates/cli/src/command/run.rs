//! `thermogate run`: tests and deployments on racks.

use prost_types::Timestamp;
use wire::run::v1::{EndRunRequest, ListRunsRequest, MarkEventRequest, Run, RunState, StartRunRequest};

use crate::arguments::{Output, RunCommand};
use crate::client;
use crate::failure::Failure;
use crate::output::print_line;
use crate::terminal;

/// Runs the command.
pub fn run(command: RunCommand) -> Result<u8, Failure> {
    client::runtime()?.block_on(answer(command))
}

async fn answer(command: RunCommand) -> Result<u8, Failure> {
    match command {
        RunCommand::Start { service, run, rack, stage, versions, planned, replace } => {
            let versions = versions
                .iter()
                .map(|version| name_and_value("--version", version))
                .collect::<Result<_, _>>()?;
            let planned = planned.as_deref().map(|text| duration("--planned", text)).transpose()?;
            let request =
                StartRunRequest { run_id: run, racks: rack, stage, versions, planned, time: None, replace };
            let started = client::runs(&service).await?.start_run(request).await?.into_inner();
            print("started", started.run);
        }
        RunCommand::End { service, run, aborted } => {
            let request = EndRunRequest { run_id: run, aborted, time: None };
            let ended = client::runs(&service).await?.end_run(request).await?.into_inner();
            print(if aborted { "aborted" } else { "ended" }, ended.run);
        }
        RunCommand::Mark { service, run, text } => {
            let request = MarkEventRequest { run_id: run, text, time: None };
            let marked = client::runs(&service).await?.mark_event(request).await?.into_inner();
            print("marked", marked.run);
        }
        RunCommand::List { service, rack, output } => {
            let request = ListRunsRequest {
                page_size: 1000,
                rack: rack.unwrap_or_default(),
                ..ListRunsRequest::default()
            };
            let runs = client::runs(&service).await?.list_runs(request).await?.into_inner().runs;
            list(&runs, output)?;
        }
    }
    Ok(0)
}

fn print(what: &str, run: Option<Run>) {
    if let Some(run) = run {
        print_line!(
            "run {} {what}: {} on {}, from {}",
            run.run_id,
            run.stage,
            run.racks.join(", "),
            time(run.start.as_ref())
        );
    }
}

fn list(runs: &[Run], output: Output) -> Result<(), Failure> {
    match output {
        Output::Text => {
            let rows = runs.iter().map(|run| {
                let state = state(run);
                vec![
                    run.run_id.clone(),
                    state.to_owned(),
                    run.stage.clone(),
                    run.racks.join(" "),
                    time(run.start.as_ref()),
                    time(run.end.as_ref()),
                ]
            });
            terminal::table(&["run", "state", "stage", "racks", "start", "end"], rows);
        }
        Output::Json => {
            for run in runs {
                let value = serde_json::json!({
                    "run": run.run_id, "state": state(run), "stage": run.stage, "racks": run.racks, "versions": run.versions,
                    "start": time(run.start.as_ref()), "planned_end": time(run.planned_end.as_ref()), "end": run.end.as_ref().map(|end| time(Some(end))),
                });
                print_line!("{value}");
            }
        }
        Output::Junit | Output::Markdown => {
            return Err(Failure::bad_input("`run list` prints --output text or json"));
        }
    }
    Ok(())
}

fn state(run: &Run) -> &'static str {
    match run.state() {
        RunState::Unspecified => "unknown",
        RunState::Active => "active",
        RunState::Ended => "ended",
        RunState::Aborted => "aborted",
        RunState::Abandoned => "abandoned",
    }
}

/// `name=value`.
pub fn name_and_value(flag: &str, text: &str) -> Result<(String, String), Failure> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Failure::bad_input(format!("{flag} {text:?}: write NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A length of time such as `30m`.
pub fn duration(flag: &str, text: &str) -> Result<prost_types::Duration, Failure> {
    let length: telemetry::Microseconds =
        text.parse().map_err(|message| Failure::bad_input(format!("{flag}: {message}")))?;
    Ok(prost_types::Duration {
        seconds: length.get() / 1_000_000,
        nanos: (length.get() % 1_000_000 * 1_000) as i32,
    })
}

/// A time in RFC 3339.
pub fn timestamp(flag: &str, text: &str) -> Result<Timestamp, Failure> {
    let time = telemetry::EventTime::from_rfc3339(text)
        .map_err(|message| Failure::bad_input(format!("{flag}: {message}")))?;
    let micros = time.unix_micros();
    Ok(Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32,
    })
}

/// RFC 3339, or `-` for none.
pub fn time(timestamp: Option<&Timestamp>) -> String {
    timestamp.map_or_else(
        || "-".to_owned(),
        |time| {
            telemetry::EventTime::from_unix_micros(time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000)
                .to_string()
        },
    )
}
