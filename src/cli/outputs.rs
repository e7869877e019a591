//! Where reports go: standard output and files, one sink each.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ValueEnum;
use filemill::faults::{Faults, Operation};
use filemill::plan::Plan;
use filemill::record::Record;
use filemill::report::Report;
use filemill::sink::{Csv, Jsonl, Manifest, Paths, Refuse, ReportFile, Sink, Table, Tool, printable};

use super::flags::{Format, ScanFlags};
use super::progress::Progress;
use super::summary::Summary;
use super::{Failure, complain};

/// The reports of one run.
pub(crate) struct Outputs {
    /// What goes to standard output.
    printed: Format,
    files: Vec<(Format, PathBuf)>,
    open: Vec<ReportFile>,
    is_nul_separated: bool,
    refusals_shown: bool,
    /// Paths that some format could not express.
    refused: Cell<u64>,
}

impl Outputs {
    /// What was asked for. Opens nothing.
    pub(crate) fn new(flags: &ScanFlags) -> Result<Outputs, Failure> {
        let mut printed = flags.format;
        let mut files: Vec<(Format, PathBuf)> = Vec::new();
        for typed in &flags.out {
            let (format, place) = parse(typed)?;
            if place == OsStr::new("-") {
                if printed.replace(format).is_some() {
                    return Err(Failure::Usage("two reports cannot both go to standard output".to_owned()));
                }
                continue;
            }
            let place = PathBuf::from(place);
            let is_taken = |(_, other): &(Format, PathBuf)| {
                *other == place || *other == partial_of(&place) || partial_of(other) == place
            };
            if files.iter().any(is_taken) {
                return Err(Failure::Usage(format!("two reports cannot both go to {}", place.display())));
            }
            files.push((format, place));
        }
        let outputs = Outputs {
            printed: printed.unwrap_or(Format::Summary),
            files,
            open: Vec::new(),
            is_nul_separated: flags.null,
            refusals_shown: !flags.quiet,
            refused: Cell::new(0),
        };
        if flags.null && !outputs.formats().any(|format| format == Format::Paths) {
            return Err(Failure::Usage("--null is for the format paths alone".to_owned()));
        }
        Ok(outputs)
    }

    fn formats(&self) -> impl Iterator<Item = Format> {
        std::iter::once(self.printed).chain(self.files.iter().map(|(format, _)| *format))
    }

    /// The analyses to run where none were chosen: `light`, where a report shows it.
    pub(crate) fn default_analyses(&self) -> &'static str {
        let shows_rows = |format| !matches!(format, Format::Paths | Format::B3sum | Format::Sha256sum);
        if self.formats().any(shows_rows) { "light" } else { "none" }
    }

    /// The analyses that the formats cannot do without.
    pub(crate) fn needed_analyses(&self) -> impl Iterator<Item = &'static str> {
        self.formats().filter_map(|format| tool(format).map(Tool::analysis))
    }

    /// Whether the printed report has a row for each path, and with it for what could not be read.
    pub(crate) fn prints_rows(&self) -> bool {
        matches!(self.printed, Format::Jsonl | Format::Csv | Format::CsvRaw | Format::Table)
    }

    /// Whether the printed report is written while the run goes on.
    pub(crate) fn scrolls_by(&self) -> bool {
        self.printed != Format::Summary
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

    /// A sink for each report.
    pub(crate) fn sinks<'o>(
        &'o self,
        faults: &Faults,
        progress: &'o Progress,
    ) -> Result<Vec<Box<dyn Sink + 'o>>, Failure> {
        let sink = self.sink(self.printed, Stdout::new(faults)?, true, progress);
        let mut sinks: Vec<Box<dyn Sink + 'o>> = Vec::new();
        // A summary comes at the end, when all is done.
        let is_alone = self.files.is_empty() && self.printed != Format::Summary;
        for ((format, name), file) in self.files.iter().zip(&self.open) {
            sinks.push(Box::new(Named { sink: self.sink(*format, file, false, progress), name }));
        }
        sinks.push(Box::new(Printed { sink, is_alone, is_closed: false }));
        Ok(sinks)
    }

    fn sink<'o>(
        &'o self,
        format: Format,
        writer: impl Write + 'o,
        is_printed: bool,
        progress: &'o Progress,
    ) -> Box<dyn Sink + 'o> {
        match format {
            Format::Summary => Box::new(Summary::new(writer, is_printed, progress)),
            Format::Jsonl => Box::new(Jsonl::new(writer)),
            Format::Csv => Box::new(Csv::new(writer)),
            Format::CsvRaw => Box::new(Csv::unguarded(writer)),
            Format::Table => Box::new(Table::new(writer)),
            Format::Paths if self.is_nul_separated => Box::new(Paths::nul_separated(writer)),
            Format::Paths => Box::new(Paths::lines(writer, self.refuse(format))),
            Format::B3sum => Box::new(Manifest::new(writer, Tool::B3sum, self.refuse(format))),
            Format::Sha256sum => Box::new(Manifest::new(writer, Tool::Sha256sum, self.refuse(format))),
        }
    }

    fn refuse(&self, format: Format) -> Refuse<'_> {
        Box::new(move |path, why| {
            self.refused.set(self.refused.get() + 1);
            if self.refusals_shown {
                let (path, format) = (printable(path), format.name());
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

    /// Where reports lie that are not complete.
    pub(crate) fn partials(&self) -> Vec<PathBuf> {
        self.open.iter().filter_map(ReportFile::partial).map(Path::to_path_buf).collect()
    }
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

fn tool(format: Format) -> Option<Tool> {
    match format {
        Format::B3sum => Some(Tool::B3sum),
        Format::Sha256sum => Some(Tool::Sha256sum),
        _ => None,
    }
}

pub(super) fn cannot_write(name: &Path, error: &io::Error) -> Failure {
    Failure::Report(format!("cannot write the report {}: {error}", name.display()))
}

/// Takes `FORMAT=FILE` apart.
fn parse(typed: &OsString) -> Result<(Format, &OsStr), Failure> {
    let known = || Format::value_variants().iter().map(|format| format.name()).collect::<Vec<_>>();
    split(typed, |name| Format::from_str(name, false).ok(), known)
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

    fn idle(&mut self) -> io::Result<()> {
        let done = self.sink.idle();
        self.name(done)
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        let done = self.sink.end(report);
        self.name(done)
    }
}
