//! `thermogate serve`.

use service::running::Running;
use service::settings::{DEFAULT, Settings};

use crate::arguments::ServeArguments;
use crate::client;
use crate::failure::Failure;
use crate::output::print_out;

/// Runs the command.
pub fn run(arguments: &ServeArguments) -> Result<u8, Failure> {
    if arguments.print_settings {
        print_out!("{DEFAULT}");
        return Ok(0);
    }
    let mut flags = arguments.settings.set.clone();
    let paths = [("data.folder", &arguments.data), ("documents.site", &arguments.site)];
    flags.extend(paths.iter().filter_map(|(key, path)| Some(format!("{key}={}", path.as_ref()?.display()))));
    if arguments.insecure {
        flags.push("access.insecure=true".to_owned());
    }
    let settings = Settings::load(arguments.settings.settings.as_deref(), std::env::vars(), &flags)?;
    log_to_stderr(arguments.log_json);
    abort_on_panic();
    client::runtime()?.block_on(serve(settings))
}

/// Logs to stderr; `RUST_LOG` chooses, by default what an operator should see.
pub fn log_to_stderr(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("warn,service=info,history=info,ingest=info,alerts=info")
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}

/// A panic ends the process: a log whose leader has panicked would let its followers wait for ever. One in advice ends
/// that answer alone: it is the work of a library on whatever was asked, and nothing else hangs on it.
pub fn abort_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if std::thread::current().name() != Some(service::advice::desk::THREAD) {
            std::process::abort();
        }
    }));
}

async fn serve(settings: Settings) -> Result<u8, Failure> {
    let insecure = settings.access.insecure;
    let running = Running::start(settings).await.map_err(|error| Failure::bad_input(error.to_string()))?;
    for warning in &running.warnings {
        tracing::warn!("{warning}");
    }
    if insecure {
        tracing::warn!(
            "insecure: anybody who reaches the ports may read, write and decide (access.insecure)"
        );
    }
    let addresses = running.addresses;
    let scheme = if running.tls { "https" } else { "http" };
    eprintln!(
        "thermogate {} is ready: otlp_grpc={scheme}://{} otlp_http={scheme}://{} grpc={scheme}://{} http={scheme}://{} postgres=postgres://{}/thermogate (replayed {} records)",
        env!("CARGO_PKG_VERSION"),
        addresses.otlp_grpc,
        addresses.otlp_http,
        addresses.grpc,
        addresses.http,
        addresses.postgres,
        running.replayed
    );
    asked_to_end().await;
    eprintln!("thermogate is ending: requests are finished, rows go to the store");
    running.end().await;
    Ok(0)
}

/// Returns on Ctrl-C or SIGTERM.
pub async fn asked_to_end() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .expect("SIGTERM can be waited for");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
