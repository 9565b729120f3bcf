//! What the tests stand on: one server per PostgreSQL version and test binary, one database per test, the tool as
//! a process that can be killed and frozen, and what stands between an application and its server.

mod cli;
mod clock;
mod database;
mod limit;
mod matrix;
mod pgbouncer;
mod postgres;
mod proxy;
mod receiver;
mod run;
mod terminal;
mod wait;
mod writers;

pub(crate) use cli::{Cli, Output, Running};
pub(crate) use clock::Clock;
pub(crate) use database::Database;
pub(crate) use matrix::{long_versions, stride, versions_of, whole};
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use postgres::{Version, missing, own_server, own_server_set, own_server_with, server, versions};
pub(crate) use proxy::Proxy;
pub(crate) use receiver::{Manner, Received, Receiver};
pub(crate) use run::{contents, plain_alter, tool};
pub(crate) use terminal::Terminal;
pub(crate) use wait::{CRAWL, PATIENCE, wait_for};
pub(crate) use writers::Writers;
