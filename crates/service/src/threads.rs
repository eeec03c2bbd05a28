//! Threads for one kind of work, so that the system shares the cores between kinds: a burst of telemetry keeps no gate
//! waiting.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use tokio::runtime::{Builder, Handle, Runtime};

/// Who goes first when more threads have work than there are cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// What somebody waits for and takes a moment: connections, gates, the log.
    First,
    /// What takes the cores: decoding, judging, queries. Neither starves another.
    Second,
    /// What has time: files, and forecasts.
    Last,
}

impl Turn {
    /// Nice values of Linux, see sched(7): at a step of one, the share of a core falls by a fifth.
    const fn nice(self) -> i32 {
        match self {
            Self::First => 0,
            Self::Second => 4,
            Self::Last => 10,
        }
    }

    /// Takes the calling thread's place in the queue. A service that was started with a nice value of its own stays behind
    /// others by as much.
    pub fn take(self) {
        // Elsewhere a nice value is the whole process's.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::nice(self.nice()) {
            tracing::debug!(%error, turn = ?self, "a thread has the same turn as all others");
        }
    }
}

/// A runtime of its own, which ends with the value.
pub struct Threads(Option<Runtime>);

impl Threads {
    /// Starts so many threads, named `thermogate-<name>`, which have that turn.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(name: &str, count: usize, turn: Turn) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name(format!("thermogate-{name}"))
            .on_thread_start(move || turn.take())
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Routes whose requests are worked on here; connections stay where they are served.
    pub fn serve(&self, routes: Router) -> Router {
        let threads = self.handle().clone();
        routes.layer(from_fn(move |request: Request, next: Next| {
            let answer = threads.spawn(next.run(request));
            async move {
                answer.await.unwrap_or_else(|error| {
                    tracing::error!(%error, "a request ended with a panic");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                })
            }
        }))
    }

    /// To give them work.
    pub fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is taken when the value ends").handle()
    }
}

/// A runtime must not be waited for inside another one.
impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
