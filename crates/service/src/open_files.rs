//! Open files: a limit that connections fill would keep the log from its next file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the service itself may have open: log, store, threads' pipes; some hundreds with much to merge.
const OWN: u64 = 1_024;

/// Raises this process's limit of open files (often 1,024, for programs that use `select`) as far as it may go, and warns
/// when that is less than what so many connections take.
pub fn allow(connections: usize) {
    let wanted = OWN.saturating_add(connections.try_into().unwrap_or(u64::MAX));
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(now) = limit.current else { return };
    let raised = Rlimit { current: limit.maximum, ..limit };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            Some(now)
        }
    };
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "fewer files may be open than as many connections as may take: raise the limit (ulimit -n, LimitNOFILE) \
             or lower listen.connections_max"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_may_be_open_as_the_system_lets_this_process() {
        let limit = getrlimit(Resource::Nofile);
        // A little less than may be, so that there is something to raise wherever this runs.
        let lower = Rlimit { current: Some(limit.maximum.unwrap_or(1 << 20) - 1), ..limit };
        setrlimit(Resource::Nofile, lower).unwrap();
        assert_ne!(getrlimit(Resource::Nofile).current, limit.maximum);
        allow(1);
        assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
    }
}
