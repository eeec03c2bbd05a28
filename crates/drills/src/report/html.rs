//! One page with all figures and a picture of each class and each miss; nothing in it is loaded from elsewhere.

use std::fmt::Write;

use super::plot::svg;
use crate::scorecard::Scorecard;
use crate::trace::Trace;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left}\
th{background:#f2f2f2}figure{margin:1.5em 0}figcaption{margin-bottom:.3em}svg{max-width:100%;height:auto}\
.missed{color:#b00020}";

/// The page. `traces` are shown in their order, those of missed drills marked.
pub fn html(cards: &[Scorecard], traces: &[Trace]) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>thermogate drills</title>\
         <style>{STYLE}</style></head><body><h1>thermogate drills</h1>\
         <p>Labelled faults of a simulated loop, played through the real evaluator. Seeds and conditions stand with \
         each table; the same command gives the same page.</p>"
    );
    for card in cards {
        tables(&mut page, &super::markdown(card));
    }
    if !traces.is_empty() {
        page.push_str(
            "<h2>Pictures</h2><p>Block means around the fault: the red line is where it began, the green one where \
             it was named. A residual alarms once it has left its baseline by its relevance (1 or −1) for long enough.</p>",
        );
    }
    for trace in traces {
        let outcome = &trace.outcome;
        let what = match outcome.delay {
            Some(delay) => format!("found after {:.1} min", delay.as_seconds() / 60.0),
            None => "<span class=\"missed\">missed</span>".to_owned(),
        };
        let picture = svg(trace).unwrap_or_default();
        let said: Vec<String> = outcome.incidents.iter().map(|incident| escape(&incident.detector)).collect();
        let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
        let _ = write!(
            page,
            "<figure><figcaption><b>{}</b>, seed {}: {what}; said: {said}</figcaption>{picture}</figure>",
            escape(&outcome.class),
            outcome.seed
        );
    }
    page.push_str("</body></html>\n");
    page
}

/// The headings and tables of our own Markdown.
fn tables(page: &mut String, markdown: &str) {
    let mut in_table = false;
    for line in markdown.lines() {
        let cells = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
        match cells {
            Some(cells) => {
                let tag = if in_table { "td" } else { "th" };
                if !std::mem::replace(&mut in_table, true) {
                    page.push_str("<table>");
                }
                page.push_str("<tr>");
                for cell in cells.split(" | ") {
                    let _ = write!(page, "<{tag}>{}</{tag}>", escape(cell));
                }
                page.push_str("</tr>");
            }
            None if line.starts_with("|---") => {}
            None => {
                if std::mem::take(&mut in_table) {
                    page.push_str("</table>");
                }
                match line.strip_prefix("## ") {
                    Some(heading) => drop(write!(page, "<h2>{}</h2>", escape(heading))),
                    None if line.is_empty() => {}
                    None => drop(write!(page, "<p>{}</p>", escape(line))),
                }
            }
        }
    }
    if in_table {
        page.push_str("</table>");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_a_table_and_text_is_escaped() {
        let mut page = String::new();
        tables(&mut page, "## A & B\n\n| x | y |\n|---|---|\n| 1 | <2 |\n\nend\n");
        assert_eq!(
            page,
            "<h2>A &amp; B</h2><table><tr><th>x</th><th>y</th></tr><tr><td>1</td><td>&lt;2</td></tr></table><p>end</p>"
        );
    }
}
