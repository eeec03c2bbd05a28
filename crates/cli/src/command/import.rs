//! `thermogate import`: recorded files into a data folder, for SQL over them.

use std::collections::VecDeque;
use std::sync::Arc;

use service::running::Running;
use service::settings::Settings;
use telemetry::EventTime;

use super::serve::{abort_on_panic, log_to_stderr};
use crate::arguments::ImportArguments;
use crate::failure::Failure;
use crate::output::print_line;
use crate::{client, files};

/// Runs the command.
pub fn run(arguments: &ImportArguments) -> Result<u8, Failure> {
    log_to_stderr(false);
    abort_on_panic();
    client::runtime()?.block_on(import(arguments))
}

async fn import(arguments: &ImportArguments) -> Result<u8, Failure> {
    let mut flags =
        vec![format!("data.folder={}", arguments.data.display()), "clock.kind=telemetry".to_owned()];
    flags.extend(service::settings::PORTS.map(|port| format!("listen.{port}=127.0.0.1:0")));
    flags.extend(arguments.files.site.iter().map(|site| format!("documents.site={}", site.display())));
    let mappings: Vec<String> =
        arguments.files.mapping.iter().map(|path| path.display().to_string()).collect();
    flags.push(format!("documents.mappings={}", mappings.join(",")));
    let settings = Settings::load(None, std::iter::empty(), &flags)?;
    let texts = service::configuration::Texts::read(&settings)
        .map_err(|error| Failure::bad_input(error.to_string()))?;
    let parsed = service::configuration::parse(texts, &settings)
        .map_err(|error| Failure::bad_input(error.to_string()))?;
    let source = files::open(&arguments.files, &Arc::new(parsed.resolver))?;
    let running = Running::start(settings).await.map_err(|error| Failure::bad_input(error.to_string()))?;
    let imported = take_in(source, &running).await;
    running.end().await;
    let Imported { rows, readings, unreadable } = imported?;
    print_line!("imported {readings} readings of {rows} rows into {}", arguments.data.display());
    if unreadable > 0 {
        print_line!("{unreadable} rows could not be read and were passed over");
    }
    print_line!("ask with: thermogate sql --data {} 'select * from rack_now'", arguments.data.display());
    Ok(0)
}

/// What became of the rows.
#[derive(Default)]
struct Imported {
    rows: u64,
    readings: u64,
    unreadable: u64,
}

impl Imported {
    fn count(&mut self, report: &ingest::Report) {
        self.readings += report.accepted;
        let refused = report.refusal_text();
        if !refused.is_empty() {
            eprintln!("thermogate: {refused}");
        }
    }
}

async fn take_in(mut source: ingest::files::FileSource, running: &Running) -> Result<Imported, Failure> {
    /// Groups of rows that wait for the log's sync at a time.
    const AHEAD: usize = 128;
    let pipeline = &running.shared.pipeline;
    let failed = |error: ingest::IntakeError| Failure::unreachable(error.to_string());
    let mut imported = Imported::default();
    let mut last = None;
    let mut queued = VecDeque::with_capacity(AHEAD);
    for group in source.by_ref() {
        let group = group.map_err(|error| Failure::bad_input(error.to_string()))?;
        imported.rows += group.rows.len() as u64;
        last = last.max(Some(group.time));
        queued.push_back(pipeline.queue_up(&group.decoded).await.map_err(failed)?);
        if queued.len() == AHEAD
            && let Some(oldest) = queued.pop_front()
        {
            imported.count(&pipeline.synced(oldest).await.map_err(failed)?);
        }
    }
    for rest in queued {
        imported.count(&pipeline.synced(rest).await.map_err(failed)?);
    }
    for row in source.unreadable() {
        eprintln!("thermogate: file {} line {} passed over: {}", row.file + 1, row.line, row.message);
    }
    pipeline
        .finish(last.unwrap_or(EventTime::MINIMUM))
        .await
        .map_err(|refused| Failure::unreachable(refused.message))?;
    imported.unreadable = source.unreadable_rows();
    Ok(imported)
}
