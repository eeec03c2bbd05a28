//! Ports: one way to serve them all, plain or TLS, HTTP/1 and HTTP/2, ended gracefully.

mod connections; // of one port: how many, and for how long
mod moving; // a connection on which something moves

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub use self::connections::ConnectionLimits;
use self::connections::Connections;
use crate::access::AccessError;
use crate::settings::AccessSettings;

/// A port that is bound and not yet served: all are bound before anything is answered.
pub struct Port {
    listener: TcpListener,
    /// The address, with the port the system chose for 0.
    pub address: SocketAddr,
}

impl Port {
    /// Binds an address.
    ///
    /// # Errors
    /// Names the setting and the address.
    pub async fn bind(setting: &'static str, address: SocketAddr) -> Result<Self, String> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            format!("{setting} = {address}: {error}; choose another with --set {setting}=127.0.0.1:0")
        })?;
        let address = listener.local_addr().map_err(|error| format!("{setting} = {address}: {error}"))?;
        Ok(Self { listener, address })
    }

    /// The socket, for what is no HTTP.
    pub fn into_listener(self) -> TcpListener {
        self.listener
    }

    /// Answers HTTP, inside TLS where there is an acceptor, until `stop` becomes true and the last request is answered.
    pub async fn serve(
        self,
        router: Router,
        tls: Option<TlsAcceptor>,
        limits: ConnectionLimits,
        stop: watch::Receiver<bool>,
    ) {
        Connections { listener: self.listener, tls, router, limits }.answer(stop).await;
    }
}

/// What clients of the HTTP ports speak inside TLS (RFC 7301).
pub const HTTP_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];
/// What clients of the Postgres port speak inside TLS.
pub const POSTGRES_PROTOCOLS: &[&[u8]] = &[b"postgresql"];

/// Reads certificate and key, when they are set.
///
/// # Errors
/// Names the file.
pub fn tls(settings: &AccessSettings, protocols: &[&[u8]]) -> Result<Option<TlsAcceptor>, AccessError> {
    if settings.tls_certificate.is_empty() && settings.tls_key.is_empty() {
        return Ok(None);
    }
    let refused = |path: &str, message: String| AccessError::File { path: path.to_owned(), message };
    let certificates = CertificateDer::pem_file_iter(Path::new(&settings.tls_certificate))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refused(&settings.tls_certificate, format!("is no PEM certificate: {error}")))?;
    let key = PrivateKeyDer::from_pem_file(Path::new(&settings.tls_key))
        .map_err(|error| refused(&settings.tls_key, format!("is no PEM key: {error}")))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| refused(&settings.tls_certificate, error.to_string()))?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
