//! A step of readings as requests: whole racks in each, about 2,000 series.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::str::FromStr;

use crate::model::{Fleet, Series};
use crate::protobuf::Message;

/// Series of one payload at most, unless a single rack has more.
const SERIES_MAX: usize = 2_000;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Prometheus remote write 1.0.
    RemoteWrite1,
    /// Prometheus remote write 2.0.
    RemoteWrite2,
    /// OTLP metrics over HTTP.
    Otlp,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::RemoteWrite1, Self::RemoteWrite2, Self::Otlp];

    /// The word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RemoteWrite1 => "remote-write-1",
            Self::RemoteWrite2 => "remote-write-2",
            Self::Otlp => "otlp",
        }
    }

    /// The path that receivers have for it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::RemoteWrite1 | Self::RemoteWrite2 => "/api/v1/write",
            Self::Otlp => "/v1/metrics",
        }
    }

    /// The headers of its requests.
    pub const fn headers(self) -> &'static str {
        match self {
            Self::RemoteWrite1 => {
                "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
            }
            Self::RemoteWrite2 => {
                "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 2.0.0\r\n"
            }
            Self::Otlp => "Content-Type: application/x-protobuf\r\n",
        }
    }

    fn encode(self, series: &[Series], values: &[f64], time_ms: u64) -> Vec<u8> {
        let compress = |message: Vec<u8>| {
            snap::raw::Encoder::new().compress_vec(&message).expect("a request is below 4 GiB")
        };
        match self {
            Self::RemoteWrite1 => compress(remote_write_1(series, values, time_ms)),
            Self::RemoteWrite2 => compress(remote_write_2(series, values, time_ms)),
            Self::Otlp => otlp(series, values, time_ms),
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == text).ok_or_else(|| {
            format!("{text:?} is not spoken here: write remote-write-1, remote-write-2 or otlp")
        })
    }
}

/// One request.
pub struct Payload {
    /// Samples in it.
    pub samples: u32,
    /// Its body.
    pub body: Vec<u8>,
}

/// All requests, step by step.
pub struct Payloads {
    /// What they speak.
    pub protocol: Protocol,
    /// Requests of one step.
    pub per_step: usize,
    /// The requests.
    pub list: Vec<Payload>,
}

impl Payloads {
    /// So many steps of a fleet.
    pub fn encode(protocol: Protocol, fleet: &mut Fleet, steps: u32, step_ms: u64, start_ms: u64) -> Self {
        let racks_each = (SERIES_MAX / fleet.series_per_rack).max(1);
        let series_each = racks_each * fleet.series_per_rack;
        let total = fleet.series.len();
        let mut list = Vec::new();
        for step in 0..u64::from(steps) {
            for first in (0..total).step_by(series_each) {
                let range = first..(first + series_each).min(total);
                let values: Vec<f64> = range.clone().map(|index| fleet.next(index)).collect();
                let body = protocol.encode(&fleet.series[range], &values, start_ms + step * step_ms);
                list.push(Payload { samples: values.len() as u32, body });
            }
        }
        Self { protocol, per_step: total.div_ceil(series_each), list }
    }

    /// Writes them to a file: protocol, requests a step, then length, samples and body of each.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: cannot be written: {error}", path.display());
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
        let protocol = Protocol::ALL.iter().position(|known| *known == self.protocol).unwrap_or_default();
        let head = [protocol as u32, self.per_step as u32];
        head.iter().try_for_each(|number| file.write_all(&number.to_le_bytes())).map_err(failed)?;
        for Payload { samples, body } in &self.list {
            file.write_all(&(body.len() as u32).to_le_bytes()).map_err(failed)?;
            file.write_all(&samples.to_le_bytes()).map_err(failed)?;
            file.write_all(body).map_err(failed)?;
        }
        file.flush().map_err(failed)
    }

    /// Reads them back.
    pub fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
        let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
        let mut number = || {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes))
        };
        let (protocol, per_step) = (number().map_err(failed)?, number().map_err(failed)? as usize);
        let protocol = *Protocol::ALL
            .get(protocol as usize)
            .ok_or_else(|| format!("{}: holds no payloads: write them with load encode", path.display()))?;
        let mut list = Vec::new();
        let mut head = [0; 8];
        while file.read_exact(&mut head).is_ok() {
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let samples = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let mut body = vec![0; length as usize];
            file.read_exact(&mut body).map_err(failed)?;
            list.push(Payload { samples, body });
        }
        Ok(Self { protocol, per_step, list })
    }
}

/// `prometheus.WriteRequest`.
fn remote_write_1(series: &[Series], values: &[f64], time_ms: u64) -> Vec<u8> {
    let mut request = Message::default();
    for (series, value) in series.iter().zip(values) {
        let mut one = Message::default();
        for (name, text) in &series.labels {
            let mut label = Message::default();
            label.bytes(1, name.as_bytes()).bytes(2, text.as_bytes());
            one.bytes(1, &label.0);
        }
        let mut sample = Message::default();
        sample.fixed64(1, value.to_bits()).varint(2, time_ms);
        request.bytes(1, &one.bytes(2, &sample.0).0);
    }
    request.0
}

/// `io.prometheus.write.v2.Request`.
fn remote_write_2(series: &[Series], values: &[f64], time_ms: u64) -> Vec<u8> {
    let mut symbols = vec![""];
    let mut numbers = HashMap::from([("", 0)]);
    let mut all = Vec::with_capacity(series.len());
    for (series, value) in series.iter().zip(values) {
        let texts = series.labels.iter().flat_map(|(name, text)| [*name, text.as_str()]);
        let references: Vec<u64> = texts
            .map(|text| {
                *numbers.entry(text).or_insert_with(|| {
                    symbols.push(text);
                    symbols.len() as u64 - 1
                })
            })
            .collect();
        let mut sample = Message::default();
        sample.fixed64(1, value.to_bits()).varint(2, time_ms);
        let mut one = Message::default();
        one.packed(1, &references).bytes(2, &sample.0);
        all.push(one);
    }
    let mut request = Message::default();
    for symbol in symbols {
        request.bytes(4, symbol.as_bytes());
    }
    for one in all {
        request.bytes(5, &one.0);
    }
    request.0
}

/// `ExportMetricsServiceRequest` with one resource and a metric for each name.
fn otlp(series: &[Series], values: &[f64], time_ms: u64) -> Vec<u8> {
    let mut points: Vec<(&str, Message)> = Vec::new();
    for (series, value) in series.iter().zip(values) {
        let mut point = Message::default();
        point.fixed64(3, time_ms * 1_000_000).fixed64(4, value.to_bits());
        let mut metric = "";
        for (name, text) in &series.labels {
            if *name == "__name__" {
                metric = text;
                continue;
            }
            let (mut pair, mut any) = (Message::default(), Message::default());
            pair.bytes(1, name.as_bytes()).bytes(2, &any.bytes(1, text.as_bytes()).0);
            point.bytes(7, &pair.0);
        }
        let known = points.iter().position(|(name, _)| *name == metric);
        let at = known.unwrap_or_else(|| {
            points.push((metric, Message::default()));
            points.len() - 1
        });
        points[at].1.bytes(1, &point.0);
    }
    let mut scope = Message::default();
    for (name, gauge) in points {
        let mut metric = Message::default();
        scope.bytes(2, &metric.bytes(1, name.as_bytes()).bytes(5, &gauge.0).0);
    }
    let (mut resource, mut request) = (Message::default(), Message::default());
    request.bytes(1, &resource.bytes(2, &scope.0).0);
    request.0
}
