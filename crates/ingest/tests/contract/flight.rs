//! Tables put by Arrow Flight: both forms, what is refused and how, answers, and messages that lie.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray,
    NullArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::datatypes::{Field, Int32Type, Schema};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, FlightDescriptor, PutResult};
use futures::{StreamExt, TryStreamExt, stream};
use ingest::flight::{self, server};
use ingest::{IntakeError, PointKind, RequestLimits};
use proptest::prelude::*;
use telemetry::record::Flag;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::senders::{START_SECONDS, TestIntake, samples, take};

const MICROS: i64 = START_SECONDS * 1_000_000;

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn times(seconds: &[i64]) -> ArrayRef {
    let micros = seconds.iter().map(|seconds| MICROS + seconds * 1_000_000);
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, values)| (name, values, true)))
        .unwrap()
}

/// Identity, seconds, value and flag of what a batch becomes.
fn read(batch: &RecordBatch) -> Vec<(String, f64, f64, Flag)> {
    samples(&take(&flight::decode(batch).unwrap()).records)
}

fn refused(batch: &RecordBatch) -> String {
    flight::decode(batch).unwrap_err().to_string()
}

fn long() -> RecordBatch {
    batch(vec![
        ("time", times(&[0, 1, 2, 3, 4, 5])),
        ("rack", texts(&[Some("r1"); 6])),
        (
            "signal",
            texts(
                &[
                    "coolant_supply_temperature",
                    "coolant_flow",
                    "coolant_flow",
                    "leak_state",
                    "coolant_flow",
                    "nobody_knows_it",
                ]
                .map(Some),
            ),
        ),
        ("value", texts(&[Some("86"), Some("50"), Some("51"), Some("LeakDetected"), None, Some("1")])),
        ("unit", texts(&[Some("degF"), None, None, None, None, None])),
        ("quality", Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(0), Some(1), Some(1), Some(1)]))),
    ])
}

#[test]
fn the_long_form_has_a_reading_a_row() {
    let read = read(&long());
    let of =
        |start: &str| read.iter().filter(|sample| sample.0.starts_with(start)).cloned().collect::<Vec<_>>();
    let supply = of("coolant_supply_temperature of site s1, rack r1");
    assert!((supply[0].2 - 30.0).abs() < 1e-9, "degF is converted");
    let flow: Vec<(f64, f64, Flag)> =
        of("coolant_flow").into_iter().map(|(_, at, value, flag)| (at, value, flag)).collect();
    assert_eq!(flow, [(1.0, 50.0, Flag::Ok), (2.0, 51.0, Flag::Distrusted)], "null is no reading");
    assert_eq!(of("leak_state")[0].2, 2.0, "a word for a state is its code");
    assert_eq!(of("nobody_knows_it").len(), 1, "what nobody maps is kept under its own name");
}

#[test]
fn the_wide_form_has_a_column_a_signal_and_units_in_the_metadata() {
    let flow = Field::new("coolant_flow", arrow::datatypes::DataType::Float32, true)
        .with_metadata([("unit".to_owned(), "gpm".to_owned())].into());
    let columns: Vec<(Field, ArrayRef)> = vec![
        (flow, Arc::new(Float32Array::from(vec![Some(10.0), None, Some(20.0)]))),
        (
            Field::new("rack_power", arrow::datatypes::DataType::Int64, true),
            Arc::new(Int64Array::from(vec![Some(90), Some(91), None])),
        ),
        (Field::new("humidity", arrow::datatypes::DataType::Null, true), Arc::new(NullArray::new(3))),
        (Field::new("time", times(&[0]).data_type().clone(), true), times(&[0, 1, 2])),
        (Field::new("rack", arrow::datatypes::DataType::Utf8, true), texts(&[Some("r1"), Some("r1"), None])),
        (Field::new("node", arrow::datatypes::DataType::Utf8, true), texts(&[None, None, Some("n1")])),
    ];
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let decoded =
        flight::decode(&RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()).unwrap();
    assert_eq!(decoded.absent, 5, "null is no reading");
    let read = samples(&take(&decoded).records);
    let flow: Vec<f64> =
        read.iter().filter(|sample| sample.0.starts_with("coolant_flow")).map(|sample| sample.2).collect();
    assert!((flow[0] - 37.854).abs() < 1e-3 && flow.len() == 2, "{flow:?}");
    let power: Vec<(f64, f64)> = read
        .iter()
        .filter(|sample| sample.0.starts_with("rack_power"))
        .map(|sample| (sample.1, sample.2))
        .collect();
    assert_eq!(power, [(0.0, 90.0), (1.0, 91.0)]);
}

#[test]
fn a_timestamp_of_any_unit_is_read_and_without_a_zone_it_is_utc() {
    let seconds = START_SECONDS + 7;
    let forms: [ArrayRef; 6] = [
        Arc::new(TimestampSecondArray::from(vec![seconds])),
        Arc::new(TimestampMillisecondArray::from(vec![seconds * 1_000]).with_timezone("+02:00")),
        Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000])),
        Arc::new(
            TimestampNanosecondArray::from(vec![seconds * 1_000_000_000 + 999])
                .with_timezone("Europe/Berlin"),
        ),
        Arc::new(TimestampNanosecondArray::from(vec![seconds * 1_000_000_000])),
        Arc::new(DictionaryArray::<Int32Type>::new(
            Int32Array::from(vec![0]),
            Arc::new(TimestampSecondArray::from(vec![seconds])),
        )),
    ];
    for time in forms {
        let form = time.data_type().to_string();
        let batch = batch(vec![
            ("time", time),
            ("rack", texts(&[Some("r1")])),
            ("rack_power", Arc::new(Int64Array::from(vec![90]))),
        ]);
        assert_eq!(read(&batch)[0].1, 7.0, "{form}");
    }
}

#[test]
fn a_whole_number_is_a_time_only_with_its_unit() {
    let of = |unit: Option<&str>| {
        let metadata = unit.map(|unit| ("unit".to_owned(), unit.to_owned())).into_iter().collect();
        let fields = vec![
            Field::new("time", arrow::datatypes::DataType::Int64, true).with_metadata(metadata),
            Field::new("rack", arrow::datatypes::DataType::Utf8, true),
            Field::new("rack_power", arrow::datatypes::DataType::Int64, true),
        ];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![(START_SECONDS + 3) * 1_000])),
            texts(&[Some("r1")]),
            Arc::new(Int64Array::from(vec![90])),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    assert_eq!(read(&of(Some("ms")))[0].1, 3.0);
    assert!(refused(&of(None)).starts_with("column \"time\" holds Int64; expected are the columns time"));
    assert!(refused(&of(Some("minutes"))).starts_with("\"minutes\" is not a unit of time"));
}

#[test]
fn names_are_read_in_every_form_that_arrow_has_for_text() {
    let names = [Some("r1"), None, Some("r2"), Some("r1")];
    let forms: [ArrayRef; 4] = [
        texts(&names),
        Arc::new(LargeStringArray::from(names.to_vec())),
        Arc::new(StringViewArray::from(names.to_vec())),
        Arc::new(names.into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    let read: Vec<_> = forms
        .into_iter()
        .map(|rack| {
            let power: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0]));
            let node = texts(&[None, Some("n1"), None, None]);
            read(&batch(vec![
                ("time", times(&[0, 1, 2, 3])),
                ("rack", rack),
                ("node", node),
                ("rack_power", power),
            ]))
        })
        .collect();
    assert_eq!(read[0].len(), 4);
    assert!(read.iter().all(|other| *other == read[0]));
}

#[test]
fn a_reading_without_a_time_is_refused_by_name_and_its_neighbours_are_kept() {
    let batch = batch(vec![
        ("time", Arc::new(TimestampSecondArray::from(vec![Some(START_SECONDS), None, Some(i64::MAX)]))),
        ("rack", texts(&[Some("r1"); 3])),
        ("rack_power", Arc::new(Float64Array::from(vec![90.0, 91.0, 92.0]))),
    ]);
    let decoded = flight::decode(&batch).unwrap();
    let kinds: Vec<PointKind> = decoded.points().iter().map(|point| point.kind).collect();
    assert_eq!(kinds, [PointKind::Reading, PointKind::OutOfTime, PointKind::OutOfTime]);
    let report = take(&decoded).report;
    assert_eq!((report.accepted, report.refused_points()), (1, 2));
    assert!(
        report.refusal_text().contains("rack_power{rack=\"r1\"}: a point has no time"),
        "{}",
        report.refusal_text()
    );
}

#[test]
fn columns_that_are_not_telemetry_are_refused_with_those_that_are_expected() {
    let number = || -> ArrayRef { Arc::new(Float64Array::from(vec![1.0])) };
    let name = || texts(&[Some("r1")]);
    let cases: [(Vec<(&str, ArrayRef)>, &str); 8] = [
        (
            vec![("tme", times(&[0])), ("rack", name()), ("rack_power", number())],
            "there is no column \"time\" for the time; expected are",
        ),
        (
            vec![("time", name()), ("rack", name()), ("rack_power", number())],
            "column \"time\" holds Utf8; expected are",
        ),
        (
            vec![("time", times(&[0])), ("rack_power", number())],
            "nothing says which rack the readings are of; expected are",
        ),
        (vec![("time", times(&[0])), ("rack", name())], "no column holds readings; expected are"),
        (
            vec![("time", times(&[0])), ("rack", name()), ("note", name())],
            "column \"note\" holds Utf8; expected are",
        ),
        (
            vec![("time", times(&[0])), ("rack", name()), ("ended", times(&[0]))],
            "column \"ended\" holds Timestamp",
        ),
        (
            vec![
                ("time", times(&[0])),
                ("rack", name()),
                ("signal", name()),
                ("value", number()),
                ("sensr", name()),
            ],
            "column \"sensr\" is unknown in the long form; did you mean \"sensor\"?; expected are",
        ),
        (
            vec![
                ("time", times(&[0])),
                ("rack", Arc::new(arrow::array::BinaryArray::from(vec![&b"r1"[..]]))),
                ("rack_power", number()),
            ],
            "column \"rack\" holds Binary; expected are",
        ),
    ];
    for (columns, expected) in cases {
        let message = refused(&batch(columns));
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.contains("--"), "nobody has flags here: {message}");
    }
    let nameless = batch(vec![
        ("time", times(&[0, 1])),
        ("rack", texts(&[Some("r1"); 2])),
        ("signal", texts(&[Some("rack_power"), None])),
        ("value", Arc::new(Float64Array::from(vec![1.0, 2.0]))),
    ]);
    assert_eq!(refused(&nameless), "row 2 of the batch: the signal is empty");
}

#[test]
fn a_long_text_that_every_row_names_takes_no_more_memory_than_the_limit() {
    let long = "x".repeat(40_000);
    let rows = 200_000;
    let keys = Int32Array::from(vec![0; rows]);
    let value = DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(vec![long.as_str()])));
    let batch = batch(vec![
        ("time", Arc::new(TimestampSecondArray::from(vec![START_SECONDS; rows]))),
        ("rack", texts(&vec![Some("r1"); rows])),
        ("signal", texts(&vec![Some("leak_state"); rows])),
        ("value", Arc::new(value)),
    ]);
    assert!(refused(&batch).starts_with("bytes of all readings that are text: 134"));
    let longer = "x".repeat(70_000);
    let names = batch_of_rack(&longer);
    assert!(
        refused(&names).contains("the names of one series take 70"),
        "{}",
        refused(&names).split_at(100).0
    );
}

fn batch_of_rack(rack: &str) -> RecordBatch {
    batch(vec![
        ("time", times(&[0])),
        ("rack", texts(&[Some(rack)])),
        ("rack_power", Arc::new(Float64Array::from(vec![1.0]))),
    ])
}

/// Racks, seconds, and readings of three signals, some of them missing.
type Rows = Vec<(u8, i64, [Option<f64>; 3])>;

const SIGNALS: [&str; 3] = ["coolant_flow", "rack_power", "leak_state"];

proptest! {
    #[test]
    fn a_long_and_a_wide_table_of_equal_readings_mean_the_same(
        rows in prop::collection::vec((0u8..4, -100i64..50, [prop::option::of(0.0f64..4.0), prop::option::of(-1e6f64..1e6), prop::option::of(0.0f64..5.0)]), 1..30),
    ) {
        let rows: Rows = rows;
        let racks: Vec<String> = rows.iter().map(|(rack, ..)| format!("r{rack}")).collect();
        let mut wide: Vec<(&str, ArrayRef)> = vec![
            ("time", times(&rows.iter().map(|(_, seconds, _)| *seconds).collect::<Vec<_>>())),
            ("rack", texts(&racks.iter().map(|rack| Some(rack.as_str())).collect::<Vec<_>>())),
        ];
        for (at, signal) in SIGNALS.into_iter().enumerate() {
            wide.push((signal, Arc::new(Float64Array::from(rows.iter().map(|(.., values)| values[at]).collect::<Vec<_>>()))));
        }
        let single: Vec<(usize, usize)> = (0..rows.len()).flat_map(|row| (0..3).map(move |signal| (row, signal))).collect();
        let long = vec![
            ("value", Arc::new(Float64Array::from(single.iter().map(|(row, signal)| rows[*row].2[*signal]).collect::<Vec<_>>())) as ArrayRef),
            ("signal", texts(&single.iter().map(|(_, signal)| Some(SIGNALS[*signal])).collect::<Vec<_>>())),
            ("rack", texts(&single.iter().map(|(row, _)| Some(racks[*row].as_str())).collect::<Vec<_>>())),
            ("time", times(&single.iter().map(|(row, _)| rows[*row].1).collect::<Vec<_>>())),
        ];
        let (wide, long) = (flight::decode(&batch(wide)).unwrap(), flight::decode(&batch(long)).unwrap());
        let keyed = |decoded: &ingest::Decoded| -> Vec<(Vec<u8>, PointKind, i64, u64)> {
            decoded.points().iter().map(|point| {
                let key = decoded.key(point.series as usize).to_vec();
                (key, point.kind, point.time.unix_micros(), point.value.to_bits())
            }).collect()
        };
        prop_assert_eq!(keyed(&wide), keyed(&long));
        prop_assert_eq!((wide.absent, wide.latest_report), (long.absent, long.latest_report));
    }

    #[test]
    fn a_message_that_lies_is_refused_or_read_and_ends_nothing(
        lies in prop::collection::vec((0usize..3, any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut messages = encoded(vec![with_dictionary()]);
        for (which, body, at, byte) in lies {
            let message = &mut messages[which];
            let part = if body && !message.data_body.is_empty() { &mut message.data_body } else { &mut message.data_header };
            let mut bytes = part.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            *part = bytes.into();
        }
        prop_assert!(run(&TestIntake::new(), messages, RequestLimits::default()).len() <= 2);
    }
}

fn with_dictionary() -> RecordBatch {
    let signal: DictionaryArray<Int32Type> =
        ["coolant_flow", "rack_power", "coolant_flow"].into_iter().collect();
    batch(vec![
        ("time", times(&[0, 1, 2])),
        ("rack", texts(&[Some("r1"), Some("r2"), None])),
        ("node", Arc::new(LargeStringArray::from(vec![Some("n1"), None, Some("n3")]))),
        ("loop", Arc::new(StringViewArray::from(vec![None, None, Some("a loop with a name that is long")]))),
        ("signal", Arc::new(signal)),
        ("value", Arc::new(Float64Array::from(vec![Some(50.0), Some(90.0), None]))),
    ])
}

/// The messages of a client that puts these batches, dictionaries among them.
fn encoded(batches: Vec<RecordBatch>) -> Vec<FlightData> {
    let encoder = FlightDataEncoderBuilder::new()
        .with_dictionary_handling(arrow_flight::encode::DictionaryHandling::Resend)
        .with_flight_descriptor(Some(FlightDescriptor::new_path(vec!["telemetry".to_owned()])))
        .build(stream::iter(batches.into_iter().map(Ok::<_, FlightError>)));
    futures::executor::block_on(encoder.try_collect()).unwrap()
}

/// All answers to a stream of messages; one that is refused at once has that as its only answer.
fn run(
    intake: &Arc<TestIntake>,
    messages: Vec<FlightData>,
    limits: RequestLimits,
) -> Vec<Result<PutResult, Status>> {
    let messages = stream::iter(messages.into_iter().map(Ok));
    futures::executor::block_on(async {
        match server::do_put(messages, intake.clone(), limits).await {
            Ok(answers) => answers.collect().await,
            Err(status) => vec![Err(status)],
        }
    })
}

fn json(answer: &Result<PutResult, Status>) -> serde_json::Value {
    serde_json::from_slice(&answer.as_ref().unwrap().app_metadata).unwrap()
}

#[test]
fn every_batch_is_answered_once_it_is_taken_in() {
    let intake = TestIntake::new();
    let mixed = batch(vec![
        ("time", times(&[0, 1, 2, 86_400])),
        ("rack", texts(&[Some("r1"); 4])),
        ("signal", texts(&["coolant_flow", "coolant_flow", "coolant_flow", "coolant_flow"].map(Some))),
        ("value", Arc::new(Float64Array::from(vec![Some(50.0), Some(-3.0), None, Some(50.0)]))),
        ("unit", texts(&[None, None, None, Some("Cel")])),
    ]);
    let answers = run(&intake, encoded(vec![mixed.clone(), mixed.slice(0, 1)]), RequestLimits::default());
    assert_eq!(answers.len(), 2);
    let first = json(&answers[0]);
    for (field, expected) in
        [("accepted", 2), ("set_aside", 1), ("refused", 1), ("unmapped", 0), ("absent", 1)]
    {
        assert_eq!(first[field], expected, "{field} of {first}");
    }
    assert!(first["message"].as_str().unwrap().contains("expected \"L/min\""), "{first}");
    assert_eq!(
        json(&answers[1]),
        serde_json::json!({"accepted": 1, "set_aside": 0, "refused": 0, "unmapped": 0, "absent": 0})
    );
    assert_eq!(samples(&intake.log.lock().unwrap()).len(), 3);
}

#[test]
fn dictionaries_come_as_they_are() {
    let intake = TestIntake::new();
    let answers = run(&intake, encoded(vec![with_dictionary(), with_dictionary()]), RequestLimits::default());
    assert_eq!(answers.iter().map(|answer| json(answer)["accepted"].as_u64().unwrap()).sum::<u64>(), 4);
}

#[test]
fn a_stream_is_refused_by_descriptor_columns_size_and_compression() {
    let intake = TestIntake::new();
    let limits = RequestLimits::default();
    let refused = |messages: Vec<FlightData>, limits: RequestLimits| {
        let answers = run(&intake, messages, limits);
        let status = answers.last().unwrap().as_ref().unwrap_err().clone();
        (answers.len(), status.code(), status.message().to_owned())
    };
    let mut elsewhere = encoded(vec![long()]);
    elsewhere[0].flight_descriptor = Some(FlightDescriptor::new_path(vec!["metrics".to_owned()]));
    let told = refused(elsewhere, limits);
    assert_eq!((told.0, told.1), (1, Code::InvalidArgument));
    assert!(
        told.2.contains("the path [\"telemetry\"] on the first message, not Some([\"metrics\"])"),
        "{}",
        told.2
    );
    assert!(refused(Vec::new(), limits).2.contains("not None"));

    let wrong = batch(vec![("when", times(&[0])), ("rack", texts(&[Some("r1")]))]);
    let told = refused(encoded(vec![wrong]), limits);
    assert_eq!((told.0, told.1), (1, Code::InvalidArgument));
    assert!(
        told.2.starts_with("there is no column \"time\" for the time; expected are the columns time"),
        "{}",
        told.2
    );
    let nested: ArrayRef = Arc::new(arrow::array::ListArray::new_null(
        Arc::new(Field::new("item", arrow::datatypes::DataType::Int64, true)),
        1,
    ));
    let told = refused(encoded(vec![batch(vec![("time", times(&[0])), ("rack", nested)])]), limits);
    assert!(told.2.starts_with("column \"rack\" holds List; expected are the columns time"), "{}", told.2);

    let told = refused(encoded(vec![long()]), RequestLimits { decompressed_bytes: 900, ..limits });
    assert!(
        told.2.contains("more than the limit of 900") && told.2.contains("ingest.decompressed_bytes_max"),
        "{}",
        told.2
    );
    assert!(intake.log.lock().unwrap().is_empty());
}

#[test]
fn what_was_answered_before_an_error_stays_and_overload_says_when_to_come_again() {
    let intake = TestIntake::new();
    let mut messages = encoded(vec![long(), long(), long()]);
    let torn = messages[2].data_body.slice(..8);
    messages[2].data_body = torn;
    let answers = run(&intake, messages, RequestLimits::default());
    assert_eq!(answers.len(), 2, "the answers end with the first error");
    assert_eq!(json(&answers[0])["accepted"], 5);
    let status = answers[1].as_ref().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "a batch says what its body does not hold")
    );
    assert_eq!(samples(&intake.log.lock().unwrap()).len(), 5);

    let message = "the queue is full".to_owned();
    *intake.refuse.lock().unwrap() =
        Some(IntakeError::Overloaded { message, retry_after: Duration::from_secs(3) });
    let answers = run(&intake, encoded(vec![long()]), RequestLimits::default());
    let status = answers[0].as_ref().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "the queue is full"));
    assert_eq!(status.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));
}

/// The messages of a stream as Arrow writes it into a file: a mark, the header's length, header, body.
fn messages_of(mut file: &[u8]) -> Vec<FlightData> {
    let mut messages = Vec::new();
    loop {
        let (mark, rest) = file.split_at(8);
        assert_eq!(mark[..4], [0xff; 4]);
        let length = u32::from_le_bytes(mark[4..].try_into().unwrap()) as usize;
        if length == 0 {
            return messages;
        }
        let (header, rest) = rest.split_at(length);
        let body = arrow::ipc::root_as_message(header).unwrap().bodyLength() as usize;
        let (body, rest) = rest.split_at(body);
        messages.push(FlightData {
            data_header: header.to_vec().into(),
            data_body: body.to_vec().into(),
            ..FlightData::default()
        });
        file = rest;
    }
}

/// Written by pyarrow 26.0.1: a dictionary, large text, views, float32, a column of nulls, and a row without a time.
#[test]
fn what_pyarrow_writes_is_read() {
    let mut messages = messages_of(include_bytes!("pyarrow.arrows"));
    messages[0].flight_descriptor = Some(FlightDescriptor::new_path(vec!["telemetry".to_owned()]));
    let intake = TestIntake::new();
    let answers = run(&intake, messages, RequestLimits::default());
    let answer = json(&answers[0]);
    assert_eq!(
        (answers.len(), &answer["accepted"], &answer["refused"]),
        (1, &1.into(), &1.into()),
        "{answer}"
    );
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("coolant_flow{device=\"a device with a long name\",rack=\"r1\"}"), "{message}");
    let read = samples(&intake.log.lock().unwrap());
    assert_eq!(read, [("coolant_flow of site s1, rack r1".to_owned(), 0.0, 50.5, Flag::Ok)]);
}
