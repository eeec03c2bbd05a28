//! Gate questions: facts from the board, the pure judge's answer, written down before it is given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use gate::{Policy, Question, Verdict, VerdictKind};
use telemetry::facts::RackFacts;
use telemetry::record::{Document, VerdictRecord};
use telemetry::{EventTime, Name, canonical_json};
use tokio::runtime::Handle;

use crate::lookup::{Lookup, StoredEvaluation};
use crate::metrics::{Id, Metrics};
use crate::pipeline::Pipeline;
use crate::pipeline::control::{Control, ControlError, not_found};

/// What somebody wants to have judged.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Name of a policy in force.
    pub gate: String,
    /// A policy of one's own instead, as YAML.
    pub policy_document: String,
    /// Racks; may be empty with a run.
    pub racks: Vec<Name>,
    /// Run.
    pub run: Option<Name>,
    /// The caller's name for the request; empty for none.
    pub request_id: String,
    /// PENDING until the watermark has passed this.
    pub not_before: Option<EventTime>,
}

/// Answers gate questions, on threads of their own.
pub struct Gates {
    threads: Handle,
    pipeline: Arc<Pipeline>,
    control: Arc<Control>,
    lookup: Lookup,
    policies: RwLock<BTreeMap<Name, Policy>>,
    /// Event time at which a question was first asked: deadlines of questions without a run count from there.
    first_asked: Mutex<BTreeMap<String, EventTime>>,
    metrics: Arc<Metrics>,
}

/// All that a verdict is made from beside the policy.
struct Case {
    question: Question,
    facts: Vec<Arc<RackFacts>>,
    controls: Vec<gate::Control>,
}

impl Gates {
    /// With these policies in force.
    pub fn new(
        threads: Handle,
        pipeline: Arc<Pipeline>,
        control: Arc<Control>,
        lookup: Lookup,
        policies: Vec<Policy>,
    ) -> Self {
        let metrics = pipeline.metrics.clone();
        let policies = policies.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
        Self {
            threads,
            pipeline,
            control,
            lookup,
            policies: RwLock::new(policies),
            first_asked: Mutex::default(),
            metrics,
        }
    }

    /// Judges now, writes the verdict down, and gives it.
    ///
    /// # Errors
    /// [`ControlError`]: a verdict of any kind is none.
    pub async fn evaluate(self: &Arc<Self>, asked: &Asked) -> Result<Verdict, ControlError> {
        let (gates, asked) = (self.clone(), asked.clone());
        self.on_own_threads(async move { gates.judge_and_record(&asked).await }).await
    }

    async fn on_own_threads(
        &self,
        work: impl Future<Output = Result<Verdict, ControlError>> + Send + 'static,
    ) -> Result<Verdict, ControlError> {
        self.threads.spawn(work).await.map_err(|error| ControlError::Internal {
            message: format!("the gate's thread ended: {error}"),
        })?
    }

    /// Judges now and again at each progress until the verdict is decided or `patience` is over; each change is
    /// written down and handed to `told`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn wait(
        self: &Arc<Self>,
        asked: &Asked,
        patience: Duration,
        mut told: impl FnMut(&Verdict),
    ) -> Result<Verdict, ControlError> {
        let mut verdict = self.evaluate(asked).await?;
        told(&verdict);
        let decided = decided_id(&asked.request_id);
        if verdict.verdict == VerdictKind::Pending
            && let Some(known) = self.answer_given(&decided).await?
        {
            told(&known);
            return Ok(known);
        }
        let ends = tokio::time::Instant::now() + patience;
        let mut progress = self.pipeline.board.subscribe();
        let policy = self.policy(asked)?;
        while verdict.verdict == VerdictKind::Pending {
            match tokio::time::timeout_at(ends, progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
            let started = Instant::now();
            let mut case = self.case(asked, &policy).await?;
            let next = case.judge(&policy);
            let is_pending = next.verdict == VerdictKind::Pending;
            if is_pending && next.wait_until == verdict.wait_until {
                continue;
            }
            // The request has its first answer, which a caller that asks once more gets again; and one decision, which
            // another that waits with the same id may have been given just now.
            case.question.request_id = if is_pending { String::new() } else { decided.clone() };
            verdict = match self.answer_given(&case.question.request_id).await? {
                Some(known) => known,
                None => {
                    let (gates, policy) = (self.clone(), policy.clone());
                    self.on_own_threads(async move { gates.give(&policy, &case, started).await }).await?
                }
            };
            told(&verdict);
        }
        Ok(verdict)
    }

    async fn judge_and_record(&self, asked: &Asked) -> Result<Verdict, ControlError> {
        let started = Instant::now();
        if let Some(known) = self.answer_given(&asked.request_id).await? {
            return Ok(known);
        }
        let policy = self.policy(asked)?;
        self.give(&policy, &self.case(asked, &policy).await?, started).await
    }

    /// What was answered to this request before; it is in the history when the board has forgotten it.
    async fn answer_given(&self, request_id: &str) -> Result<Option<Verdict>, ControlError> {
        let known = Some(request_id).filter(|id| !id.is_empty());
        let Some(known) = known.and_then(|id| self.pipeline.board.verdict_of_request(id)) else {
            return Ok(None);
        };
        Ok(Some(self.stored(&known).await?.verdict))
    }

    /// The question as it stands now, with what is known.
    async fn case(&self, asked: &Asked, policy: &Policy) -> Result<Case, ControlError> {
        let question = self.question(asked, policy).await?;
        let facts = self.facts(policy, &question);
        let controls = self.controls(policy, &question, &facts);
        Ok(Case { question, facts, controls })
    }

    /// Judges, and writes the verdict down before it is given; `started` is when somebody began to ask.
    async fn give(&self, policy: &Policy, case: &Case, started: Instant) -> Result<Verdict, ControlError> {
        let verdict = case.judge(policy);
        self.control.record_verdict(case.record(policy, &verdict)).await?;
        self.metrics.observe(Id::GateSeconds, started.elapsed());
        self.metrics.add(Id::GateVerdicts, &[&verdict.policy, verdict.verdict.name()], 1);
        Ok(verdict)
    }

    /// What a policy would say of the drilled rack if the fault was real, as of the drill's result. It is kept nowhere.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn rehearse(
        &self,
        drill: &str,
        gate: &str,
        policy_document: &str,
    ) -> Result<Verdict, ControlError> {
        let board = &self.pipeline.board;
        let known = board.drill(drill).ok_or_else(|| not_found("drill", drill, std::iter::empty()))?;
        let facts = board.drill_copy(drill).ok_or_else(|| ControlError::State {
            subject: drill.to_owned(),
            message: format!(
                "drill {drill} is {}, and what gates would see is kept from a drill's result on, of the last few: ask then",
                known.state.name()
            ),
        })?;
        let asked = Asked {
            gate: gate.to_owned(),
            policy_document: policy_document.to_owned(),
            racks: vec![known.rack.clone()],
            ..Asked::default()
        };
        let policy = self.policy(&asked)?;
        let question = self.question(&asked, &policy).await?;
        let facts: Vec<_> = facts.iter().map(|facts| board.with_drills(facts)).collect();
        let controls = self.controls(&policy, &question, &facts);
        Ok(Case { question, facts, controls }.judge(&policy))
    }

    /// A stored evaluation.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn stored(&self, evaluation: &str) -> Result<StoredEvaluation, ControlError> {
        self.lookup
            .evaluation(evaluation)
            .await?
            .ok_or_else(|| not_found("evaluation", evaluation, std::iter::empty()))
    }

    fn policy(&self, asked: &Asked) -> Result<Policy, ControlError> {
        if !asked.policy_document.is_empty() {
            let document = Document { name: "policy".to_owned(), text: asked.policy_document.clone() };
            let refused = |message: String| ControlError::Field { field: "policy_document", message };
            let mut policies = gate::policy_document::read(&[document]).map_err(|errors| {
                refused(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            })?;
            return match policies.len() {
                1 => Ok(policies.remove(0)),
                count => Err(refused(format!("holds {count} policies: give one"))),
            };
        }
        let name = if asked.gate.is_empty() { "default" } else { asked.gate.as_str() };
        let policies = self.policies.read().expect("no panic under this lock");
        policies
            .get(name)
            .cloned()
            .ok_or_else(|| not_found("gate", name, policies.keys().map(|name| &**name)))
    }

    async fn question(&self, asked: &Asked, policy: &Policy) -> Result<Question, ControlError> {
        let mut racks = asked.racks.clone();
        if let Some(run) = &asked.run {
            let known = match self.pipeline.board.run(run) {
                Some(known) => known.racks,
                None => {
                    self.lookup
                        .run(run)
                        .await?
                        .ok_or_else(|| not_found("run", run, std::iter::empty()))?
                        .racks
                }
            };
            if racks.is_empty() {
                racks = known;
            } else if let Some(other) = racks.iter().find(|rack| !known.contains(rack)) {
                return Err(ControlError::Field {
                    field: "racks",
                    message: format!("rack {other:?} is not in run {run:?}"),
                });
            }
        }
        if racks.is_empty() {
            return Err(ControlError::Field { field: "racks", message: "name a rack or a run".to_owned() });
        }
        racks.sort();
        racks.dedup();
        self.control.check_racks(&racks)?;
        let tick = self.pipeline.board.progress().tick.unwrap_or(EventTime::MINIMUM);
        let key = canonical_json(&(policy.hash(), &racks, &asked.run, &asked.request_id));
        Ok(Question {
            racks,
            run: asked.run.clone(),
            request_id: asked.request_id.clone(),
            asked_at: tick,
            waiting_since: Some(self.first_asked(key, tick)),
            not_before: asked.not_before,
            overrides: Vec::new(),
        })
    }

    fn first_asked(&self, key: String, tick: EventTime) -> EventTime {
        /// Questions that are remembered; beyond, deadlines of unfinished ones begin anew.
        const REMEMBERED: usize = 100_000;
        let mut asked = self.first_asked.lock().expect("no panic under this lock");
        if asked.len() >= REMEMBERED {
            asked.clear();
        }
        *asked.entry(key).or_insert(tick)
    }

    fn facts(&self, policy: &Policy, question: &Question) -> Vec<Arc<RackFacts>> {
        let board = &self.pipeline.board;
        let facts = question.racks.iter().filter_map(|rack| board.rack(rack));
        match policy.detectors_proven().next() {
            Some(_) => facts.map(|facts| board.with_drills(&facts)).collect(),
            None => facts.collect(),
        }
    }

    /// The racks that a policy with the check `canary` compares with.
    fn controls(&self, policy: &Policy, question: &Question, facts: &[Arc<RackFacts>]) -> Vec<gate::Control> {
        if !policy.compares() {
            return Vec::new();
        }
        gate::controls(policy, question, facts, &self.pipeline.board.racks())
    }
}

impl Case {
    fn judge(&self, policy: &Policy) -> Verdict {
        gate::judge_beside(policy, &self.question, &self.facts, &self.controls)
    }

    fn record(&self, policy: &Policy, verdict: &Verdict) -> VerdictRecord {
        VerdictRecord {
            evaluation: verdict.evaluation_id.clone(),
            policy: verdict.policy.clone(),
            policy_hash: verdict.policy_hash.clone(),
            racks: self.question.racks.clone(),
            run: self.question.run.clone(),
            verdict: verdict.verdict.name().into(),
            answer: verdict.to_json(),
            facts: gate::facts_json(policy, &self.question, &self.facts, &self.controls),
            watermark: verdict.watermark,
            wait_until: verdict.wait_until,
            time: self.question.asked_at,
            engine: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// The request id under which the decided verdict of a wait is known.
fn decided_id(request_id: &str) -> String {
    if request_id.is_empty() { String::new() } else { format!("{request_id}/decided") }
}
