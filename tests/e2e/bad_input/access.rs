//! Addresses that others reach: refused without protection; with TLS and tokens, each role may do its own and no more.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use wire::gate::v1::ListEvaluationsRequest;
use wire::gate::v1::gate_service_client::GateServiceClient;

use crate::harness::{Finished, block_on, peer, python, run, thermogate, wait_for};

/// A certificate for 127.0.0.1 that is its own authority, and its key.
fn certificate(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let openssl = peer("openssl")?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let made = Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=thermogate-test",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs");
    assert!(made.success(), "openssl makes a certificate");
    Some((certificate, key))
}

/// A service with TLS; ended with the test.
struct Protected {
    child: Child,
    certificate: PathBuf,
    http: String,
    grpc: String,
    postgres: String,
}

impl Protected {
    fn start(folder: &Path, arguments: &[String], certificate: PathBuf) -> Self {
        let log = folder.join("log");
        let child = thermogate()
            .args(["serve", "--data"])
            .arg(folder.join("data"))
            .args(arguments)
            .stderr(std::fs::File::create(&log).expect("a file"))
            .spawn()
            .expect("the program starts");
        let mut service =
            Self { child, certificate, http: String::new(), grpc: String::new(), postgres: String::new() };
        wait_for("the service to be ready", || {
            let text = std::fs::read_to_string(&log).ok()?;
            let address = |name: &str| {
                let (_, rest) = text.split_once(&format!(" {name}=https://"))?;
                let (_, port) = rest.split_whitespace().next()?.rsplit_once(':')?;
                Some(format!("https://127.0.0.1:{port}"))
            };
            (service.http, service.grpc) = (address("http")?, address("grpc")?);
            let (_, postgres) = text.split_once(" postgres=postgres://0.0.0.0:")?;
            postgres.split('/').next()?.clone_into(&mut service.postgres);
            Some(())
        });
        service
    }

    /// The program with this token, which trusts the certificate.
    fn run(&self, token: Option<&str>, arguments: &[&str]) -> Finished {
        let mut command = thermogate();
        command
            .args(arguments)
            .env("SSL_CERT_FILE", &self.certificate)
            .env("THERMOGATE_HTTP", &self.http)
            .env("THERMOGATE_GRPC", &self.grpc);
        if let Some(token) = token {
            command.env("THERMOGATE_TOKEN", token);
        }
        Finished::from(command.output().expect("the program starts"))
    }

    fn ask(&self, method: reqwest::Method, path: &str, token: Option<&str>) -> u16 {
        let pem = std::fs::read(&self.certificate).expect("a certificate");
        let authority = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        block_on(async {
            let client = reqwest::Client::builder().tls_certs_only([authority]).build().expect("a client");
            let mut request = client
                .request(method, format!("{}{path}", self.http))
                .header("content-type", "application/x-protobuf");
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            request.send().await.expect("an answer").status().as_u16()
        })
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a service with TLS on all addresses and a token a role: reader, sender, operator.
fn protected(folder: &Path) -> Option<Protected> {
    let (certificate, key) = certificate(folder)?;
    let tokens = folder.join("tokens");
    std::fs::write(&tokens, "# who\nread reader\ningest sender\noperate operator\n").expect("a file");
    let mut arguments = everywhere();
    for (setting, path) in
        [("access.tls_certificate", &certificate), ("access.tls_key", &key), ("access.tokens", &tokens)]
    {
        arguments.extend(["--set".to_owned(), format!("{setting}={}", path.display())]);
    }
    Some(Protected::start(folder, &arguments, certificate))
}

/// Every port on all addresses, chosen by the system.
fn everywhere() -> Vec<String> {
    service::settings::PORTS
        .iter()
        .flat_map(|port| ["--set".to_owned(), format!("listen.{port}=0.0.0.0:0")])
        .collect()
}

fn refused(folder: &Path, more: &[&str]) -> String {
    let data = folder.join("data").display().to_string();
    let everywhere = everywhere();
    let arguments: Vec<&str> = ["serve", "--data", &data]
        .into_iter()
        .chain(everywhere.iter().map(String::as_str))
        .chain(more.iter().copied())
        .collect();
    let finished = run(&arguments);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(!folder.join("data").exists(), "what is refused makes no folder");
    finished.stderr
}

#[test]
fn an_address_that_others_reach_is_refused_without_all_of_certificate_key_and_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |more: &[&str]| refused(folder.path(), more);
    let says = "listen.otlp_grpc is 0.0.0.0:0, which is not loopback: set access.tls_certificate, access.tls_key and access.tokens";
    assert!(refused(&[]).contains(says));
    let Some((certificate, key)) = certificate(folder.path()) else { return };
    let tokens = folder.path().join("tokens");
    let certificate = format!("access.tls_certificate={}", certificate.display());
    let key = format!("access.tls_key={}", key.display());
    let named = format!("access.tokens={}", tokens.display());
    assert!(refused(&["--set", &certificate, "--set", &key]).contains(says), "TLS alone keeps nobody out");
    std::fs::write(&tokens, "read 6f1c\n").expect("a file");
    assert!(refused(&["--set", &named]).contains(says), "tokens alone go over the net in the clear");
    for (text, says) in [
        ("reader 6f1c\n", "tokens: line 1: role \"reader\": write read, ingest or operate"),
        ("# none\n\nread\n", "tokens: line 3: write a role and a token"),
        ("# none\n", "tokens: holds no token"),
    ] {
        std::fs::write(&tokens, text).expect("a file");
        let message = refused(&["--set", &certificate, "--set", &key, "--set", &named]);
        assert!(message.contains(says), "{message}");
    }
    std::fs::write(&tokens, "read 6f1c\n").expect("a file");
    let swapped = key.replace("tls_key", "tls_certificate");
    let message = refused(&["--set", &swapped, "--set", &key, "--set", &named]);
    assert!(message.contains("key.pem: "), "a key is no certificate: {message}");
    let message = refused(&["--set", "access.tls_certificate=/none.pem", "--set", &key, "--set", &named]);
    assert!(message.contains("/none.pem: "), "{message}");
}

#[test]
fn with_tls_and_tokens_each_role_may_do_its_own_over_http_and_grpc() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(service) = protected(folder.path()) else { return };

    let who = [None, Some("wrong"), Some("reader"), Some("sender"), Some("operator")];
    let (get, post) = (reqwest::Method::GET, reqwest::Method::POST);
    for (method, path, expected) in [
        (&get, "/healthz", [200, 200, 200, 200, 200]),
        (&get, "/readyz", [200, 200, 200, 200, 200]),
        (&get, "/metrics", [401, 401, 200, 403, 200]),
        (&get, "/v1/status", [401, 401, 200, 403, 200]),
        (&post, "/api/v1/write", [401, 401, 403, 204, 204]),
        (&post, "/v1/metrics", [401, 401, 403, 200, 200]),
        (&post, "/v1/gates/default:evaluate", [401, 401, 400, 403, 400]),
        (&post, "/v1/sql", [401, 401, 400, 403, 400]),
        (&post, "/nothing", [401, 401, 403, 403, 404]),
    ] {
        let observed = who.map(|token| service.ask(method.clone(), path, token));
        assert_eq!(observed, expected, "{method} {path} by {who:?}");
    }

    let codes = |arguments: &[&str]| who.map(|token| service.run(token, arguments).code);
    assert_eq!(codes(&["status"]), [2, 2, 0, 2, 0]);
    assert_eq!(codes(&["sql", "select 1"]), [2, 2, 0, 2, 0]);
    assert_eq!(codes(&["run", "list"]), [2, 2, 0, 2, 0]);
    assert_eq!(codes(&["gate", "list"]), [2, 2, 0, 2, 0]);
    for (token, says) in [
        (None, "no bearer token: send `Authorization: Bearer TOKEN`"),
        (Some("wrong"), "the token is not in the file of access.tokens"),
        (Some("reader"), "the token has the role read, this call needs operate"),
        (Some("sender"), "the token has the role ingest, this call needs operate"),
        (Some("operator"), "rack \"r07\" is not known"),
    ] {
        let finished = service.run(token, &["run", "start", "build-1", "--rack", "r07"]);
        assert!(finished.code == 2 && finished.stderr.contains(says), "{token:?}: {finished:?}");
    }
    let data = folder.path().join("data").display().to_string();
    assert_eq!(
        service
            .run(Some("reader"), &["sql", "--data", &data, "--output", "csv", "select 1 as one"])
            .expect_success(),
        "one\n1\n"
    );

    let codes = who.map(|token| block_on(list(&service, token)));
    let (anonymous, denied) = (Err(tonic::Code::Unauthenticated), Err(tonic::Code::PermissionDenied));
    assert_eq!(
        codes,
        [anonymous, anonymous, Ok(()), denied, Ok(())],
        "gRPC has codes of its own for who and what"
    );

    let plain = run(&["status", "--http", &service.http.replace("https", "http")]);
    assert_eq!(plain.code, 5, "without TLS nothing is answered: {plain:?}");
    let untrusting = Finished::from(
        thermogate().args(["status", "--http", &service.http]).output().expect("the program starts"),
    );
    assert!(
        untrusting.code == 5 && untrusting.stderr.contains("certificate"),
        "a certificate that nobody vouches for is told: {untrusting:?}"
    );
}

async fn list(service: &Protected, token: Option<&str>) -> Result<(), tonic::Code> {
    let authority = Certificate::from_pem(std::fs::read(&service.certificate).expect("a certificate"));
    let endpoint = Endpoint::from_shared(service.grpc.clone()).expect("an address");
    let tls = ClientTlsConfig::new().ca_certificate(authority);
    let channel = endpoint.tls_config(tls).expect("TLS").connect().await.expect("the port answers");
    let mut request = tonic::Request::new(ListEvaluationsRequest::default());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    }
    GateServiceClient::new(channel)
        .list_evaluations(request)
        .await
        .map(|_| ())
        .map_err(|status| status.code())
}

#[test]
fn with_tls_psql_wants_a_token_that_may_read_and_is_not_served_in_plain_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let (Some(psql), Some(service)) = (peer("psql"), protected(folder.path())) else { return };
    let log_in = |password: &str, encryption: &str| {
        let address = format!(
            "host=127.0.0.1 port={} user=anybody dbname=thermogate password={password} sslmode={encryption}",
            service.postgres
        );
        let asked = Command::new(&psql).args([&address, "-X", "-A", "-t", "-c", "select 1"]).output();
        Finished::from(asked.expect("psql starts"))
    };
    assert_eq!(log_in("reader", "require").stdout, "1\n");
    assert_eq!(log_in("operator", "require").stdout, "1\n");
    for (password, encryption, says) in [
        ("wrong", "require", "the token is not in the file of access.tokens"),
        ("sender", "require", "the token has another role: SQL needs read"),
        ("reader", "disable", "this port is served with TLS only: connect with sslmode=require"),
    ] {
        let refused = log_in(password, encryption);
        assert!(refused.code == 2 && refused.stderr.contains(says), "{password} {encryption}: {refused:?}");
    }
}

#[test]
fn with_tls_flight_sql_takes_a_token_as_bearer_and_as_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let (Some(python), Some(service)) = (python(), protected(folder.path())) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/log_in_flight_sql.py");
    let answers = |token: &str| {
        let address = service.grpc.trim_start_matches("https://");
        let ran =
            Command::new(&python).arg(&script).arg(address).arg(&service.certificate).arg(token).output();
        let said = Finished::from(ran.expect("Python starts")).expect_success();
        serde_json::from_str::<serde_json::Value>(&said).expect("JSON")
    };
    let reader = answers("reader");
    assert_eq!((&reader["bearer"], &reader["password"]), (&1.into(), &1.into()), "{reader:#}");
    assert!(
        reader["nobody"].as_str().is_some_and(|refused| refused.contains("no bearer token")),
        "{reader:#}"
    );
    let wrong = answers("wrong");
    for how in ["bearer", "password"] {
        let refused = wrong[how].as_str().unwrap_or_default();
        assert!(refused.contains("the token is not in the file of access.tokens"), "{how}: {wrong:#}");
    }
    let sender = answers("sender");
    assert!(
        sender["bearer"].as_str().is_some_and(|refused| refused.contains("this call needs read")),
        "{sender:#}"
    );
}

#[test]
fn insecure_has_to_be_said_and_is_told_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = crate::harness::Service::start(
        &folder.path().join("data"),
        &["--insecure", "--set", "listen.http=0.0.0.0:0"],
    );
    assert!(
        service
            .log()
            .contains("insecure: anybody who reaches the ports may read, write and decide (access.insecure)"),
        "{}",
        service.log()
    );
    service.stop();
}
