//! The Postgres wire: psql, drivers and Grafana ask as they ask Postgres. Read-only by a list of what is allowed.

mod allowed; // which statements may run
mod current_setting; // what clients ask a Postgres about itself
mod handler; // the messages of a connection
mod login; // who may connect
mod reader; // what reads, over one cut and within the limits

use std::sync::Arc;

use datafusion_postgres::pgwire::tokio::{TlsAcceptor, process_socket};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::access::Access;
use crate::net::Port;
use crate::shared::Shared;
use handler::{Connection, Session};
use login::{Entry, Login};

/// What the port needs.
pub struct Postgres {
    /// The history and its queries.
    pub shared: Arc<Shared>,
    /// The tokens that are passwords here.
    pub access: Access,
    /// With it, nobody is served in plain text.
    pub tls: Option<TlsAcceptor>,
    /// Connections at one time.
    pub connections_max: usize,
    /// Where connections are served.
    pub threads: Handle,
}

impl Postgres {
    /// Answers until `stop` becomes true; then connections are ended, in the middle of a query too.
    ///
    /// # Errors
    /// When the tables that clients look into cannot be made.
    pub fn serve(
        self,
        port: Port,
        mut stop: watch::Receiver<bool>,
    ) -> Result<impl Future<Output = ()> + Send, datafusion::error::DataFusionError> {
        let session = Arc::new(Session::new(self.shared.clone())?);
        let places = Arc::new(Semaphore::new(self.connections_max));
        let listener = port.into_listener();
        Ok(async move {
            let mut connections = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    Some(_) = connections.join_next() => continue,
                    _ = stop.wait_for(|stop| *stop) => break,
                };
                match accepted {
                    Ok((socket, address)) => {
                        let place = places.clone().try_acquire_owned().ok();
                        let entry = match place {
                            Some(_) => Entry::Open,
                            None => Entry::Full { connections_max: self.connections_max },
                        };
                        let known = session.connections.clone();
                        let login = Login::new(self.access.clone(), self.tls.is_some(), entry, known);
                        let served =
                            serve_one(socket, self.tls.clone(), Connection::new(session.clone(), login));
                        let served = async move {
                            if let Err(error) = served.await {
                                tracing::debug!(%address, %error, "a Postgres connection ended");
                            }
                            drop(place);
                        };
                        connections.spawn_on(served, &self.threads);
                    }
                    // Such as too many open files: those who are connected go on, and some will leave.
                    Err(error) => {
                        tracing::warn!(%error, "a Postgres connection could not be accepted");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                }
            }
            connections.shutdown().await;
        })
    }
}

async fn serve_one(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    connection: Connection,
) -> std::io::Result<()> {
    process_socket(socket, tls, connection).await
}
