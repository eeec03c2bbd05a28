//! Addresses, times and limits.

use std::time::Duration;

/// A firing alert is told at least this often: Alertmanager's `resolve_timeout` is five minutes by default.
pub const RESEND_EVERY_MAX: Duration = Duration::from_secs(60);

/// Whom to tell, how often, and how much.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// Every Alertmanager by its own address, never a load balancer: they tell each other of notifications, not of
    /// alerts. `http://host:port`, with a path prefix where there is one.
    pub peers: Vec<String>,
    /// A firing alert is told again this often; at most [`RESEND_EVERY_MAX`].
    pub resend_every: Duration,
    /// An alert that is over is told as such for this long, for peers that missed it.
    pub resolved_kept: Duration,
    /// A request that takes longer has failed.
    pub timeout: Duration,
    /// Longest wait between two attempts at a peer that fails; the first is 100 ms, each doubles.
    pub back_off_max: Duration,
    /// Alerts that are told at once. Beyond, tickets give way to pages, and an alert of its own says so.
    pub alerts_max: usize,
    /// Alerts in one request.
    pub batch_max: usize,
    /// Where people find thermogate, for links in alerts; empty for none.
    pub external_url: String,
    /// The name of the alert that fires while all is well; `None` for none.
    pub watchdog: Option<String>,
    /// A word of health counts for this long.
    pub watchdog_patience: Duration,
    /// The site, a label of the watchdog.
    pub site: String,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            resend_every: Duration::from_secs(30),
            resolved_kept: Duration::from_secs(15 * 60),
            timeout: Duration::from_secs(10),
            back_off_max: Duration::from_secs(30),
            alerts_max: 10_000,
            batch_max: 256,
            external_url: String::new(),
            watchdog: None,
            watchdog_patience: Duration::from_secs(60),
            site: "default".to_owned(),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlertSettingsError {
    /// The operator's: not an address.
    #[error("alertmanagers: {0:?} is not an address: write it like \"http://127.0.0.1:9093\"")]
    Address(String),
    /// The operator's: TLS towards Alertmanager.
    #[error(
        "alertmanagers: {0:?} asks for TLS, which is not built for Alertmanager: use http:// on a trusted network, or \
         a local proxy that adds TLS"
    )]
    Tls(String),
    /// The operator's: too seldom.
    #[error("resend_every is {0:?}: give at most 1m, Alertmanager forgets an alert that it does not hear of")]
    ResendEvery(Duration),
}

impl AlertSettings {
    /// Whether these settings can be used.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(&self) -> Result<(), AlertSettingsError> {
        self.peers.iter().try_for_each(|peer| endpoint(peer).map(|_| ()))?;
        if self.resend_every > RESEND_EVERY_MAX || self.resend_every.is_zero() {
            return Err(AlertSettingsError::ResendEvery(self.resend_every));
        }
        Ok(())
    }

    /// The same with every limit in its range.
    pub(crate) fn bounded(mut self) -> Self {
        self.resend_every = self.resend_every.clamp(Duration::from_millis(10), RESEND_EVERY_MAX);
        self.batch_max = self.batch_max.max(1);
        self.alerts_max = self.alerts_max.max(1);
        self
    }

    /// A firing alert is over for Alertmanager when it has not heard of it for four re-sends.
    pub(crate) fn valid_for(&self) -> Duration {
        self.resend_every * 4
    }
}

/// Where a peer takes alerts.
pub(crate) fn endpoint(peer: &str) -> Result<reqwest::Url, AlertSettingsError> {
    let refused = || AlertSettingsError::Address(peer.to_owned());
    let url: reqwest::Url =
        format!("{}/api/v2/alerts", peer.trim_end_matches('/')).parse().map_err(|_| refused())?;
    match url.scheme() {
        "http" if url.has_host() => Ok(url),
        "https" => Err(AlertSettingsError::Tls(peer.to_owned())),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(peer: &str) -> Result<(), String> {
        let settings = AlertSettings { peers: vec![peer.to_owned()], ..AlertSettings::default() };
        settings.check().map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_with_what_to_write() {
        assert_eq!(message("http://127.0.0.1:9093"), Ok(()));
        assert_eq!(message("http://am/prefix/"), Ok(()));
        for (peer, expected) in [
            ("127.0.0.1:9093", "is not an address: write it like \"http://127.0.0.1:9093\""),
            ("ftp://am", "is not an address"),
            ("https://am", "asks for TLS, which is not built"),
        ] {
            let message = message(peer).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn alerts_must_be_told_again_before_alertmanager_forgets_them() {
        let settings = AlertSettings { resend_every: Duration::from_secs(61), ..AlertSettings::default() };
        assert!(settings.check().unwrap_err().to_string().contains("at most 1m"));
    }

    #[test]
    fn a_path_prefix_is_kept() {
        assert_eq!(endpoint("http://am:9093/x/").unwrap().as_str(), "http://am:9093/x/api/v2/alerts");
    }
}
