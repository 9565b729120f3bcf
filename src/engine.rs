//! The engines: filling rows, and comparing them.

pub mod compare;
pub mod fill;
