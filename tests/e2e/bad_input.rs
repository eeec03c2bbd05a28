//! What is refused, and with which words: every kind of bad input, given to the real program.

mod access; // addresses, certificates, tokens, roles
mod alertmanagers; // one that answers 400, one that hangs, one that is gone
mod documents; // fixtures/bad: files, and beside each the commands that refuse it with what they say
mod folders; // data folders and stores that cannot be had
mod unknown; // racks, runs, gates and evaluations that nobody knows
mod wire; // requests that are torn, oversized, mistyped or senseless
