//! What everybody may look at without waiting for the evaluator: facts, alerts, runs, and how far it has come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, RwLock};

use telemetry::alert::{AlertState, AlertTransition};
use telemetry::drill::{DrillFacts, DrillRecord};
use telemetry::facts::{RackFacts, RunFacts};
use telemetry::record::{Sequence, VerdictRecord};
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
    verdicts: RwLock<Verdicts>,
    drills: RwLock<Drills>,
    progress: watch::Sender<Progress>,
}

/// Recent drills; older ones are in the history.
#[derive(Default)]
struct Drills {
    known: BTreeMap<Name, DrillFacts>,
    /// The same, the oldest first.
    order: VecDeque<Name>,
    /// What gates would see of the latest of them.
    copies: VecDeque<(Name, Vec<Arc<RackFacts>>)>,
    record: DrillRecord,
}

impl Drills {
    /// Drills that are remembered, and those whose facts are.
    const KNOWN_MAX: usize = 1_000;
    const COPIES_MAX: usize = 8;

    fn note(&mut self, drill: &DrillFacts) {
        self.record.note(drill);
        if self.known.insert(drill.drill.clone(), drill.clone()).is_none() {
            self.order.push_back(drill.drill.clone());
        }
        while Self::KNOWN_MAX < self.order.len() {
            let oldest = self.order.pop_front();
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
    }
}

/// Recent verdicts; older ones are in the history.
#[derive(Default)]
struct Verdicts {
    by_evaluation: BTreeMap<Name, Arc<VerdictRecord>>,
    /// The same, the oldest first.
    order: VecDeque<Name>,
    /// Of their answers and facts.
    bytes: usize,
    /// Evaluations by request id: they outlive their texts here.
    by_request: BTreeMap<String, Name>,
}

impl Verdicts {
    /// Answers and facts that are remembered.
    const BYTES_MAX: usize = 64 << 20;
    /// Request ids that are remembered; beyond, a request that comes again is judged again.
    const REQUESTS_MAX: usize = 100_000;

    fn note(&mut self, verdict: &Arc<VerdictRecord>) {
        let id = &verdict.evaluation;
        if self.by_evaluation.contains_key(id) {
            return;
        }
        if let Some(request) = request_id(&verdict.facts) {
            if self.by_request.len() >= Self::REQUESTS_MAX {
                self.by_request.clear();
            }
            self.by_request.insert(request, id.clone());
        }
        self.by_evaluation.insert(id.clone(), verdict.clone());
        self.order.push_back(id.clone());
        self.bytes += size(verdict);
        while Self::BYTES_MAX < self.bytes && 1 < self.order.len() {
            let oldest = self.order.pop_front().and_then(|oldest| self.by_evaluation.remove(&oldest));
            self.bytes -= oldest.map_or(0, |oldest| size(&oldest));
        }
    }
}

fn size(verdict: &VerdictRecord) -> usize {
    verdict.answer.len() + verdict.facts.len()
}

impl Default for Board {
    fn default() -> Self {
        Self {
            facts: RwLock::default(),
            loops: RwLock::default(),
            alerts: RwLock::default(),
            verdicts: RwLock::default(),
            drills: RwLock::default(),
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

    /// Notes how far a drill has come.
    pub fn note_drill(&self, drill: &DrillFacts) {
        self.drills.write().expect("no panic under this lock").note(drill);
    }

    /// Notes what a gate would see if the fault of a drill was real.
    pub fn note_drill_copy(&self, drill: &Name, facts: &[Arc<RackFacts>]) {
        let copies = &mut self.drills.write().expect("no panic under this lock").copies;
        copies.push_back((drill.clone(), facts.to_vec()));
        if Drills::COPIES_MAX < copies.len() {
            copies.pop_front();
        }
    }

    /// A recent drill by its id.
    pub fn drill(&self, drill: &str) -> Option<DrillFacts> {
        self.drills.read().expect("no panic under this lock").known.get(drill).cloned()
    }

    /// What a gate would see if the fault of a drill that ended not long ago was real.
    pub fn drill_copy(&self, drill: &str) -> Option<Vec<Arc<RackFacts>>> {
        let drills = self.drills.read().expect("no panic under this lock");
        drills.copies.iter().find(|(known, _)| **known == *drill).map(|(_, facts)| facts.clone())
    }

    /// Facts of a rack with the latest drills of each detector on it and on its loop.
    pub fn with_drills(&self, facts: &Arc<RackFacts>) -> Arc<RackFacts> {
        let drills = self.drills.read().expect("no panic under this lock").record.of(&facts.place);
        Arc::new(RackFacts { drills, ..RackFacts::clone(facts) })
    }

    /// The run of that id, as one of its racks knows it: the active one or the last one.
    pub fn run(&self, run: &str) -> Option<RunFacts> {
        self.facts.read().expect("no panic under this lock").values().find_map(|facts| {
            [&facts.run, &facts.previous_run].into_iter().flatten().find(|known| &*known.run == run).cloned()
        })
    }

    /// Notes a verdict, so that it is found before the history shows it, and by its request id.
    pub fn note_verdict(&self, verdict: &Arc<VerdictRecord>) {
        self.verdicts.write().expect("no panic under this lock").note(verdict);
    }

    /// A recent verdict by its evaluation id.
    pub fn verdict(&self, evaluation: &str) -> Option<Arc<VerdictRecord>> {
        self.verdicts.read().expect("no panic under this lock").by_evaluation.get(evaluation).cloned()
    }

    /// The evaluation that answered this request id.
    pub fn verdict_of_request(&self, request_id: &str) -> Option<Name> {
        self.verdicts.read().expect("no panic under this lock").by_request.get(request_id).cloned()
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

/// The request id of the question that is stored with a verdict's facts.
fn request_id(facts: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Facts {
        question: Question,
    }
    #[derive(serde::Deserialize)]
    struct Question {
        request_id: String,
    }
    // All else is passed over without being built: the evaluator's thread waits meanwhile.
    let Facts { question } = serde_json::from_str(facts).ok()?;
    Some(question.request_id).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(number: usize, bytes: usize) -> Arc<VerdictRecord> {
        let facts = format!(
            r#"{{"facts":["{}"],"question":{{"request_id":"request-{number}"}}}}"#,
            "x".repeat(bytes)
        );
        Arc::new(VerdictRecord {
            evaluation: format!("evaluation-{number}").into(),
            policy: "default".into(),
            policy_hash: "".into(),
            racks: Vec::new(),
            run: None,
            verdict: "PASS".into(),
            answer: String::new(),
            facts,
            watermark: EventTime::MINIMUM,
            wait_until: None,
            time: EventTime::MINIMUM,
            engine: "".into(),
        })
    }

    #[test]
    fn the_oldest_texts_are_forgotten_and_no_request_is() {
        let board = Board::default();
        for number in 0..5 {
            board.note_verdict(&verdict(number, Verdicts::BYTES_MAX / 3));
        }
        let known: Vec<usize> =
            (0..5).filter(|number| board.verdict(&format!("evaluation-{number}")).is_some()).collect();
        assert_eq!(known, [3, 4]);
        for number in 0..5 {
            let evaluation = board.verdict_of_request(&format!("request-{number}"));
            assert_eq!(evaluation.as_deref(), Some(&*format!("evaluation-{number}")));
        }
    }
}
