//! A program timed as a whole process, from its start to its exit.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{BenchError, Watch};

/// A build of filemill, and how it is started.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The binary.
    pub(crate) binary: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
}

/// How often a cancelled benchmark looks up from waiting.
const LOOK: Duration = Duration::from_millis(50);

impl Program {
    /// Runs it once with its output thrown away; seconds from before its start to its exit.
    ///
    /// # Errors
    /// When it cannot be started, fails, or the benchmark is cancelled.
    pub(crate) fn seconds(&self, watch: &Watch<'_>) -> Result<f64, BenchError> {
        let since = Instant::now();
        let child = self.start(Stdio::null())?;
        self.wait(child, watch)?;
        Ok(since.elapsed().as_secs_f64())
    }

    /// Runs it once; what it wrote to standard output.
    ///
    /// # Errors
    /// As [`Program::seconds`].
    pub(crate) fn output(&self, watch: &Watch<'_>) -> Result<Vec<u8>, BenchError> {
        let mut child = self.start(Stdio::piped())?;
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            read_all(stdout, &mut output, watch).map_err(BenchError::file(&self.binary))?;
        }
        self.wait(child, watch)?;
        Ok(output)
    }

    fn start(&self, stdout: Stdio) -> Result<Child, BenchError> {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        // What is set for us is not meant for what is measured.
        for (name, _) in std::env::vars_os() {
            let name_bytes = name.as_encoded_bytes();
            if name_bytes.starts_with(b"FILEMILL_") && name_bytes != b"FILEMILL_FAULT" {
                command.env_remove(name);
            }
        }
        command.spawn().map_err(BenchError::file(&self.binary))
    }

    fn wait(&self, mut child: Child, watch: &Watch<'_>) -> Result<(), BenchError> {
        let status = loop {
            match wait_until(&mut child, LOOK) {
                Ok(None) if watch.is_cancelled() => {
                    // It may be gone already.
                    drop(child.kill());
                    drop(child.wait());
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
        if watch.is_cancelled() {
            return Err(BenchError::Cancelled);
        }
        // Something could not be read: the answers say what.
        const INCOMPLETE: i32 = 3;
        if status.success() || status.code() == Some(INCOMPLETE) {
            return Ok(());
        }
        let mut said = Vec::new();
        if let Some(mut stderr) = child.stderr.take() {
            // What it says is only the reason of another error.
            drop(stderr.read_to_end(&mut said));
        }
        let said = String::from_utf8_lossy(&said);
        let why = said.lines().next().map_or_else(String::new, |line| format!(": {line}"));
        Err(BenchError::Refused(format!("{}: {status}{why}", self.shown())))
    }

    fn shown(&self) -> String {
        let arguments = self.arguments.iter().map(|argument| argument.to_string_lossy());
        std::iter::once(self.binary.to_string_lossy()).chain(arguments).collect::<Vec<_>>().join(" ")
    }
}

/// Reads to the end, or until the benchmark is cancelled.
fn read_all(mut from: ChildStdout, to: &mut Vec<u8>, watch: &Watch<'_>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
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
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
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
