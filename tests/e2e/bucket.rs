//! An object store of its own: SeaweedFS, which speaks S3, on free loopback ports.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Peer, free_port, get, python, wait_for};

/// A running server with one bucket.
pub struct Bucket {
    program: PathBuf,
    folder: PathBuf,
    /// Of S3, then of the server's parts among themselves.
    ports: Vec<u16>,
    server: Option<Peer>,
}

/// What the bucket is called.
const NAME: &str = "thermogate";

/// The server's ports; each part has one more for its gRPC.
const PORTS: [&str; 10] = [
    "s3.port",
    "s3.port.grpc",
    "s3.port.iceberg",
    "s3.port.lance",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
];

impl Bucket {
    /// Starts the server with its files in a folder; `None` when it is not installed.
    pub fn start(folder: &Path) -> Option<Self> {
        let program = python()?.with_file_name("weed");
        std::fs::create_dir_all(folder).expect("a folder");
        let ports = PORTS.iter().map(|_| free_port()).collect();
        let mut bucket = Self { program, folder: folder.to_owned(), ports, server: None };
        bucket.start_again();
        let client = reqwest::Client::new();
        let made = wait_for("a bucket", || {
            let asked = client.put(format!("{}/{NAME}", bucket.endpoint())).send();
            crate::harness::block_on(asked).ok().filter(|answer| answer.status().is_success())
        });
        assert!(made.status().is_success());
        Some(bucket)
    }

    /// Starts the server that was ended, with what it held.
    pub fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
        command.args(["-master.volumeSizeLimitMB=64", "-master.telemetry=false", "-volume.max=20"]);
        command.arg(format!("-dir={}", self.folder.display()));
        for (name, port) in PORTS.iter().zip(&self.ports) {
            command.arg(format!("-{name}={port}"));
        }
        self.server = Some(Peer::start(&mut command));
        wait_for("the object store", || get(&self.endpoint()).ok().filter(|(status, _)| *status == 200));
    }

    /// Ends the server; its files stay.
    pub fn end(&mut self) {
        self.server = None;
    }

    /// Lets it answer nobody.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it answer again.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let server = self.server.as_ref().expect("the server runs");
        let status = Command::new("kill").args([signal, &server.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "{signal}");
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// A store in the bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{NAME}/{prefix}")
    }

    /// How to reach it; it takes any key.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "any".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "any".to_owned()),
        ]
    }
}
