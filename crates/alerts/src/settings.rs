//! Where alerts go and how often.

use std::time::Duration;

/// How Alertmanager is told.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// Base URL of every Alertmanager, such as `http://127.0.0.1:9093`. Peers are told one by one and never through
    /// a load balancer: they share silences and notifications, not alerts.
    pub peers: Vec<String>,
    /// A firing alert is sent again after this. At most a minute: Alertmanager forgets one after its `endsAt`.
    pub resend_every: Duration,
    /// A resolved alert is sent again for this long, for a peer that was away.
    pub resolved_for: Duration,
    /// One post may take this long.
    pub timeout: Duration,
    /// Alerts that one peer's queue holds. Beyond, tickets make room for pages, and what does not
    /// fit is counted as dropped.
    pub alerts_max: usize,
    /// Where people find this service, for links.
    pub external_url: String,
    /// Name of the watchdog alert, which fires while all is well; `None` for none.
    pub watchdog: Option<String>,
    /// The site, for the watchdog's label.
    pub site: String,
}

impl Default for AlertSettings {
    /// No peers; again after 30 s; resolved for 15 min; 10 s for a post; 20,000 alerts; no watchdog.
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            resend_every: Duration::from_secs(30),
            resolved_for: Duration::from_secs(15 * 60),
            timeout: Duration::from_secs(10),
            alerts_max: 20_000,
            external_url: String::new(),
            watchdog: None,
            site: "default".to_owned(),
        }
    }
}
