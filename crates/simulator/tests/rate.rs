//! How fast the model runs. Prints its figure: `cargo test -p simulator --test rate -- --nocapture`.

use simulator::{Scenario, Simulation};

#[test]
fn a_rack_day_takes_seconds() {
    let scenario = Scenario::demo(1);
    let started = std::time::Instant::now();
    let mut simulation = Simulation::new(&scenario);
    let (mut readings, mut count) = (Vec::new(), 0);
    while simulation.step(&mut readings).is_some() {
        count += readings.len();
    }
    let seconds = started.elapsed().as_secs_f64();
    let rack_days = 6.0 * scenario.duration.as_seconds() / 86_400.0;
    println!(
        "{:.2} rack-days/s, {:.0} readings/s, {count} readings",
        rack_days / seconds,
        count as f64 / seconds
    );
    assert!(seconds < 60.0, "three hours of six racks took {seconds} s");
}
