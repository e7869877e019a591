//! The `filemill` command: parse, run, exit.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(code) => code.into(),
        // The reader of the output went away (`| head`): nothing is wrong.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            cli::complain(&failure);
            cli::Exit::Fatal.into()
        }
    }
}
