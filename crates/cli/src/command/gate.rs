//! `thermogate gate`: verdicts, their reasons, and responsibility taken in spite of them.

use std::path::Path;
use std::time::Duration;

use gate::{Verdict, VerdictKind, exit_code, report};
use wire::gate::v1::{
    EvaluateRequest, Evaluation, ExplainRequest, ListEvaluationsRequest, OverrideVerdictRequest,
};

use super::run::{duration, timestamp};
use crate::arguments::{
    EvaluateArguments, ExplainArguments, GateCommand, InconclusiveAs, ListArguments, Output,
    OverrideArguments,
};
use crate::failure::Failure;
use crate::output::{print_line, print_out};
use crate::{client, documents, terminal};

/// An answer that is not waited for comes within this.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Runs the command.
pub fn run(command: GateCommand) -> Result<u8, Failure> {
    client::runtime()?.block_on(async {
        match command {
            GateCommand::Evaluate(arguments) => evaluate(&arguments).await,
            GateCommand::Explain(arguments) => explain(&arguments).await,
            GateCommand::List(arguments) => list(&arguments).await,
            GateCommand::Override(arguments) => override_verdict(&arguments).await,
        }
    })
}

async fn evaluate(arguments: &EvaluateArguments) -> Result<u8, Failure> {
    let file = Path::new(&arguments.policy);
    let (gate, policy_document) = if documents::has_extension(file, &["yaml", "yml"]) {
        (String::new(), documents::read_one(file)?.text)
    } else {
        (arguments.policy.clone(), String::new())
    };
    let request = EvaluateRequest {
        gate,
        policy_document,
        racks: arguments.rack.clone(),
        run_id: arguments.run.clone().unwrap_or_default(),
        request_id: arguments.request_id.clone().unwrap_or_default(),
        not_before: arguments
            .not_before
            .as_deref()
            .map(|text| timestamp("--not-before", text))
            .transpose()?,
        wait: arguments.wait.as_deref().map(|text| duration("--wait", text)).transpose()?,
    };
    let mut gates = client::gates(&arguments.service).await?;
    let answered = said_while(arguments.wait.as_deref(), gates.evaluate(request)).await?.into_inner();
    let verdict = verdict(answered.evaluation)?;
    let inconclusive_as = match arguments.inconclusive_as {
        InconclusiveAs::Pass => gate::verdict::InconclusiveAs::Pass,
        InconclusiveAs::Fail => gate::verdict::InconclusiveAs::Fail,
        InconclusiveAs::Keep => gate::verdict::InconclusiveAs::Keep,
    };
    match arguments.output {
        Output::Text => print_out!("{}", coloured(&report::text(&verdict))),
        Output::Json => print_line!("{}", verdict.to_json()),
        Output::Junit => print_out!("{}", report::junit(&verdict, arguments.warn_as_fail, inconclusive_as)),
        Output::Markdown => print_out!("{}", report::markdown(&verdict, None)),
    }
    Ok(exit_code(verdict.verdict, arguments.warn_as_fail, inconclusive_as))
}

/// Waits for an answer, and says so on standard error once it takes longer than an answer that is there at once.
async fn said_while<T>(wait: Option<&str>, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    let Some(wait) = wait else { return answer.await };
    match tokio::time::timeout(AT_ONCE, &mut answer).await {
        Ok(answered) => answered,
        Err(_) => {
            eprintln!("thermogate: no verdict yet; waiting for it up to {wait}");
            answer.await
        }
    }
}

/// The stored answer, whose bytes are the same everywhere.
fn verdict(evaluation: Option<Evaluation>) -> Result<Verdict, Failure> {
    let evaluation =
        evaluation.ok_or_else(|| Failure::unreachable("the service answered without an evaluation"))?;
    Verdict::from_json(&evaluation.canonical_json).map_err(|error| {
        Failure::unreachable(format!(
            "the service's answer cannot be read: {error}; is it of another version?"
        ))
    })
}

/// Colours the words of verdicts.
fn coloured(text: &str) -> String {
    VerdictKind::ALL
        .iter()
        .fold(text.to_owned(), |text, kind| text.replace(kind.name(), &terminal::judged(kind.name())))
}

async fn explain(arguments: &ExplainArguments) -> Result<u8, Failure> {
    let request = ExplainRequest { evaluation_id: arguments.evaluation.clone(), again: arguments.again };
    let explained = client::gates(&arguments.service).await?.explain(request).await?.into_inner();
    match arguments.output {
        Output::Json => {
            let facts: serde_json::Value = serde_json::from_str(&explained.facts_json).unwrap_or_default();
            let value = serde_json::json!({ "facts": facts, "judged_again": explained.judged_again_json, "identical": explained.identical });
            print_line!("{value}");
        }
        Output::Text => {
            let verdict = verdict(explained.evaluation)?;
            print_out!("{}", coloured(&report::text(&verdict)));
            for (name, text) in verdict
                .checks
                .iter()
                .flat_map(|check| check.evidence.iter().map(move |evidence| (&check.check, evidence)))
            {
                print_line!("  {name}: {} {}\n    {}", text.name, text.text, text.query);
            }
            match explained.identical {
                None => print_line!(
                    "facts: {} bytes (--output json shows them, --again judges them again)",
                    explained.facts_json.len()
                ),
                Some(true) => print_line!("judged again from the stored facts: identical, to the byte"),
                Some(false) => print_line!(
                    "judged again from the stored facts: DIFFERENT; was it given by another version?"
                ),
            }
        }
        Output::Junit | Output::Markdown => {
            return Err(Failure::bad_input("`gate explain` prints --output text or json"));
        }
    }
    Ok(if explained.identical == Some(false) { 1 } else { 0 })
}

async fn list(arguments: &ListArguments) -> Result<u8, Failure> {
    let request = ListEvaluationsRequest {
        page_size: arguments.limit,
        rack: arguments.rack.clone().unwrap_or_default(),
        run_id: arguments.run.clone().unwrap_or_default(),
        ..ListEvaluationsRequest::default()
    };
    let answered = client::gates(&arguments.service).await?.list_evaluations(request).await?.into_inner();
    let verdicts = answered
        .evaluations
        .into_iter()
        .map(|evaluation| verdict(Some(evaluation)))
        .collect::<Result<Vec<_>, _>>()?;
    match arguments.output {
        Output::Json => verdicts.iter().for_each(|verdict| print_line!("{}", verdict.to_json())),
        Output::Text => terminal::table(
            &["evaluation", "time", "policy", "racks", "run", "verdict", "reason"],
            verdicts.iter().map(|verdict| {
                vec![
                    verdict.evaluation_id.to_string(),
                    verdict.time.to_string(),
                    verdict.policy.to_string(),
                    verdict.scope.racks.join(" "),
                    verdict.run_id.as_deref().unwrap_or("-").to_owned(),
                    terminal::judged(verdict.verdict.name()),
                    verdict.reason.clone(),
                ]
            }),
        ),
        Output::Junit | Output::Markdown => {
            return Err(Failure::bad_input("`gate list` prints --output text or json"));
        }
    }
    Ok(0)
}

async fn override_verdict(arguments: &OverrideArguments) -> Result<u8, Failure> {
    let request = OverrideVerdictRequest {
        evaluation_id: arguments.evaluation.clone(),
        checks: arguments.check.clone(),
        by: arguments.by.clone(),
        why: arguments.why.clone(),
        until: Some(timestamp("--until", &arguments.until)?),
    };
    let answered = client::gates(&arguments.service).await?.override_verdict(request).await?.into_inner();
    let verdict = verdict(answered.evaluation)?;
    print_line!(
        "override of {} recorded, by {} until {}; its verdict stays {}",
        arguments.evaluation,
        arguments.by,
        arguments.until,
        terminal::judged(verdict.verdict.name())
    );
    Ok(0)
}
