//! Tells Alertmanager (API v2): every peer by itself, each with its own bounded queue, the latest state wins.
//!
//! `evaluator` → transitions → **alerts** → every Alertmanager

mod message; // an alert as Alertmanager takes it
mod peer; // one Alertmanager: what it has to know, and telling it
mod settings; // where and how often

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use telemetry::alert::AlertTransition;

pub use message::{Message, message};
pub use peer::PeerMetrics;
pub use settings::AlertSettings;

use peer::Peer;

/// The client: a cheap handle. Dropping the last one ends its tasks.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

struct Inner {
    settings: AlertSettings,
    peers: Vec<Arc<Peer>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    well: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Alerts {
    /// Starts a task for every peer. Must be called in a tokio runtime.
    pub fn start(settings: AlertSettings) -> Self {
        let peers: Vec<Arc<Peer>> = settings.peers.iter().map(|url| Arc::new(Peer::new(url, &settings))).collect();
        let tasks = peers.iter().map(|peer| tokio::spawn(peer.clone().run())).collect();
        Self(Arc::new(Inner { settings, peers, tasks, well: AtomicBool::new(false) }))
    }

    /// Notes the latest state of an alert for every peer. Never waits.
    ///
    /// Firing and held alerts are sent again and again, resolved ones for a while; what is inactive, pending or
    /// suppressed is not told to anybody.
    pub fn update(&self, transition: &AlertTransition) {
        let message = message(transition, &self.0.settings.external_url);
        for peer in &self.0.peers {
            peer.note(message.clone());
        }
    }

    /// Fires the watchdog while all is well, and lets it resolve when it is not: then whoever waits for it pages.
    pub fn watchdog(&self, well: bool) {
        let Some(watchdog) = &self.0.settings.watchdog else { return };
        if self.0.well.swap(well, Ordering::Relaxed) || well {
            let message = message::watchdog(watchdog, &self.0.settings, well);
            for peer in &self.0.peers {
                peer.note(message.clone());
            }
        }
    }

    /// How it goes with every peer.
    pub fn metrics(&self) -> Vec<PeerMetrics> {
        self.0.peers.iter().map(|peer| peer.metrics()).collect()
    }
}
