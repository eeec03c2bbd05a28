mod drive;
use drive::*;
use simulator::LoadPlan::{Training, Inference};
use telemetry::facts::Metric;
#[test]
#[ignore]
fn dump() {
    let first: u64 = std::env::var("FIRST").unwrap().parse().unwrap();
    let count: u64 = std::env::var("COUNT").unwrap().parse().unwrap();
    for seed in first..first+count {
        let loads = match seed % 3 { 0 => vec![Training, Training, Training], 1 => vec![Inference, Inference, Inference], _ => vec![Training, Inference, Training] };
        let cooling = if (seed/3) % 2 == 0 { Cooling::Shared } else { Cooling::Separate };
        for fouling in [None, Some(1.061)] {
            let played = play(&Drill { seed, cooling, loads: loads.clone(), fouling });
            for facts in &played.facts {
                let Some(b) = &facts.batches else { println!("NONE {seed}"); continue };
                for batch in &b.batches {
                    let l: Vec<String> = Metric::ALL.iter().map(|m| batch.logarithm(*m).map_or(String::new(), |v| v.to_string())).collect();
                    println!("B,{seed},{},{},{},{},{},{},{}", fouling.is_some() as u8, facts.place.rack.as_ref().unwrap(), batch.number - telemetry::facts::Batch::number_at(played.start), (batch.start() - played.start).as_seconds(), batch.steady_blocks, l.join(","), batch.power_kilowatts().map_or(String::new(), |v| v.to_string()));
                }
            }
        }
    }
}
