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
}
