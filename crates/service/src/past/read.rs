//! From the tables to what is remembered of a run: records by table `log`, and by tables that are kept for ever where
//! they lie before the span.
//!
//! SQL → **read** → `Past`, `Readings`

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Calibration, Configuration, MaintenanceEvent, RunChange, RunEvent, Sequence, SeriesDeclaration,
    VerdictRecord,
};
use telemetry::{EventTime, Labels, Microseconds, Name, canonical_json};

use super::play::status_columns;
use super::readings::{IDENTITY, Numbers};
use super::{
    AFTER_END, Answers, Head, Past, PastError, Readings, Remembered, StoredVerdict, Ticks, status_json,
};

/// Samples that are asked for at once.
const PAGE_ROWS: u64 = 200_000;
/// Ticks that the log's table does not hold yet are made a second apart, as a service writes them.
const TICK: Microseconds = Microseconds::from_seconds(1);
/// The width of the spans that samples are counted in.
const PAGE: Microseconds = Microseconds::from_minutes(1);

/// Reads all that is remembered of an ended run, but for its samples.
///
/// - `warm_up`: so long before its start the span begins, or where the history of its racks' loops does.
///
/// # Errors
/// [`PastError::Refused`] for a run that is not known, goes on, is not final yet, or whose records are not kept any
/// more; [`PastError::Unreachable`] when nobody answers.
pub async fn read(source: &impl Answers, run: &str, warm_up: Microseconds) -> Result<Past, PastError> {
    let source = Source(source);
    let run_rows: Vec<Value> = source.rows(&run_sql(&format!("run = {}", quoted(run)), "baselines")).await?;
    let told = told(run, &run_rows)?;
    let (start, end) = (told.start, told.end);
    source.check_final(run, end).await?;
    let partitions = source.partitions(run, &told.racks).await?;
    let filter = filter(&partitions);
    let earliest = source.earliest(&filter).await?;
    let from = earliest.samples.map_or(start, |first| first.max(start - warm_up));
    let before = source.last_record_before(from).await?;
    let configuration = source.configuration(before, from).await?;
    let verdicts = source.verdicts(run).await?;
    let lateness = configuration.allowed_lateness;
    let asked = verdicts.iter().map(|verdict| verdict.record.time);
    let to = asked.filter(|time| *time <= end + AFTER_END).fold(end + lateness, EventTime::max) + TICK;
    let to = (to + (TICK - Microseconds(1))).window_start(TICK);
    let (ticks, ticks_known_to) = source.ticks(from, to).await?;
    let series = source.series(&partitions, to).await?;
    let begins_here = partitions.iter().all(|partition| {
        series.iter().any(|(_, declared)| declared.id.0 == 0 && declared.partition == *partition)
    });
    let is_whole_history = begins_here
        && earliest.samples.is_some_and(|first| from <= first)
        && earliest.blocks.is_none_or(|first| from <= first + PAGE);
    let racks = racks_of(&series, &told.racks);
    // What was declared before the span is known from its beginning on.
    let in_span = |remembered: &Remembered| match remembered.seq <= before {
        true => Remembered { seq: 0, time: from, ..remembered.clone() },
        false => remembered.clone(),
    };
    let mut log: Vec<Remembered> = series.iter().map(|(remembered, _)| in_span(remembered)).collect();
    log.extend(source.in_force_before(before, from, &racks, &partitions).await?);
    log.extend(source.records(before, to, &racks).await?);
    log.sort_by_key(|remembered| remembered.seq);
    let head = Head {
        run: run.into(),
        racks: told.racks,
        stage: told.stage,
        start,
        end,
        state: told.state,
        from,
        to,
        is_whole_history,
        ticks_known_to,
        partitions,
        configuration: configuration.hash.as_str().into(),
        engine: gate::ENGINE_VERSION.into(),
    };
    let statuses = source.statuses(run).await?;
    let overrides = source.overrides(&verdicts).await?;
    Ok(Past { head, configuration, log, ticks, run_rows, statuses, verdicts, overrides })
}

/// Reads the samples of a span, some hundred thousand at once, in the canonical order.
///
/// # Errors
/// [`PastError`], and what `take` gives.
pub async fn readings(
    source: &impl Answers,
    past: &Past,
    mut take: impl FnMut(Readings) -> Result<(), PastError>,
) -> Result<(), PastError> {
    let source = Source(source);
    let numbers = past.numbers()?;
    let (from, to) = (past.head.from, past.head.to);
    let filter = filter(&past.head.partitions);
    let counted: Vec<Counted> = source
        .rows(&format!(
            "select cast(date_bin(interval '1 minute', time) as bigint) as page, count(*) as rows from samples \
             where {filter} and {} group by 1 order by 1",
            within("time", from, to + Microseconds(1))
        ))
        .await?;
    for (from, until) in pages(&counted, from, to + Microseconds(1)) {
        let identity = IDENTITY.map(|name| format!("\"{name}\"")).join(", ");
        let sql = format!(
            "select {identity}, cast(time as bigint) as time, value, flag from samples where {filter} and {}",
            within("time", from, until)
        );
        let answer = source.0.answer(sql).await?;
        take(numbers.readings(&answer.batches)?)?;
    }
    Ok(())
}

/// The runs that ended last, the latest first.
///
/// # Errors
/// [`PastError`].
pub async fn latest_ended(source: &impl Answers, count: usize) -> Result<Vec<Name>, PastError> {
    #[derive(Deserialize)]
    struct Ended {
        run: Name,
    }
    let sql = format!(
        "select run, max(\"end\") as \"end\" from runs where \"end\" is not null group by run \
         order by 2 desc, run desc limit {count}"
    );
    let ended: Vec<Ended> = Source(source).rows(&sql).await?;
    Ok(ended.into_iter().map(|ended| ended.run).collect())
}

impl Past {
    /// Which series has which number in an evaluation again.
    ///
    /// # Errors
    /// Names the declaration that cannot be read.
    pub fn numbers(&self) -> Result<Numbers, PastError> {
        let mut numbers = Numbers::default();
        for remembered in self.log.iter().filter(|remembered| remembered.kind == "series") {
            let declaration: SeriesDeclaration = parsed(remembered.body.clone(), "a series")?;
            if let Some(partition) = self.head.number(&declaration.partition) {
                numbers.declare(partition, &declaration);
            }
        }
        Ok(numbers)
    }
}

/// Spans of time with no more samples than a page, unless a minute has more.
fn pages(counted: &[Counted], from: EventTime, to: EventTime) -> Vec<(EventTime, EventTime)> {
    let mut pages = Vec::new();
    let (mut begin, mut rows) = (from, 0);
    for counted in counted {
        let page = EventTime::from_unix_micros(counted.page);
        if rows > 0 && PAGE_ROWS < rows + counted.rows {
            pages.push((begin, page));
            (begin, rows) = (page, 0);
        }
        rows += counted.rows;
    }
    if rows > 0 {
        pages.push((begin, to));
    }
    pages
}

#[derive(Debug, Deserialize)]
struct Counted {
    page: i64,
    rows: u64,
}

/// What the rows of a run say.
struct Told {
    racks: Vec<Name>,
    stage: String,
    start: EventTime,
    end: EventTime,
    state: String,
}

/// A row of `runs` as JSON.
#[derive(Deserialize)]
struct RunRow {
    run: Name,
    time: i64,
    racks: Vec<Name>,
    stage: Name,
    versions: Option<Vec<Entry>>,
    start: i64,
    planned_end: i64,
    end: Option<i64>,
    state: String,
}

#[derive(Deserialize)]
struct Entry {
    key: Name,
    value: Name,
}

fn run_sql(filter: &str, more: &str) -> String {
    format!(
        "select seq, run, cast(time as bigint) as time, racks, stage, map_entries(versions) as versions, \
         cast(start as bigint) as start, cast(planned_end as bigint) as planned_end, \
         cast(\"end\" as bigint) as \"end\", state, marker, {more} from runs where {filter} order by seq, time"
    )
}

fn told(run: &str, rows: &[Value]) -> Result<Told, PastError> {
    let Some(last) = rows.last() else {
        return Err(PastError::Refused(format!(
            "run {run:?} is not known: `thermogate run list` shows those that are"
        )));
    };
    let row: RunRow = parsed(last.clone(), "a row of runs")?;
    // A mark may come after the end.
    let ended = rows.iter().rev().find(|row| !row["end"].is_null());
    let Some(ended) = ended else {
        return Err(PastError::Refused(format!(
            "run {run:?} is {}: end it with `thermogate run end {run}` first",
            row.state
        )));
    };
    let ended: RunRow = parsed(ended.clone(), "a row of runs")?;
    Ok(Told {
        racks: row.racks,
        stage: row.stage.to_string(),
        start: EventTime::from_unix_micros(row.start),
        end: EventTime::from_unix_micros(ended.end.unwrap_or(ended.time)),
        state: ended.state,
    })
}

/// Where the samples and the blocks of some partitions begin.
struct Earliest {
    samples: Option<EventTime>,
    blocks: Option<EventTime>,
}

struct Source<'a, A>(&'a A);

impl<A: Answers> Source<'_, A> {
    async fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, PastError> {
        let answer = self.0.answer(sql.to_owned()).await?;
        let unreadable = |error: &dyn std::fmt::Display| {
            PastError::Unreachable(format!("the history's answer cannot be read: {error}"))
        };
        let mut writer = arrow::json::ArrayWriter::new(Vec::new());
        for batch in &answer.batches {
            writer.write(batch).map_err(|error| unreadable(&error))?;
        }
        writer.finish().map_err(|error| unreadable(&error))?;
        let bytes = writer.into_inner();
        let bytes = if bytes.is_empty() { &b"[]"[..] } else { &bytes[..] };
        serde_json::from_slice(bytes).map_err(|error| unreadable(&error))
    }

    async fn check_final(&self, run: &str, end: EventTime) -> Result<(), PastError> {
        #[derive(Deserialize)]
        struct Now {
            now: i64,
        }
        let now: Vec<Now> = self.rows("select cast(now() as bigint) as now").await?;
        let watermark = now.first().map_or(EventTime::MINIMUM, |now| EventTime::from_unix_micros(now.now));
        if watermark < end {
            return Err(PastError::Refused(format!(
                "run {run:?} ended at {end} and event time is final up to {watermark}: come again when its last data is"
            )));
        }
        Ok(())
    }

    /// The partitions that the racks' series were ever in.
    async fn partitions(&self, run: &str, racks: &[Name]) -> Result<Vec<PartitionKey>, PastError> {
        #[derive(Deserialize)]
        struct Body {
            body: String,
        }
        let named = |rack: &Name| {
            let text = format!("\"rack\":{}", Value::from(&**rack));
            format!("strpos(body, {}) > 0", quoted(&text))
        };
        let named: Vec<String> = racks.iter().map(named).collect();
        let sql = format!("select body from log where kind = 'series' and ({})", named.join(" or "));
        let mut partitions: Vec<PartitionKey> = Vec::new();
        for row in self.rows::<Body>(&sql).await? {
            let declared: SeriesDeclaration = parsed(serde_json_value(&row.body)?, "a series")?;
            let is_of_run = declared.identity.place.rack.as_ref().is_some_and(|rack| racks.contains(rack));
            if is_of_run && !partitions.contains(&declared.partition) {
                partitions.push(declared.partition);
            }
        }
        if partitions.is_empty() {
            return Err(PastError::Refused(format!(
                "the series of run {run:?} are not in table `log` any more: its records are kept for \
                 history.retention_log_days"
            )));
        }
        partitions.sort();
        Ok(partitions)
    }

    async fn earliest(&self, filter: &str) -> Result<Earliest, PastError> {
        #[derive(Deserialize)]
        struct First {
            first: Option<i64>,
        }
        let mut firsts = [None; 2];
        for (first, table) in firsts.iter_mut().zip(["samples", "blocks"]) {
            let sql = format!("select cast(min(time) as bigint) as first from {table} where {filter}");
            let rows: Vec<First> = self.rows(&sql).await?;
            *first = rows.first().and_then(|row| row.first).map(EventTime::from_unix_micros);
        }
        Ok(Earliest { samples: firsts[0], blocks: firsts[1] })
    }

    /// The last record of the log at which the last tick lay before a time; 0 for none.
    async fn last_record_before(&self, time: EventTime) -> Result<Sequence, PastError> {
        #[derive(Deserialize)]
        struct Last {
            seq: Option<Sequence>,
        }
        let sql = format!(
            "select max(seq) as seq from log where kind <> 'tick' and time < to_timestamp_micros({})",
            time.unix_micros()
        );
        Ok(self.rows::<Last>(&sql).await?.first().and_then(|row| row.seq).unwrap_or(0))
    }

    async fn configuration(&self, before: Sequence, from: EventTime) -> Result<Configuration, PastError> {
        let sql = format!(
            "select seq, cast(time as bigint) as time, kind, body from log where kind = 'configuration' \
             and seq <= {before} order by seq desc limit 1"
        );
        let Some(row) = self.rows::<LogRow>(&sql).await?.into_iter().next() else {
            return Err(PastError::Refused(format!(
                "the configuration in force at {from} is not in table `log` any more: its records are kept for \
                 history.retention_log_days"
            )));
        };
        parsed(serde_json_value(&row.body)?, "a configuration")
    }

    /// The verdicts about a run, in order.
    async fn verdicts(&self, run: &str) -> Result<Vec<StoredVerdict>, PastError> {
        #[derive(Deserialize)]
        struct VerdictRow {
            seq: Sequence,
            evaluation: Name,
            policy: Name,
            policy_hash: Name,
            scope: String,
            run: Option<Name>,
            verdict: Name,
            answer: String,
            facts: String,
            watermark: i64,
            wait_until: Option<i64>,
            time: i64,
            engine: Name,
        }
        // A policy about runs takes the active one when it is asked about racks: only its answer names the run then.
        let named = quoted(&format!("\"run_id\":{}", Value::from(run)));
        let sql = format!(
            "select seq, evaluation, policy, policy_hash, scope, run, verdict, answer, facts, \
             cast(watermark as bigint) as watermark, cast(wait_until as bigint) as wait_until, \
             cast(time as bigint) as time, engine from verdicts \
             where run = {} or strpos(answer, {named}) > 0 order by seq",
            quoted(run)
        );
        let rows: Vec<VerdictRow> = self.rows(&sql).await?;
        let verdict = |row: VerdictRow| StoredVerdict {
            seq: row.seq,
            record: VerdictRecord {
                evaluation: row.evaluation,
                policy: row.policy,
                policy_hash: row.policy_hash,
                racks: serde_json::from_str(&row.scope).unwrap_or_default(),
                run: row.run,
                verdict: row.verdict,
                answer: row.answer,
                facts: row.facts,
                watermark: EventTime::from_unix_micros(row.watermark),
                wait_until: row.wait_until.map(EventTime::from_unix_micros),
                time: EventTime::from_unix_micros(row.time),
                engine: row.engine,
            },
        };
        Ok(rows.into_iter().map(verdict).collect())
    }

    /// The ticks of a span, and up to where they are those of the log.
    async fn ticks(&self, from: EventTime, to: EventTime) -> Result<(Vec<Ticks>, EventTime), PastError> {
        let sql = format!(
            "select seq, cast(time as bigint) as time, kind, body from log where kind = 'tick' \
             and time >= to_timestamp_micros({}) order by seq",
            from.unix_micros()
        );
        let mut ticks = Vec::new();
        for row in self.rows::<LogRow>(&sql).await? {
            let read: Ticks = parsed(serde_json_value(&row.body)?, "ticks")?;
            if let Some(cut) = cut(read, from, to) {
                ticks.push(cut);
            }
        }
        let known_to = ticks.last().map_or(from, |ticks| ticks.last);
        let mut next = (known_to + TICK).window_start(TICK);
        if ticks.is_empty() {
            next = (from + (TICK - Microseconds(1))).window_start(TICK);
        }
        if next <= to {
            ticks.push(Ticks { first: next, last: to.window_start(TICK), step: TICK });
        }
        Ok((ticks, known_to))
    }

    /// The declarations of all series of some partitions up to a time, in order of the log.
    async fn series(
        &self,
        partitions: &[PartitionKey],
        to: EventTime,
    ) -> Result<Vec<(Remembered, SeriesDeclaration)>, PastError> {
        let named = |partition: &PartitionKey| {
            let text = format!("\"partition\":{}", canonical_json(partition));
            format!("strpos(body, {}) > 0", quoted(&text))
        };
        let named: Vec<String> = partitions.iter().map(named).collect();
        let sql = format!(
            "select seq, cast(time as bigint) as time, kind, body from log where kind = 'series' \
             and time <= to_timestamp_micros({}) and ({}) order by seq",
            to.unix_micros(),
            named.join(" or ")
        );
        let mut series = Vec::new();
        for row in self.rows::<LogRow>(&sql).await? {
            let remembered = row.remembered()?;
            let declared: SeriesDeclaration = parsed(remembered.body.clone(), "a series")?;
            if partitions.contains(&declared.partition) {
                series.push((remembered, declared));
            }
        }
        complete(&series, partitions)?;
        Ok(series)
    }

    /// Records of people's acts after a place in the log.
    async fn records(
        &self,
        after: Sequence,
        to: EventTime,
        racks: &[Name],
    ) -> Result<Vec<Remembered>, PastError> {
        let sql = format!(
            "select seq, cast(time as bigint) as time, kind, body from log \
             where kind in ('run', 'calibration', 'maintenance', 'configuration') and seq > {after} \
             and time <= to_timestamp_micros({}) order by seq",
            to.unix_micros()
        );
        let records = self
            .rows::<LogRow>(&sql)
            .await?
            .into_iter()
            .map(LogRow::remembered)
            .collect::<Result<Vec<_>, _>>()?;
        let is_here =
            |rack: &Value| rack.as_str().is_some_and(|rack| racks.iter().any(|known| &**known == rack));
        let is_kept = |remembered: &Remembered| match remembered.kind.as_str() {
            // Ends and marks name no rack: those of runs that did not start here change nothing.
            "run" => {
                let on = remembered.body["change"]["start"]["racks"].as_array();
                on.is_none_or(|on| on.iter().any(is_here))
            }
            "maintenance" => is_here(&remembered.body["rack"]),
            _ => true,
        };
        Ok(records.into_iter().filter(is_kept).collect())
    }

    /// What was in force before the span: calibrations, work on racks, runs that went on. Tables tell it that are kept
    /// for ever.
    async fn in_force_before(
        &self,
        before: Sequence,
        from: EventTime,
        racks: &[Name],
        partitions: &[PartitionKey],
    ) -> Result<Vec<Remembered>, PastError> {
        let mut in_force = Vec::new();
        let mut add = |kind: &str, body: Value| {
            in_force.push(Remembered { seq: 0, time: from, kind: kind.to_owned(), body });
        };
        for calibration in self.calibrations(before).await? {
            let place = &calibration.identity.place;
            let is_here = match &place.rack {
                Some(rack) => racks.contains(rack),
                None => partitions.contains(&PartitionKey::of(place)),
            };
            if is_here {
                add("calibration", json(&calibration)?);
            }
        }
        for work in self.maintenance(before, racks).await? {
            if work.until.is_none_or(|until| from < until) {
                add("maintenance", json(&work)?);
            }
        }
        for run in self.active_runs(before, racks).await? {
            add("run", json(&run)?);
        }
        Ok(in_force)
    }

    async fn calibrations(&self, before: Sequence) -> Result<Vec<Calibration>, PastError> {
        #[derive(Deserialize)]
        struct CalibrationRow {
            site: Name,
            #[serde(rename = "loop")]
            cooling_loop: Option<Name>,
            rack: Option<Name>,
            node: Option<Name>,
            device: Option<Name>,
            signal: Option<Name>,
            sensor: Option<Name>,
            time: i64,
            kind: Name,
            value: Option<f64>,
            by: String,
            why: String,
            reference: Option<String>,
            calibration: Option<Name>,
        }
        let sql = format!(
            "select site, \"loop\", rack, node, device, signal, sensor, cast(time as bigint) as time, kind, value, by, \
             why, reference, calibration from calibrations where seq <= {before} order by seq"
        );
        let rows: Vec<CalibrationRow> = self.rows(&sql).await?;
        let calibration = |row: CalibrationRow| {
            let place = Place {
                site: row.site,
                cooling_loop: row.cooling_loop,
                rack: row.rack,
                node: row.node,
                device: row.device,
            };
            Calibration {
                calibration: row.calibration.unwrap_or_default(),
                identity: SeriesIdentity::new(place, row.signal.unwrap_or_default(), row.sensor),
                time: EventTime::from_unix_micros(row.time),
                kind: row.kind,
                value: row.value,
                reference: row.reference.unwrap_or_default(),
                by: row.by,
                why: row.why,
            }
        };
        Ok(rows.into_iter().map(calibration).collect())
    }

    /// The latest work on each rack.
    async fn maintenance(
        &self,
        before: Sequence,
        racks: &[Name],
    ) -> Result<Vec<MaintenanceEvent>, PastError> {
        #[derive(Deserialize)]
        struct MaintenanceRow {
            rack: Name,
            time: i64,
            until: Option<i64>,
            by: String,
            why: String,
        }
        let sql = format!(
            "select rack, cast(time as bigint) as time, cast(until as bigint) as until, by, why from maintenance \
             where seq <= {before} order by seq"
        );
        let rows: Vec<MaintenanceRow> = self.rows(&sql).await?;
        let latest = racks.iter().filter_map(|rack| rows.iter().rev().find(|row| row.rack == *rack));
        let event = |row: &MaintenanceRow| MaintenanceEvent {
            rack: row.rack.clone(),
            time: EventTime::from_unix_micros(row.time),
            until: row.until.map(EventTime::from_unix_micros),
            by: row.by.clone(),
            why: row.why.clone(),
        };
        Ok(latest.map(event).filter(|event| event.until.is_some()).collect())
    }

    async fn active_runs(&self, before: Sequence, racks: &[Name]) -> Result<Vec<RunEvent>, PastError> {
        let rows: Vec<RunRow> = self.rows(&run_sql(&format!("seq <= {before}"), "null as baselines")).await?;
        let mut latest: Vec<RunRow> = Vec::new();
        for row in rows {
            latest.retain(|known| known.run != row.run);
            latest.push(row);
        }
        let active = latest
            .into_iter()
            .filter(|row| row.state == "active" && row.racks.iter().any(|rack| racks.contains(rack)));
        let event = |row: RunRow| RunEvent {
            run: row.run,
            time: EventTime::from_unix_micros(row.start),
            change: RunChange::Start {
                racks: row.racks,
                stage: row.stage,
                versions: labels(row.versions),
                planned: Microseconds(row.planned_end - row.start),
            },
        };
        Ok(active.map(event).collect())
    }

    /// The final statuses of a run, in order of their text.
    async fn statuses(&self, run: &str) -> Result<Vec<String>, PastError> {
        let sql = format!(
            "select {} from slo_status where scope = 'run' and final and run = {}",
            status_columns(),
            quoted(run)
        );
        let rows: Vec<Value> = self.rows(&sql).await?;
        let mut statuses: Vec<String> = rows.iter().map(status_json).collect();
        statuses.sort();
        Ok(statuses)
    }

    async fn overrides(&self, verdicts: &[StoredVerdict]) -> Result<Vec<Value>, PastError> {
        if verdicts.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = verdicts.iter().map(|verdict| quoted(&verdict.record.evaluation)).collect();
        let sql = format!(
            "select evaluation, cast(time as bigint) as time, checks, by, why, cast(until as bigint) as until \
             from overrides where evaluation in ({}) order by seq",
            ids.join(", ")
        );
        self.rows(&sql).await
    }
}

/// A row of `log`.
#[derive(Deserialize)]
struct LogRow {
    seq: Sequence,
    time: i64,
    kind: String,
    body: String,
}

impl LogRow {
    fn remembered(self) -> Result<Remembered, PastError> {
        let time = EventTime::from_unix_micros(self.time);
        Ok(Remembered { seq: self.seq, time, kind: self.kind, body: serde_json_value(&self.body)? })
    }
}

/// All series of a partition are declared, from number 0 on.
fn complete(
    series: &[(Remembered, SeriesDeclaration)],
    partitions: &[PartitionKey],
) -> Result<(), PastError> {
    for partition in partitions {
        let mut next = 0;
        for (_, declared) in series.iter().filter(|(_, declared)| declared.partition == *partition) {
            if next < declared.id.0 {
                return Err(PastError::Refused(format!(
                    "series {next} of {partition} is not in table `log` any more: its records are kept for \
                     history.retention_log_days"
                )));
            }
            next = next.max(declared.id.0 + 1);
        }
    }
    Ok(())
}

/// The racks of all series, and those of the run.
fn racks_of(series: &[(Remembered, SeriesDeclaration)], of_run: &[Name]) -> Vec<Name> {
    let declared = series.iter().filter_map(|(_, declared)| declared.identity.place.rack.as_ref());
    let mut racks: Vec<Name> = declared.chain(of_run).cloned().collect();
    racks.sort();
    racks.dedup();
    racks
}

/// The part of some ticks that lies in a span.
fn cut(ticks: Ticks, from: EventTime, to: EventTime) -> Option<Ticks> {
    let Ticks { mut first, mut last, step } = ticks;
    if step > Microseconds::ZERO {
        while first < from && first <= last {
            first = first + step;
        }
        while to < last && first <= last {
            last = last - step;
        }
    }
    (from <= first && first <= last && last <= to).then_some(Ticks { first, last, step })
}

/// The rows of some partitions, as a condition in SQL.
fn filter(partitions: &[PartitionKey]) -> String {
    let condition = |partition: &PartitionKey| match partition {
        PartitionKey::Loop { site, name } => {
            format!("(site = {} and \"loop\" = {})", quoted(site), quoted(name))
        }
        PartitionKey::Rack { site, name } => format!("(site = {} and rack = {})", quoted(site), quoted(name)),
        PartitionKey::Site { site } => {
            format!("(site = {} and \"loop\" is null and rack is null)", quoted(site))
        }
    };
    format!("({})", partitions.iter().map(condition).collect::<Vec<_>>().join(" or "))
}

/// A span of time as a condition in SQL; its end is not part of it.
fn within(column: &str, from: EventTime, until: EventTime) -> String {
    format!(
        "{column} >= to_timestamp_micros({}) and {column} < to_timestamp_micros({})",
        from.unix_micros(),
        until.unix_micros()
    )
}

fn labels(entries: Option<Vec<Entry>>) -> Labels {
    entries.unwrap_or_default().into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// A text as SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn parsed<T: DeserializeOwned>(value: Value, what: &str) -> Result<T, PastError> {
    serde_json::from_value(value)
        .map_err(|error| PastError::Unreachable(format!("{what} of the history cannot be read: {error}")))
}

fn serde_json_value(text: &str) -> Result<Value, PastError> {
    serde_json::from_str(text)
        .map_err(|error| PastError::Unreachable(format!("a record of the history cannot be read: {error}")))
}

fn json<T: serde::Serialize>(value: &T) -> Result<Value, PastError> {
    serde_json::to_value(value)
        .map_err(|error| PastError::Unreachable(format!("a record cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn ticks_are_cut_to_the_span() {
        let ticks = Ticks { first: at(0), last: at(100), step: Microseconds::from_seconds(10) };
        let expected = Ticks { first: at(20), last: at(50), ..ticks };
        assert_eq!(cut(ticks, at(15), at(55)), Some(expected));
        assert_eq!(cut(ticks, at(101), at(200)), None);
        let alone = Ticks { first: at(7), last: at(7), step: Microseconds::ZERO };
        assert_eq!(cut(alone, at(0), at(10)), Some(alone));
        assert_eq!(cut(alone, at(8), at(10)), None);
    }

    #[test]
    fn a_page_holds_no_more_samples_than_are_asked_for_at_once() {
        let counted = |minute: i64, rows| Counted { page: minute * 60_000_000, rows };
        let counted = [counted(0, PAGE_ROWS - 1), counted(1, 1), counted(2, 1), counted(3, 2 * PAGE_ROWS)];
        let pages = pages(&counted, at(5), at(500));
        assert_eq!(pages, [(at(5), at(120)), (at(120), at(180)), (at(180), at(500))]);
        assert_eq!(super::pages(&[], at(0), at(1)), []);
    }
}
