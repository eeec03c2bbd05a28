//! What everybody may look at without waiting for the evaluator: facts, alerts, runs, and how far it has come.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use telemetry::alert::{AlertState, AlertTransition};
use telemetry::facts::{RackFacts, RunFacts};
use telemetry::record::Sequence;
use telemetry::{EventTime, Labels, Name};
use tokio::sync::watch;

/// How far the evaluator has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last record that was applied.
    pub sequence: Sequence,
    /// The last tick.
    pub tick: Option<EventTime>,
    /// Up to here event time is final.
    pub watermark: Option<EventTime>,
}

/// Written by the evaluator's thread, read by servers. A std lock: held for map look-ups, never across an await.
pub struct Board {
    facts: RwLock<BTreeMap<Name, Arc<RackFacts>>>,
    loops: RwLock<BTreeMap<Name, Arc<RackFacts>>>,
    alerts: RwLock<BTreeMap<Labels, AlertTransition>>,
    evaluations: RwLock<BTreeMap<String, Name>>,
    progress: watch::Sender<Progress>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            facts: RwLock::default(),
            loops: RwLock::default(),
            alerts: RwLock::default(),
            evaluations: RwLock::default(),
            progress: watch::Sender::new(Progress::default()),
        }
    }
}

impl Board {
    /// Shows newer facts of a rack, or of a loop where there is no rack.
    pub fn publish(&self, facts: Arc<RackFacts>) {
        let (board, name) = match (&facts.place.rack, &facts.place.cooling_loop) {
            (Some(rack), _) => (&self.facts, rack.clone()),
            (None, Some(cooling_loop)) => (&self.loops, cooling_loop.clone()),
            (None, None) => return,
        };
        board.write().expect("no panic under this lock").insert(name, facts);
    }

    /// The facts of a rack.
    pub fn rack(&self, rack: &str) -> Option<Arc<RackFacts>> {
        self.facts.read().expect("no panic under this lock").get(rack).cloned()
    }

    /// The facts of a loop.
    pub fn cooling_loop(&self, name: &str) -> Option<Arc<RackFacts>> {
        self.loops.read().expect("no panic under this lock").get(name).cloned()
    }

    /// All racks in order of their names.
    pub fn racks(&self) -> Vec<Arc<RackFacts>> {
        self.facts.read().expect("no panic under this lock").values().cloned().collect()
    }

    /// Notes an alert's state.
    pub fn note_alert(&self, transition: &AlertTransition) {
        let mut alerts = self.alerts.write().expect("no panic under this lock");
        match transition.to {
            AlertState::Inactive | AlertState::Resolved => {
                alerts.remove(&transition.labels);
            }
            AlertState::Pending | AlertState::Firing | AlertState::UnknownHold | AlertState::Suppressed => {
                alerts.insert(transition.labels.clone(), transition.clone());
            }
        }
    }

    /// Alerts that are pending, firing, held or suppressed, in order of their labels.
    pub fn alerts(&self) -> Vec<AlertTransition> {
        self.alerts.read().expect("no panic under this lock").values().cloned().collect()
    }

    /// The run of that id, as one of its racks knows it: the active one or the last one.
    pub fn run(&self, run: &str) -> Option<RunFacts> {
        self.facts.read().expect("no panic under this lock").values().find_map(|facts| {
            [&facts.run, &facts.previous_run].into_iter().flatten().find(|known| &*known.run == run).cloned()
        })
    }

    /// Notes which evaluation answered a request id, so that the same id is answered by the same evaluation.
    pub fn note_evaluation(&self, request_id: &str, evaluation: &Name) {
        /// Request ids that are remembered; an older one is judged anew.
        const REMEMBERED: usize = 100_000;
        let mut evaluations = self.evaluations.write().expect("no panic under this lock");
        if evaluations.len() >= REMEMBERED {
            evaluations.clear();
        }
        evaluations.insert(request_id.to_owned(), evaluation.clone());
    }

    /// The evaluation that answered this request id.
    pub fn evaluation_of(&self, request_id: &str) -> Option<Name> {
        self.evaluations.read().expect("no panic under this lock").get(request_id).cloned()
    }

    /// Says how far the evaluator has come and wakes those who wait for it.
    pub fn advance(&self, progress: Progress) {
        self.progress.send_if_modified(|known| {
            let moved = *known != progress;
            *known = progress;
            moved
        });
    }

    /// How far the evaluator has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Told at each progress.
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Returns when the record has been applied.
    pub async fn applied(&self, sequence: Sequence) {
        let mut progress = self.subscribe();
        // The sender lives as long as this board, so an error cannot happen while `self` is borrowed.
        let _ = progress.wait_for(|progress| progress.sequence >= sequence).await;
    }
}
