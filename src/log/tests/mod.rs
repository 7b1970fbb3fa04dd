//! The log against a naive model and a disk in memory.
