//! Judges a rack or a run from facts and a policy: facts in, explained verdict out. Pure.
