//! How the evaluator behaves, from the outside: stories in text, laws for every stream, a reference for its arithmetic.

mod script; // text in, records; effects, text out

mod arbitrary; // what holds of streams that bytes make up
mod changes; // what happens when series, sites and objectives change
mod comparison; // what gates may compare a rack by
mod composite; // several promises kept together
mod golden; // stories
mod hunting_recorded; // hunting of a real air handler
mod kept_checkpoint; // bytes that an engine wrote are read by those after it
mod laws; // what holds for every stream
mod pains; // what users complain of most
mod recorded; // recorded data with known figures
mod reference; // burn rates against an independent integrator

mod trust; // how far sensors are believed, and what a calibration changes
mod watch_recorded; // the generic watch on labelled recordings
mod watch_scorer; // how such answers are scored
mod watched; // watch groups as part of the evaluator
