//! The `crossfade` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    crossfade::cli::main(std::env::args_os().collect()).await
}
