//! A run as an iterator: [`rows`].

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::control::Control;
use crate::error::Error;
use crate::pipeline;
use crate::plan::Plan;
use crate::record::{Column, OwnedRecord, Record};
use crate::report::Report;
use crate::sink::Sink;

/// Records that travel together, so that the channel costs little a record.
const RECORDS_TOGETHER: usize = 256;
/// Such lots that wait for whoever iterates; when they are full, the run waits.
const LOTS_MAX: usize = 4;

/// Begins a run on a thread of its own, and iterates over its records.
///
/// The run waits while nobody takes its records, and is cancelled when the iterator is dropped; what is under way then
/// ends by itself, and nobody waits for it.
///
/// ```
/// use filemill::plan::Plan;
///
/// let mut plan = Plan::new(["src"]);
/// plan.analyses = filemill::analyses::parse("lines")?;
/// let mut rows = filemill::rows(plan)?;
/// for record in &mut rows {
///     let record = record?;
///     println!("{} {:?}", String::from_utf8_lossy(&record.path), record.values);
/// }
/// assert!(rows.report().is_some_and(|report| report.is_complete()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Plan`] when the plan contradicts itself, [`Error::Thread`] when the system allows no thread. What goes wrong
/// later is the last item of the iterator.
pub fn rows(plan: Plan) -> Result<Rows, Error> {
    plan.check()?;
    let columns = plan.columns();
    let control = Arc::new(Control::new());
    let (sender, receiver) = bounded(LOTS_MAX);
    let (watched, ended) = (control.clone(), sender.clone());
    let run = move || {
        let mut sink = Lots { lot: Vec::with_capacity(RECORDS_TOGETHER), sender };
        let end = pipeline::run_with(&plan, &mut sink, &watched);
        // Where nobody listens any more, nobody wants to know.
        drop(ended.send(Lot::End(Box::new(end))));
    };
    std::thread::Builder::new().name("filemill-rows".to_owned()).spawn(run).map_err(Error::Thread)?;
    Ok(Rows { columns, control, receiver, lot: Vec::new().into_iter(), report: None, is_over: false })
}

/// The records of a run, in no particular order unless the plan sorts them.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<Column>,
    control: Arc<Control>,
    receiver: Receiver<Lot>,
    lot: std::vec::IntoIter<OwnedRecord>,
    report: Option<Report>,
    is_over: bool,
}

#[derive(Debug)]
enum Lot {
    Records(Vec<OwnedRecord>),
    End(Box<Result<Report, Error>>),
}

impl Rows {
    /// What the values of the records are, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Watches the run, and cancels it.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What the run did; `None` until the iterator has come to its end, and where the run failed.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }
}

impl Iterator for Rows {
    type Item = Result<OwnedRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.lot.next() {
                return Some(Ok(record));
            }
            if self.is_over {
                return None;
            }
            let end = match self.receiver.recv() {
                Ok(Lot::Records(lot)) => {
                    self.lot = lot.into_iter();
                    continue;
                }
                Ok(Lot::End(end)) => *end,
                // The thread died without a word.
                Err(_) => Err(Error::Panic),
            };
            self.is_over = true;
            match end {
                Ok(report) => self.report = Some(report),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.control.cancel();
    }
}

/// Sends records in lots.
struct Lots {
    lot: Vec<OwnedRecord>,
    sender: Sender<Lot>,
}

impl Lots {
    fn send(&mut self) -> io::Result<()> {
        if self.lot.is_empty() {
            return Ok(());
        }
        let lot = std::mem::replace(&mut self.lot, Vec::with_capacity(RECORDS_TOGETHER));
        self.sender.send(Lot::Records(lot)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Sink for Lots {
    fn begin(&mut self, _plan: &Plan, _started: SystemTime) -> io::Result<()> {
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.lot.push(OwnedRecord::from(record));
        if self.lot.len() >= RECORDS_TOGETHER { self.send() } else { Ok(()) }
    }

    fn idle(&mut self) -> io::Result<()> {
        self.send()
    }

    fn end(&mut self, _report: &Report) -> io::Result<()> {
        self.send()
    }
}
