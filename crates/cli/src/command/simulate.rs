//! `thermogate simulate`: a scenario to a file, or to a port that Prometheus scrapes.

mod scrape; // Prometheus' text form, in real time

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use simulator::{Reading, Scenario, Simulation};

use crate::arguments::SimulateArguments;
use crate::failure::Failure;
use crate::{documents, output};

/// Runs the command.
pub fn run(arguments: &SimulateArguments) -> Result<u8, Failure> {
    let mut scenario = match &arguments.scenario {
        Some(path) => Scenario::read(&documents::read_one(path)?)
            .map_err(|error| Failure::bad_input(error.to_string()))?,
        None => Scenario::demo(1),
    };
    scenario.seed = arguments.seed.unwrap_or(scenario.seed);
    match (&arguments.out, arguments.scrape) {
        (Some(_), Some(_)) => Err(Failure::bad_input("give --out or --scrape, not both")),
        (Some(path), None) if documents::has_extension(path, &["parquet"]) => parquet(&scenario, path),
        (Some(path), None) => {
            let file = std::fs::File::create(path)
                .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))?;
            csv(&scenario, std::io::BufWriter::new(file))
        }
        (None, Some(address)) => scrape::serve(scenario, address),
        (None, None) => csv(&scenario, std::io::BufWriter::new(std::io::stdout().lock())),
    }
}

/// The long form that `replay` and `import` read.
fn csv(scenario: &Scenario, mut out: impl Write) -> Result<u8, Failure> {
    let mut simulation = Simulation::new(scenario);
    let mut readings = Vec::new();
    let written = (|| {
        writeln!(out, "time,site,loop,rack,node,device,sensor,signal,value")?;
        while simulation.step(&mut readings).is_some() {
            for reading in readings.drain(..) {
                let place = &reading.place;
                let text = |name: &Option<telemetry::Name>| name.as_deref().unwrap_or_default().to_owned();
                writeln!(
                    out,
                    "{},{},{},{},{},{},{},{},{}",
                    reading.time,
                    place.site,
                    text(&place.cooling_loop),
                    text(&place.rack),
                    text(&place.node),
                    text(&place.device),
                    text(&reading.sensor),
                    reading.signal,
                    reading.value
                )?;
            }
        }
        out.flush()
    })();
    output::settled(written)?;
    Ok(0)
}

/// The same as Parquet.
fn parquet(scenario: &Scenario, path: &Path) -> Result<u8, Failure> {
    /// Readings of one row group.
    const GROUP: usize = 131_072;
    let failed = |error: &dyn std::fmt::Display| Failure::bad_input(format!("{}: {error}", path.display()));
    let file = std::fs::File::create(path).map_err(|error| failed(&error))?;
    let mut writer = ArrowWriter::try_new(file, batch(&[]).schema(), None).map_err(|error| failed(&error))?;
    let mut simulation = Simulation::new(scenario);
    let (mut instant, mut readings) = (Vec::new(), Vec::new());
    loop {
        let more = simulation.step(&mut instant).is_some();
        readings.append(&mut instant);
        if readings.len() >= GROUP || !more {
            writer.write(&batch(&readings)).map_err(|error| failed(&error))?;
            readings.clear();
        }
        if !more {
            break;
        }
    }
    writer.close().map_err(|error| failed(&error))?;
    Ok(0)
}

fn batch(readings: &[Reading]) -> RecordBatch {
    let names = |name: fn(&Reading) -> Option<&telemetry::Name>| -> ArrayRef {
        Arc::new(readings.iter().map(|reading| name(reading).map(|name| &**name)).collect::<StringArray>())
    };
    let times: TimestampMicrosecondArray =
        readings.iter().map(|reading| Some(reading.time.unix_micros())).collect();
    let columns: [(&str, ArrayRef); 9] = [
        ("time", Arc::new(times.with_timezone("UTC"))),
        ("site", names(|reading| Some(&reading.place.site))),
        ("loop", names(|reading| reading.place.cooling_loop.as_ref())),
        ("rack", names(|reading| reading.place.rack.as_ref())),
        ("node", names(|reading| reading.place.node.as_ref())),
        ("device", names(|reading| reading.place.device.as_ref())),
        ("sensor", names(|reading| reading.sensor.as_ref())),
        ("signal", names(|reading| Some(&reading.signal))),
        ("value", Arc::new(readings.iter().map(|reading| Some(reading.value)).collect::<Float64Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}
