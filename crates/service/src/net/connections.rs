//! HTTP connections of one port: how many there may be, and how long one may say nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::moving::Moving;

/// What the connections of one port may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at one time; more wait until one of them ends.
    pub connections_max: usize,
    /// A connection on which nothing moves for so long is ended. It must be longer than the longest answer takes: who waits
    /// for one says nothing. Over HTTP/2 the client is asked for a sign of life (PING, RFC 9113) twice in this time, so that
    /// one that waits for a verdict of tomorrow stays.
    pub idle: Duration,
}

/// A TLS handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// So often at most it is told that all places are taken.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A port's connections, and who answers them.
pub struct Connections {
    /// Where they come in.
    pub listener: TcpListener,
    /// With it, they speak TLS.
    pub tls: Option<TlsAcceptor>,
    /// Who answers.
    pub router: Router,
    /// What they may take.
    pub limits: ConnectionLimits,
}

impl Connections {
    /// Answers until `stop` becomes true and the last request is answered.
    pub async fn answer(mut self, mut stop: watch::Receiver<bool>) {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.idle / 2)
            .keep_alive_timeout(self.limits.idle / 2);
        let serving = Arc::new(Serving {
            http,
            service: TowerToHyperService::new(self.router),
            idle: self.limits.idle,
        });
        let mut places = Places::new(self.limits.connections_max);
        let open = GracefulShutdown::new();
        loop {
            let taken = async {
                let place = places.take().await;
                (place, Listener::accept(&mut self.listener).await)
            };
            let (place, (stream, address)) = tokio::select! {
                taken = taken => taken,
                // An error means that the sender is gone: then it is time to stop as well.
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (serving, tls, watcher) = (serving.clone(), self.tls.clone(), open.watcher());
            tokio::spawn(async move {
                serving.one(stream, address, tls, watcher).await;
                drop(place);
            });
        }
        drop(self.listener);
        open.shutdown().await;
    }
}

/// How each connection is served.
struct Serving {
    http: auto::Builder<TokioExecutor>,
    service: TowerToHyperService<Router>,
    idle: Duration,
}

impl Serving {
    async fn one(&self, stream: TcpStream, address: SocketAddr, tls: Option<TlsAcceptor>, watcher: Watcher) {
        // A gate's answer is one small write: it does not wait for more (Nagle). Only the delay is at stake, so a failure
        // changes nothing else.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.http(stream, address, watcher).await };
        match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream, address, watcher).await,
            Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: SocketAddr,
        watcher: Watcher,
    ) {
        let stream = TokioIo::new(Moving::new(stream, self.idle));
        let connection = self.http.serve_connection(stream, self.service.clone()).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%address, %error, "a connection ended");
        }
    }
}

/// Places for connections.
struct Places {
    free: Arc<Semaphore>,
    connections_max: usize,
    told: Option<Instant>,
}

impl Places {
    fn new(connections_max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(connections_max)), connections_max, told: None }
    }

    /// A place, once there is one. Others wait in the system's queue, which is not to be told from a service that hangs: so
    /// it is said.
    async fn take(&mut self) -> OwnedSemaphorePermit {
        let is_told = self.told.is_some_and(|told| told.elapsed() < TELL_EVERY);
        if self.free.available_permits() == 0 && !is_told {
            self.told = Some(Instant::now());
            tracing::warn!(
                connections_max = self.connections_max,
                "as many connections to a port are open as may, others wait: raise listen.connections_max, or find who \
                 keeps them open"
            );
        }
        self.free.clone().acquire_owned().await.expect("places are never closed")
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    /// Where an end is awaited.
    const SHORT: Duration = Duration::from_millis(200);
    /// Where it would be wrong.
    const LONG: Duration = Duration::from_secs(3_600);
    const SOON: Duration = Duration::from_secs(10);

    struct Served {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        ended: tokio::task::JoinHandle<()>,
    }

    async fn serve(connections_max: usize, idle: Duration) -> Served {
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/", post(|body: Bytes| async move { body }))
            .route("/much", get(|| async { vec![0_u8; 64 << 20] }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let limits = ConnectionLimits { connections_max, idle };
        let ended = tokio::spawn(Connections { listener, tls: None, router, limits }.answer(stopping));
        Served { address, stop, ended }
    }

    impl Served {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";

    async fn is_answered(stream: &mut TcpStream) {
        stream.write_all(QUESTION).await.unwrap();
        let mut answer = [0; 15];
        timeout(SOON, stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }

    async fn is_ended(mut stream: TcpStream) {
        let mut rest = Vec::new();
        // Ended or reset: both end it.
        drop(timeout(SOON, stream.read_to_end(&mut rest)).await.expect("the end of the connection"));
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_or_stops_in_its_midst_is_ended() {
        let served = serve(8, SHORT).await;
        for begun in ["", "GET / HT", "POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\nhalf"] {
            let mut stream = served.connect().await;
            stream.write_all(begun.as_bytes()).await.unwrap();
            is_ended(stream).await;
        }
        let mut answered = served.connect().await;
        is_answered(&mut answered).await;
        is_ended(answered).await;
    }

    #[tokio::test]
    async fn a_connection_goes_on_as_long_as_it_is_used() {
        let idle = Duration::from_secs(2);
        let served = serve(8, idle).await;
        let mut stream = served.connect().await;
        for _ in 0..6 {
            is_answered(&mut stream).await;
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0, "the rest of the answer");
            tokio::time::sleep(idle / 4).await;
        }
    }

    /// A client that only answers PINGs, as one does that waits for a verdict.
    #[tokio::test]
    async fn over_http_2_one_that_says_nothing_but_that_it_lives_stays() {
        let served = serve(8, Duration::from_secs(1)).await;
        let mut stream = served.connect().await;
        // RFC 9113, 3.4: the preface, and empty SETTINGS.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut pings = 0;
        while pings < 6 {
            let mut head = [0; 9];
            timeout(SOON, stream.read_exact(&mut head)).await.expect("a frame").expect("it stays");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await.unwrap();
            // 6.7: a PING is sent back with the flag ACK.
            if (head[3], head[4]) == (6, 0) {
                pings += 1;
                stream.write_all(&[&[0, 0, 8, 6, 1, 0, 0, 0, 0], &payload[..]].concat()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_its_answer_is_ended() {
        let served = serve(1, SHORT).await;
        let mut deaf = served.connect().await;
        deaf.write_all(b"GET /much HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
        // The only place is free again, though this client is still there.
        let mut next = served.connect().await;
        is_answered(&mut next).await;
        drop(deaf);
    }

    #[tokio::test]
    async fn beyond_the_limit_a_connection_waits_for_a_place() {
        let served = serve(2, LONG).await;
        let (first, mut second) = (served.connect().await, served.connect().await);
        is_answered(&mut second).await;
        let mut third = served.connect().await;
        third.write_all(QUESTION).await.unwrap();
        let mut answer = [0; 15];
        assert!(timeout(SHORT, third.read_exact(&mut answer)).await.is_err(), "two may be connected");
        drop(first);
        timeout(SOON, third.read_exact(&mut answer)).await.expect("the freed place").unwrap();
    }

    #[tokio::test]
    async fn a_stop_ends_connections_that_wait_for_nothing() {
        let served = serve(8, LONG).await;
        let mut stream = served.connect().await;
        is_answered(&mut stream).await;
        served.stop.send(true).unwrap();
        timeout(SOON, served.ended).await.expect("its end").unwrap();
    }
}
