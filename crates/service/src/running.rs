//! A running service: started in one go or not at all, ended in the order of the flow.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alerts::Alerts;
use axum::Router;
use evaluator::objective_document::RemarkLevel;
use history::lock::FolderLock;
use history::{Budget, History, MaintenanceReport};
use ingest::otlp::grpc::MetricsServer;
use ingest::{Front, HttpIntake, RequestLimits};
use telemetry::EventTime;
use telemetry::record::{Body, PartitionId, Record};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::access::{self, Access};
use crate::advice::desk::Desk;
use crate::board::Board;
use crate::configuration::{self, Documents, Texts};
use crate::gates::Gates;
use crate::lookup::Lookup;
use crate::metrics::{Id, Metrics};
use crate::net::{self, ConnectionLimits, Port};
use crate::pipeline::committer::Committer;
use crate::pipeline::control::Control;
use crate::pipeline::engine::{Loop, Outlets};
use crate::pipeline::recovery::{Recovered, recover};
use crate::pipeline::writer::Writer;
use crate::pipeline::{Pipeline, Start};
use crate::settings::{AlertSettings, Clock, HistorySettings, Length, Settings};
use crate::shared::Shared;
use crate::sql::{flight, postgres::Postgres};
use crate::tell::Tell;
use crate::threads::{Threads, Turn};
use crate::{grpc, http};

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Documents.
    #[error(transparent)]
    Configuration(#[from] configuration::ConfigurationError),
    /// Access.
    #[error(transparent)]
    Access(#[from] access::AccessError),
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] history::lock::FolderError),
    /// The store.
    #[error(transparent)]
    History(#[from] history::HistoryError),
    /// Log and checkpoints.
    #[error(transparent)]
    Recovery(#[from] crate::pipeline::recovery::RecoveryError),
    /// A port.
    #[error("{0}")]
    Port(String),
    /// Everything else of the system's.
    #[error("{0}")]
    System(String),
}

/// The addresses of the ports, as bound.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// Gates and runs.
    pub grpc: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// SQL by the Postgres wire.
    pub postgres: SocketAddr,
}

/// A service that runs until it is told to end.
pub struct Running {
    /// Its ports.
    pub addresses: Addresses,
    /// What its servers share.
    pub shared: Arc<Shared>,
    /// Whether it answers with TLS.
    pub tls: bool,
    /// Warnings of the documents.
    pub warnings: Vec<String>,
    /// Log records that were replayed at the start.
    pub replayed: u64,
    stop: watch::Sender<bool>,
    ports: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    committer: JoinHandle<()>,
    _threads_of_kinds: [Threads; 5],
    pipeline: Arc<Pipeline>,
    _lock: FolderLock,
}

/// Threads that judge gate questions.
const GATE_THREADS: usize = 1;
/// Threads that forecast and compare: one question at a time.
const ADVISORY_THREADS: usize = 1;
/// Threads that write rows to the store, and tend it.
const STORE_THREADS: usize = 2;
/// A connection on which nothing moves for so long is ended, the longest answer's time added. Prometheus and Go's clients
/// keep unused connections for five minutes at most, others for less.
const IDLE: Duration = Duration::from_secs(300);

impl Running {
    /// Starts everything, or nothing.
    ///
    /// # Errors
    /// [`StartError`], each with what, where and how to mend it.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let access = Access::open(&settings.access, &settings.listen)?;
        let tls = net::tls(&settings.access, net::HTTP_PROTOCOLS)?;
        let postgres_tls = net::tls(&settings.access, net::POSTGRES_PROTOCOLS)?;
        let Documents { configuration, policies, resolver, remarks } =
            configuration::parse(Texts::read(&settings)?, &settings)?;
        let mut lock = FolderLock::take_or_make(&settings.data.folder)?;
        let listen = &settings.listen;
        let port =
            |setting, address| async move { Port::bind(setting, address).await.map_err(StartError::Port) };
        let ports = [
            port("listen.otlp_grpc", listen.otlp_grpc).await?,
            port("listen.otlp_http", listen.otlp_http).await?,
            port("listen.grpc", listen.grpc).await?,
            port("listen.http", listen.http).await?,
        ];
        let postgres_port = port("listen.postgres", listen.postgres).await?;
        let [otlp_grpc, otlp_http, grpc_port, http_port] = ports.each_ref().map(|port| port.address);
        let addresses = Addresses {
            otlp_grpc,
            otlp_http,
            grpc: grpc_port,
            http: http_port,
            postgres: postgres_port.address,
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        lock.tell_address(&format!("{scheme}://{http_port}"))?;

        let metrics = Arc::new(Metrics::new());
        let board = Arc::new(Board::default());
        let tell = Tell::new(alerts_for(&settings, http_port)?);
        if let Some(alerts) = tell.alerts() {
            // What the log tells again is how things were.
            alerts.hold_back();
        }
        let history = History::open(&settings.store_url(), crate::history_settings(&settings, false)).await?;
        let outlets = Outlets {
            history: history.clone(),
            board: board.clone(),
            tell: tell.clone(),
            metrics: metrics.clone(),
        };
        let folder = settings.data.folder.clone();
        let durability = settings.log.durability;
        let recovering = {
            let history = history.clone();
            tokio::task::spawn_blocking(move || recover(&folder, &history, durability, outlets))
        };
        let Recovered { log, checkpoints, engine, replayed } =
            recovering.await.map_err(|error| StartError::System(error.to_string()))??;
        if let Some(alerts) = tell.alerts() {
            alerts.go_on();
        }

        let mut front = Front::new(resolver, crate::front_limits(&settings));
        let declarations = engine.evaluator.declarations();
        front.restore(declarations.map(|(partition, declaration)| (partition, declaration.clone())));
        engine.evaluator.told().for_each(|event| front.restore_event(event));
        let in_force = engine.evaluator.configuration_hash() == configuration.hash;
        let last_tick = engine.evaluator.last_tick();
        let (entries, waiting) = mpsc::unbounded_channel();
        let (synced_in, synced_out) = std_mpsc::channel();
        let (work_in, work_out) = mpsc::channel(1);
        let writer = Writer {
            log: log.clone(),
            entries: waiting,
            synced: synced_in,
            clock: settings.clock.kind,
            last_tick,
            group_bytes_max: settings.log.group_bytes_max,
            metrics: metrics.clone(),
        };
        let evaluating = Loop {
            engine,
            synced: synced_out,
            work: work_in,
            checkpoints: checkpoints.clone(),
            settings: settings.history.clone(),
        };
        let committer = Committer {
            history: history.clone(),
            log,
            checkpoints,
            work: work_out,
            metrics: metrics.clone(),
        };
        let start_threads = |kind, count, turn| {
            Threads::start(kind, count, turn)
                .map_err(|error| StartError::System(format!("no threads for {kind}: {error}")))
        };
        let gate_threads = start_threads("gate", GATE_THREADS, Turn::First)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ingest_threads = start_threads("ingest", cores, Turn::Second)?;
        let query_threads = start_threads("query", cores, Turn::Second)?;
        let advisory_threads = start_threads("advisory", ADVISORY_THREADS, Turn::Last)?;
        // Apart from connections: files are encoded for some hundredths of a second at a time.
        let store_threads = start_threads("store", STORE_THREADS, Turn::Last)?;
        let committer = store_threads.handle().spawn(committer.run());
        let threads = vec![
            thread("log", Turn::First, move || writer.run())?,
            thread("evaluator", Turn::Second, move || evaluating.run())?,
        ];
        let pipeline = Arc::new(Pipeline::new(Start {
            front,
            entries,
            room_bytes: settings.ingest.queue_bytes_max,
            clock: settings.clock.kind,
            allowed_lateness: settings.clock.allowed_lateness.0,
            last_tick,
            board: board.clone(),
            history: history.clone(),
            tell,
            metrics,
        }));
        if !in_force {
            let record =
                Record { partition: PartitionId::STREAM, body: Body::Configuration(Box::new(configuration)) };
            pipeline
                .append_and_apply(vec![record])
                .await
                .map_err(|refused| StartError::System(refused.message))?;
        }

        let queries = history.query_engine();
        let lookup = Lookup::new(queries.apart(), board);
        lookup.remember_verdicts().await.map_err(|error| StartError::System(error.to_string()))?;
        let control = Arc::new(Control::new(pipeline.clone(), lookup.clone(), settings.clone()));
        let gates = Arc::new(Gates::new(
            gate_threads.handle().clone(),
            pipeline.clone(),
            control.clone(),
            lookup.clone(),
            policies,
        ));
        let desk = Desk::new(
            advisory_threads.handle().clone(),
            queries.apart(),
            pipeline.board.clone(),
            pipeline.metrics.clone(),
        );
        let desk = Arc::new(desk);
        let backtests = grpc::BacktestApi::new(
            queries.apart(),
            pipeline.board.clone(),
            settings.clone(),
            advisory_threads.handle().clone(),
        );
        let shared = Arc::new(Shared {
            pipeline: pipeline.clone(),
            control,
            gates,
            lookup,
            queries,
            ready: AtomicBool::new(true),
        });
        let (stop, stopping) = watch::channel(false);
        let (health, health_service) = tonic_health::server::health_reporter();
        for service in grpc::SERVICES.iter().copied().chain([""]) {
            health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
        }
        let limits = RequestLimits {
            request_bytes: settings.ingest.request_bytes_max,
            decompressed_bytes: settings.ingest.decompressed_bytes_max,
        };
        let intake =
            HttpIntake { intake: pipeline.clone(), limits, threads: ingest_threads.handle().clone() };
        let otlp_http_routes = ingest::otlp::http::router(intake.clone());
        let remote_write_routes = ingest::remote_write::server::router(intake);
        let routers: [Router; 4] = [
            ingest_threads
                .serve(Routes::new(MetricsServer::new(pipeline.clone(), limits)).into_axum_router()),
            otlp_http_routes.clone(),
            grpc::routes(shared.clone(), desk, backtests, health_service)
                .map_err(|error| StartError::System(error.to_string()))?
                .merge(query_threads.serve(grpc::flight_route(flight::server(
                    shared.clone(),
                    access.clone(),
                    limits,
                )))),
            http::router(shared.clone())
                .merge(query_threads.serve(http::sql_router(shared.clone())))
                .merge(remote_write_routes)
                .merge(otlp_http_routes),
        ];
        let postgres = Postgres {
            shared: shared.clone(),
            access: access.clone(),
            tls: postgres_tls,
            connections_max: settings.query.connections_max,
            threads: query_threads.handle().clone(),
        };
        let postgres = postgres
            .serve(postgres_port, stopping.clone())
            .map_err(|error| StartError::System(error.strip_backtrace()))?;
        let connections_max = settings.listen.connections_max.min(Semaphore::MAX_PERMITS);
        crate::open_files::allow(
            connections_max.saturating_mul(routers.len()).saturating_add(settings.query.connections_max),
        );
        let longest_answer =
            Length(http::WAIT_MAX).duration().max(Duration::from_secs(settings.query.seconds_max));
        let connection_limits = ConnectionLimits { connections_max, idle: IDLE + longest_answer };
        let serving = ports
            .into_iter()
            .zip(routers)
            .map(|(port, router)| {
                let router =
                    router.layer(axum::middleware::from_fn_with_state(access.clone(), access::authorise));
                tokio::spawn(port.serve(router, tls.clone(), connection_limits, stopping.clone()))
            })
            .chain([tokio::spawn(postgres)])
            .collect();
        let facts = shared.pipeline.board.racks();
        let never_seen = crate::status::never_seen(facts.iter().map(|facts| &**facts));
        let never_seen = never_seen.into_iter().map(|objective| objective.to_string());
        let mut background = vec![
            store_threads.handle().spawn(tend(
                history,
                shared.clone(),
                settings.history.clone(),
                stopping.clone(),
            )),
            tokio::spawn(watch_time(shared.clone(), stopping.clone())),
            tokio::spawn(say_not_serving(health, stopping.clone())),
        ];
        if settings.clock.kind == Clock::Wall {
            background.push(tokio::spawn(tick_every_second(pipeline.clone(), stopping.clone())));
        }
        Ok(Self {
            addresses,
            shared,
            tls: tls.is_some(),
            warnings: remarks
                .iter()
                .filter(|remark| remark.level == RemarkLevel::Warning)
                .map(ToString::to_string)
                .chain(never_seen)
                .collect(),
            replayed,
            stop,
            ports: serving,
            background,
            threads,
            committer,
            _threads_of_kinds: [gate_threads, ingest_threads, query_threads, advisory_threads, store_threads],
            pipeline,
            _lock: lock,
        })
    }

    /// Ends in the order of the flow: no more requests, the log runs dry, the evaluator runs dry, rows and a
    /// checkpoint go to the store.
    pub async fn end(self) {
        self.shared.ready.store(false, Ordering::Relaxed);
        // An error means that all receivers have ended already.
        let _ = self.stop.send(true);
        let last_answers = tokio::time::Instant::now() + Duration::from_secs(10);
        for port in self.ports {
            let _ = tokio::time::timeout_at(last_answers, port).await;
        }
        for task in self.background {
            task.abort();
        }
        self.pipeline.close();
        let alerts = self.pipeline.tell.alerts().cloned();
        drop(self.shared);
        drop(self.pipeline);
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread ended with a panic");
                }
            }
        });
        let _ = joined.await;
        let _ = self.committer.await;
        if let Some(alerts) = alerts {
            // Alertmanager hears the last word, if it listens; else it is told after the next start.
            alerts.close(Duration::from_secs(2)).await;
        }
    }
}

fn thread(
    name: &str,
    turn: Turn,
    work: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(format!("thermogate-{name}"))
        .spawn(move || {
            turn.take();
            work();
        })
        .map_err(|error| StartError::System(format!("no thread for the {name}: {error}")))
}

fn alerts_for(settings: &Settings, http: SocketAddr) -> Result<Option<Alerts>, StartError> {
    let AlertSettings { alertmanagers, resend_every, external_url, watchdog } = &settings.alerts;
    if alertmanagers.is_empty() {
        return Ok(None);
    }
    let alerts = alerts::AlertSettings {
        peers: alertmanagers.clone(),
        resend_every: resend_every.duration(),
        external_url: if external_url.is_empty() { format!("http://{http}") } else { external_url.clone() },
        watchdog: (!watchdog.is_empty()).then(|| watchdog.clone()),
        site: settings.site.name.clone(),
        ..alerts::AlertSettings::default()
    };
    alerts.check().map_err(|error| StartError::System(format!("settings: {error}")))?;
    Ok(Some(Alerts::start(alerts)))
}

/// The wall clock, once a second: the only place where time enters.
async fn tick_every_second(pipeline: Arc<Pipeline>, mut stop: watch::Receiver<bool>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            _ = stop.changed() => return,
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        if let Err(refused) = pipeline.tick(EventTime::from_unix_micros(now)).await {
            tracing::warn!(%refused, "a tick was not written; the next one makes up for it");
        }
    }
}

/// Compaction, retention and cleanup of the store.
async fn tend(
    history: History,
    shared: Arc<Shared>,
    settings: HistorySettings,
    mut stop: watch::Receiver<bool>,
) {
    /// A store is not tended without a pause.
    const PAUSE_MIN: Duration = Duration::from_secs(1);
    let budget = Budget {
        bytes_max: settings.maintenance_bytes_max,
        time_max: settings.maintenance_time_max.duration(),
    };
    loop {
        tokio::select! {
            () = tokio::time::sleep(settings.maintenance_every.duration().max(PAUSE_MIN)) => {}
            _ = stop.changed() => return,
        }
        let Some(tick) = shared.pipeline.board.progress().tick else { continue };
        let (begun, mut report) = (Instant::now(), MaintenanceReport::default());
        let done = history.maintain(tick, budget, &mut report).await;
        shared.pipeline.metrics.note_maintenance(begun.elapsed(), &report);
        if let Err(error) = done {
            shared.pipeline.metrics.add(Id::MaintenanceErrors, &[], 1);
            tracing::error!(%error, "the store was not tended; it is tried again");
        }
    }
}

/// The watchdog of Alertmanager.
async fn watch_time(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    /// How often it looks.
    const LOOK: Duration = Duration::from_secs(15);
    let mut seen = shared.pipeline.board.progress();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.changed() => return,
        }
        let now = shared.pipeline.board.progress();
        if let Some(alerts) = shared.pipeline.tell.alerts() {
            // Time that goes on means: the log syncs, the evaluator follows.
            alerts.watchdog(now.tick > seen.tick);
        }
        seen = now;
    }
}

/// Health says NOT_SERVING before the ports close.
async fn say_not_serving(health: tonic_health::server::HealthReporter, mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_ok() {
        for service in grpc::SERVICES.iter().copied().chain([""]) {
            health.set_service_status(service, tonic_health::ServingStatus::NotServing).await;
        }
    }
}
