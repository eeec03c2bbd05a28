//! A seeded physical model of liquid-cooled loops and racks, their workloads, sensors and faults. Pure: the same
//! scenario gives the same readings, to the byte, on every host.
//!
//! scenario → load → racks and loop (physics) → sensors → readings; faults act on the physics, the sensors or the feed.
//!
//! The model is lumped: one temperature per die, cold plate, pipe cell and exchanger; quantities are kW, kJ/K, K/kW,
//! °C, kPa and L/min unless a name says otherwise.

mod fault;
mod scenario; // what is simulated, as a strict YAML document: read this first // what can go wrong, as a table of kinds, and the truth about it

mod control; // the PI loops of pump and valve
mod cooling_loop;
mod exchanger; // effectiveness of heat exchangers
mod hydraulics; // flow through parallel branches
mod load; // how busy a rack is
mod noise; // seeded randomness
mod pipe; // transport of coolant
mod rack; // a rack: trays, pipes, air, rear door
mod reference; // the values of the reference rack
mod trays; // dies and cold plates of a rack // a coolant distribution unit with its racks

mod channel; // the signals that loops, racks and GPUs report
mod sensor; // what an instrument makes of the truth
mod simulation; // everything together, one sampling instant after the other

mod demo; // the scenario of the demonstration

#[cfg(test)]
mod physics_tests;

pub use fault::{Fault, FaultKind, Severity, Target, TruthLabel};
pub use load::{LoadPlan, Step};
pub use scenario::{FacilityWater, GpuReporting, LoopScenario, RackScenario, Scenario};
pub use simulation::{Reading, Simulation};
