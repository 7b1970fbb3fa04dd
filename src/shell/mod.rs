//! The machine: glommio and the own ring.
#![allow(unsafe_code)]
