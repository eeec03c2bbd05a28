//! A seeded physical model of liquid-cooled loops and racks, their workloads, sensors and faults. Pure: the same
//! scenario gives the same readings, to the byte, on every host.
//!
//! scenario → load → racks and loop (physics) → sensors → readings; faults act on the physics, the sensors or the feed.
//!
//! The model is lumped: one temperature per die, cold plate, pipe cell and exchanger; quantities are kW, kJ/K, K/kW,
//! °C, kPa and L/min unless a name says otherwise.

mod scenario; // what is simulated, as a strict YAML document: read this first

mod fault; // what can go wrong, as a table of kinds, and the truth about it
mod load; // how busy a rack is
mod noise; // seeded randomness

mod cooling_loop; // a coolant distribution unit with its racks
mod rack; // a rack: trays, pipes, air, rear door
mod trays; // dies and cold plates of a rack

mod control; // the PI loops of pump and valve
mod exchanger; // effectiveness of heat exchangers
mod hydraulics; // flow through parallel branches
mod pipe; // transport of coolant
mod reference; // the values of the reference rack

mod channel; // the signals that loops, racks and GPUs report
mod sensor; // what an instrument makes of the truth
mod simulation; // everything together, one sampling instant after the other

mod equilibrium; // what a loop settles at: the truth about sustainable power

mod demo; // the scenario of the demonstration

#[cfg(test)]
mod physics_tests;

pub use equilibrium::{Equilibrium, RestingRack, equilibrium, power_at};
pub use fault::{Fault, FaultKind, Severity, Target, TruthLabel};
pub use load::{LoadPlan, Mode, ModeSpan, SoakStage, Step};
pub use noise::Noise;
pub use scenario::{FacilityWater, GpuReporting, LoopScenario, RackScenario, Scenario};
pub use simulation::{Reading, Simulation};
