//! Dependencies point one way.

use std::process::Command;

/// What each crate may depend on inside the workspace, in the order the data flows.
const ALLOWED: &[(&str, &[&str])] = &[
    ("telemetry", &[]),
    ("evaluator", &["telemetry"]),
    ("gate", &["telemetry"]),
    ("simulator", &["telemetry"]),
    ("drills", &["telemetry", "evaluator", "gate", "simulator"]),
    ("wire", &[]),
    ("ingest", &["telemetry", "wire"]),
    ("history", &["telemetry", "wire"]),
    ("alerts", &["telemetry"]),
    ("advisory", &["telemetry"]),
    ("service", &["telemetry", "evaluator", "gate", "wire", "ingest", "history", "alerts", "advisory"]),
    (
        "cli",
        &[
            "telemetry",
            "evaluator",
            "gate",
            "simulator",
            "drills",
            "wire",
            "ingest",
            "history",
            "alerts",
            "advisory",
            "service",
        ],
    ),
    (
        "tests",
        &[
            "telemetry",
            "evaluator",
            "gate",
            "simulator",
            "drills",
            "wire",
            "ingest",
            "history",
            "alerts",
            "advisory",
            "service",
            "cli",
        ],
    ),
];

/// Crates that stay free of I/O, threads and clocks, and the direct dependencies that would break that.
const PURE: &[&str] = &["telemetry", "evaluator", "gate", "simulator", "drills", "advisory"];
const IMPURE: &[&str] = &[
    "tokio",
    "tonic",
    "axum",
    "reqwest",
    "object_store",
    "datafusion",
    "deltalake-core",
    "chrono",
    "jiff",
    "rand",
    "uuid",
    "tracing",
];

fn workspace() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// Names of a package's dependencies that go into the product (not those for its tests only).
fn dependencies(package: &serde_json::Value) -> impl Iterator<Item = &str> {
    package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["name"].as_str())
}

#[test]
fn crates_depend_only_on_what_the_data_flow_allows() {
    let workspace = workspace();
    let packages = workspace["packages"].as_array().expect("packages");
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    assert_eq!(
        ours.len(),
        ALLOWED.len(),
        "each crate has a row in ALLOWED and in the README's map: {ours:?}"
    );
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let (_, allowed) = ALLOWED.iter().find(|(known, _)| *known == name).unwrap_or_else(|| {
            panic!("crate `{name}` has no row in ALLOWED: add one, and one in the README's map")
        });
        for dependency in dependencies(package).filter(|dependency| ours.contains(dependency)) {
            assert!(
                allowed.contains(&dependency),
                "`{name}` may not depend on `{dependency}`: the flow is {ALLOWED:?}"
            );
        }
    }
}

/// Forecasts are for people: their library's last bits may differ between machines, and none was ever proven against
/// labelled faults. So nothing that judges, alerts or keeps history may come to depend on them.
#[test]
fn no_verdict_sees_the_advisory_tier() {
    const MAY_SEE_IT: &[&str] = &["service", "cli", "tests"];
    let workspace = workspace();
    let packages = workspace["packages"].as_array().expect("packages");
    let mut seen_by: std::collections::BTreeSet<&str> = ["advisory", "augurs"].into();
    // Whoever depends on one that sees it sees it too.
    for _ in 0..packages.len() {
        for package in packages {
            if dependencies(package).any(|dependency| seen_by.contains(dependency)) {
                seen_by.insert(package["name"].as_str().expect("a name"));
            }
        }
    }
    assert!(MAY_SEE_IT[..2].iter().all(|name| seen_by.contains(name)), "it is used at all: {seen_by:?}");
    let others: Vec<_> = seen_by
        .iter()
        .filter(|name| !MAY_SEE_IT.contains(name) && !["advisory", "augurs"].contains(name))
        .collect();
    assert!(others.is_empty(), "these must not see forecasts: {others:?}");

    // In `service` it has files of its own; the rest, gates, pipeline, board and alerts before all, does not name it.
    const OF_SERVICE: &[&str] =
        &["lib.rs", "metrics.rs", "access.rs", "running.rs", "grpc.rs", "grpc/advice.rs", "advice"];
    let folder = format!("{}/../crates/service/src", env!("CARGO_MANIFEST_DIR"));
    for path in rust_files(folder.as_ref()) {
        let name = path.strip_prefix(&folder).expect("it is in the folder").to_string_lossy().into_owned();
        if OF_SERVICE
            .iter()
            .any(|own| name == *own || name.starts_with(&format!("{own}/")) || name == format!("{own}.rs"))
        {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("source is text");
        for word in ["advice", "advisory", "augurs"] {
            assert!(!text.contains(word), "{name} names `{word}`: no verdict may see a forecast");
        }
    }
}

#[test]
fn pure_crates_have_no_clock_no_network_and_no_randomness() {
    let workspace = workspace();
    for package in workspace["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        if PURE.contains(&name) {
            for dependency in dependencies(package) {
                assert!(
                    !IMPURE.contains(&dependency),
                    "`{name}` is pure and may not depend on `{dependency}`"
                );
            }
        }
    }
}

#[test]
fn pure_crates_call_nothing_that_differs_between_runs_or_hosts() {
    /// What may not stand in the pure crates' source, and what to use instead.
    const FORBIDDEN: &[(&str, &str)] = &[
        ("SystemTime", "take an EventTime argument"),
        ("Instant::now", "take an EventTime argument"),
        ("HashMap", "iteration order must be fixed: use BTreeMap"),
        ("HashSet", "iteration order must be fixed: use BTreeSet"),
        (
            "RandomState",
            "hash with a fixed key, in an IndexSet or IndexMap: their order is that of insertion",
        ),
        ("hashbrown", "iteration order must be fixed: use BTreeMap"),
        ("std::fs", "documents are read outside and come as text"),
        ("std::thread", "the pure crates have one thread"),
        (".mul_add(", "rounds differently where there is no such instruction"),
        (".ln()", "use libm::log"),
        (".exp()", "use libm::exp"),
        (".powf(", "use libm::pow"),
        (".sin()", "use libm::sin"),
        (".cos()", "use libm::cos"),
        (".tanh()", "use libm::tanh"),
    ];
    let mut files = 0;
    for name in PURE {
        let folder = format!("{}/../crates/{name}/src", env!("CARGO_MANIFEST_DIR"));
        for path in rust_files(folder.as_ref()) {
            files += 1;
            let text = std::fs::read_to_string(&path).expect("source is text");
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in product.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for (word, instead) in FORBIDDEN {
                    assert!(
                        !code.contains(word),
                        "{}:{}: {word} in a pure crate: {instead}",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
    }
    assert!(files > 20, "the source was found: {files} files");
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of source").flatten() {
        let path = entry.path();
        // Tests may read files: they are no part of the product.
        if path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests")) {
            continue;
        }
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
