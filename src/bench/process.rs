//! A program timed as a whole process, from its start to its exit.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{BenchError, Watch};

/// A build of filemill, and how it is started. What it says on standard error is kept, as far as it is short.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The binary.
    pub(crate) binary: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
}

/// Longer than any record is: a path of it may be 4 MiB, where the system lets it.
const LINE_BYTES_MAX: usize = 64 << 20;
/// What begins each line that filemill says.
const OWN: &str = "filemill: ";
/// How often a cancelled benchmark looks up from waiting.
const LOOK: Duration = Duration::from_millis(50);

impl Program {
    /// Runs it once with its output thrown away; seconds from before its start to its exit.
    ///
    /// # Errors
    /// When it cannot be started, ends otherwise than with `code`, or the benchmark is cancelled.
    pub(crate) fn seconds(&self, code: i32, watch: &Watch<'_>) -> Result<f64, BenchError> {
        let since = Instant::now();
        let started = self.start(Stdio::null())?;
        let ended = self.wait(started, watch)?;
        let seconds = since.elapsed().as_secs_f64();
        if ended == code {
            return Ok(seconds);
        }
        let shown = self.shown();
        Err(BenchError::Refused(format!("{shown}: ended with code {ended}, where it had ended with {code}")))
    }

    /// Runs it once, and gives each line that it writes to standard output to `line`; its exit code, 0 or 3.
    ///
    /// # Errors
    /// When it cannot be started, fails, or the benchmark is cancelled.
    pub(crate) fn lines(&self, line: &mut dyn FnMut(&[u8]), watch: &Watch<'_>) -> Result<i32, BenchError> {
        let mut started = self.start(Stdio::piped())?;
        if let Some(stdout) = started.child.stdout.take()
            && let Err(error) = read_lines(stdout, line, watch)
        {
            started.end();
            return Err(BenchError::file(&self.binary)(error));
        }
        self.wait(started, watch)
    }

    fn start(&self, stdout: Stdio) -> Result<Started, BenchError> {
        // A name without a place is one of this directory, not of the PATH.
        let is_bare = self.binary.parent().is_some_and(|parent| parent.as_os_str().is_empty());
        let mut command =
            Command::new(if is_bare { Path::new(".").join(&self.binary) } else { self.binary.clone() });
        let (said, stderr) = unnamed();
        command.args(&self.arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // What is set for us is not meant for what is measured.
        for (name, _) in std::env::vars_os() {
            let name_bytes = name.as_encoded_bytes();
            if name_bytes.starts_with(b"FILEMILL_") && name_bytes != b"FILEMILL_FAULT" {
                command.env_remove(name);
            }
        }
        let child = command.spawn().map_err(BenchError::file(&self.binary))?;
        Ok(Started { child, said })
    }

    /// Waits for its end; its exit code, 0 or that of a scan that could not read something.
    fn wait(&self, mut started: Started, watch: &Watch<'_>) -> Result<i32, BenchError> {
        const INCOMPLETE: i32 = 3;
        let status = loop {
            match wait_until(&mut started.child, LOOK) {
                Ok(None) if watch.is_cancelled() => {
                    started.end();
                    return Err(BenchError::Cancelled);
                }
                Ok(None) => {}
                Ok(Some(status)) => break status,
                Err(error) => return Err(BenchError::file(&self.binary)(error)),
            }
        };
        // A signal from the terminal meets both, and it may be the first to die of it.
        if is_interrupted(status) {
            let since = Instant::now();
            while !watch.is_cancelled() && since.elapsed() < 4 * LOOK {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        match status.code() {
            _ if watch.is_cancelled() => Err(BenchError::Cancelled),
            Some(code @ (0 | INCOMPLETE)) => Ok(code),
            _ => {
                let said = started.said();
                Err(BenchError::Refused(match &said {
                    Some(line) if line.starts_with(OWN) => line[OWN.len()..].to_owned(),
                    Some(line) => format!("{}: {status}: {line}", self.shown()),
                    None => format!("{}: {status}", self.shown()),
                }))
            }
        }
    }

    fn shown(&self) -> String {
        let arguments = self.arguments.iter().map(|argument| argument.to_string_lossy());
        std::iter::once(self.binary.to_string_lossy()).chain(arguments).collect::<Vec<_>>().join(" ")
    }
}

/// A process that runs.
struct Started {
    child: Child,
    /// What it says on standard error.
    said: Option<File>,
}

impl Started {
    /// Ends it. It may be gone already.
    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// The first line that it said.
    fn said(&mut self) -> Option<String> {
        const SAID_BYTES_MAX: u64 = 4096;
        let mut said = Vec::new();
        let file = self.said.as_mut()?;
        file.rewind().ok()?;
        file.take(SAID_BYTES_MAX).read_to_end(&mut said).ok()?;
        String::from_utf8_lossy(&said).lines().next().map(str::to_owned)
    }
}

/// A file without a name, to be written to by a child: a pipe would have to be read meanwhile.
fn unnamed() -> (Option<File>, Stdio) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{MemfdFlags, memfd_create};
        let made = memfd_create(c"filemill", MemfdFlags::CLOEXEC).map(File::from);
        if let Ok(file) = made
            && let Ok(again) = file.try_clone()
        {
            return (Some(file), again.into());
        }
    }
    (None, Stdio::null())
}

/// Reads line by line to the end, or until the benchmark is cancelled.
fn read_lines(mut from: ChildStdout, line: &mut dyn FnMut(&[u8]), watch: &Watch<'_>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut rest = Vec::new();
    while !watch.is_cancelled() {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
            match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        rest.extend_from_slice(&buffer[..read]);
        let whole = memchr::memrchr(b'\n', &rest).map_or(0, |last| last + 1);
        rest[..whole].split_inclusive(|&byte| byte == b'\n').for_each(|whole| line(whole.trim_ascii_end()));
        rest.drain(..whole);
        if rest.len() > LINE_BYTES_MAX {
            return Err(io::Error::other("writes a line without end"));
        }
        if read == 0 {
            if !rest.is_empty() {
                line(&rest);
            }
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a process was ended by a signal that ends benchmarks.
fn is_interrupted(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        matches!(status.signal(), Some(1 | 2 | 15)) || matches!(status.code(), Some(129 | 130 | 143))
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        false
    }
}

/// Waits for a child, but not longer than `patience`; wakes up as soon as it is gone.
#[cfg(target_os = "linux")]
fn wait_until(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    // Before Linux 5.3 there are none; then it is looked at every millisecond.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return wait_by_looking(child, patience) };
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
    match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(None),
        Ok(_) => child.wait().map(Some),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn wait_until(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    wait_by_looking(child, patience)
}

fn wait_by_looking(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let since = Instant::now();
    while since.elapsed() < patience {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(None)
}

/// A scan as it is timed: the same of every build.
pub(crate) fn scan(binary: &Path, path: &Path, settings: &[OsString], list: &str) -> Program {
    let fixed = ["scan", "--no-config", "--no-progress", "--quiet", "--format", "jsonl", "--analyses", list];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).to_vec();
    arguments.extend(settings.iter().cloned());
    arguments.push("--".into());
    arguments.push(path.into());
    Program { binary: binary.to_owned(), arguments }
}
