//! What the benches share: a throwaway server with a table on it, clocks and counters, the tool as a process, tables.

pub(crate) mod args;
pub(crate) mod cpu;
pub(crate) mod crossfade;
pub(crate) mod database;
pub(crate) mod number;
pub(crate) mod pgbench;
pub(crate) mod stand;
pub(crate) mod table;
pub(crate) mod target;
