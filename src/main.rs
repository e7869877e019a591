//! The `filemill` command: parse, run, exit.

use std::io::Write;

use cli::Exit;

mod cli;

fn main() {
    let exit = match cli::run(std::env::args_os()) {
        Ok(exit) => exit,
        // The reader of the output went away (`| head`): nothing is wrong.
        Err(failure) if failure.is_broken_pipe() => Exit::Done,
        Err(failure) => {
            cli::complain(&failure);
            Exit::Fatal
        }
    };
    // A reader that went away by now is no news.
    drop(std::io::stdout().flush());
    filemill::leave(exit.code())
}
