//! Tells Alertmanager (API v2): which alerts fire, that they still do, and that they are over.
//!
//! `evaluator` → transitions → **alerts** → every Alertmanager by its own address
//!
//! One book holds the latest state of each alert; each peer has a task of its own that tells what the peer has not
//! heard yet, and again before the peer would forget it. So memory is bounded by the number of alerts, the latest
//! state wins, and a dead peer delays nobody.

mod book; // the latest state of each alert, and when a peer has to hear it
mod message; // an alert as Alertmanager takes it, and what it would refuse
mod peer; // one Alertmanager: batches, back-off, bisection
mod settings; // addresses, times, limits

use std::sync::{Arc, Mutex};
use std::time::Duration;

use telemetry::alert::AlertTransition;
use tokio::sync::watch;

use book::Book;
pub use settings::{AlertSettings, AlertSettingsError, RESEND_EVERY_MAX};

/// The client: cheap to clone; the last clone that goes ends its tasks.
#[derive(Clone)]
pub struct Alerts {
    running: Arc<Running>,
}

/// What all clones share; dropping it closes `changes`, which ends the peers' tasks.
struct Running {
    book: Arc<Mutex<Book>>,
    /// Woken when the book has changed.
    changes: watch::Sender<u64>,
    peers: Vec<(String, Arc<Mutex<peer::Ledger>>)>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

/// How it goes with one Alertmanager.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerMetrics {
    /// Its address.
    pub peer: String,
    /// Alerts that it has taken since the start, repeats included.
    pub sent: u64,
    /// Requests that it did not answer, or with an error that may pass; they are repeated.
    pub failed: u64,
    /// Alerts that it refused; they are tried again now and then, and when they change.
    pub refused: u64,
    /// Alerts whose latest state it has not heard yet.
    pub queued: usize,
    /// How long its last answer took; `None` before the first.
    pub latency: Option<Duration>,
}

/// What the book itself refused, for every peer alike.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BookMetrics {
    /// Alerts that are told now: firing, on hold, or over for less than [`AlertSettings::resolved_kept`].
    pub alerts: usize,
    /// Transitions whose labels Alertmanager would refuse.
    pub invalid: u64,
    /// Transitions beyond [`AlertSettings::alerts_max`]; told by an alert of its own.
    pub dropped: u64,
}

impl Alerts {
    /// Starts a task for each peer. A peer whose address cannot be used is named in the log and never told:
    /// [`AlertSettings::check`] finds it before.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(settings: AlertSettings) -> Self {
        let settings = Arc::new(settings.bounded());
        let book = Arc::new(Mutex::new(Book::new(&settings)));
        let (changes, _) = watch::channel(0);
        let mut peers = Vec::new();
        let mut tasks = Vec::new();
        for address in &settings.peers {
            let ledger = Arc::new(Mutex::new(peer::Ledger::default()));
            peers.push((address.clone(), ledger.clone()));
            match peer::Peer::new(address, settings.clone(), book.clone(), ledger) {
                Ok(peer) => tasks.push(tokio::spawn(peer.run(changes.subscribe()))),
                Err(error) => tracing::error!(peer = address, %error, "this Alertmanager is never told"),
            }
        }
        Self { running: Arc::new(Running { book, changes, peers, tasks: Mutex::new(tasks) }) }
    }

    /// Takes a change of an alert: firing and on hold are told, and that it is over; pending, inactive and
    /// suppressed never are. Never waits for a peer.
    pub fn update(&self, transition: &AlertTransition) {
        self.change(|book| book.update(transition));
    }

    /// Tells nobody anything until [`Alerts::go_on`]: for the time in which a restart goes through what has happened
    /// since its checkpoint. Only how that ends is news; an alert that is over would call people again.
    pub fn hold_back(&self) {
        self.change(|book| book.is_held_back = true);
    }

    /// Ends [`Alerts::hold_back`].
    pub fn go_on(&self) {
        self.change(|book| book.is_held_back = false);
    }

    /// Takes the alerts as they were before a restart.
    pub fn restore(&self, transitions: Vec<AlertTransition>) {
        self.change(|book| transitions.iter().for_each(|transition| book.update(transition)));
    }

    /// Says how the service is. While it is healthy an alert fires that says so; when this says otherwise, or is not
    /// called for [`AlertSettings::watchdog_patience`], it is told no more, and whoever waits for it is paged.
    pub fn watchdog(&self, healthy: bool) {
        self.change(|book| book.watchdog(healthy));
    }

    /// How it goes with each peer, in the order of the settings.
    pub fn metrics(&self) -> Vec<PeerMetrics> {
        let book = self.book();
        let metrics = |(peer, ledger): &(String, Arc<Mutex<peer::Ledger>>)| {
            ledger.lock().expect("no panic under this lock").metrics(peer, &book)
        };
        self.running.peers.iter().map(metrics).collect()
    }

    /// What the book holds and refused.
    pub fn book_metrics(&self) -> BookMetrics {
        self.book().metrics()
    }

    /// Waits until every peer has heard the latest state of all alerts, or until `within` is over; then ends the
    /// tasks. For an orderly shutdown; a crash loses nothing that a restart does not tell again.
    pub async fn close(self, within: Duration) {
        let told = async {
            while self.metrics().iter().any(|peer| peer.queued > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Peers that do not answer are left behind: Alertmanager forgets by itself.
        let _ = tokio::time::timeout(within, told).await;
        for task in self.running.tasks.lock().expect("no panic under this lock").drain(..) {
            task.abort();
        }
    }

    fn change(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.book());
        self.running.changes.send_modify(|version| *version += 1);
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        // A std mutex: held for map look-ups, never across an await.
        self.running.book.lock().expect("no panic under this lock")
    }
}
