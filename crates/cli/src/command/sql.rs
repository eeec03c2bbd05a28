//! `thermogate sql`: questions to a running service or to a data folder.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use arrow::ipc::reader::StreamReader;
use history::format::{self, Format};
use history::lock::{self, Holder};
use history::query::{FUNCTIONS, NamedQuery};
use service::offline;
use service::question::Question;
use service::settings::Settings;
use service::shared::Answer;

use super::run::name_and_value;
use crate::arguments::{HttpArguments, RowOutput, SqlArguments};
use crate::client;
use crate::failure::Failure;
use crate::output::{self, print_line};

/// Runs the command.
pub fn run(arguments: &SqlArguments) -> Result<u8, Failure> {
    if arguments.list {
        list();
        return Ok(0);
    }
    let question = question(arguments)?;
    let answer =
        client::runtime()?.block_on(ask(arguments.data.as_deref(), &arguments.service, &question))?;
    print(arguments, &answer)?;
    Ok(0)
}

fn list() {
    for query in NamedQuery::all() {
        print_line!("{}\n  {}", query.name, query.purpose);
        for parameter in &query.parameters {
            print_line!(
                "  --parameter {}={}  {}",
                parameter.name,
                parameter.default.as_deref().unwrap_or("…"),
                parameter.meaning
            );
        }
        for column in &query.columns {
            print_line!("  {:<28} {}", column.name, column.meaning);
        }
        print_line!();
    }
    print_line!("functions beside those of DataFusion, for queries of your own");
    for function in FUNCTIONS {
        let (name, arguments, meaning) = (function.name, function.arguments, function.meaning);
        let unit = function.unit.map_or_else(String::new, |unit| format!(" [{unit}]"));
        print_line!("  {name}({arguments}){unit}\n    {meaning}");
    }
}

/// The question as the service takes it.
fn question(arguments: &SqlArguments) -> Result<Question, Failure> {
    let parameters: BTreeMap<String, String> = arguments
        .parameters
        .iter()
        .map(|text| name_and_value("--parameter", text))
        .collect::<Result<_, _>>()?;
    let sql = match (&arguments.sql, &arguments.query) {
        (Some(_), Some(_)) => {
            return Err(Failure::bad_input("give a query as text or by name with --query, not both"));
        }
        (None, None) => {
            return Err(Failure::bad_input(
                "give a query, such as `select * from rack_now`, or --query NAME; --list shows the named ones",
            ));
        }
        (Some(text), None) if text == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::bad_input(format!("standard input: {error}")))?;
            Some(text)
        }
        (Some(text), None) => Some(text.clone()),
        (None, Some(_)) => None,
    };
    if sql.is_some() && !parameters.is_empty() {
        return Err(Failure::bad_input(
            "--parameter goes with --query: a query of your own holds its values itself",
        ));
    }
    Ok(Question { sql, query: arguments.query.clone(), parameters })
}

/// Asks a data folder, or else a service.
///
/// # Errors
/// Exit code 2 for a question or folder that is refused, 5 when nobody answers.
pub async fn ask(
    folder: Option<&Path>,
    service: &HttpArguments,
    question: &Question,
) -> Result<Answer, Failure> {
    let Some(folder) = folder else { return ask_service(service, question).await };
    let holder = lock::holder(folder).map_err(|error| Failure::bad_input(error.to_string()))?;
    match holder {
        None => {
            let settings = Settings::load(None, std::iter::empty(), &[])?;
            offline::answer(folder, question, &settings)
                .await
                .map_err(|error| Failure::bad_input(error.to_string()))
        }
        Some(Holder { address: Some(http), .. }) => {
            ask_service(&service_on_folder(&http, service), question).await
        }
        Some(Holder { pid, address: None }) => Err(held(folder, pid)),
    }
}

/// The service that holds a folder, by the address it left there.
pub fn service_on_folder(http: &str, service: &HttpArguments) -> HttpArguments {
    // All addresses of this machine are no address to go to; the folder is here, and so is the service.
    let http = http.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
    HttpArguments { http, token: service.token.clone() }
}

/// A folder whose holder does not answer.
pub fn held(folder: &Path, pid: u32) -> Failure {
    Failure::unreachable(format!(
        "{} is held by process {pid}, which does not serve yet or reads it as well: try again",
        folder.display()
    ))
}

/// Asks a service over HTTP.
///
/// # Errors
/// Exit code 2 for a question that is refused, 5 when nobody answers.
pub async fn ask_service(service: &HttpArguments, question: &Question) -> Result<Answer, Failure> {
    let body = serde_json::to_string(question).map_err(|error| Failure::bad_input(error.to_string()))?;
    let bytes = client::http(service, "/v1/sql", Some(body)).await?;
    let broken = |error: arrow::error::ArrowError| {
        Failure::unreachable(format!("{}: the answer is no Arrow stream: {error}", service.http))
    };
    let reader = StreamReader::try_new(bytes.as_slice(), None).map_err(broken)?;
    let schema = reader.schema();
    Ok(Answer { schema, batches: reader.collect::<Result<_, _>>().map_err(broken)? })
}

fn print(arguments: &SqlArguments, answer: &Answer) -> Result<(), Failure> {
    let format = match arguments.output {
        RowOutput::Table => Format::Table,
        RowOutput::Csv => Format::Csv,
        RowOutput::Json => Format::Json,
        RowOutput::Parquet if arguments.file.is_none() => {
            return Err(Failure::bad_input("--output parquet needs --file: a terminal cannot show it"));
        }
        RowOutput::Parquet => Format::Parquet,
    };
    let mut bytes = Vec::new();
    format::write_batches(&answer.schema, &answer.batches, format, &mut bytes)
        .map_err(|error| Failure::unreachable(error.to_string()))?;
    match &arguments.file {
        Some(path) => std::fs::write(path, bytes)
            .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display()))),
        None => output::settled(std::io::stdout().write_all(&bytes)),
    }
}
