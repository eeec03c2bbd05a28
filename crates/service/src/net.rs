//! Ports: one way to serve them all, plain or TLS, HTTP/1 and HTTP/2, ended gracefully.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::serve::{Listener, ListenerExt};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

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

    /// Answers until `stop` becomes true and the last request is answered.
    pub async fn serve(self, router: Router, tls: Option<TlsAcceptor>, mut stop: watch::Receiver<bool>) {
        let stopped = async move {
            // An error means that the sender is gone: then it is time to stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let served = match tls {
            None => {
                axum::serve(self.listener.tap_io(send_at_once), router).with_graceful_shutdown(stopped).await
            }
            Some(acceptor) => {
                axum::serve(TlsListener::start(self.listener, acceptor), router)
                    .with_graceful_shutdown(stopped)
                    .await
            }
        };
        if let Err(error) = served {
            tracing::error!(%error, address = %self.address, "a port ended");
        }
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

/// A gate's answer is one small write: it does not wait for more (Nagle).
fn send_at_once(stream: &mut TcpStream) {
    // Only the delay is at stake, so a failure changes nothing else.
    let _ = stream.set_nodelay(true);
}

/// Handshakes run beside each other, so that a slow client delays nobody.
struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: std::io::Result<SocketAddr>,
}

impl TlsListener {
    fn start(mut listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        /// A handshake that takes longer is given up.
        const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);
        let address = listener.local_addr();
        let (sender, ready) = mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                let (stream, address) = tokio::select! {
                    accepted = Listener::accept(&mut listener) => accepted,
                    () = sender.closed() => return,
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => drop(sender.send((stream, address)).await),
                        Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
                    }
                });
            }
        });
        Self { ready, address }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.address.as_ref().copied().map_err(|error| std::io::Error::new(error.kind(), error.to_string()))
    }
}
