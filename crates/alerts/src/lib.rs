//! Tells Alertmanager: queue, re-send, expiry, one bounded queue a peer.
