//! End to end: the real program, real protocols, real peers.
