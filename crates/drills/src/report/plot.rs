//! A drill as a picture: its signals, the residual by its relevance, and when the fault began and was named.

use plotters::prelude::*;
use telemetry::EventTime;

use crate::trace::{Line, Trace};

/// Width and height of one panel, pixels.
const PANEL: (u32, u32) = (760, 185);
/// Colours that differ for colour-blind people too (Okabe & Ito 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];
/// Hours that are shown before the fault begins.
const HOURS_BEFORE: f64 = 1.0;
/// No more lines in one panel.
const LINES_MAXIMUM: usize = 6;

/// The picture as SVG; without a fault there is nothing to show.
pub fn svg(trace: &Trace) -> Option<String> {
    let onset = trace.outcome.onset?;
    let mut panels: Vec<(String, Vec<&Line>)> = Vec::new();
    for line in &trace.signals {
        match panels.iter_mut().find(|(unit, _)| *unit == line.unit) {
            Some((_, lines)) => lines.push(line),
            None => panels.push((line.unit.clone(), vec![line])),
        }
    }
    if !trace.residuals.is_empty() {
        panels.push(("residual / relevance".to_owned(), trace.residuals.iter().collect()));
    }
    let mut text = String::new();
    let height = PANEL.1 * panels.len() as u32;
    {
        let root = SVGBackend::with_string(&mut text, (PANEL.0, height.max(1))).into_drawing_area();
        let found = trace.outcome.delay.map(|delay| onset + delay);
        for (area, (unit, lines)) in root.split_evenly((panels.len().max(1), 1)).iter().zip(&panels) {
            panel(area, unit, lines, onset, found).ok()?;
        }
        root.present().ok()?;
    }
    Some(text)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    unit: &str,
    lines: &[&Line],
    onset: EventTime,
    found: Option<EventTime>,
) -> Result<(), Box<dyn std::error::Error>> {
    let hours = |time: EventTime| (time - onset).as_seconds() / 3_600.0;
    let shown = |line: &Line| -> Vec<(f64, f64)> {
        let points = line.points.iter().map(|(time, value)| (hours(*time), *value));
        points.filter(|(hour, _)| -HOURS_BEFORE <= *hour).collect()
    };
    let all: Vec<(f64, f64)> = lines.iter().flat_map(|line| shown(line)).collect();
    let last = all.iter().map(|(hour, _)| *hour).fold(0.1, f64::max);
    let lowest = all.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let highest = all.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    if lowest > highest {
        return Ok(());
    }
    let room = ((highest - lowest) * 0.05).max(1e-3);
    let mut chart = ChartBuilder::on(area)
        .margin(4)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(-HOURS_BEFORE..last, lowest - room..highest + room)?;
    chart
        .configure_mesh()
        .x_desc("hours after the fault began")
        .y_desc(unit)
        .max_light_lines(0)
        .x_labels(10)
        .y_labels(5)
        .draw()?;
    for (line, colour) in lines.iter().take(LINES_MAXIMUM).zip(COLOURS.iter().cycle()) {
        chart
            .draw_series(LineSeries::new(shown(line), colour))?
            .label(line.name.clone())
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], colour));
    }
    let marks = [(Some(onset), RGBColor(200, 0, 0)), (found, RGBColor(0, 130, 0))];
    for (time, colour) in marks.into_iter().filter_map(|(time, colour)| Some((time?, colour))) {
        let at = hours(time);
        chart.draw_series(LineSeries::new(
            [(at, lowest - room), (at, highest + room)],
            colour.stroke_width(2),
        ))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 11))
        .draw()?;
    Ok(())
}
