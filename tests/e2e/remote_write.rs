//! Samples as Prometheus sends them: remote write 1.0.

use prost::Message as _;
use wire::prometheus::v1::{Label, Sample, TimeSeries, WriteRequest};

use crate::harness::block_on;

/// One sample of a series.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The metric: a canonical signal's name maps by itself.
    pub metric: &'a str,
    /// The rack; its loop is the same for all.
    pub rack: &'a str,
    /// Milliseconds since 1970.
    pub time: i64,
    pub value: f64,
}

/// A connection that is kept alive, as a sender's is.
pub struct Sender {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Sender {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { client: reqwest::Client::new(), runtime }
    }

    /// Sends readings to the HTTP port at `http`; the status, when there was an answer.
    pub fn send(&self, http: &str, readings: &[Reading<'_>]) -> Result<u16, reqwest::Error> {
        self.runtime.block_on(post(&self.client, http, readings))
    }
}

/// Sends readings and expects that they are taken.
pub fn send(http: &str, readings: &[Reading<'_>]) {
    let status = block_on(post(&reqwest::Client::new(), http, readings)).expect("the service answers");
    assert_eq!(status, 204, "the readings are taken");
}

async fn post(client: &reqwest::Client, http: &str, readings: &[Reading<'_>]) -> Result<u16, reqwest::Error> {
    let response = client
        .post(format!("{http}/api/v1/write"))
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy")
        .header("X-Prometheus-Remote-Write-Version", "0.1.0")
        .body(body(readings))
        .send()
        .await?;
    Ok(response.status().as_u16())
}

/// A request's body.
pub fn body(readings: &[Reading<'_>]) -> Vec<u8> {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let timeseries = readings
        .iter()
        .map(|reading| TimeSeries {
            labels: vec![label("__name__", reading.metric), label("loop", "l1"), label("rack", reading.rack)],
            samples: vec![Sample { value: reading.value, timestamp: reading.time }],
            ..TimeSeries::default()
        })
        .collect();
    let request = WriteRequest { timeseries, ..WriteRequest::default() };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("a request compresses")
}
