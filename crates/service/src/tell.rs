//! Tells about alerts and findings: Alertmanager, and whoever listens in this process.

use alerts::Alerts;
use evaluator::Effect;
use telemetry::alert::AlertTransition;
use telemetry::facts::Finding;
use tokio::sync::broadcast;

/// Something that people want to hear of as it happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// An anomaly was detected, or ended.
    Finding(Box<Finding>),
    /// An alert changed its state.
    Alert(Box<AlertTransition>),
}

/// Where alerts and findings go.
#[derive(Clone)]
pub struct Tell {
    alerts: Option<Alerts>,
    events: broadcast::Sender<Event>,
}

impl Tell {
    /// To these Alertmanagers, or to none.
    pub fn new(alerts: Option<Alerts>) -> Self {
        /// Events that a slow listener may be behind; it misses older ones, and is told so.
        const BEHIND: usize = 4096;
        Self { alerts, events: broadcast::Sender::new(BEHIND) }
    }

    /// Alertmanager's view of an alert.
    pub fn update(&self, transition: &AlertTransition) {
        if let Some(alerts) = &self.alerts {
            alerts.update(transition);
        }
    }

    /// Tells those who listen in this process.
    pub fn event(&self, effect: &Effect) {
        let event = match effect {
            Effect::Finding(finding) => Event::Finding(finding.clone()),
            Effect::Alert(transition) => Event::Alert(transition.clone()),
            Effect::Status(_)
            | Effect::Block(_)
            | Effect::Publish(_)
            | Effect::Row(_)
            | Effect::Count { .. }
            | Effect::Drill(_)
            | Effect::DrillAlert(_)
            | Effect::DrillCopy { .. } => return,
        };
        // An error means that nobody listens.
        let _ = self.events.send(event);
    }

    /// Everything from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The Alertmanager client.
    pub fn alerts(&self) -> Option<&Alerts> {
        self.alerts.as_ref()
    }
}
