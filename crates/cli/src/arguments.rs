//! What can be typed: every command, flag and default.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Tells whether a liquid-cooled AI rack, running a given release, is thermally safe, and how we know.
#[derive(Debug, Parser)]
#[command(name = "thermogate", version, about, propagate_version = true, max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order a newcomer meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows it all on this machine: a simulated site with faults, judged through the real ports
    #[command(after_help = "Examples:\n  thermogate demo\n  thermogate demo --once")]
    Demo(DemoArguments),
    /// Runs the service: takes telemetry in, judges it, keeps it, answers gates
    #[command(
        after_help = "Examples:\n  thermogate serve\n  thermogate serve --data /var/lib/thermogate --set alerts.alertmanagers=http://127.0.0.1:9093\n  thermogate serve --settings thermogate.toml --print-settings"
    )]
    Serve(ServeArguments),
    /// Shows every rack: watermark, coverage, worst objective, burn, findings
    #[command(
        after_help = "Examples:\n  thermogate status\n  thermogate status --watch\n  thermogate status --output json"
    )]
    Status(StatusArguments),
    /// Asks for verdicts and explains them
    #[command(subcommand)]
    Gate(GateCommand),
    /// Tells about tests and deployments on racks
    #[command(subcommand)]
    Run(RunCommand),
    /// Tells about work on racks: their time is unknown then, not good
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Registers calibrations of sensors, takes baselines anew, and lists what was registered
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  thermogate calibrate --rack r07 --signal coolant_supply_temperature --sensor b --offset '-0.3 K' --reference 'bath 12, certificate 881' --by ada --why 'yearly calibration'\n  thermogate calibrate --rack r07 --signal coolant_flow --offset '0 L/min' --reference 'clamp-on meter 3' --by ada --why 'found to be right'\n  thermogate calibrate --loop loop-a --reset --by ada --why 'flow meter changed'\n  thermogate calibrate list --rack r07"
    )]
    Calibrate(CalibrateArguments),
    /// Asks in SQL, of a running service or of a data folder
    #[command(
        after_help = "Examples:\n  thermogate sql 'select rack, signal, count(*) from samples group by 1, 2'\n  thermogate sql --query thermal_margin_by_rack\n  thermogate sql --query heat_balance --parameter rack=r07 --output csv\n  thermogate sql --list\n  thermogate sql --data ./data/thermogate 'select * from verdicts'"
    )]
    Sql(SqlArguments),
    /// Expects how a series goes on, or compares peers: advice for people, not part of any verdict
    #[command(
        subcommand_negates_reqs = true,
        after_help = "Examples:\n  thermogate forecast --rack r07 --signal facility_supply_temperature --horizon 2h --limit 40\n  thermogate forecast --loop a --signal facility_supply_temperature --horizon 24h --output json\n  thermogate forecast --rack r07 --signal gpu_temperature --node n3 --device gpu1 --limit 87\n  thermogate forecast --data ./data/thermogate --rack r07 --signal rack_power\n  thermogate forecast outliers --rack r07\n\nExit codes: 0 answered, 3 too little is known to say anything, 2 bad input, 5 unreachable"
    )]
    Forecast(ForecastArguments),
    /// Judges recorded files as if they came in now, or a run that was exported, and prints what was found
    #[command(
        after_help = "Examples:\n  thermogate replay ./build-1234          # a folder of `thermogate export`: exit code 0 identical, 1 different\n  thermogate replay rack.csv --slo slo/ --output json\n  thermogate replay temperatures.csv --rack r1 --map value=machine_temperature:1 --time-zone UTC --slo objective.yaml\n  thermogate replay rig.csv --rack rig --delimiter ';' --time-column datetime --time-zone UTC --watch group.yaml --rows --output json"
    )]
    Replay(ReplayArguments),
    /// Writes an ended run into a folder of its own: telemetry, configuration, records, verdicts
    #[command(
        after_help = "Examples:\n  thermogate export --run build-1234 --to ./build-1234\n  thermogate export --run build-1234 --to ./build-1234 --data /var/lib/thermogate\n  thermogate replay ./build-1234"
    )]
    Export(ExportArguments),
    /// Tries other objectives or another policy on past runs: what would have been said
    #[command(
        after_help = "Examples:\n  thermogate backtest --slo slo/coolant.yaml --runs last:20\n  thermogate backtest --slo slo/ --policy slo/policies/canary.yaml --runs build-1234,build-1235 --output json\n  thermogate backtest --policy strict.yaml --runs last:5 --data /var/lib/thermogate\n\nObjectives of the same name take the place of those in force then; the others stay."
    )]
    Backtest(BacktestArguments),
    /// Takes recorded files into a data folder, for SQL over them
    #[command(
        after_help = "Examples:\n  thermogate import recorded.csv --data ./data/recorded\n  thermogate import --format dsx-bms exemplar.csv --start 2026-01-05T10:00:00Z --data ./data/bms\n  promtool tsdb dump /var/lib/prometheus >dump.txt && thermogate import dump.txt --data ./data/prometheus"
    )]
    Import(ImportArguments),
    /// Plays a scenario of racks, loads and faults to files, or to a port that Prometheus scrapes
    #[command(
        after_help = "Examples:\n  thermogate simulate fixtures/scenarios/pump_head_loss.yaml --out telemetry.csv\n  thermogate simulate --scrape 127.0.0.1:9400"
    )]
    Simulate(SimulateArguments),
    /// Rehearses faults: how much is found, how soon, and what is said although nothing is wrong
    #[command(subcommand)]
    Drill(DrillCommand),
    /// Checks documents and settings, and runs the unit tests of objectives and policies
    #[command(
        after_help = "Examples:\n  thermogate check\n  thermogate check slo/ site.yaml --output junit\n  thermogate check --print-defaults"
    )]
    Check(CheckArguments),
    /// Prints a script that completes commands in a shell
    #[command(
        after_help = "Examples:\n  thermogate completions bash > ~/.local/share/bash-completion/completions/thermogate"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For machines
    Json,
    /// For CI systems that show tests
    Junit,
    /// For summaries of pipelines
    Markdown,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowOutput {
    /// A table for people
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Json,
    /// A Parquet file (needs --file)
    Parquet,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Folder of the demo; refused when it holds anything that is not a demo's
    #[arg(long, default_value = "./data/demo")]
    pub data: PathBuf,
    /// End after the tables instead of serving until Ctrl-C
    #[arg(long)]
    pub once: bool,
    /// Ports chosen by the system instead of the usual ones
    #[arg(long)]
    pub free_ports: bool,
}

/// Where settings come from.
#[derive(Debug, Args, Clone)]
pub struct SettingsArguments {
    /// File with the settings that differ from the default
    #[arg(long, env = "THERMOGATE_SETTINGS")]
    pub settings: Option<PathBuf>,
    /// One setting, such as listen.http=127.0.0.1:9090; may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

/// `serve`
#[derive(Debug, Args)]
pub struct ServeArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: SettingsArguments,
    /// Data folder (data.folder)
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Site file (documents.site)
    #[arg(long)]
    pub site: Option<PathBuf>,
    /// Serve addresses that are not loopback without TLS and tokens (access.insecure)
    #[arg(long)]
    pub insecure: bool,
    /// Print the annotated default settings and end
    #[arg(long)]
    pub print_settings: bool,
    /// Log as JSON lines
    #[arg(long)]
    pub log_json: bool,
}

/// Where a running service is.
#[derive(Debug, Args, Clone)]
pub struct ServiceArguments {
    /// gRPC address of the service; https:// needs a certificate that the system trusts, or that is in the file SSL_CERT_FILE
    #[arg(long, default_value = "http://127.0.0.1:7070", env = "THERMOGATE_GRPC")]
    pub grpc: String,
    /// Bearer token, where the service asks for one
    #[arg(long, env = "THERMOGATE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// Where a running service's HTTP port is.
#[derive(Debug, Args, Clone)]
pub struct HttpArguments {
    /// HTTP address of the service; https:// needs a certificate that the system trusts, or that is in the file SSL_CERT_FILE
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "THERMOGATE_HTTP")]
    pub http: String,
    /// Bearer token, where the service asks for one
    #[arg(long, env = "THERMOGATE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// `status`
#[derive(Debug, Args)]
pub struct StatusArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: HttpArguments,
    /// Show again every second until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// text or json
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `gate …`
#[derive(Debug, Subcommand)]
pub enum GateCommand {
    /// Asks for a verdict; the exit code tells it: 0 PASS or WARN, 1 FAIL, 3 INCONCLUSIVE, 4 PENDING, 2 bad input, 5 unreachable
    #[command(
        after_help = "Examples:\n  thermogate gate evaluate --rack r07\n  thermogate gate evaluate --policy canary --run build-1234 --wait 30m --output junit > gate.xml\n  thermogate gate evaluate --policy smoke --rack r07 --output markdown >> $GITHUB_STEP_SUMMARY"
    )]
    Evaluate(EvaluateArguments),
    /// Shows the facts a verdict was made from; --again judges them again, to the byte
    #[command(
        after_help = "Examples:\n  thermogate gate explain 1f0c9a77b2d34e55\n  thermogate gate explain 1f0c9a77b2d34e55 --again"
    )]
    Explain(ExplainArguments),
    /// Lists verdicts, the latest first
    List(ListArguments),
    /// Takes responsibility for going on in spite of a verdict, which it never changes
    #[command(
        after_help = "Example:\n  thermogate gate override 1f0c9a77b2d34e55 --by ada --why 'flow meter known bad, ticket 42' --until 2026-01-06T10:00:00Z"
    )]
    Override(OverrideArguments),
}

/// `gate evaluate`
#[derive(Debug, Args)]
pub struct EvaluateArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// Gate policy by name, or a YAML file
    #[arg(long, default_value = "default")]
    pub policy: String,
    /// Rack; may be repeated
    #[arg(long)]
    pub rack: Vec<String>,
    /// Run
    #[arg(long)]
    pub run: Option<String>,
    /// Name of this request: the same again is answered by the same evaluation
    #[arg(long)]
    pub request_id: Option<String>,
    /// PENDING until event time is final up to here (RFC 3339)
    #[arg(long)]
    pub not_before: Option<String>,
    /// How long to wait while the answer is PENDING, such as 30m
    #[arg(long)]
    pub wait: Option<String>,
    /// Exit code 1 for WARN
    #[arg(long)]
    pub warn_as_fail: bool,
    /// What the exit code and JUnit make of INCONCLUSIVE
    #[arg(long, value_enum, default_value = "keep")]
    pub inconclusive_as: InconclusiveAs,
    /// text, json, junit or markdown
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// What becomes of INCONCLUSIVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InconclusiveAs {
    /// Exit code 0
    Pass,
    /// Exit code 1
    Fail,
    /// Exit code 3
    Keep,
}

/// `gate explain`
#[derive(Debug, Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// Evaluation id
    pub evaluation: String,
    /// Judge the stored facts again and compare
    #[arg(long)]
    pub again: bool,
    /// text or json
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `gate list`
#[derive(Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// Only this rack
    #[arg(long)]
    pub rack: Option<String>,
    /// Only this run
    #[arg(long)]
    pub run: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// text or json
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `gate override`
#[derive(Debug, Args)]
pub struct OverrideArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// Evaluation id
    pub evaluation: String,
    /// Who
    #[arg(long)]
    pub by: String,
    /// Why
    #[arg(long)]
    pub why: String,
    /// It expires then (RFC 3339)
    #[arg(long)]
    pub until: String,
    /// Only this check; may be repeated
    #[arg(long)]
    pub check: Vec<String>,
}

/// `run …`
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// Starts a run on racks
    // `--version` is a run's here, not the program's.
    #[command(
        disable_version_flag = true,
        after_help = "Example:\n  thermogate run start build-1234 --rack r07 --stage canary --version image=2026.1 --version driver=595.10 --planned 4h"
    )]
    Start {
        #[command(flatten)]
        #[allow(missing_docs)]
        service: ServiceArguments,
        /// Id, unique for ever
        run: String,
        /// Rack; may be repeated
        #[arg(long, required = true)]
        rack: Vec<String>,
        /// smoke, canary, rehearsal, soak or a name of your own
        #[arg(long, default_value = "smoke")]
        stage: String,
        /// A version, such as image=2026.1; may be repeated
        #[arg(long = "version", value_name = "NAME=VALUE")]
        versions: Vec<String>,
        /// Planned length, such as 4h; by the stage when absent
        #[arg(long)]
        planned: Option<String>,
        /// End an active run of these racks as aborted
        #[arg(long)]
        replace: bool,
    },
    /// Ends a run
    End {
        #[command(flatten)]
        #[allow(missing_docs)]
        service: ServiceArguments,
        /// Id
        run: String,
        /// It was broken off
        #[arg(long)]
        aborted: bool,
    },
    /// Writes something worth remembering into a run
    Mark {
        #[command(flatten)]
        #[allow(missing_docs)]
        service: ServiceArguments,
        /// Id
        run: String,
        /// What happened
        text: String,
    },
    /// Lists runs, the latest first
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        service: ServiceArguments,
        /// Only this rack
        #[arg(long)]
        rack: Option<String>,
        /// text or json
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// `maintenance …`
#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Starts work on racks
    #[command(
        after_help = "Example:\n  thermogate maintenance start --rack r07 --until 2026-01-06T10:00:00Z --by ada --why 'filter change'"
    )]
    Start {
        #[command(flatten)]
        #[allow(missing_docs)]
        service: ServiceArguments,
        /// Rack; may be repeated
        #[arg(long, required = true)]
        rack: Vec<String>,
        /// Planned end (RFC 3339)
        #[arg(long)]
        until: String,
        /// Who
        #[arg(long)]
        by: String,
        /// Why
        #[arg(long)]
        why: String,
    },
    /// Ends work on racks
    End {
        #[command(flatten)]
        #[allow(missing_docs)]
        service: ServiceArguments,
        /// Rack; may be repeated
        #[arg(long, required = true)]
        rack: Vec<String>,
        /// Who
        #[arg(long)]
        by: String,
        /// Why
        #[arg(long, default_value = "")]
        why: String,
    },
}

/// `calibrate`
#[derive(Debug, Args)]
pub struct CalibrateArguments {
    /// What to do instead of registering
    #[command(subcommand)]
    pub command: Option<CalibrateCommand>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// Rack of the sensor
    #[arg(long, conflicts_with = "loop")]
    pub rack: Option<String>,
    /// Coolant loop, for a sensor of the loop itself
    #[arg(long = "loop", id = "loop")]
    pub cooling_loop: Option<String>,
    /// Tray or host of the sensor
    #[arg(long)]
    pub node: Option<String>,
    /// Device of the sensor
    #[arg(long)]
    pub device: Option<String>,
    /// Signal of the sensor
    #[arg(long)]
    pub signal: Option<String>,
    /// Which of several sensors
    #[arg(long)]
    pub sensor: Option<String>,
    /// What is to be added to its readings, with the unit: '-0.3 K'; of a temperature a difference. Takes the place of the one before
    #[arg(long, allow_hyphen_values = true, requires = "signal")]
    pub offset: Option<String>,
    /// What it was compared with
    #[arg(long, default_value = "")]
    pub reference: String,
    /// Takes the baselines of the rack or loop anew
    #[arg(long)]
    pub reset: bool,
    /// Who
    #[arg(long, default_value = "")]
    pub by: String,
    /// Why
    #[arg(long, default_value = "")]
    pub why: String,
    /// In force from then (RFC 3339), no later than now; now when left out
    #[arg(long)]
    pub at: Option<String>,
    /// An id of your own: a repeat with the same id is answered as before
    #[arg(long, default_value = "")]
    pub request_id: String,
}

/// `calibrate …`
#[derive(Debug, Subcommand)]
pub enum CalibrateCommand {
    /// Lists calibrations, the latest first
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        service: ServiceArguments,
        /// Only of this rack
        #[arg(long)]
        rack: Option<String>,
        /// Only of this loop itself
        #[arg(long = "loop", id = "loop")]
        cooling_loop: Option<String>,
        /// Only of this signal
        #[arg(long)]
        signal: Option<String>,
        /// text or json
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// `sql`
#[derive(Debug, Args)]
pub struct SqlArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: HttpArguments,
    /// The query; read from standard input when it is `-`
    pub sql: Option<String>,
    /// A named query instead; --list shows them
    #[arg(long, value_name = "NAME")]
    pub query: Option<String>,
    /// A parameter of the named query, such as rack=r07; may be repeated
    #[arg(long = "parameter", short = 'p', value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    /// Show the named queries with purpose, parameters and columns
    #[arg(long)]
    pub list: bool,
    /// Ask a data folder; a live service on it answers, else it is read and left as it is
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: RowOutput,
    /// Write to this file instead of the terminal
    #[arg(long)]
    pub file: Option<PathBuf>,
}

/// `forecast …`
#[derive(Debug, Args)]
pub struct ForecastArguments {
    /// What else.
    #[command(subcommand)]
    pub command: Option<ForecastCommand>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub series: ForecastSeriesArguments,
}

/// What else is advised.
#[derive(Debug, Subcommand)]
pub enum ForecastCommand {
    /// Compares the GPUs or trays of a rack: who cools unlike its peers, by two methods (MAD, DBSCAN)
    #[command(
        after_help = "Examples:\n  thermogate forecast outliers --rack r07\n  thermogate forecast outliers --rack r07 --by tray --window 4h --output json\n\nCompared is the thermal resistance (T of a GPU - T of the supply) / P where GPUs tell their power, else the temperature."
    )]
    Outliers(OutliersArguments),
}

/// `forecast`
#[derive(Debug, Args)]
pub struct ForecastSeriesArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// Rack; for signals of its loop, such as facility_supply_temperature, any rack on it
    #[arg(long)]
    pub rack: Option<String>,
    /// Coolant loop instead of a rack
    #[arg(long = "loop")]
    pub cooling_loop: Option<String>,
    /// Signal, such as facility_supply_temperature
    #[arg(long, required = true)]
    pub signal: Option<String>,
    /// Tray or host, where several measure the signal
    #[arg(long)]
    pub node: Option<String>,
    /// GPU, pump, filter …, where several measure the signal
    #[arg(long)]
    pub device: Option<String>,
    /// Which of several sensors
    #[arg(long)]
    pub sensor: Option<String>,
    /// How far ahead, such as 90m; at most 14d, and no farther than what is known
    #[arg(long, default_value = "2h")]
    pub horizon: String,
    /// How far back is learnt from; 6h or twice the horizon, and 14d for --method daily, when absent
    #[arg(long)]
    pub window: Option<String>,
    /// When is this value reached? In the signal's unit
    #[arg(long, allow_negative_numbers = true)]
    pub limit: Option<f64>,
    /// Probability of the interval, 0.5 to 0.99
    #[arg(long, default_value_t = 0.95)]
    pub level: f64,
    /// auto: daily for facility water more than six hours ahead, else smoothing
    #[arg(long, value_enum, default_value = "auto")]
    pub method: ForecastMethod,
    /// Ask a data folder; a live service on it answers the SQL, else it is read and left as it is
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// text or json
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// How a series is expected to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ForecastMethod {
    /// Chosen
    Auto,
    /// Level and trend, exponentially smoothed (ETS)
    Smoothing,
    /// What repeats each day, and a smoothed drift (MSTL); two days at least
    Daily,
}

/// `forecast outliers`
#[derive(Debug, Args)]
pub struct OutliersArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// Rack
    #[arg(long)]
    pub rack: String,
    /// Compare GPUs, or trays by the median of their GPUs
    #[arg(long, value_enum, default_value = "gpu")]
    pub by: PeersBy,
    /// How far back is looked, 10m to 4h
    #[arg(long, default_value = "1h")]
    pub window: String,
    /// Ask a data folder; a live service on it answers the SQL, else it is read and left as it is
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// text or json
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Which peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PeersBy {
    /// GPU by GPU
    Gpu,
    /// Tray by tray
    Tray,
}

/// How recorded files are read.
#[derive(Debug, Args, Clone)]
pub struct FileArguments {
    /// Files; several are merged by time. For `replay` also one folder of `thermogate export`
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// csv, csv-long, csv-wide, parquet, plain (numbers without header or time), dsx-bms or promtool (a dump of Prometheus);
    /// found from the file when absent
    #[arg(long)]
    pub format: Option<String>,
    /// Rack of files without such a column
    #[arg(long)]
    pub rack: Option<String>,
    /// Signal of a column, such as value=machine_temperature:Cel; may be repeated
    #[arg(long = "map", value_name = "COLUMN=SIGNAL[:UNIT]")]
    pub map: Vec<String>,
    /// A column that is not read; may be repeated
    #[arg(long, value_name = "COLUMN")]
    pub ignore: Vec<String>,
    /// Column that holds the time
    #[arg(long)]
    pub time_column: Option<String>,
    /// Unit of times that are numbers: s, ms, us or ns
    #[arg(long)]
    pub time_unit: Option<String>,
    /// Form of times that are text, such as '%Y-%m-%d %H:%M:%S'
    #[arg(long)]
    pub time_format: Option<String>,
    /// Zone of times without one, such as UTC
    #[arg(long)]
    pub time_zone: Option<String>,
    /// Between columns, such as ';'
    #[arg(long)]
    pub delimiter: Option<String>,
    /// Encoding of the text
    #[arg(long)]
    pub encoding: Option<String>,
    /// Event time of the first row, where the file has only offsets (RFC 3339)
    #[arg(long)]
    pub start: Option<String>,
    /// Time between two numbers of a plain file, such as 1s
    #[arg(long)]
    pub interval: Option<String>,
    /// Bring the rows in order of time first; takes memory for all of them
    #[arg(long)]
    pub sort: bool,
    /// Mapping of signals and sources (YAML)
    #[arg(long)]
    pub mapping: Vec<PathBuf>,
    /// Site file (YAML)
    #[arg(long)]
    pub site: Option<PathBuf>,
}

/// `replay`
#[derive(Debug, Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub files: FileArguments,
    /// Objectives: files or folders; those compiled in when absent
    #[arg(long)]
    pub slo: Vec<PathBuf>,
    /// Gate policies: files or folders; a verdict for each rack at the end
    #[arg(long)]
    pub policy: Vec<PathBuf>,
    /// A group of signals to be watched without physics (YAML, kind: WatchGroup)
    #[arg(long)]
    pub watch: Option<PathBuf>,
    /// An answer of the watch for every row, not only where its alarm begins or ends
    #[arg(long, requires = "watch")]
    pub rows: bool,
    /// text or json
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Where past runs are read from.
#[derive(Debug, Args, Clone)]
pub struct PastArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: HttpArguments,
    /// Ask a data folder; a live service on it answers, else it is read and left as it is
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Telemetry from so long before a run's start goes with it
    #[arg(long, default_value = "2h", value_name = "LENGTH")]
    pub warm_up: String,
}

/// `export`
#[derive(Debug, Args)]
pub struct ExportArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub past: PastArguments,
    /// The run; it must have ended
    #[arg(long)]
    pub run: String,
    /// Folder to write; refused when it holds anything
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
}

/// `backtest`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("documents").required(true).multiple(true).args(["slo", "policy"])))]
pub struct BacktestArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub past: PastArguments,
    /// Objectives to try: files or folders; may be repeated
    #[arg(long)]
    pub slo: Vec<PathBuf>,
    /// Gate policy to try (YAML); that of the run's verdict when absent
    #[arg(long)]
    pub policy: Option<PathBuf>,
    /// Runs by id, with commas between them, or the last that ended: last:20
    #[arg(long, value_name = "last:N|ID,ID")]
    pub runs: String,
    /// text or json
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `import`
#[derive(Debug, Args)]
pub struct ImportArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub files: FileArguments,
    /// Data folder
    #[arg(long, default_value = "./data/thermogate")]
    pub data: PathBuf,
}

/// `simulate`
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// Scenario (YAML); the demo's when absent
    pub scenario: Option<PathBuf>,
    /// Write to this file: .csv (long form) or .parquet
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Serve at this address in Prometheus' text form, in real time, with the names of dcgm-exporter and of CDUs
    #[arg(long)]
    pub scrape: Option<SocketAddr>,
    /// Seed instead of the scenario's
    #[arg(long)]
    pub seed: Option<u64>,
}

/// `drill`
#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    /// Plays labelled faults of a simulated loop through the real evaluator and prints a scorecard
    #[command(
        after_help = "Examples:\n  thermogate drill run\n  thermogate drill run --class leak --class valve_hunting --seeds 10\n  thermogate drill run --suite full --seed 1000 --out scorecard.html --output markdown\n  thermogate drill run --conditions 'plant off by 15 %' --seeds 5 --days 30 --output json"
    )]
    Run(DrillRunArguments),
    /// Lays a fault over the telemetry of a running rack, and waits until detector and alert have answered. The rack itself is judged as if there was no drill
    #[command(
        after_help = "Examples:\n  thermogate drill live --rack r07 --class leak\n  thermogate drill live --rack r07 --class leak --severity 5 --policy default --by ada --why 'monthly drill'\n  thermogate drill live --rack r07 --class gap --output json\nExit codes: 0 passed, 1 failed or broken off, 2 refused, 5 unreachable. Route alerts with the label drill to where nobody gets up."
    )]
    Live(DrillLiveArguments),
    /// Breaks a drill of a running rack off: it says nothing then
    #[command(after_help = "Examples:\n  thermogate drill end 9c1f0a3b5d7e2468 --why 'the rack is needed'")]
    End(DrillEndArguments),
}

/// `drill live`
#[derive(Debug, Args)]
pub struct DrillLiveArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// The rack; a fault of its loop befalls the loop
    #[arg(long)]
    pub rack: String,
    /// Class of fault
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(evaluator::drill::class::CLASSES.iter().map(|class| class.name)))]
    pub class: String,
    /// How grave, in the unit of the class (of a leak L/min); what is usual when left out
    #[arg(long)]
    pub severity: Option<f64>,
    /// Who; the user of this system when left out
    #[arg(long)]
    pub by: Option<String>,
    /// Why
    #[arg(long, default_value = "drill")]
    pub why: String,
    /// Asks this gate at the end what it would say if the fault was real: a policy in force, or a file
    #[arg(long)]
    pub policy: Option<String>,
    /// Does not wait for the result
    #[arg(long)]
    pub detach: bool,
    /// An id of your own: a repeat with the same id follows the same drill
    #[arg(long, default_value = "")]
    pub request_id: String,
    /// text or json
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `drill end`
#[derive(Debug, Args)]
pub struct DrillEndArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub service: ServiceArguments,
    /// The drill's id
    pub drill: String,
    /// Who; the user of this system when left out
    #[arg(long)]
    pub by: Option<String>,
    /// Why
    #[arg(long, default_value = "ended")]
    pub why: String,
}

/// `drill run`
#[derive(Debug, Args)]
pub struct DrillRunArguments {
    /// quick: each class of faults twice and 20 rack-days without one; full: 24 times and 300 rack-days, and 7 other conditions
    #[arg(long, value_enum, default_value = "quick")]
    pub suite: DrillSuite,
    /// Drills of each class instead of the suite's
    #[arg(long)]
    pub seeds: Option<u64>,
    /// Days of a healthy loop of two racks instead of the suite's
    #[arg(long)]
    pub days: Option<u64>,
    /// The first seed; the same seed gives the same scorecard
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only this class of faults (may be repeated), and no healthy days
    #[arg(long)]
    pub class: Vec<String>,
    /// Only under these conditions (may be repeated)
    #[arg(long)]
    pub conditions: Vec<String>,
    /// Write a page with figures, and a picture of each class and each miss, to this file
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
    /// Drills that are played at the same time; as many as there are processors when not given
    #[arg(long)]
    pub threads: Option<usize>,
    /// text, json or markdown
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// How much is drilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DrillSuite {
    /// For a first look, in a minute
    Quick,
    /// All that a scorecard should stand on
    Full,
}

/// `check`
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Files or folders: objectives, policies, sites, mappings, their unit tests, settings (*.toml); the compiled-in ones when absent
    pub files: Vec<PathBuf>,
    /// text, json or junit
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// Print the compiled-in objectives and policies and end
    #[arg(long)]
    pub print_defaults: bool,
}
