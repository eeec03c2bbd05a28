//! What must agree is there once.

/// Crates of which two versions in one build would not understand each other's types.
const ONE_OF: &[&str] = &[
    "arrow-array",
    "arrow-schema",
    "arrow-buffer",
    "parquet",
    "datafusion",
    "object_store",
    "tonic",
    "prost",
    "deltalake-core",
];

#[test]
fn there_is_one_arrow_one_tonic_and_one_prost() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    let lock: toml::Table =
        std::fs::read_to_string(path).expect("Cargo.lock is there").parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("packages");
    for name in ONE_OF {
        let versions: Vec<&str> = packages
            .iter()
            .filter(|package| package["name"].as_str() == Some(name))
            .filter_map(|package| package["version"].as_str())
            .collect();
        assert_eq!(
            versions.len(),
            1,
            "{name} is there in the versions {versions:?}: pin what brings the second one"
        );
    }
}
