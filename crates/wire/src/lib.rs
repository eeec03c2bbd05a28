//! Code generated from `proto/`, without protoc. No logic is written here by hand.
//!
//! **wire** → `ingest` → log → `evaluator` → `history`, `alerts`, `gate`

/// Descriptors of our services and records with all they import, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/thermogate.bin"));

/// Descriptors of the details that errors carry (`google.rpc.ErrorInfo` and the like), for gRPC reflection.
pub use tonic_types::pb::FILE_DESCRIPTOR_SET as ERROR_DETAILS_FILE_DESCRIPTOR_SET;

/// Gates: `thermogate.gate.v1`.
pub mod gate {
    /// First version.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("thermogate.gate.v1");
    }
}

/// Runs and maintenance: `thermogate.run.v1`.
pub mod run {
    /// First version.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("thermogate.run.v1");
    }
}

/// Calibrations: `thermogate.calibration.v1`.
pub mod calibration {
    /// First version.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("thermogate.calibration.v1");
    }
}

/// Drills of the running environment: `thermogate.drill.v1`.
pub mod drill {
    /// First version.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("thermogate.drill.v1");
    }
}

/// Forecasts and comparisons of peers, never part of a verdict: `thermogate.advisory.v1`.
pub mod advisory {
    /// First version.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("thermogate.advisory.v1");
    }
}

/// Other documents tried on past runs: `thermogate.backtest.v1`.
pub mod backtest {
    /// First version.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("thermogate.backtest.v1");
    }
}

/// The write-ahead log's record: `thermogate.log.v1`.
pub mod log {
    /// First version.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("thermogate.log.v1");
    }
}

/// Prometheus remote write, for tests and senders; `ingest` has a decoder of its own.
pub mod prometheus {
    /// Remote write 1.0.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("prometheus");
    }

    /// Remote write 2.0.
    #[allow(missing_docs, clippy::all)]
    pub mod v2 {
        tonic::include_proto!("io.prometheus.write.v2");
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    fn files(set: &[u8]) -> Vec<String> {
        let set = prost_types::FileDescriptorSet::decode(set).unwrap();
        set.file.iter().map(|file| file.name().to_owned()).collect()
    }

    #[test]
    fn reflection_finds_every_import() {
        for bytes in [super::FILE_DESCRIPTOR_SET, super::ERROR_DETAILS_FILE_DESCRIPTOR_SET] {
            let names = files(bytes);
            let set = prost_types::FileDescriptorSet::decode(bytes).unwrap();
            for import in set.file.iter().flat_map(|file| &file.dependency) {
                assert!(names.contains(import), "{import} is imported and not in the set {names:?}");
            }
        }
        assert!(files(super::FILE_DESCRIPTOR_SET).contains(&"thermogate/gate/v1/gate.proto".to_owned()));
        assert!(
            files(super::ERROR_DETAILS_FILE_DESCRIPTOR_SET)
                .iter()
                .any(|name| name.ends_with("error_details.proto"))
        );
    }

    /// The rules of buf's category STANDARD that a slip would break, and a comment on everything.
    #[test]
    fn our_own_files_keep_the_style_of_buf() {
        let set = prost_types::FileDescriptorSet::decode(super::FILE_DESCRIPTOR_SET).unwrap();
        let mut requests = std::collections::BTreeSet::new();
        for file in set.file.iter().filter(|file| file.package().starts_with("thermogate.")) {
            let folder = file.name().rsplit_once('/').unwrap().0;
            assert_eq!(folder.replace('/', "."), file.package(), "a package is its folder");
            assert!(file.package().ends_with(".v1"));
            for service in &file.service {
                assert!(service.name().ends_with("Service"), "{}", service.name());
                for method in &service.method {
                    let expected = |what| format!(".{}.{}{what}", file.package(), method.name());
                    assert_eq!(method.input_type(), expected("Request"));
                    assert_eq!(method.output_type(), expected("Response"));
                    assert!(
                        requests.insert(method.input_type().to_owned()),
                        "a request of its own for each method"
                    );
                }
            }
            for kind in &file.enum_type {
                let prefix = kind.name().chars().fold(String::new(), |prefix, letter| {
                    let gap = if letter.is_uppercase() && !prefix.is_empty() { "_" } else { "" };
                    prefix + gap + &letter.to_uppercase().to_string()
                });
                assert_eq!(kind.value[0].name(), format!("{prefix}_UNSPECIFIED"));
                assert_eq!(kind.value[0].number(), 0);
                assert!(kind.value.iter().all(|value| value.name().starts_with(&format!("{prefix}_"))));
            }
            let lower =
                |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            for message in &file.message_type {
                assert!(message.field.iter().all(|field| lower(field.name())), "{}", message.name());
            }
            commented(file);
        }
    }

    /// Paths of descriptor.proto: 4 messages, 5 enums, 6 services; in them 2 fields, 2 values, 2 methods.
    fn commented(file: &prost_types::FileDescriptorProto) {
        let maps = |message: &prost_types::DescriptorProto| {
            message.options.as_ref().is_some_and(|options| options.map_entry())
        };
        let mut paths = Vec::new();
        let mut add = |kind: i32, index: usize, parts: usize| {
            paths.push(vec![kind, index as i32]);
            paths.extend((0..parts).map(|part| vec![kind, index as i32, 2, part as i32]));
        };
        for (index, message) in file.message_type.iter().enumerate().filter(|(_, message)| !maps(message)) {
            add(4, index, message.field.len());
        }
        for (index, kind) in file.enum_type.iter().enumerate() {
            add(5, index, kind.value.len());
        }
        for (index, service) in file.service.iter().enumerate() {
            add(6, index, service.method.len());
        }
        let said = &file.source_code_info.as_ref().unwrap().location;
        for path in paths {
            let comment = said
                .iter()
                .find(|location| location.path == path)
                .map(|location| location.leading_comments());
            assert!(comment.is_some_and(|text| !text.is_empty()), "{}: {path:?} has no comment", file.name());
        }
    }
}
