//! The command line: reads the arguments, starts the runtime, and turns errors into one line and an exit code
//! (1: the command failed, 2: the arguments or settings are wrong).

use std::process::ExitCode;

use clap::Parser;
use gatepost::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = actix_rt::System::with_tokio_rt(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        #[allow(clippy::expect_used, reason = "without threads there is nothing to report the failure with")]
        builder.enable_all().build().expect("the operating system gives no threads")
    });
    runtime.block_on(gatepost::cli::run(cli))
}
