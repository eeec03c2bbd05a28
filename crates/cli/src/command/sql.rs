//! `thermogate sql`: questions to a running service or to a data folder.

use std::collections::BTreeMap;
use std::io::Read;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use history::query::format;
use history::query::named;

use super::run::name_and_value;
use crate::arguments::{HttpArguments, RowOutput, SqlArguments};
use crate::client;
use crate::failure::Failure;
use crate::terminal;

/// Runs the command.
pub fn run(arguments: &SqlArguments) -> Result<u8, Failure> {
    if arguments.list {
        list();
        return Ok(0);
    }
    let question = question(arguments)?;
    let (schema, batches) = client::runtime()?.block_on(answer(arguments, &question))?;
    print(arguments, &schema, &batches)?;
    Ok(0)
}

fn list() {
    for query in named::all() {
        println!("{}\n  {}", query.name, query.purpose);
        for parameter in &query.parameters {
            println!("  --parameter {}={}  {}", parameter.name, parameter.default.as_deref().unwrap_or("…"), parameter.meaning);
        }
        for column in &query.columns {
            println!("  {:<28} {}", column.name, column.meaning);
        }
        println!();
    }
}

/// The question as the service takes it.
fn question(arguments: &SqlArguments) -> Result<service::question::Question, Failure> {
    let parameters: BTreeMap<String, String> =
        arguments.parameters.iter().map(|text| name_and_value("--parameter", text)).collect::<Result<_, _>>()?;
    let sql = match (&arguments.sql, &arguments.query) {
        (Some(_), Some(_)) => return Err(Failure::bad_input("give a query as text or by name with --query, not both")),
        (None, None) => return Err(Failure::bad_input("give a query, such as `select * from rack_now`, or --query NAME; --list shows the named ones")),
        (Some(text), None) if text == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::bad_input(format!("standard input: {error}")))?;
            Some(text)
        }
        (Some(text), None) => Some(text.clone()),
        (None, Some(_)) => None,
    };
    if sql.is_some() && !parameters.is_empty() {
        return Err(Failure::bad_input("--parameter goes with --query: a query of your own holds its values itself"));
    }
    Ok(service::question::Question { sql, query: arguments.query.clone(), parameters })
}

async fn answer(arguments: &SqlArguments, question: &service::question::Question) -> Result<(SchemaRef, Vec<RecordBatch>), Failure> {
    let live = match &arguments.data {
        None => Some(arguments.service.clone()),
        Some(folder) => history::lock::holder(folder)
            .and_then(|holder| holder.http())
            .map(|http| HttpArguments { http, token: arguments.service.token.clone() }),
    };
    match (live, &arguments.data) {
        (Some(service), _) => {
            let body = serde_json::to_string(question).map_err(|error| Failure::bad_input(error.to_string()))?;
            let bytes = client::http(&service, "/v1/sql", Some(body)).await?;
            let broken = |error: arrow::error::ArrowError| Failure::unreachable(format!("{}: the answer is no Arrow stream: {error}", service.http));
            let reader = StreamReader::try_new(bytes.as_slice(), None).map_err(broken)?;
            let schema = reader.schema();
            Ok((schema, reader.collect::<Result<_, _>>().map_err(broken)?))
        }
        (None, Some(folder)) => service::offline::answer(folder, question).await.map_err(|error| Failure::bad_input(error.to_string())),
        (None, None) => Err(Failure::bad_input("say where to ask: --http or --data")),
    }
}

fn print(arguments: &SqlArguments, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<(), Failure> {
    let text = match arguments.output {
        RowOutput::Table => {
            let (header, rows) = format::cells(schema, batches).map_err(|error| Failure::unreachable(error.to_string()))?;
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            (terminal::drawn(&header, rows.into_iter()) + "\n").into_bytes()
        }
        RowOutput::Csv => format::csv(schema, batches).map_err(|error| Failure::unreachable(error.to_string()))?,
        RowOutput::Json => format::json_lines(batches).map_err(|error| Failure::unreachable(error.to_string()))?,
        RowOutput::Parquet if arguments.file.is_none() => {
            return Err(Failure::bad_input("--output parquet needs --file: a terminal cannot show it"));
        }
        RowOutput::Parquet => format::parquet(schema, batches).map_err(|error| Failure::unreachable(error.to_string()))?,
    };
    match &arguments.file {
        Some(path) => std::fs::write(path, text).map_err(|error| Failure::bad_input(format!("{}: {error}", path.display()))),
        None => std::io::Write::write_all(&mut std::io::stdout(), &text).or_else(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(Failure::bad_input(format!("standard output: {error}"))),
        }),
    }
}
