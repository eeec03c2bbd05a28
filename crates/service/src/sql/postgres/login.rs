//! Who may connect: everybody where no credentials are asked, else whoever has a token that may read.
//!
//! The password is sent in clear text inside TLS, not as SCRAM: SCRAM wants one secret a user name, and the file of
//! tokens has any number a role. Without TLS the token is as open as it is on the HTTP ports.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{
    ClientInfo, ConnectionGuard, ConnectionHandle, ConnectionManager, METADATA_USER, PgWireConnectionState,
    PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::Authentication;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::{Sink, SinkExt};

use crate::access::{Access, Role};

/// Whether there is a place for this connection.
#[derive(Debug, Clone, Copy)]
pub enum Entry {
    /// There is.
    Open,
    /// As many are connected as may.
    Full {
        /// The limit.
        connections_max: usize,
    },
}

/// The first messages of a connection.
pub struct Login {
    access: Access,
    tls: bool,
    entry: Entry,
    parameters: DefaultServerParameterProvider,
    keys: RandomPidSecretKeyGenerator,
    connections: Arc<ConnectionManager>,
}

impl Login {
    /// - `tls`: whether the port has a certificate; then nobody is served without it.
    /// - `connections`: where it is listed, so that its queries can be cancelled.
    pub fn new(access: Access, tls: bool, entry: Entry, connections: Arc<ConnectionManager>) -> Self {
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        parameters.time_zone = "UTC".to_owned();
        Self { access, tls, entry, parameters, keys: RandomPidSecretKeyGenerator::default(), connections }
    }

    async fn welcome<C>(&self, client: &mut C) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (process, key) = self.keys.generate(client);
        client.set_pid_and_secret_key(process, key.clone());
        let (handle, guard) = self.connections.register(process, key);
        client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
        client.session_extensions().insert::<ConnectionGuard>(guard);
        finish_authentication(client, &self.parameters).await
    }
}

fn refused(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.into())))
}

#[async_trait]
impl StartupHandler for Login {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if let Entry::Full { connections_max } = self.entry {
                    return Err(refused(
                        "53300",
                        format!(
                            "{connections_max} connections are open, as many as may: close some, or raise query.connections_max"
                        ),
                    ));
                }
                if self.tls && !client.is_secure() {
                    return Err(refused(
                        "28000",
                        "this port is served with TLS only: connect with sslmode=require",
                    ));
                }
                if self.access.is_open() {
                    return self.welcome(client).await;
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let ask = PgWireBackendMessage::Authentication(Authentication::CleartextPassword);
                client.send(ask).await.map_err(PgWireError::from)
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let password = password.into_password()?;
                match self.access.caller(&password.password) {
                    Ok(caller) if caller.may(Role::Read) => self.welcome(client).await,
                    Ok(_) => Err(refused("42501", "the token has another role: SQL needs read")),
                    Err(reason) => {
                        let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                        Err(refused("28P01", format!("the password of {user:?} is no token: {reason}")))
                    }
                }
            }
            _ => Ok(()),
        }
    }
}
