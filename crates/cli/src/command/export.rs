//! `thermogate export`: an ended run as a folder that stands for itself.

use std::panic::resume_unwind;

use service::past::{self, Pages};

use crate::arguments::ExportArguments;
use crate::client;
use crate::export_folder::Writer;
use crate::failure::Failure;
use crate::output::print_line;
use crate::past::{source, warm_up};

/// Runs the command.
pub fn run(arguments: &ExportArguments) -> Result<u8, Failure> {
    client::runtime()?.block_on(export(arguments))
}

async fn export(arguments: &ExportArguments) -> Result<u8, Failure> {
    let warm_up = warm_up(&arguments.past)?;
    let source = source(&arguments.past).await?;
    let read = past::read(&source, &arguments.run, warm_up).await?;
    let head = read.head.clone();
    let (verdicts, statuses) = (read.verdicts.len(), read.statuses.len());
    let mut writer = Writer::begin(&arguments.to, read.clone())?;
    let mut pages = Pages::of(&source, &read).await?;
    let mut next = pages.next(&source).await?;
    // The next page is read while this one is written, so that two are in memory.
    while let Some(page) = next {
        let writing = tokio::task::spawn_blocking(move || writer.add(&page).map(|()| writer));
        let (written, read) = tokio::join!(writing, pages.next(&source));
        writer = written.unwrap_or_else(|error| resume_unwind(error.into_panic()))?;
        next = read?;
    }
    let samples = writer.finish()?;
    print_line!(
        "run {} on {}: {samples} samples from {} to {}, {verdicts} verdicts, {statuses} final statuses in {}",
        head.run,
        head.racks.join(" "),
        head.from,
        head.to,
        arguments.to.display()
    );
    if head.is_whole_history {
        print_line!("nothing of these racks lies before: all can be derived again");
    }
    print_line!("evaluate it again with: thermogate replay {}", arguments.to.display());
    Ok(0)
}
