//! Racks beside those that a question is about: what happens to them too is not the release's doing.
//!
//! facts of other racks → **control** → `check` canary. Stored with the verdict, so that it can be judged again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::facts::{BATCH, Batch, RackBatches, RackFacts, RunFacts};
use telemetry::place::Place;
use telemetry::{EventTime, Microseconds, Name};

use crate::judge::{Question, concerned, run_of};
use crate::policy::Policy;

/// How far before a run's start its rack and the racks beside it are looked at.
pub(crate) const BEFORE_MAX: Microseconds = Microseconds::from_hours(4);
/// Racks beside one rack that are looked at.
pub(crate) const CONTROLS_MAX: usize = 8;
/// Racks beside all racks of a question.
const CONTROLS_ALL_MAX: usize = 32;

/// What is known of a rack that is compared with: a part of its facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Site, loop and rack.
    pub place: Place,
    /// Up to here its event time is final.
    pub watermark: EventTime,
    /// People are working on it.
    pub is_worked_on: bool,
    /// One of its error budgets burns at the tier `page`.
    pub pages: bool,
    /// Its active run, else its last one.
    pub run: Option<RunFacts>,
    /// Its batches from [`BEFORE_MAX`] before the first run that is judged, without its ended runs.
    pub batches: RackBatches,
}

impl Control {
    fn of(facts: &RackFacts, from: EventTime) -> Option<Self> {
        let batches = facts.batches.as_ref()?;
        Some(Self {
            place: facts.place.clone(),
            watermark: facts.watermark,
            is_worked_on: facts.maintenance_until.is_some(),
            pages: facts
                .objectives
                .iter()
                .flat_map(|status| &status.burn)
                .any(|burn| burn.firing && &*burn.severity == "page"),
            run: facts.run.clone(),
            batches: since(batches, from, &[]),
        })
    }

    /// The rack's name.
    pub fn name(&self) -> &str {
        self.place.rack.as_deref().unwrap_or_default()
    }
}

/// What a policy's check `canary` compares the racks of a question with: racks of the same site that are not asked
/// about and not in the run, those on the same loop first. None without such a check. In order of place, in whatever
/// order the facts come.
///
/// - `facts`: those of the racks that are asked about.
/// - `others`: those of any racks; the ones that are asked about are passed over.
pub fn controls(
    policy: &Policy,
    question: &Question,
    facts: &[Arc<RackFacts>],
    others: &[Arc<RackFacts>],
) -> Vec<Control> {
    if !policy.compares() {
        return Vec::new();
    }
    let facts: Vec<&RackFacts> = facts.iter().map(|facts| &**facts).collect();
    let canaries: Vec<(&RackFacts, &RunFacts)> = concerned(policy, question, &facts)
        .into_iter()
        .filter_map(|facts| Some((facts, run_of(policy, question, facts)?)))
        .collect();
    let Some(from) = canaries.iter().map(|(_, run)| run.start - BEFORE_MAX).min() else { return Vec::new() };
    let is_asked = |name: &Name| {
        question.racks.contains(name) || canaries.iter().any(|(_, run)| run.racks.contains(name))
    };
    let mut others: Vec<&RackFacts> = others
        .iter()
        .map(|facts| &**facts)
        .filter(|facts| facts.batches.is_some())
        .filter(|facts| facts.place.rack.as_ref().is_some_and(|rack| !is_asked(rack)))
        .collect();
    others.sort_by(|one, other| (&one.place, one.sequence).cmp(&(&other.place, other.sequence)));
    let mut chosen: Vec<&RackFacts> = Vec::new();
    for (canary, _) in &canaries {
        for place in nearest(&canary.place, others.iter().map(|facts| &facts.place)) {
            let facts = others.iter().find(|facts| facts.place == *place).copied();
            chosen.extend(facts.filter(|facts| !chosen.iter().any(|known| known.place == facts.place)));
        }
    }
    chosen.truncate(CONTROLS_ALL_MAX);
    chosen.sort_by(|one, other| one.place.cmp(&other.place));
    chosen.into_iter().filter_map(|facts| Control::of(facts, from)).collect()
}

/// Of places in order those that a rack is compared with: of its site, those on its loop first.
pub(crate) fn nearest<'a>(place: &Place, others: impl Iterator<Item = &'a Place> + Clone) -> Vec<&'a Place> {
    let on_loop = |other: &&Place| place.cooling_loop.is_some() && other.cooling_loop == place.cooling_loop;
    let of_site = others.filter(|other| other.site == place.site);
    let (near, far) = (of_site.clone().filter(on_loop), of_site.filter(|other| !on_loop(other)));
    near.chain(far).take(CONTROLS_MAX).collect()
}

/// The batches from a moment on, with these ended runs.
pub(crate) fn since(
    batches: &RackBatches,
    from: EventTime,
    runs: &[telemetry::facts::EndedRun],
) -> RackBatches {
    let from = Batch::number_at(from + Microseconds(BATCH.0 - 1));
    RackBatches {
        sku: batches.sku.clone(),
        batches: batches.batches.iter().filter(|batch| from <= batch.number).cloned().collect(),
        runs: runs.to_vec(),
    }
}
