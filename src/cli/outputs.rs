//! Where reports go: standard output and files, one sink each.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::ValueEnum;
use filemill::control::Control;
use filemill::faults::{Faults, Operation};
use filemill::plan::Plan;
use filemill::record::{ActionRecord, Group, Record};
use filemill::report::Report;
use filemill::sink::{Refuse, ReportFile, Sink, printable};

use super::{Exit, Failure, complain, signals};

/// The reports of one run, each in one of the formats `F`.
pub(crate) struct Outputs<F> {
    /// What goes to standard output.
    printed: F,
    files: Vec<(F, PathBuf)>,
    open: Vec<ReportFile>,
    refusals_shown: bool,
    /// Paths that some format could not express.
    refused: Cell<u64>,
}

impl<F: ValueEnum + Copy> Outputs<F> {
    /// What was asked for: `typed` and `out`, or else `default`. Opens nothing.
    pub(crate) fn new(
        typed: Option<F>,
        out: &[OsString],
        default: F,
        refusals_shown: bool,
    ) -> Result<Outputs<F>, Failure> {
        let mut printed = typed;
        let mut files: Vec<(F, PathBuf)> = Vec::new();
        for typed in out {
            let (format, place) = parse(typed)?;
            if place == OsStr::new("-") {
                if printed.replace(format).is_some() {
                    return Err(Failure::Usage("two reports cannot both go to standard output".to_owned()));
                }
                continue;
            }
            let place = PathBuf::from(place);
            let is_taken = |(_, other): &(F, PathBuf)| {
                *other == place || *other == partial_of(&place) || partial_of(other) == place
            };
            if files.iter().any(is_taken) {
                return Err(Failure::Usage(format!("two reports cannot both go to {}", place.display())));
            }
            files.push((format, place));
        }
        let printed = printed.unwrap_or(default);
        Ok(Outputs { printed, files, open: Vec::new(), refusals_shown, refused: Cell::new(0) })
    }

    /// The formats, that of standard output first.
    pub(crate) fn formats(&self) -> impl Iterator<Item = F> {
        std::iter::once(self.printed).chain(self.files.iter().map(|(format, _)| *format))
    }

    /// The format of what goes to standard output.
    pub(crate) fn printed(&self) -> F {
        self.printed
    }

    /// Creates the files.
    pub(crate) fn open(&mut self, faults: &Faults) -> Result<(), Failure> {
        for (_, name) in &self.files {
            if let Some(stream) = stream_behind(name) {
                let why = format!("that is where {stream} goes");
                return Err(cannot_write(name, &io::Error::other(why)));
            }
            let file = ReportFile::create(name).map_err(|error| cannot_write(name, &error))?;
            self.open.push(file.with_faults(faults));
        }
        Ok(())
    }

    /// Device and inode of the files that this run writes: those of the reports, and those that standard output and
    /// standard error go to.
    pub(crate) fn own_files(&self) -> Vec<(u64, u64)> {
        #[cfg(unix)]
        return streams()
            .map(|(_, file)| file)
            .chain(self.open.iter().flat_map(ReportFile::identities))
            .collect();
        #[cfg(not(unix))]
        Vec::new()
    }

    /// A sink for each report, which `make` makes of its format, of what it is written to, and of whether that is standard
    /// output. A report that is written `at_end`, when all is done, does not need its reader before.
    pub(crate) fn sinks<'o>(
        &'o self,
        faults: &Faults,
        at_end: bool,
        make: impl Fn(F, Box<dyn Write + 'o>, bool) -> Box<dyn Sink + 'o>,
    ) -> Result<Vec<Box<dyn Sink + 'o>>, Failure> {
        let sink = make(self.printed, Box::new(Stdout::new(faults)?), true);
        let mut sinks: Vec<Box<dyn Sink + 'o>> = Vec::new();
        let is_alone = self.files.is_empty() && !at_end;
        for ((format, name), file) in self.files.iter().zip(&self.open) {
            sinks.push(Box::new(Named { sink: make(*format, Box::new(file), false), name }));
        }
        sinks.push(Box::new(Printed { sink, is_alone, is_closed: false }));
        Ok(sinks)
    }

    /// Tells of paths that a format cannot express.
    pub(crate) fn refuse(&self, format: F) -> Refuse<'_> {
        Box::new(move |path, why| {
            self.refused.set(self.refused.get() + 1);
            if self.refusals_shown {
                let (path, format) = (printable(path), name_of(format));
                complain(&format!("{path}: left out of the report {format}: it has {why}"));
            }
        })
    }

    /// How often a format could not express a path.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// The run is complete: gives every file its name.
    pub(crate) fn complete(&mut self) -> Result<(), Failure> {
        for ((_, name), file) in self.files.iter().zip(&mut self.open) {
            file.complete().map_err(|error| cannot_write(name, &error))?;
        }
        Ok(())
    }

    /// Does `work` until it is done, or a signal cancels it. Names the reports that are not complete then.
    pub(crate) fn until_signalled(
        mut self,
        work: impl FnOnce(&mut Outputs<F>, &Control) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let control = Arc::new(Control::new());
        let received = signals::watch(control.clone(), self.partials())
            .map_err(|error| Failure::Report(format!("cannot watch for signals: {error}")))?;
        let done = work(&mut self, &control);
        if received.exit_code().is_some() || done.is_err() {
            tell_of_partials(&self.partials());
        }
        match (received.exit_code(), done) {
            (Some(code), Err(failure)) if !failure.is_broken_pipe() => {
                complain(&failure);
                Ok(Exit::Interrupted(code))
            }
            (Some(code), _) => Ok(Exit::Interrupted(code)),
            (None, done) => done,
        }
    }

    /// Where the first report of a format lies that is not complete.
    pub(crate) fn partial_of(&self, is_of: impl Fn(F) -> bool) -> Option<&Path> {
        let mut reports = self.files.iter().zip(&self.open).filter(|((format, _), _)| is_of(*format));
        reports.find_map(|(_, report)| report.partial())
    }

    /// Where reports lie that are not complete.
    pub(crate) fn partials(&self) -> Vec<PathBuf> {
        self.open.iter().filter_map(ReportFile::partial).map(Path::to_path_buf).collect()
    }
}

/// The word that selects a format.
pub(crate) fn name_of(format: impl ValueEnum) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Where a report lies until it is complete, as [`ReportFile`] has it.
fn partial_of(name: &Path) -> PathBuf {
    let mut partial = OsString::from(name);
    partial.push(".partial");
    PathBuf::from(partial)
}

/// Device and inode of the files that standard output and standard error go to, where they are files.
#[cfg(unix)]
fn streams() -> impl Iterator<Item = (&'static str, (u64, u64))> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let streams = [
        ("standard output", io::stdout().as_fd().try_clone_to_owned()),
        ("standard error", io::stderr().as_fd().try_clone_to_owned()),
    ];
    streams.into_iter().filter_map(|(name, stream)| {
        let file = File::from(stream.ok()?).metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((name, (file.dev(), file.ino())))
    })
}

/// The stream that goes to the file of this name: a report beside it, or instead of it, would destroy one of them.
fn stream_behind(name: &Path) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::metadata(name).ok()?;
        streams().find(|(_, stream)| *stream == (file.dev(), file.ino())).map(|(stream, _)| stream)
    }
    #[cfg(not(unix))]
    {
        let _ = name;
        None
    }
}

/// Names the reports that are not complete, where they hold something.
pub(crate) fn tell_of_partials(partials: &[PathBuf]) {
    for partial in partials {
        if partial.metadata().is_ok_and(|file| file.len() > 0) {
            complain(&format!("{} holds what was written by then", partial.display()));
        }
    }
}

pub(super) fn cannot_write(name: &Path, error: &io::Error) -> Failure {
    Failure::Report(format!("cannot write the report {}: {error}", name.display()))
}

/// Takes `FORMAT=FILE` apart.
fn parse<F: ValueEnum + Copy>(typed: &OsString) -> Result<(F, &OsStr), Failure> {
    let known = || F::value_variants().iter().map(|format| name_of(*format)).collect::<Vec<_>>();
    split(typed, |name| F::from_str(name, false).ok(), known)
}

/// The format and the file of what was typed as FORMAT=FILE.
pub(super) fn split<F>(
    typed: &OsString,
    format: impl Fn(&str) -> Option<F>,
    known: impl Fn() -> Vec<String>,
) -> Result<(F, &OsStr), Failure> {
    let shown = || printable(typed.as_encoded_bytes());
    let mistake =
        |why: String| Failure::Usage(format!("invalid value '{}' for '--out <FORMAT=FILE>': {why}", shown()));
    let equals = typed.as_encoded_bytes().iter().position(|&byte| byte == b'=');
    let Some(equals) = equals else { return Err(mistake("it has no '='".to_owned())) };
    let name = typed.as_encoded_bytes()[..equals].escape_ascii().to_string();
    let Some(format) = format(&name) else {
        return Err(mistake(format!("no format is named '{name}': known are {}", known().join(", "))));
    };
    let place = after(typed, equals + 1);
    if place.is_empty() {
        return Err(mistake("it names no file".to_owned()));
    }
    Ok((format, place))
}

/// What follows the first bytes of `text`, which are ASCII.
#[cfg(unix)]
fn after(text: &OsStr, bytes: usize) -> &OsStr {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(&text.as_bytes()[bytes..])
}

#[cfg(not(unix))]
fn after(text: &OsStr, bytes: usize) -> &OsStr {
    text.to_str().and_then(|text| text.get(bytes..)).map_or(OsStr::new(""), OsStr::new)
}

/// Standard output without the line buffer of the standard library: sinks write in large pieces.
pub(crate) struct Stdout {
    file: File,
    faults: Faults,
}

impl Stdout {
    /// Standard output, with whatever is to go wrong in a test.
    pub(crate) fn new(faults: &Faults) -> io::Result<Stdout> {
        #[cfg(unix)]
        let stdout = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
        #[cfg(windows)]
        let stdout = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
        Ok(Stdout { file: File::from(stdout), faults: faults.clone() })
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.faults.strike(Operation::Write)?;
            match self.file.write(bytes) {
                // Whoever shares it has made it non-blocking: that it is full is no error.
                #[cfg(unix)]
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    use rustix::event::{PollFd, PollFlags, poll};
                    let mut stdout = [PollFd::new(&self.file, PollFlags::OUT)];
                    match poll(&mut stdout, None) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The report on standard output. When its reader goes away (`| head`) that is the end of it, but other reports go on.
struct Printed<S> {
    sink: S,
    is_alone: bool,
    is_closed: bool,
}

impl<S: Sink> Printed<S> {
    fn unless_closed(&mut self, act: impl FnOnce(&mut S) -> io::Result<()>) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        match act(&mut self.sink) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !self.is_alone => {
                self.is_closed = true;
                Ok(())
            }
            done => done,
        }
    }
}

impl<S: Sink> Sink for Printed<S> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.unless_closed(|sink| sink.begin(plan, started))
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.unless_closed(|sink| sink.record(record))
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        self.unless_closed(|sink| sink.group(group))
    }

    fn action(&mut self, action: &ActionRecord<'_>) -> io::Result<()> {
        self.unless_closed(|sink| sink.action(action))
    }

    fn idle(&mut self) -> io::Result<()> {
        self.unless_closed(Sink::idle)
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        self.unless_closed(|sink| sink.end(report))
    }
}

/// A report whose errors tell which one it is.
struct Named<'n, S> {
    sink: S,
    name: &'n Path,
}

impl<S> Named<'_, S> {
    /// The reader of a pipe that was named is missed, other than that of standard output.
    fn name(&self, done: io::Result<()>) -> io::Result<()> {
        done.map_err(|error| io::Error::other(format!("{}: {error}", self.name.display())))
    }
}

impl<S: Sink> Sink for Named<'_, S> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        let done = self.sink.begin(plan, started);
        self.name(done)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let done = self.sink.record(record);
        self.name(done)
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        let done = self.sink.group(group);
        self.name(done)
    }

    fn action(&mut self, action: &ActionRecord<'_>) -> io::Result<()> {
        let done = self.sink.action(action);
        self.name(done)
    }

    fn idle(&mut self) -> io::Result<()> {
        let done = self.sink.idle();
        self.name(done)
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        let done = self.sink.end(report);
        self.name(done)
    }
}
