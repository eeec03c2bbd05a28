//! The kinds of OpenSLO v1 that have no use here: checked all the same, and named with the reason.

use super::fields::{Field, Fields};
use super::openslo::{comparison, description, duration, metadata};

/// Checks a kind that has no use here, and says why it has none.
pub fn unused_kind(kind: &str, object: &Fields<'_>) -> Option<&'static str> {
    let spec = object.require("spec")?.fields()?;
    description(&spec);
    let why = match kind {
        "Service" => "an objective's service is a label and needs no declaration",
        "DataSource" => {
            spec.require("type").and_then(|field| field.text());
            spec.require("connectionDetails");
            "readings come in over OTLP, remote write, Flight or files"
        }
        "AlertNotificationTarget" => {
            spec.require("target").and_then(|field| field.text());
            "alerts go to Alertmanager, which routes them"
        }
        "AlertCondition" => {
            alert_condition(&spec);
            BURN_RATES
        }
        "AlertPolicy" => {
            alert_policy(&spec);
            BURN_RATES
        }
        _ => return None,
    };
    spec.close();
    Some(why)
}

const BURN_RATES: &str = "alerts come from burn rates: see `kind: BurnRatePolicy`";

fn alert_condition(spec: &Fields<'_>) -> Option<()> {
    spec.require("severity").and_then(|field| field.text());
    let condition = spec.require("condition")?.fields()?;
    condition.get("kind").and_then(|field| field.word(&[("burnrate", ())]));
    condition.require("op").and_then(|field| comparison(&field));
    condition.require("threshold").and_then(|field| field.number());
    condition.require("lookbackWindow").and_then(|field| duration(&field));
    condition.require("alertAfter").and_then(|field| duration(&field));
    condition.close();
    Some(())
}

fn alert_policy(spec: &Fields<'_>) -> Option<()> {
    for switch in ["alertWhenNoData", "alertWhenResolved", "alertWhenBreaching"] {
        spec.get(switch).and_then(|field| field.truth());
    }
    let condition = spec.require("conditions").and_then(|field| field.only());
    let targets = spec.require("notificationTargets");
    if let Some(field) = &targets {
        match field.list() {
            Some(list) if list.is_empty() => field.refuse("one notification target at least is needed"),
            Some(list) => list.iter().try_for_each(|entry| reference_or_inline(entry, "targetRef")),
            None => None,
        };
    }
    reference_or_inline(&condition?, "conditionRef")
}

/// `{conditionRef: name}`, or a whole object of its own.
fn reference_or_inline(field: &Field<'_>, reference: &'static str) -> Option<()> {
    let fields = field.fields()?;
    if let Some(name) = fields.get(reference) {
        name.text();
    } else if let Some(kind) = fields.require("kind").and_then(|field| field.text()) {
        metadata(&fields);
        if unused_kind(kind, &fields).is_none() {
            return field.refuse(format!("kind {kind:?} does not belong here"));
        }
    }
    fields.close();
    Some(())
}
