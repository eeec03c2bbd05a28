//! Threads for one kind of work, so that the system shares the cores between kinds: a burst of telemetry keeps no gate
//! waiting.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of its own, which ends with the value.
pub struct Threads(Option<Runtime>);

impl Threads {
    /// Starts so many threads, named `thermogate-<name>`.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(name: &str, count: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name(format!("thermogate-{name}"))
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
