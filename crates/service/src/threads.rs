//! Threads for one kind of work, so that the system shares the cores between kinds: a burst of telemetry keeps no gate
//! waiting.

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
