//! `thermogate calibrate`: sensors compared with a reference, and baselines that are taken anew.

use wire::calibration::v1::{CalibrateRequest, Calibration, CalibrationKind, ListCalibrationsRequest};

use super::run::{time, timestamp};
use crate::arguments::{CalibrateArguments, CalibrateCommand, Output};
use crate::client;
use crate::failure::Failure;
use crate::output::print_line;
use crate::terminal;

/// Runs the command.
pub fn run(arguments: CalibrateArguments) -> Result<u8, Failure> {
    client::runtime()?.block_on(answer(arguments))
}

async fn answer(arguments: CalibrateArguments) -> Result<u8, Failure> {
    if let Some(CalibrateCommand::List { service, rack, cooling_loop, signal, output }) = arguments.command {
        let request = ListCalibrationsRequest {
            page_size: 1000,
            page_token: String::new(),
            rack: rack.unwrap_or_default(),
            r#loop: cooling_loop.unwrap_or_default(),
            signal: signal.unwrap_or_default(),
        };
        let listed = client::calibrations(&service).await?.list_calibrations(request).await?.into_inner();
        list(&listed.calibrations, output)?;
        return Ok(0);
    }
    let (offset, unit) = match arguments.offset.as_deref().map(number_and_unit).transpose()? {
        Some((number, unit)) => (Some(number), unit),
        None => (None, String::new()),
    };
    let request = CalibrateRequest {
        request_id: arguments.request_id,
        rack: arguments.rack.unwrap_or_default(),
        r#loop: arguments.cooling_loop.unwrap_or_default(),
        node: arguments.node.unwrap_or_default(),
        device: arguments.device.unwrap_or_default(),
        signal: arguments.signal.unwrap_or_default(),
        sensor: arguments.sensor.unwrap_or_default(),
        offset,
        unit,
        reference: arguments.reference,
        reset_baselines: arguments.reset,
        by: arguments.by,
        why: arguments.why,
        time: arguments.at.as_deref().map(|at| timestamp("--at", at)).transpose()?,
    };
    let registered = client::calibrations(&arguments.service).await?.calibrate(request).await?.into_inner();
    for calibration in &registered.calibrations {
        let (from, place) = (time(calibration.time.as_ref()), place(calibration));
        match calibration.offset {
            Some(offset) => print_line!(
                "{}: offset {offset} {} in force from {from}",
                sensor(calibration),
                calibration.unit
            ),
            None => print_line!("{place}: baselines are taken anew from {from}"),
        }
    }
    Ok(0)
}

/// `-0.3 K`.
fn number_and_unit(text: &str) -> Result<(f64, String), Failure> {
    let read = text
        .trim()
        .split_once(' ')
        .and_then(|(number, unit)| Some((number.parse().ok()?, unit.trim().to_owned())));
    read.ok_or_else(|| {
        Failure::bad_input(format!("--offset {text:?}: write a number and a unit, such as '-0.3 K'"))
    })
}

fn place(calibration: &Calibration) -> String {
    let levels = [
        ("loop", &calibration.r#loop),
        ("rack", &calibration.rack),
        ("node", &calibration.node),
        ("device", &calibration.device),
    ];
    let named =
        levels.iter().filter(|(_, name)| !name.is_empty()).map(|(level, name)| format!("{level} {name}"));
    named.collect::<Vec<_>>().join(", ")
}

fn sensor(calibration: &Calibration) -> String {
    let name = if calibration.sensor.is_empty() {
        String::new()
    } else {
        format!(", sensor {}", calibration.sensor)
    };
    format!("{} of {}{name}", calibration.signal, place(calibration))
}

fn kind(calibration: &Calibration) -> &'static str {
    match calibration.kind() {
        CalibrationKind::Unspecified => "unknown",
        CalibrationKind::Offset => "offset",
        CalibrationKind::Reset => "reset",
    }
}

fn list(calibrations: &[Calibration], output: Output) -> Result<(), Failure> {
    match output {
        Output::Text => {
            let rows = calibrations.iter().map(|one| {
                let offset =
                    one.offset.map_or_else(|| "-".to_owned(), |offset| format!("{offset} {}", one.unit));
                vec![
                    time(one.time.as_ref()),
                    kind(one).to_owned(),
                    place(one),
                    one.signal.clone(),
                    one.sensor.clone(),
                    offset,
                    one.reference.clone(),
                    one.by.clone(),
                    one.why.clone(),
                ]
            });
            let header = ["from", "kind", "place", "signal", "sensor", "offset", "reference", "by", "why"];
            terminal::table(&header, rows);
        }
        Output::Json => {
            for one in calibrations {
                let value = serde_json::json!({
                    "calibration": one.calibration_id, "time": time(one.time.as_ref()), "kind": kind(one), "rack": one.rack,
                    "loop": one.r#loop, "node": one.node, "device": one.device, "signal": one.signal, "sensor": one.sensor,
                    "offset": one.offset, "unit": one.unit, "reference": one.reference, "by": one.by, "why": one.why,
                });
                print_line!("{value}");
            }
        }
        Output::Junit | Output::Markdown => {
            return Err(Failure::bad_input("`calibrate list` prints --output text or json"));
        }
    }
    Ok(())
}
