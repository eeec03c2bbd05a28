//! `thermogate.backtest.v1.BacktestService`.

use std::pin::Pin;
use std::sync::Arc;

use gate::{CheckResult, Verdict};
use history::query::QueryEngine;
use telemetry::Microseconds;
use telemetry::record::Document;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;
use wire::backtest::v1 as pb;
use wire::backtest::v1::backtest_service_server::BacktestService;

use super::{convert, error_info, status};
use crate::board::Board;
use crate::past::{self, Answers, Change, NotTried, PastError, Trial, Tried, WARM_UP};
use crate::pipeline::control::ControlError;
use crate::question::Question;
use crate::settings::Settings;
use crate::shared::{self, Answer};

/// Runs that are looked back at.
const RUNS_MAX: u32 = 1_000;

/// The backtest service over the shared state.
pub struct BacktestApi {
    history: OwnHistory,
    settings: Settings,
    /// Threads that no gate and no ingest waits for.
    threads: Handle,
    /// A backtest evaluates whole runs again: one at a time.
    turn: Arc<Semaphore>,
}

impl BacktestApi {
    /// On these threads, with the settings that documents are checked by.
    pub fn new(engine: QueryEngine, board: Arc<Board>, settings: Settings, threads: Handle) -> Self {
        let history = OwnHistory { engine, board };
        Self { history, settings, threads, turn: Arc::new(Semaphore::new(1)) }
    }
}

/// The service's own history.
#[derive(Clone)]
struct OwnHistory {
    engine: QueryEngine,
    board: Arc<Board>,
}

impl Answers for OwnHistory {
    async fn answer(&self, sql: String) -> Result<Answer, PastError> {
        let question = Question { sql: Some(sql), query: None, parameters: Default::default() };
        let answered = shared::ask(&self.engine, &question, self.board.progress().watermark).await;
        answered.map_err(|error| PastError::Unreachable(error.to_string()))
    }
}

/// What is asked, read.
struct Asked {
    trial: Trial,
    runs: Runs,
    warm_up: Microseconds,
}

enum Runs {
    Last(usize),
    Named(Vec<String>),
}

fn asked(request: pb::BacktestRequest) -> Result<Asked, ControlError> {
    let pb::BacktestRequest { objectives, policy, run_ids, last, warm_up } = request;
    let document = |document: pb::Document| Document { name: document.name, text: document.text };
    let field =
        |field: &'static str, message: &str| ControlError::Field { field, message: message.to_owned() };
    let runs = match (last, run_ids.is_empty()) {
        (0, true) => return Err(field("run_ids", "is empty: name runs, or ask for the `last` 1 to 1,000")),
        (0, false) => Runs::Named(run_ids),
        (1..=RUNS_MAX, true) => Runs::Last(last as usize),
        (_, true) => return Err(field("last", "must be 1 to 1,000")),
        (_, false) => return Err(field("last", "must be 0 when `run_ids` names runs")),
    };
    let trial =
        Trial { objectives: objectives.into_iter().map(document).collect(), policy: policy.map(document) };
    Ok(Asked { trial, runs, warm_up: convert::length("warm_up", warm_up)?.unwrap_or(WARM_UP) })
}

fn refused(error: PastError) -> Status {
    match error {
        PastError::Refused(message) => {
            Status::with_error_details(Code::FailedPrecondition, message, error_info("NOT_TRIED", &[]))
        }
        PastError::Unreachable(message) => {
            Status::with_error_details(Code::Unavailable, message, error_info("UNAVAILABLE", &[]))
        }
    }
}

fn judged(verdict: &Verdict, stored: bool) -> pb::Judged {
    pb::Judged {
        policy: verdict.policy.to_string(),
        verdict: verdict.verdict.name().to_owned(),
        reason: verdict.reason.clone(),
        watermark: Some(convert::timestamp(verdict.watermark)),
        stored,
    }
}

fn change(change: &Change) -> pb::Change {
    let row = |row: &CheckResult| pb::Row {
        verdict: row.verdict.name().to_owned(),
        observed: row.observed,
        threshold: row.threshold,
        unit: row.unit.to_string(),
        reason: row.reason.clone(),
    };
    pb::Change {
        rack: change.rack.to_string(),
        check: change.check.to_string(),
        old: change.old.as_ref().map(row),
        new: change.new.as_ref().map(row),
    }
}

fn answer(run: &str, racks: &[telemetry::Name], tried: &Tried) -> pb::BacktestResponse {
    pb::BacktestResponse {
        run_id: run.to_owned(),
        racks: racks.iter().map(ToString::to_string).collect(),
        old: Some(judged(&tried.old, tried.is_stored)),
        new: Some(judged(&tried.new, false)),
        changes: tried.changes.iter().map(change).collect(),
        notes: tried.notes.clone(),
        not_tried: String::new(),
    }
}

/// Tries all runs, on a thread that may block. Ends early when nobody listens any more.
fn try_all(
    runtime: &Handle,
    source: &OwnHistory,
    settings: &Settings,
    asked: Asked,
    told: &mpsc::Sender<Result<pb::BacktestResponse, Status>>,
) -> Result<(), Status> {
    let (runs, are_named) = match asked.runs {
        Runs::Named(runs) => (runs, true),
        Runs::Last(count) => {
            let latest = runtime.block_on(past::latest_ended(source, count)).map_err(refused)?;
            (latest.iter().map(ToString::to_string).collect(), false)
        }
    };
    for run in &runs {
        let tried = past::backtest_run(runtime, source, run, asked.warm_up, &asked.trial, settings);
        let answer = match tried {
            Ok((racks, tried)) => answer(run, &racks, &tried),
            // One of many whose records are not kept any more is told, and the others are tried.
            Err(NotTried::OfRun(PastError::Refused(why))) if !are_named => {
                pb::BacktestResponse { run_id: run.clone(), not_tried: why, ..Default::default() }
            }
            Err(NotTried::OfRun(error)) => return Err(refused(error)),
            Err(NotTried::OfDocuments(error)) => {
                let message = error.to_string();
                return Err(status(&ControlError::Field { field: "objectives", message }));
            }
        };
        if told.blocking_send(Ok(answer)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl BacktestService for BacktestApi {
    type BacktestStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::BacktestResponse, Status>> + Send>>;

    async fn backtest(
        &self,
        request: Request<pb::BacktestRequest>,
    ) -> Result<Response<Self::BacktestStream>, Status> {
        let asked = asked(request.into_inner()).map_err(|error| status(&error))?;
        let turn = self.turn.clone().try_acquire_owned().map_err(|_| {
            let message = "another backtest is being worked on: come again when it has ended";
            Status::with_error_details(Code::ResourceExhausted, message, error_info("BUSY", &[]))
        })?;
        let (told, answers) = mpsc::channel(1);
        let (runtime, source, settings) = (self.threads.clone(), self.history.clone(), self.settings.clone());
        self.threads.spawn_blocking(move || {
            let tried = try_all(&runtime, &source, &settings, asked, &told);
            // Whoever is told that this one has ended may begin the next.
            drop(turn);
            if let Err(status) = tried {
                // Whoever has gone needs no reason.
                let _ = told.blocking_send(Err(status));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}
