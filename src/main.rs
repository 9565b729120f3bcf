//! The `crossfade` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    crossfade::cli::main(std::env::args_os().collect())
}
