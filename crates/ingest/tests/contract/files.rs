//! Recorded files: forms, columns, times, order; and what is said about those that cannot be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use ingest::files::{FileError, FileOptions, FileSource, Format};
use ingest::front::{Front, Limits, signal_check};
use telemetry::EventTime;
use telemetry::mapping::Resolver;
use telemetry::record::{Flag, Record};

use super::senders::{resolver, samples};

/// A folder with files in it.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn of(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Self(folder)
    }

    pub fn paths(&self, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| self.0.path().join(name)).collect()
    }
}

pub fn open(paths: &[PathBuf], options: &FileOptions, resolver: Resolver) -> Result<FileSource, FileError> {
    ingest::files::open(paths, options, signal_check(Arc::new(resolver)))
}

/// All records of files, as replay takes them in.
pub fn replay(
    paths: &[PathBuf],
    options: &FileOptions,
    resolver: Resolver,
) -> Result<Vec<Record>, FileError> {
    let mut front = Front::new(resolver.clone(), Limits::default());
    let mut records = Vec::new();
    for group in open(paths, options, resolver)? {
        let taken = front.take_in(&group?.decoded, EventTime::from_unix_micros(i64::MAX)).unwrap();
        records.extend(taken.records);
        front.confirm(taken.ticket);
    }
    Ok(records)
}

/// Seconds since 2026-01-05T10:00:00Z, value and flag of every sample of one small file.
fn read(content: &str, options: &FileOptions) -> Vec<(f64, f64, Flag)> {
    let files = Files::of(&[("in.csv", content.as_bytes())]);
    let records = replay(&files.paths(&["in.csv"]), options, resolver()).unwrap();
    samples(&records).into_iter().map(|(_, seconds, value, flag)| (seconds, value, flag)).collect()
}

/// What is said about a file, without its folder.
fn refused(content: impl AsRef<[u8]>, options: &FileOptions) -> String {
    let files = Files::of(&[("in.csv", content.as_ref())]);
    let error = replay(&files.paths(&["in.csv"]), options, resolver()).unwrap_err().to_string();
    error.rsplit_once("in.csv").map_or(error.clone(), |(_, message)| format!("in.csv{message}"))
}

fn wide() -> FileOptions {
    FileOptions { rack: Some("r1".into()), ..FileOptions::default() }
}

const LONG: &str = "time,rack,signal,value,unit,quality\n\
    2026-01-05T10:00:00Z,r1,coolant_supply_temperature,86,degF,1\n\
    2026-01-05T10:00:01Z,r1,coolant_flow,50,,1\n\
    2026-01-05T10:00:02Z,r1,coolant_flow,51,,0\n\
    2026-01-05T10:00:03Z,r1,coolant_flow,no reading,,1\n\
    2026-01-05T10:00:04Z,r1,leak_state,LeakDetected,,1\n\
    2026-01-05T10:00:05Z,r1,coolant_flow,,,1\n";

#[test]
fn the_long_form_has_a_reading_a_row() {
    let read = read(LONG, &FileOptions::default());
    assert!((read[0].1 - 30.0).abs() < 1e-9, "degF is converted");
    assert_eq!(read[1], (1.0, 50.0, Flag::Ok));
    assert_eq!(read[2], (2.0, 51.0, Flag::Distrusted), "quality 1 is good, anything else untrusted");
    assert_eq!((read[3].0, read[3].2), (3.0, Flag::Sentinel), "a text state is set aside");
    assert_eq!(read[4], (4.0, 2.0, Flag::Ok), "a word for a state is its code");
    assert_eq!(read.len(), 5, "an empty cell is no reading");
}

#[test]
fn the_wide_form_has_a_column_a_signal() {
    let content = "when;flow;rack_power;node\n2026-01-05 10:00:00;50;90;n1\n2026-01-05 10:00:01;;91;n1\n";
    let options = FileOptions {
        delimiter: Some(";".parse().unwrap()),
        time_column: Some("when".into()),
        time_zone: Some("UTC".into()),
        map: vec!["flow=coolant_flow:L/min".parse().unwrap()],
        ..wide()
    };
    assert_eq!(
        read(content, &options),
        [(0.0, 50.0, Flag::Ok), (0.0, 90.0, Flag::Ok), (1.0, 91.0, Flag::Ok)]
    );
}

#[test]
fn a_report_without_readings_moves_time_and_no_series() {
    let files =
        Files::of(&[("in.csv", b"time,rack_power\n2026-01-05T10:00:00Z,90\n2026-01-05T10:01:00Z,\n")]);
    let groups: Vec<_> =
        open(&files.paths(&["in.csv"]), &wide(), resolver()).unwrap().map(Result::unwrap).collect();
    let mut front = super::senders::front();
    let taken = front.take_in(&groups[1].decoded, EventTime::from_unix_micros(i64::MAX)).unwrap();
    assert_eq!((taken.records.len(), taken.report.absent), (0, 1));
    assert_eq!(taken.latest, Some(super::senders::at(60)));
}

#[test]
fn several_files_are_merged_by_time_and_ties_go_by_file_then_row() {
    let a = "time,rack_power\n2026-01-05T10:00:00Z,1\n2026-01-05T10:00:02Z,2\n2026-01-05T10:00:02Z,3\n";
    let b = "time,rack_power\n2026-01-05T10:00:01Z,4\n2026-01-05T10:00:02Z,5\n2026-01-05T10:00:00Z,6\n";
    let files = Files::of(&[("a.csv", a.as_bytes()), ("b.csv", b.as_bytes())]);
    let order = |options: &FileOptions| -> Vec<(usize, u64)> {
        open(&files.paths(&["a.csv", "b.csv"]), options, resolver())
            .unwrap()
            .flat_map(|group| group.unwrap().rows)
            .collect()
    };
    let arrival = [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (1, 2)];
    assert_eq!(order(&wide()), arrival, "a row out of order stays where it is");
    let sorted = [(0, 0), (1, 2), (1, 0), (0, 1), (0, 2), (1, 1)];
    assert_eq!(order(&FileOptions { sort: true, ..wide() }), sorted);
}

#[test]
fn a_group_holds_one_time_so_that_a_tick_can_follow_it() {
    let content = "time,rack_power,rack\n2026-01-05T10:00:00Z,1,r1\n2026-01-05T10:00:00Z,2,r2\n2026-01-05T10:00:01Z,3,r1\n";
    let files = Files::of(&[("in.csv", content.as_bytes())]);
    let groups: Vec<usize> = open(&files.paths(&["in.csv"]), &FileOptions::default(), resolver())
        .unwrap()
        .map(|group| group.unwrap().rows.len())
        .collect();
    assert_eq!(groups, [2, 1]);
}

#[test]
fn parquet_reads_like_csv() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.parquet");
    let start = super::senders::START_SECONDS * 1_000_000_000;
    let columns: [(&str, ArrayRef); 5] = [
        (
            "time",
            Arc::new(
                TimestampNanosecondArray::from(vec![start + 1_999, start + 1_000_000_000])
                    .with_timezone("UTC"),
            ),
        ),
        ("rack", Arc::new(StringArray::from(vec!["r1", "r1"]))),
        ("signal", Arc::new(StringArray::from(vec!["coolant_flow", "coolant_flow"]))),
        ("value", Arc::new(Float64Array::from(vec![Some(50.0), None]))),
        ("unit", Arc::new(StringArray::from(vec![Some("L/min"), None]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None)
            .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let records = replay(&[path], &FileOptions::default(), resolver()).unwrap();
    let read: Vec<_> =
        samples(&records).into_iter().map(|(_, seconds, value, flag)| (seconds, value, flag)).collect();
    assert_eq!(read, [(0.000_001, 50.0, Flag::Ok)], "nanoseconds are rounded down, null is no reading");
}

#[test]
fn bare_numbers_come_one_each_interval() {
    let files = Files::of(&[("TS1.txt", b"30.5\t31\n32 33.25\n")]);
    let options = FileOptions {
        format: Some(Format::Plain),
        start: Some(super::senders::at(0)),
        interval: Some("1s".parse().unwrap()),
        map: vec!["TS1=coolant_supply_temperature:Cel".parse().unwrap()],
        ..wide()
    };
    let records = replay(&files.paths(&["TS1.txt"]), &options, resolver()).unwrap();
    let read: Vec<(f64, f64)> = samples(&records).into_iter().map(|sample| (sample.1, sample.2)).collect();
    assert_eq!(read, [(0.0, 30.5), (1.0, 31.0), (2.0, 32.0), (3.0, 33.25)]);
    let unmapped =
        replay(&files.paths(&["TS1.txt"]), &FileOptions { map: Vec::new(), ..options }, resolver());
    assert!(unmapped.unwrap_err().to_string().contains("map it with --map TS1=SIGNAL[:UNIT]"));
}

#[test]
fn bus_messages_wait_for_their_metadata() {
    let content = "offset,topic,payload\n\
        0s,BMS/v1/PUB/Value/Rack/RackLiquidFlow/x/flow,\"{\"\"value\"\":48.5,\"\"timestamp\"\":{{timestamp_ms}},\"\"quality\"\":1}\"\n\
        500.9ms,BMS/v1/PUB/Metadata/Rack/RackLiquidFlow/x/flow,\"{\"\"engUnit\"\":\"\"LPM\"\",\"\"rackLocationId\"\":\"\"A1\"\"}\"\n\
        1s,BMS/v1/PUB/Value/Rack/RackLiquidFlow/x/flow,\"{\"\"value\"\":null,\"\"timestamp\"\":{{timestamp_ms}},\"\"quality\"\":1}\"\n\
        1m1.5007s,BMS/v1/PUB/Value/Rack/RackLiquidFlow/x/flow,\"{\"\"value\"\":49,\"\"timestamp\"\":{{timestamp_ms}},\"\"quality\"\":0}\"\n\
        1m2s,BMS/v1/PUB/Value/Rack/RackPower/x/never,\"{\"\"value\"\":1,\"\"timestamp\"\":{{timestamp_ms}},\"\"quality\"\":1}\"\n";
    let files = Files::of(&[("in.csv", content.as_bytes())]);
    let options = FileOptions {
        format: Some(Format::DsxBms),
        start: Some(super::senders::at(0)),
        ..FileOptions::default()
    };
    let records = replay(&files.paths(&["in.csv"]), &options, resolver()).unwrap();
    let read: Vec<(String, f64, Flag)> =
        samples(&records).into_iter().map(|(identity, seconds, _, flag)| (identity, seconds, flag)).collect();
    let flow = || "coolant_flow of site s1, rack A1".to_owned();
    assert_eq!(
        read,
        [(flow(), 0.0, Flag::Ok), (flow(), 1.0, Flag::Sentinel), (flow(), 61.5, Flag::Distrusted)]
    );
    let mut source = open(&files.paths(&["in.csv"]), &options, resolver()).unwrap();
    source.by_ref().for_each(drop);
    assert_eq!((source.unreadable_rows(), source.unreadable()[0].line), (1, 6));
    assert!(source.unreadable()[0].message.contains("no metadata came for \"Rack/RackPower/x/never\""));
}

const DUMP: &str = r#"{DCGM_FI_DRIVER_VERSION="550", Hostname="n1", UUID="GPU-1", __name__="DCGM_FI_DEV_GPU_TEMP", gpu="3", rack="r1"} 61 1767607215000
{DCGM_FI_DRIVER_VERSION="550", Hostname="n1", UUID="GPU-1", __name__="DCGM_FI_DEV_GPU_TEMP", gpu="3", rack="r1"} 6.25e+01 1767607230000
{DCGM_FI_DRIVER_VERSION="550", Hostname="n1", UUID="GPU-1", __name__="DCGM_FI_DEV_GPU_TEMP", gpu="3", rack="r1"} NaN 1767607245000
{__name__="coolant_flow", rack="r1"} 50 1767607200000
{__name__="coolant_flow", rack="r1"} +Inf 1767607230000

{__name__="coolant_flow", rack="r1"} fifty 1767607245000
{__name__="wait", rack="r1"} {count:3, sum:4.5, [1,2):3} 1767607245000
{__name__="some_app_requests_total", job="x"} 7 1767607200000
"#;

#[test]
fn a_dump_of_prometheus_is_sorted_by_time_and_mapped_like_remote_write() {
    let files = Files::of(&[("dump.txt", DUMP.as_bytes())]);
    let mut source = open(&files.paths(&["dump.txt"]), &FileOptions::default(), resolver()).unwrap();
    let times: Vec<f64> =
        source.by_ref().map(|group| (group.unwrap().time - super::senders::at(0)).as_seconds()).collect();
    assert_eq!(times, [0.0, 15.0, 30.0, 45.0]);
    let told: Vec<(u64, &str)> =
        source.unreadable().iter().map(|row| (row.line, row.message.as_str())).collect();
    assert_eq!(told, [(7, "\"fifty\" is not a number")]);
    let records = replay(&files.paths(&["dump.txt"]), &FileOptions::default(), resolver()).unwrap();
    let gpu = "gpu_temperature of site s1, rack r1, node n1, device gpu3";
    let flow = "coolant_flow of site s1, rack r1";
    let mut read = samples(&records);
    let wait: Vec<f64> =
        read.iter().filter(|sample| sample.0.starts_with("wait_")).map(|sample| sample.2).collect();
    assert_eq!(wait, [3.0, 4.5], "of a native histogram count and sum are read");
    read.retain(|sample| !sample.0.starts_with("some_app") && !sample.0.starts_with("wait_"));
    let expected = [
        (flow, 0.0, 50.0, Flag::Ok),
        (gpu, 15.0, 61.0, Flag::Ok),
        (flow, 30.0, f64::INFINITY, Flag::Implausible),
        (gpu, 30.0, 62.5, Flag::Ok),
    ];
    for (sample, (identity, seconds, value, flag)) in read.iter().zip(expected) {
        assert_eq!(*sample, (identity.to_owned(), seconds, value, flag));
    }
    assert_eq!((read.len(), read[4].3), (5, Flag::Stale), "a stale marker is NaN in a dump");
    let declared = super::senders::declarations(&records);
    assert!(declared.iter().all(|declaration| &*declaration.source == "remote_write"));
    assert!(declared.iter().any(|declaration| declaration.identity.signal.starts_with("some_app")));
}

#[test]
fn a_dump_may_begin_with_a_line_that_cannot_be_read() {
    let lines = b"{__name__=\"coolant_flow\", rack=\"r1\"} fifty 1767607200000\n{__name__=\"coolant_flow\", rack=\"r1\"} 50 1767607200000\n";
    let files = Files::of(&[("dump.txt", lines)]);
    let mut source = open(&files.paths(&["dump.txt"]), &FileOptions::default(), resolver()).unwrap();
    assert_eq!(source.by_ref().map(|group| group.unwrap().rows.len()).sum::<usize>(), 1);
    assert_eq!((source.unreadable_rows(), source.unreadable()[0].line), (1, 1));
}

#[test]
fn labels_of_a_dump_are_read_as_go_quotes_them() {
    let read = |labels: &str| -> Result<Vec<(String, String)>, String> {
        let line = format!("{{__name__=\"m\"{labels}}} 1 1767607200000\n");
        let files = Files::of(&[("dump.txt", line.as_bytes())]);
        let options = FileOptions { format: Some(Format::Promtool), ..FileOptions::default() };
        let mut source = open(&files.paths(&["dump.txt"]), &options, resolver()).unwrap();
        let group = source.next().unwrap().map_err(|error| error.to_string())?;
        let labels = group.decoded.labels(0).unwrap();
        Ok(labels.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    };
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("", &[]),
        (r#", job="a b""#, &[("job", "a b")]),
        (r#", a="\"\\\n\t\x00\u00e9\U0001F525", b="""#, &[("a", "\"\\\n\t\0é🔥")]),
        (r#", "my.label"="{x}, y=\"z\"",c="d""#, &[("c", "d"), ("my.label", "{x}, y=\"z\"")]),
    ];
    for (labels, expected) in cases {
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read(labels), Ok(expected), "{labels}");
    }
    for (labels, expected) in [
        (r#", a"#, "a line begins with the labels"),
        (r#", a=b"#, "a line begins with the labels"),
        (r#", a="b"#, "a label's quote does not end"),
        (r#", a="\q""#, "a label has the escape \\q"),
        (r#", a="\xff""#, "a label has the escape \\x"),
        (r#", a="\u12""#, "a label has the escape \\u"),
        (r#", __name__="n""#, "\"__name__\" occurs twice"),
    ] {
        let message = read(labels).unwrap_err();
        assert!(message.contains(expected), "{labels}: {message}");
    }
}

#[test]
fn a_dump_is_found_by_how_it_begins_and_never_read_beside_other_files() {
    let files = Files::of(&[
        ("dump.txt", DUMP.as_bytes()),
        ("in.csv", b"time,rack_power\n2026-01-05T10:00:00Z,90\n"),
        ("no.txt", b"up 1 1767607200000\n"),
    ]);
    let message = |names: &[&str], options: &FileOptions| {
        replay(&files.paths(names), options, resolver()).unwrap_err().to_string()
    };
    assert!(message(&["dump.txt", "in.csv"], &wide()).contains("give them one after the other"));
    let declared = FileOptions { format: Some(Format::Promtool), ..FileOptions::default() };
    let message = message(&["no.txt"], &declared);
    assert!(
        message.contains("no.txt:1: a line begins with the labels of its series, such as {__name__="),
        "{message}"
    );
    let records = replay(&files.paths(&["dump.txt"]), &declared, resolver()).unwrap();
    assert_eq!(samples(&records).len(), 8);
}

#[test]
fn a_dump_has_the_keys_of_remote_write() {
    use super::senders::{RemoteWrite1, Source, supply};
    let sent = RemoteWrite1::decode(RemoteWrite1::encode(&[supply("r1", 0, 31.0)])).unwrap();
    let line = b"{__name__=\"coolant_supply_temperature\", rack=\"r1\"} 31 1767607200000\n";
    let files = Files::of(&[("dump.txt", line)]);
    let group = open(&files.paths(&["dump.txt"]), &FileOptions::default(), resolver())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!((group.decoded.key(0), group.decoded.points()), (sent.key(0), sent.points()));
}

#[test]
fn other_encodings_are_declared() {
    let content = b"time,rack,signal,value\n2026-01-05T10:00:00Z,K\xfchlung,coolant_flow,50\n";
    let files = Files::of(&[("in.csv", content)]);
    let options = FileOptions { encoding: Some("latin1".into()), ..FileOptions::default() };
    let records = replay(&files.paths(&["in.csv"]), &options, resolver()).unwrap();
    assert_eq!(samples(&records)[0].0, "coolant_flow of site s1, rack Kühlung");
    assert_eq!(
        refused(content, &FileOptions::default()),
        "in.csv:2: the row is not UTF-8: give its encoding with --encoding"
    );
}

#[test]
fn a_row_that_cannot_be_read_is_told_and_its_neighbours_are_kept() {
    let content = "time,rack_power\n2026-01-05T10:00:00Z,90\nsoon,91\n2026-01-05T10:00:02Z,92,93\n2026-01-05T10:00:03Z,94\n2026-01-05T10:00:04";
    let files = Files::of(&[("in.csv", content.as_bytes())]);
    let mut source = open(&files.paths(&["in.csv"]), &wide(), resolver()).unwrap();
    let rows: usize = source.by_ref().map(|group| group.unwrap().rows.len()).sum();
    let told: Vec<(u64, u64)> = source.unreadable().iter().map(|row| (row.row, row.line)).collect();
    assert_eq!((rows, told), (2, vec![(1, 3), (2, 4), (4, 6)]));
    assert!(source.unreadable()[1].message.contains("3 cells where the header has 2"));
}

#[test]
fn columns_that_nobody_understands_are_refused_before_a_row_is_read() {
    let cases = [
        ("", wide(), "in.csv: the file is empty: it needs a header that names its columns"),
        (
            "time,rack_power,rack_power\n",
            wide(),
            "in.csv: column \"rack_power\" occurs twice: give each column a name of its own",
        ),
        ("time,,rack_power\n", wide(), "in.csv: column 2 has no name: give each column one"),
        (
            "tme,rack_power\n",
            wide(),
            "in.csv: there is no column \"time\" for the time: name it with --time-column; did you mean \"tme\"?",
        ),
        (
            "time,rack_pwr\n",
            wide(),
            "in.csv: column \"rack_pwr\": no signal is called \"rack_pwr\": use a canonical name, or declare it under signals in a mapping; did you mean \"rack_power\"?; map it with --map \"rack_pwr\"=SIGNAL[:UNIT], or leave it out with --ignore \"rack_pwr\"",
        ),
        (
            "time\n",
            wide(),
            "in.csv: no column holds readings: name one after a signal, or map one with --map COLUMN=SIGNAL",
        ),
        (
            "time,rack_power\n",
            FileOptions::default(),
            "in.csv: nothing says which rack the readings are of: name it with --rack, or have a column rack",
        ),
        (
            "time,rack,signal,value,sensr\n",
            FileOptions::default(),
            "in.csv: column \"sensr\" is unknown in the long form; did you mean \"sensor\"?; leave it out with --ignore sensr",
        ),
        (
            "time,rack_power\n",
            FileOptions { ignore: vec!["powr".into()], ..wide() },
            "in.csv: there is no column \"powr\", which --map or --ignore names",
        ),
        (
            "time,x\n",
            FileOptions { map: vec!["x=coolant_flow:Cel".parse().unwrap()], ..wide() },
            "in.csv: column \"x\" is mapped to \"coolant_flow\": coolant_flow (\"coolant_flow\" of file) comes in \"Cel\", expected \"L/min\": set the source's unit, or map the metric with its own row and unit",
        ),
    ];
    for (content, options, expected) in cases {
        assert_eq!(refused(content, &options), expected);
    }
}

#[test]
fn a_signal_that_nobody_knows_stops_the_long_form_at_its_line() {
    let content = "time,rack,signal,value\n2026-01-05T10:00:00Z,r1,coolant_flow,50\n2026-01-05T10:00:01Z,r1,coolant_flw,50\n";
    let message = refused(content, &FileOptions::default());
    assert!(
        message.starts_with("in.csv:3: no signal is called \"coolant_flw\"")
            && message.contains("did you mean \"coolant_flow\"?"),
        "{message}"
    );
}

#[test]
fn a_first_row_without_a_readable_time_stops_the_file_since_the_options_are_wrong() {
    let message = refused("time,rack_power\n2026-01-05 10:00:00,90\n", &wide());
    assert_eq!(
        message,
        "in.csv:2: \"2026-01-05 10:00:00\" has no time zone: give --time-zone, such as UTC, +02:00 or Europe/Berlin"
    );
    let message = refused("time,rack_power\n1767607200,90\n", &wide());
    assert_eq!(
        message,
        "in.csv:2: \"1767607200\" is a number: say its unit with --time-unit s, ms, us or ns"
    );
}

#[test]
fn a_file_that_is_not_there_or_no_parquet_is_named() {
    let missing = replay(&[PathBuf::from("/nowhere/in.csv")], &wide(), resolver()).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/in.csv: cannot be read: No such file"), "{missing}");
    let files = Files::of(&[("in.parquet", b"time,rack_power\n")]);
    let message = replay(&files.paths(&["in.parquet"]), &wide(), resolver()).unwrap_err().to_string();
    assert!(message.contains("in.parquet: cannot be read: Parquet error"), "{message}");
    assert!(Path::new("/").exists());
}

#[test]
fn flags_of_the_command_line_say_what_they_take() {
    let cases = [
        (
            "cvs".parse::<Format>().err(),
            "\"cvs\" is not a format: write one of csv, csv-long, csv-wide, parquet, plain, dsx-bms, promtool",
        ),
        (
            "h".parse::<ingest::files::TimeUnit>().err(),
            "\"h\" is not a unit of time: write one of s, ms, us, ns",
        ),
        (
            ";;".parse::<ingest::files::Delimiter>().err(),
            "\";;\" is not a delimiter: write one character such as ';', or tab",
        ),
        (
            "flow".parse::<ingest::files::ColumnMap>().err(),
            "\"flow\" maps nothing: write COLUMN=SIGNAL or COLUMN=SIGNAL:UNIT, such as flow=coolant_flow:L/min",
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(message.unwrap(), expected);
    }
}
