//! From the tables to what is remembered of a run: records by table `log`, and by tables that are kept for ever where
//! they lie before the span.
//!
//! SQL → **read** → `Past`, `Readings`

mod asked; // questions, and where the history lies
mod before; // what was in force before the span
mod log; // records and ticks
mod verdicts; // what was said about the run

use std::cell::Cell;

use serde::Deserialize;
use serde_json::Value;
use telemetry::record::SeriesDeclaration;
use telemetry::{EventTime, Microseconds, Name};
use tokio::runtime::Handle;

use self::asked::{Source, filter, parsed, within};
use self::before::RunRow;
use super::readings::{Numbers, gathered_sql};
use super::{AFTER_END, Answers, Head, Past, PastError, Readings, Remembered, Trial, Tried};
use crate::settings::Settings;

/// Samples that are asked for at once. Files are in order of series, so that each page looks at nearly all of them:
/// few pages are better. One of this many takes 50 MB as columns, three times that while it is put in order, and about
/// 50 MB of the memory that queries share.
const PAGE_ROWS: u64 = 2_000_000;
/// No page is shorter.
const SECOND: Microseconds = Microseconds::from_seconds(1);
/// Ticks that the log's table does not hold yet are made a second apart, as a service writes them.
const TICK: Microseconds = Microseconds::from_seconds(1);
/// The length of a block.
const BLOCK: Microseconds = Microseconds::from_minutes(1);

/// Reads all that is remembered of an ended run, but for its samples.
///
/// - `warm_up`: so long before its start the span begins, or where the history of its racks' loops does.
///
/// # Errors
/// [`PastError::Refused`] for a run that is not known, goes on, is not final yet, or whose records are not kept any
/// more; [`PastError::Unreachable`] when nobody answers.
pub async fn read(source: &impl Answers, run: &str, warm_up: Microseconds) -> Result<Past, PastError> {
    let source = Source(source);
    let run_rows: Vec<Value> = source.run(run).await?;
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
        && earliest.blocks.is_none_or(|first| from <= first + BLOCK);
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

/// The samples of a run in the canonical order, some million at once.
#[derive(Debug, Clone)]
pub struct Pages {
    numbers: Numbers,
    /// Which samples.
    filter: String,
    /// Spans of time that are left, the next one last.
    left: Vec<(EventTime, EventTime)>,
}

impl Pages {
    /// Those of the whole span.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn of(source: &impl Answers, past: &Past) -> Result<Self, PastError> {
        let numbers = past.numbers()?;
        let (from, to) = (past.head.from, past.head.to);
        let filter = filter(&past.head.partitions);
        let counted: Vec<Counted> =
            Source(source).rows(&counted_sql(&filter, from, to + Microseconds(1))).await?;
        let mut left = pages(&counted, from, to + Microseconds(1));
        left.reverse();
        Ok(Self { numbers, filter, left })
    }

    /// Reads the next page; none after the last one. One that is not answered, as where other queries leave too little
    /// memory for it, is asked for in halves, whatever the reason: who answers tells only its text. One that nobody can
    /// answer is given up after as many tries as its span can be halved.
    ///
    /// # Errors
    /// [`PastError`], when not even a second can be read.
    pub async fn next(&mut self, source: &impl Answers) -> Result<Option<Readings>, PastError> {
        while let Some((from, until)) = self.left.pop() {
            let condition = format!("{} and {}", self.filter, within("time", from, until));
            match source.answer(gathered_sql(&condition)).await {
                Ok(answer) => return self.numbers.gathered(&answer.batches).map(Some),
                Err(error) if until - from <= SECOND => return Err(error),
                Err(_) => {
                    let half = Microseconds((until - from).get() / 2).max(SECOND);
                    self.left.extend([(from + half, until), (from, from + half)]);
                }
            }
        }
        Ok(None)
    }
}

/// Samples by second. Not by `date_bin`, which answers in nanoseconds whatever it is asked of.
fn counted_sql(filter: &str, from: EventTime, to: EventTime) -> String {
    format!(
        "select cast(time as bigint) - cast(time as bigint) % 1000000 as page, count(*) as rows from samples \
         where {filter} and {} group by 1 order by 1",
        within("time", from, to)
    )
}

/// Tries documents on a run whose samples are read page by page, so that no more than two million of them are in memory.
///
/// Blocks: not to be called by a thread of `runtime`.
///
/// # Errors
/// Of the run's records, or of the documents.
pub fn backtest_run(
    runtime: &Handle,
    source: &impl Answers,
    run: &str,
    warm_up: Microseconds,
    trial: &Trial,
    settings: &Settings,
) -> Result<(Vec<Name>, Tried), NotTried> {
    let past = runtime.block_on(read(source, run, warm_up)).map_err(NotTried::OfRun)?;
    let pages = runtime.block_on(Pages::of(source, &past)).map_err(NotTried::OfRun)?;
    let is_unread = Cell::new(false);
    let each = || {
        let (mut pages, is_unread) = (pages.clone(), &is_unread);
        std::iter::from_fn(move || {
            let page = runtime.block_on(pages.next(source)).transpose();
            is_unread.set(is_unread.get() || page.as_ref().is_some_and(Result::is_err));
            page
        })
    };
    match super::backtest(&past, trial, settings, each) {
        Ok(tried) => Ok((past.head.racks, tried)),
        Err(error) if is_unread.get() => Err(NotTried::OfRun(error)),
        Err(error) => Err(NotTried::OfDocuments(error)),
    }
}

/// Why a run was not tried.
#[derive(Debug)]
pub enum NotTried {
    /// Its records or samples cannot be read.
    OfRun(PastError),
    /// The documents cannot be used.
    OfDocuments(PastError),
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

/// Spans of time with no more samples than a page, unless a second has more.
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

/// The racks of all series, and those of the run.
fn racks_of(series: &[(Remembered, SeriesDeclaration)], of_run: &[Name]) -> Vec<Name> {
    let declared = series.iter().filter_map(|(_, declared)| declared.identity.place.rack.as_ref());
    let mut racks: Vec<Name> = declared.chain(of_run).cloned().collect();
    racks.sort();
    racks.dedup();
    racks
}

#[cfg(test)]
mod tests {
    use telemetry::record::{Fate, Flag, PartitionId, SampleBatch, SeriesId};

    use super::*;
    use crate::past::readings::tests::declaration;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix_micros(seconds * 1_000_000)
    }

    #[tokio::test]
    async fn samples_are_counted_by_the_second_that_they_are_of() {
        let settings = history::HistorySettings::default();
        let history = history::History::open("memory://", settings).await.expect("memory has room");
        history.declare(PartitionId::FIRST, &std::sync::Arc::new(declaration(0, "r1")));
        let times = [1_767_600_000_000_000, 1_767_600_000_999_999, 1_767_600_001_000_000];
        let batch = SampleBatch {
            series: vec![SeriesId(0); 3],
            time: times.map(EventTime::from_unix_micros).to_vec(),
            value: vec![1.0; 3],
            flag: Vec::new(),
        };
        history.append_samples(1, PartitionId::FIRST, &batch, &[Fate::Stored(Flag::Ok); 3]);
        let sql = counted_sql("rack = 'r1'", at(0), EventTime::from_unix_micros(times[2] + 1));
        let answer = history.query_engine().sql(&sql, &[]).await.expect("SQL").collect().await.expect("rows");
        let counted: Vec<Counted> = crate::stored::rows(&answer).expect("two columns");
        let counted: Vec<(i64, u64)> = counted.iter().map(|counted| (counted.page, counted.rows)).collect();
        assert_eq!(counted, [(times[0], 2), (times[2], 1)]);
    }

    #[tokio::test]
    async fn a_page_holds_each_reading_with_its_series_value_and_flag_in_order() {
        let settings = history::HistorySettings::default();
        let history = history::History::open("memory://", settings).await.expect("memory has room");
        let mut numbers = Numbers::default();
        for (id, rack) in [(0, "r2"), (1, "r1")] {
            let declaration = declaration(id, rack);
            history.declare(PartitionId::FIRST, &std::sync::Arc::new(declaration.clone()));
            numbers.declare(PartitionId::FIRST, &declaration);
        }
        let fates = [Flag::Ok, Flag::Ok, Flag::Sentinel, Flag::Ok, Flag::Late].map(Fate::Stored);
        let batch = SampleBatch {
            series: [0, 1, 1, 0, 1].map(SeriesId).to_vec(),
            time: [20, 20, 21, 21, 19].map(at).to_vec(),
            value: vec![1.0, 2.0, f64::NAN, 4.0, 5.0],
            flag: Vec::new(),
        };
        history.append_samples(1, PartitionId::FIRST, &batch, &fates);
        let sql = gathered_sql(&within("time", at(0), at(21)));
        let answer = history.query_engine().sql(&sql, &[]).await.expect("SQL").collect().await.expect("rows");
        let page = numbers.gathered(&answer).expect("the columns that were asked for");
        assert_eq!(page.time, [at(19), at(20), at(20)]);
        assert_eq!(page.series, [1, 0, 1].map(SeriesId));
        assert_eq!(page.value, [5.0, 1.0, 2.0]);
        assert_eq!(page.flag, [Flag::Late, Flag::Ok, Flag::Ok]);
        let sql = gathered_sql(&within("time", at(21), at(22)));
        let answer = history.query_engine().sql(&sql, &[]).await.expect("SQL").collect().await.expect("rows");
        let page = numbers.gathered(&answer).expect("the columns that were asked for");
        assert_eq!((page.series, page.value[0]), ([0, 1].map(SeriesId).to_vec(), 4.0));
        assert!(page.value[1].is_nan(), "a sentinel is no number: {}", page.value[1]);
    }

    /// A history that is asked directly.
    struct Engine(history::query::QueryEngine);

    impl Answers for Engine {
        async fn answer(&self, sql: String) -> Result<crate::shared::Answer, PastError> {
            let question =
                crate::question::Question { sql: Some(sql), query: None, parameters: Default::default() };
            let answered = crate::shared::ask(&self.0, &question, None).await;
            answered.map_err(|error| PastError::Refused(error.to_string()))
        }
    }

    #[tokio::test]
    async fn a_page_for_which_there_is_no_memory_is_read_in_parts() {
        const SECONDS: i64 = 20_000;
        let read = async |memory_bytes_max| {
            let limits = history::query::Limits { memory_bytes_max, ..Default::default() };
            let settings = history::HistorySettings { limits, ..Default::default() };
            let history = history::History::open("memory://", settings).await.expect("memory has room");
            let mut numbers = Numbers::default();
            history.declare(PartitionId::FIRST, &std::sync::Arc::new(declaration(0, "r1")));
            numbers.declare(PartitionId::FIRST, &declaration(0, "r1"));
            let batch = SampleBatch {
                series: vec![SeriesId(0); SECONDS as usize],
                time: (0..SECONDS).map(at).collect(),
                value: (0..SECONDS).map(|second| second as f64).collect(),
                flag: Vec::new(),
            };
            let fates = vec![Fate::Stored(Flag::Ok); SECONDS as usize];
            history.append_samples(1, PartitionId::FIRST, &batch, &fates);
            let engine = Engine(history.query_engine());
            let mut pages = Pages { numbers, filter: "true".into(), left: vec![(at(0), at(SECONDS))] };
            let mut lengths = Vec::new();
            let mut times = Vec::new();
            while let Some(page) = pages.next(&engine).await? {
                lengths.push(page.len());
                times.extend(page.time);
            }
            assert!(times.iter().copied().eq((0..SECONDS).map(at)), "each once and in order");
            Ok::<_, PastError>(lengths)
        };
        assert_eq!(read(512 << 20).await.expect("there is room"), [SECONDS as usize]);
        let lengths = read(600_000).await.expect("there is room for a part");
        assert!(lengths.len() > 1, "{lengths:?}");
        let error = read(10).await.expect_err("there is no room for a second");
        assert!(error.to_string().contains("memory_bytes_max"), "{error}");
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
