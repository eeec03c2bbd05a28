//! `thermogate maintenance`: work on racks. Their time is unknown then, not good.

use wire::run::v1::{EndMaintenanceRequest, Maintenance, StartMaintenanceRequest};

use super::run::{time, timestamp};
use crate::arguments::MaintenanceCommand;
use crate::client;
use crate::failure::Failure;
use crate::output::print_line;

/// Runs the command.
pub fn run(command: MaintenanceCommand) -> Result<u8, Failure> {
    client::runtime()?.block_on(answer(command))
}

async fn answer(command: MaintenanceCommand) -> Result<u8, Failure> {
    let works: Vec<Maintenance> = match command {
        MaintenanceCommand::Start { service, rack, until, by, why } => {
            let until = Some(timestamp("--until", &until)?);
            let request = StartMaintenanceRequest { racks: rack, until, by, why, time: None };
            client::runs(&service).await?.start_maintenance(request).await?.into_inner().maintenance
        }
        MaintenanceCommand::End { service, rack, by, why } => {
            let request = EndMaintenanceRequest { racks: rack, by, why, time: None };
            client::runs(&service).await?.end_maintenance(request).await?.into_inner().maintenance
        }
    };
    for work in works {
        match &work.end {
            None => print_line!("rack {}: maintenance until {}", work.rack, time(work.until.as_ref())),
            Some(end) => print_line!("rack {}: maintenance ended at {}", work.rack, time(Some(end))),
        }
    }
    Ok(0)
}
