//! The `filemill` command: parse, run, exit.

use std::io::Write;

use cli::Exit;

mod cli;

fn main() {
    #[cfg(target_os = "linux")]
    quiet_drivers();
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

/// Sets XDG_RUNTIME_DIR if it is no absolute path: Mesa's drivers write a line to standard error otherwise, before filemill does.
///
/// Nothing is in the directory, and nothing can be put there: a driver looks there for a display, and must find none.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the environment belongs to the whole process")]
fn quiet_drivers() {
    const NAME: &str = "XDG_RUNTIME_DIR";
    let is_set = std::env::var_os(NAME).is_some_and(|path| std::path::Path::new(&path).is_absolute());
    if !is_set {
        // SAFETY: main calls this first, while there is one thread: no other one can read the environment meanwhile.
        unsafe { std::env::set_var(NAME, "/proc/self") };
    }
}
