//! Starts the real program and its peers on free loopback ports, and ends what it started.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a step may take before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test, as `cargo build` left it beside the tests.
pub fn thermogate() -> Command {
    let tests = std::env::current_exe().expect("a test has a path");
    let program = tests.ancestors().nth(2).expect("target/debug").join("thermogate");
    assert!(program.exists(), "{} is missing: run tests/run, or cargo build first", program.display());
    let mut command = Command::new(program);
    // Those of the tests would be refused as unknown settings.
    for variable in ["THERMOGATE_SETTINGS", "THERMOGATE_CRASHES", "THERMOGATE_CRASH_SEED"] {
        command.env_remove(variable);
    }
    command.env("NO_COLOR", "1");
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Finished {
    run_in(Path::new("."), arguments)
}

/// Runs the program to its end in a folder.
pub fn run_in(folder: &Path, arguments: &[&str]) -> Finished {
    let output = thermogate().args(arguments).current_dir(folder).output().expect("the program starts");
    Finished::from(output)
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Finished {
    /// Its standard output, when it ended well.
    pub fn expect_success(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// One JSON value a line.
    pub fn json_lines(self) -> Vec<serde_json::Value> {
        self.expect_success()
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }
}

/// A running `thermogate serve`; ended with the test.
pub struct Service {
    child: Child,
    pub folder: PathBuf,
    pub http: String,
    pub grpc: String,
    pub otlp_grpc: String,
    pub otlp_http: String,
    /// The host and port of the Postgres wire.
    pub postgres: String,
    log: Arc<Mutex<String>>,
}

impl Service {
    /// Starts it on free ports and waits until it is ready.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    /// The same with environment variables.
    pub fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::try_start(folder, arguments, environment)
            .unwrap_or_else(|log| panic!("the service ended by itself:\n{log}"))
    }

    /// The same; what it wrote when it ended before it was ready.
    pub fn try_start(
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        let mut command = thermogate();
        command.arg("serve").arg("--data").arg(folder);
        for port in service::settings::PORTS {
            command.args(["--set", &format!("listen.{port}=127.0.0.1:0")]);
        }
        command
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("no panic here");
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut service = Self {
            child,
            folder: folder.to_owned(),
            http: String::new(),
            grpc: String::new(),
            otlp_grpc: String::new(),
            otlp_http: String::new(),
            postgres: String::new(),
            log,
        };
        if service.becomes_ready() { Ok(service) } else { Err(service.log()) }
    }

    fn becomes_ready(&mut self) -> bool {
        wait_for("the service to be ready", || {
            if self.child.try_wait().expect("a child can be asked").is_some() {
                return Some(false);
            }
            let text = self.log();
            let address = |name: &str| {
                // With the space: "http" is the end of "otlp_http", too.
                let (_, rest) = text.split_once(&format!(" {name}=http://"))?;
                Some(format!("http://{}", rest.split_whitespace().next()?))
            };
            self.http = address("http")?;
            self.grpc = address("grpc")?;
            self.otlp_grpc = address("otlp_grpc")?;
            self.otlp_http = address("otlp_http")?;
            self.postgres = text.split_once(" postgres=postgres://")?.1.split('/').next()?.to_owned();
            (get(&format!("{}/readyz", self.http)).ok()?.0 == 200).then_some(true)
        })
    }

    /// What it has written to stderr.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic here").clone()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) -> PathBuf {
        self.child.kill().expect("a child can be killed");
        let _ = self.child.wait();
        self.folder.clone()
    }

    /// Whether it ends by itself within a time.
    pub fn ended_within(&mut self, time: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < time {
            if self.child.try_wait().expect("a child can be asked").is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> PathBuf {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let status = wait_for("the service to end", || self.child.try_wait().expect("a child can be asked"));
        assert!(status.success(), "the service ended with {status}:\n{}", self.log());
        self.folder.clone()
    }

    /// Runs the program against this service.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let output = thermogate()
            .args(arguments)
            .env("THERMOGATE_HTTP", &self.http)
            .env("THERMOGATE_GRPC", &self.grpc)
            .output()
            .expect("the program starts");
        Finished::from(output)
    }

    /// Rows of a query, one JSON object each.
    pub fn sql(&self, query: &str) -> Vec<serde_json::Value> {
        let answer = self.run(&["sql", query, "--output", "json"]).expect_success();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{query}: {error}: {answer}"))
    }

    /// Posts a body to its HTTP port.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String) {
        post(&format!("{}{path}", self.http), headers, body).expect("the service answers")
    }

    /// One of its own metrics, by the start of its line.
    pub fn metric(&self, start: &str) -> Option<f64> {
        let (_, text) = get(&format!("{}/metrics", self.http)).ok()?;
        let line =
            text.lines().find(|line| line.strip_prefix(start).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("what the service wrote:\n{}", self.log());
        }
    }
}

/// A program of others, ended with the test.
pub struct Peer(Child);

impl Peer {
    /// Starts it quietly.
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the peer starts"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free now. Another program may take it first, which a test then sees as a peer that does not start.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound port has an address").port()
}

/// Waits until `ready` gives something.
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A runtime of its own for one call: the tests are plain threads.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Status and body of a GET.
pub fn get(url: &str) -> Result<(u16, String), reqwest::Error> {
    block_on(async {
        let response = reqwest::Client::new().get(url).timeout(PATIENCE).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    })
}

/// Status and body of a POST.
pub fn post(url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<(u16, String), reqwest::Error> {
    block_on(async {
        let mut request = reqwest::Client::new().post(url).timeout(PATIENCE).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    })
}

/// Whether a peer program is there. Without it the caller skips; in CI that is a failure.
pub fn peer(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.exists());
    found.or_else(|| missing(&format!("the program {program}: tests/run --install installs it")))
}

/// The Python of the tests' virtual environment.
pub fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    if python.exists() {
        Some(python)
    } else {
        missing("the Python clients in .venv: tests/run --install installs them")
    }
}

/// A file or folder of the recorded data.
pub fn recorded(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("THERMOGATE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let found = folder.join(path);
    if found.exists() { Some(found) } else { missing(&format!("the recorded data {}", found.display())) }
}

fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "missing in CI: {what}");
    skipped(what)
}

/// Says what this test is skipped for, also where nobody looks at its output.
pub fn skipped<T>(what: &str) -> Option<T> {
    println!("SKIPPED for want of {what}");
    // tests/run counts what is skipped; a skipped test is not a passed one.
    if let Some(path) = std::env::var_os("SKIPPED_TESTS") {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| {
            std::io::Write::write_all(&mut file, format!("{test}: {what}\n").as_bytes())
        })
        .expect("the file that tests/run names can be written");
    }
    None
}
