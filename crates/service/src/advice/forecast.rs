//! How a series goes on.
//!
//! question → which series → its blocks → `advisory` → answer

use std::fmt::Write;

use advisory::{BlockMean, Crossing, Daily, Forecast, Forecaster, Refusal, Series, Smoothing};
use advisory::{check_level, time_to_limit};
use telemetry::signal::{self, SignalKind};
use telemetry::{EventTime, Microseconds};

use super::{AdviceError, AskSql, loops_sql, rows, unit};
use crate::stored::quoted;

/// How far ahead nobody said how far.
pub const HORIZON: Microseconds = Microseconds::from_hours(2);
/// How far ahead, and how far back, at most.
pub const FARTHEST: Microseconds = Microseconds::from_hours(14 * 24);
/// How far back the next hours are learnt from, where nobody said and the horizon is not half of it.
const WINDOW: Microseconds = Microseconds::from_hours(6);
/// Probability of the interval.
pub const LEVEL: f64 = 0.95;
/// Steps that the next hours are learnt from, at most.
const STEPS_MAX: i64 = 360;
/// The shortest step: a block.
const BLOCK: Microseconds = Microseconds::from_minutes(1);
/// The step of days.
const HOUR: Microseconds = Microseconds::from_hours(1);

/// How a series is expected to go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// Daily for facility water more than six hours ahead, else smoothing.
    #[default]
    Chosen,
    /// Level and trend.
    Smoothing,
    /// A day that repeats, and a drift.
    Daily,
}

/// What is asked. Empty texts are not given.
#[derive(Debug, Clone, Default)]
pub struct ForecastQuestion {
    /// The rack; for signals of a loop any rack on it.
    pub rack: String,
    /// The loop instead of a rack.
    pub cooling_loop: String,
    /// The tray or host.
    pub node: String,
    /// GPU, pump, filter …
    pub device: String,
    /// What is measured.
    pub signal: String,
    /// Which of several sensors.
    pub sensor: String,
    /// How far ahead; [`HORIZON`] when not given.
    pub horizon: Option<Microseconds>,
    /// How far back is learnt from.
    pub window: Option<Microseconds>,
    /// Probability of the interval; [`LEVEL`] when not given.
    pub level: Option<f64>,
    /// When is this reached?
    pub limit: Option<f64>,
    /// How it is expected to go on.
    pub method: Method,
}

/// One sensor's stream; absent parts are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesName {
    /// Site.
    pub site: String,
    /// Coolant loop.
    pub cooling_loop: String,
    /// Rack.
    pub rack: String,
    /// Tray or host.
    pub node: String,
    /// GPU, pump, filter …
    pub device: String,
    /// What is measured.
    pub signal: String,
    /// Which of several sensors.
    pub sensor: String,
    /// Unit, a UCUM symbol.
    pub unit: &'static str,
}

/// What can be said.
#[derive(Debug, Clone)]
pub struct ForecastAnswer {
    /// The series that was meant.
    pub series: SeriesName,
    /// What is expected, or why nothing can be said.
    pub outcome: Result<(Forecast, Option<Crossing>), Refusal>,
}

/// A question that was checked.
struct Plan {
    horizon: Microseconds,
    window: Microseconds,
    level: f64,
    is_daily: bool,
}

impl ForecastQuestion {
    fn plan(&self) -> Result<Plan, AdviceError> {
        let field = |field, message: String| AdviceError::Field { field, message };
        if self.signal.is_empty() {
            return Err(field("signal", "is required, such as facility_supply_temperature".to_owned()));
        }
        match signal::find(&self.signal).map(|signal| signal.kind) {
            Some(SignalKind::StateCode | SignalKind::BitMask | SignalKind::Feed) => {
                let message =
                    format!("{} is a code or a sign of life, no quantity that goes on", self.signal);
                return Err(field("signal", message));
            }
            Some(SignalKind::Gauge | SignalKind::SetPoint | SignalKind::Counter) | None => {}
        }
        if self.rack.is_empty() == self.cooling_loop.is_empty() {
            return Err(field("rack", "give either a rack or a loop".to_owned()));
        }
        let level = check_level(self.level.unwrap_or(LEVEL)).map_err(|message| field("level", message))?;
        if self.limit.is_some_and(|limit| !limit.is_finite()) {
            return Err(field("limit", "is no number".to_owned()));
        }
        let within = |name, length: Microseconds| match BLOCK <= length && length <= FARTHEST {
            true => Ok(length),
            false => Err(field(name, format!("is {length}: give a length from {BLOCK} to {FARTHEST}"))),
        };
        let horizon = within("horizon", self.horizon.unwrap_or(HORIZON))?;
        let is_daily = match self.method {
            Method::Chosen => self.signal.starts_with("facility_") && horizon > WINDOW,
            Method::Smoothing => false,
            Method::Daily => true,
        };
        let usual =
            if is_daily { FARTHEST } else { WINDOW.max(Microseconds(2 * horizon.get())).min(FARTHEST) };
        let window = within("window", self.window.unwrap_or(usual))?;
        Ok(Plan { horizon, window, level, is_daily })
    }

    /// All series that could be meant, each with the time of its last block and the data's own time.
    fn series_sql(&self, window: Microseconds, known_loop: Option<&str>) -> String {
        let recent = format!("time >= now() - INTERVAL '{} seconds'", window.get() / 1_000_000 + 3_600);
        let place = if self.rack.is_empty() {
            format!("\"loop\" = {} AND rack IS NULL", quoted(&self.cooling_loop))
        } else {
            let rack = quoted(&self.rack);
            let loops = loops_sql(&self.rack, known_loop);
            format!("(rack = {rack} OR (rack IS NULL AND \"loop\" IN ({loops})))")
        };
        let parts = [("node", &self.node), ("device", &self.device), ("sensor", &self.sensor)];
        let parts = parts.iter().filter(|(_, value)| !value.is_empty()).fold(
            String::new(),
            |mut sql, (name, value)| {
                // Writing to a String cannot fail.
                let _ = write!(sql, " AND {name} = {}", quoted(value));
                sql
            },
        );
        format!(
            "SELECT site, \"loop\", rack, node, device, sensor, cast(now() AS bigint) AS now FROM blocks \
             WHERE signal = {} AND {recent} AND {place}{parts} \
             GROUP BY site, \"loop\", rack, node, device, sensor \
             ORDER BY rack NULLS LAST, node NULLS FIRST, device NULLS FIRST, sensor LIMIT {SERIES_MAX}",
            quoted(&self.signal)
        )
    }

    fn not_found(&self, window: Microseconds) -> AdviceError {
        let (place, name) =
            if self.rack.is_empty() { ("loop", &self.cooling_loop) } else { ("rack", &self.rack) };
        let hint = match signal::find(&self.signal) {
            Some(_) => String::new(),
            None => signal::nearest(&self.signal)
                .map_or_else(String::new, |nearest| format!("; did you mean {nearest}?")),
        };
        AdviceError::NotFound {
            kind: "series",
            name: self.signal.clone(),
            message: format!(
                "no series of {} at {place} {name}{} in the last {window}{hint} (see what there is with: \
                 thermogate sql \"select distinct signal, node, device from blocks where {place} = '{name}'\")",
                self.signal,
                match self.rack.is_empty() {
                    true => "",
                    false => " or its loop (as its readings' label or the site file names it)",
                },
            ),
        }
    }
}

/// Series that are listed when more than one could be meant.
const SERIES_MAX: usize = 12;

impl SeriesName {
    /// Where its rows are.
    fn filter(&self) -> String {
        let parts = [
            ("site", &self.site),
            ("\"loop\"", &self.cooling_loop),
            ("rack", &self.rack),
            ("node", &self.node),
            ("device", &self.device),
            ("sensor", &self.sensor),
        ];
        parts.iter().fold(format!("signal = {}", quoted(&self.signal)), |sql, (name, value)| {
            match value.is_empty() {
                true => format!("{sql} AND {name} IS NULL"),
                false => format!("{sql} AND {name} = {}", quoted(value)),
            }
        })
    }

    /// `rack r07, node n1, device gpu0`.
    pub fn place(&self) -> String {
        let parts = [
            ("loop", &self.cooling_loop),
            ("rack", &self.rack),
            ("node", &self.node),
            ("device", &self.device),
            ("sensor", &self.sensor),
        ];
        let told: Vec<String> = parts
            .iter()
            .filter(|(_, name)| !name.is_empty())
            .map(|(level, name)| format!("{level} {name}"))
            .collect();
        told.join(", ")
    }
}

/// Answers a question.
///
/// # Errors
/// [`AdviceError`]; too little data is an answer.
pub async fn forecast(
    question: &ForecastQuestion,
    history: &impl AskSql,
) -> Result<ForecastAnswer, AdviceError> {
    let plan = question.plan()?;
    let found =
        history.ask(question.series_sql(plan.window, history.loop_of(&question.rack).as_deref())).await?;
    let mut now = None;
    let mut all = Vec::new();
    for batch in &found.batches {
        now = now.or(rows::integers(batch, "now")?.into_iter().flatten().next());
        let [site, cooling_loop, rack, node, device, sensor] =
            ["site", "loop", "rack", "node", "device", "sensor"].map(|name| rows::texts(batch, name));
        let (site, cooling_loop, rack, node, device, sensor) =
            (site?, cooling_loop?, rack?, node?, device?, sensor?);
        all.extend((0..batch.num_rows()).map(|row| SeriesName {
            site: site[row].clone(),
            cooling_loop: cooling_loop[row].clone(),
            rack: rack[row].clone(),
            node: node[row].clone(),
            device: device[row].clone(),
            signal: question.signal.clone(),
            sensor: sensor[row].clone(),
            unit: unit(&question.signal),
        }));
    }
    let now = now.map(EventTime::from_unix_micros);
    let (Some(series), Some(now)) = (the_one(all, question)?, now) else {
        return Err(question.not_found(plan.window));
    };
    let rows_sql = format!(
        "SELECT cast(time AS bigint) AS time, mean, known_seconds FROM blocks \
         WHERE {} AND time >= now() - INTERVAL '{} seconds' ORDER BY time, seq",
        series.filter(),
        plan.window.get() / 1_000_000 + 3_600
    );
    let mut blocks = Vec::new();
    for batch in &history.ask(rows_sql).await?.batches {
        blocks.extend(rows::means(batch)?.into_iter().flatten());
    }
    let outcome = expect(&plan, &blocks, now).map(|forecast| {
        let lower_is_worse = signal::find(&question.signal).is_some_and(|signal| signal.lower_is_worse);
        let crossing = question.limit.map(|limit| time_to_limit(&forecast, limit, lower_is_worse));
        (forecast, crossing)
    });
    Ok(ForecastAnswer { series, outcome })
}

/// The series that is meant: a rack's own before its loop's, a whole place's before its parts'.
fn the_one(mut all: Vec<SeriesName>, question: &ForecastQuestion) -> Result<Option<SeriesName>, AdviceError> {
    let has = |all: &[SeriesName], is: &dyn Fn(&SeriesName) -> bool| all.iter().any(is);
    let is_of_rack = |series: &SeriesName| !series.rack.is_empty();
    if has(&all, &is_of_rack) {
        all.retain(is_of_rack);
    }
    let is_whole = |series: &SeriesName| series.node.is_empty() && series.device.is_empty();
    if has(&all, &is_whole) {
        all.retain(is_whole);
    }
    if all.len() > 1 {
        let told: Vec<String> = all.iter().map(SeriesName::place).collect();
        let more = if all.len() == SERIES_MAX { " …" } else { "" };
        return Err(AdviceError::Field {
            field: "series",
            message: format!(
                "{} is measured at more than one place; say which with node, device, sensor or loop: {}{more}",
                question.signal,
                told.join("; ")
            ),
        });
    }
    Ok(all.pop())
}

/// Brings the blocks on the method's grid and asks it.
fn expect(plan: &Plan, blocks: &[BlockMean], now: EventTime) -> Result<Forecast, Refusal> {
    let step = if plan.is_daily { HOUR } else { smoothing_step(blocks, plan.window) };
    // The step that goes on is left out: half of an hour is no hour.
    let until = now.window_start(step);
    let steps = (plan.window.get() / step.get()).max(1);
    let series = Series::from_blocks(blocks, step, until - Microseconds(step.get() * steps), until)?;
    series.refuse_if_silent(now, Microseconds(3 * step.get()).max(Microseconds::from_minutes(5)))?;
    let method: &dyn Forecaster = if plan.is_daily { &Daily } else { &Smoothing };
    method.forecast(&series, plan.horizon, plan.level)
}

/// The step of a smoothing: as long as the series' blocks, and so long that the window has not too many.
fn smoothing_step(blocks: &[BlockMean], window: Microseconds) -> Microseconds {
    let block = advisory::distance_of_blocks([blocks]);
    let times = (window.get() + block.get() * STEPS_MAX - 1) / (block.get() * STEPS_MAX);
    Microseconds(block.get() * times.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> ForecastQuestion {
        let signal = "facility_supply_temperature".to_owned();
        ForecastQuestion { rack: "r07".to_owned(), signal, ..ForecastQuestion::default() }
    }

    fn refused(change: impl FnOnce(&mut ForecastQuestion)) -> String {
        let mut question = question();
        change(&mut question);
        question.plan().err().expect("it is refused").to_string()
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_what_can() {
        let unnamed = refused(|question| question.signal.clear());
        assert_eq!(unnamed, "signal: is required, such as facility_supply_temperature");
        assert!(
            refused(|question| question.signal = "leak_state".to_owned())
                .contains("no quantity that goes on")
        );
        assert_eq!(refused(|question| question.rack.clear()), "rack: give either a rack or a loop");
        assert_eq!(
            refused(|question| question.cooling_loop = "a".to_owned()),
            "rack: give either a rack or a loop"
        );
        assert!(refused(|question| question.level = Some(1.0)).contains("from 0.5 to 0.99"));
        assert!(refused(|question| question.level = Some(f64::NAN)).contains("from 0.5 to 0.99"));
        assert_eq!(refused(|question| question.limit = Some(f64::INFINITY)), "limit: is no number");
        let far = Some(Microseconds::from_hours(15 * 24));
        assert_eq!(
            refused(|question| question.horizon = far),
            "horizon: is 15d: give a length from 1m to 14d"
        );
        let none = refused(|question| question.window = Some(Microseconds::ZERO));
        assert_eq!(none, "window: is 0s: give a length from 1m to 14d");
    }

    #[test]
    fn facility_water_far_ahead_is_learnt_by_days_and_all_else_by_its_last_hours() {
        let plan = |hours, signal: &str| {
            let horizon = Some(Microseconds::from_hours(hours));
            ForecastQuestion { horizon, signal: signal.to_owned(), ..question() }.plan().unwrap()
        };
        assert!(
            plan(24, "facility_supply_temperature").is_daily
                && !plan(2, "facility_supply_temperature").is_daily
        );
        let other = plan(24, "rack_power");
        assert!(!other.is_daily && other.window == Microseconds::from_hours(48), "twice the horizon");
    }

    #[test]
    fn no_window_has_more_steps_than_the_method_takes() {
        let slow: Vec<BlockMean> = (0..50)
            .map(|index| BlockMean {
                time: EventTime::from_unix_micros(index * 180_000_000),
                mean: 1.0,
                known: Microseconds::from_minutes(3),
            })
            .collect();
        for minutes in [1, 60, 359, 360, 361, 720, 721, 20_160] {
            let window = Microseconds::from_minutes(minutes);
            for blocks in [&slow[..], &[]] {
                let step = smoothing_step(blocks, window);
                assert!(window.get() / step.get() <= STEPS_MAX, "{window} in steps of {step}");
                assert_eq!(step.get() % smoothing_step(blocks, BLOCK).get(), 0, "whole blocks");
            }
        }
        assert_eq!(smoothing_step(&slow, BLOCK), Microseconds::from_minutes(3));
    }

    #[test]
    fn a_racks_own_sensor_is_meant_before_its_loops_and_several_are_named() {
        let series = |rack: &str, device: &str| SeriesName {
            site: "s".to_owned(),
            cooling_loop: "a".to_owned(),
            rack: rack.to_owned(),
            node: String::new(),
            device: device.to_owned(),
            signal: "coolant_supply_temperature".to_owned(),
            sensor: String::new(),
            unit: "Cel",
        };
        let question = question();
        let one = the_one(vec![series("r07", ""), series("", ""), series("r07", "gpu0")], &question)
            .unwrap()
            .unwrap();
        assert_eq!(one, series("r07", ""));
        assert!(the_one(Vec::new(), &question).unwrap().is_none());
        let refused =
            the_one(vec![series("r07", "gpu0"), series("r07", "gpu1")], &question).unwrap_err().to_string();
        assert!(
            refused.ends_with("loop a, rack r07, device gpu0; loop a, rack r07, device gpu1"),
            "{refused}"
        );
    }

    #[test]
    fn a_name_with_a_quote_stays_a_name() {
        let sql = ForecastQuestion { rack: "r'07".to_owned(), ..question() }.series_sql(HORIZON, Some("l'1"));
        assert!(
            sql.contains("rack = 'r''07'") && sql.contains("IN ('l''1')") && !sql.contains("'r'07'"),
            "{sql}"
        );
    }
}
