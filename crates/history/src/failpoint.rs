//! Places at which a test may end the process as a crash would: nothing is flushed, no destructor runs.
//!
//! Compiled in only with the feature `failpoints`. The environment says where: `THERMOGATE_FAILPOINT=name`, or
//! `name:3` for the third time that the place is reached. Names, in the order of the flow: `after_log_sync`,
//! `before_file` (a file of the store is written, not yet named), `before_delta_commit`, `after_delta_commit`,
//! `before_compaction_commit`, `after_compaction_commit`, `before_checkpoint` (written, not yet named),
//! `after_checkpoint`, `before_trim`.

/// Ends the process here when the environment says so; without the feature `failpoints` does nothing.
#[inline]
pub fn reach(name: &str) {
    #[cfg(feature = "failpoints")]
    armed::reach(name);
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The place, and how many more times it is passed before the process ends there.
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();

    pub fn reach(name: &str) {
        let armed = ARMED.get_or_init(|| {
            let text = std::env::var("THERMOGATE_FAILPOINT").ok()?;
            let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
            let nth = nth.parse().expect("THERMOGATE_FAILPOINT is name or name:nth");
            Some((name.to_owned(), AtomicU64::new(nth)))
        });
        if let Some((place, left)) = armed
            && place == name
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            eprintln!("failpoint {name} reached");
            std::process::abort();
        }
    }
}
