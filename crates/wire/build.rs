//! Generates code from `proto/` with protox, so that no protoc is needed.

use std::error::Error;
use std::path::PathBuf;

/// Our own services and records.
const OWN: [&str; 7] = [
    "thermogate/gate/v1/gate.proto",
    "thermogate/run/v1/run.proto",
    "thermogate/calibration/v1/calibration.proto",
    "thermogate/drill/v1/drill.proto",
    "thermogate/advisory/v1/advisory.proto",
    "thermogate/backtest/v1/backtest.proto",
    "thermogate/log/v1/log.proto",
];
/// Messages of others.
const PROMETHEUS: [&str; 2] = ["prometheus/remote.proto", "io/prometheus/write/v2/types.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let mut own = protox::Compiler::new([&root])?;
    own.include_imports(true).include_source_info(true).open_files(OWN)?;
    std::fs::write(out.join("thermogate.bin"), own.encode_file_descriptor_set())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(own.file_descriptor_set())?;

    let mut prometheus = protox::Compiler::new([&root])?;
    prometheus.include_imports(true).include_source_info(true).open_files(PROMETHEUS)?;
    tonic_prost_build::configure().compile_fds(prometheus.file_descriptor_set())?;
    Ok(())
}
