//! A worker's way to the devices: files that a device is to have are copied into a slot as they are read. Unless devices are to
//! have all, the worker waits for one only in the middle of a file that is larger than a slot.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};

use super::waiting::{Answered, Facts, Finisher, Owner, Place, Waiting};
use super::{Gpu, Port, Slot};
use crate::control::Control;
use crate::error::{Cause, FileError, Step};
use crate::record::{Batch, FileRecord, Outcome, Results, Row};

/// How long a slot waits for more, where more comes slowly.
const LINGER: Duration = Duration::from_millis(20);

/// One worker's.
pub(crate) struct Packer<'r> {
    gpu: &'r Gpu,
    control: &'r Control,
    /// Until all of these are gone, there may be more to do.
    _open: Sender<Infallible>,
    held: Option<Held<'r>>,
    batch: Option<Arc<Waiting>>,
    file: Option<File>,
}

/// A slot that is being packed.
struct Held<'r> {
    port: &'r Port,
    slot: Slot,
    owners: Vec<Owner>,
    since: Instant,
}

/// The file at hand.
struct File {
    number: usize,
    facts: Facts,
    /// Pieces that are on their way.
    pieces: usize,
    /// Bytes of it that were taken.
    bytes: u64,
    /// Why the rest of it is not taken.
    lost: Option<Outcome>,
}

impl<'r> Packer<'r> {
    pub(crate) fn new(gpu: &'r Gpu, control: &'r Control, open: Sender<Infallible>) -> Packer<'r> {
        Packer { gpu, control, _open: open, held: None, batch: None, file: None }
    }

    /// Which analysis of the plan devices answer.
    pub(crate) fn analysis_at(&self) -> usize {
        self.gpu.at
    }

    /// How many columns it has.
    pub(crate) fn columns(&self) -> usize {
        self.gpu.columns
    }

    /// The worker itself took so long for some bytes of a file of this size.
    pub(crate) fn count_worker(&self, size: u64, bytes: u64, time: Duration) {
        self.gpu.split.count_worker(size, bytes, time);
    }

    /// Whether a device is to have this file, one that several workers would share otherwise.
    pub(crate) fn takes_large(&self, size: u64, workers: usize) -> bool {
        // Where no slot is free, it would be this worker's alone.
        let has_room = |port: &Port| self.gpu.split.is_forced() || !port.free.1.is_empty();
        self.gpu.ports_for(size, workers).any(has_room)
    }

    /// A file is open. Whether a device is to have it: its bytes are to follow then.
    pub(crate) fn open(&mut self, file: &FileRecord<'_>) -> bool {
        self.file = None;
        let kernel = &*self.gpu.kernel;
        if file.size <= kernel.overlap_bytes as u64 || self.gpu.ports_for(file.size, 1).next().is_none() {
            return false;
        }
        if let Some(held) = &self.held {
            let room = held.slot.packed.room(kernel, &held.port.sizes) as u64;
            // A file in two pieces costs more than a slot that is not quite full.
            let suffices = room >= file.size.min(held.port.sizes.bytes as u64 / 2);
            if !suffices || !held.port.is_in.load(Ordering::Relaxed) {
                self.flush();
            }
        }
        if self.held.is_none() {
            self.held = self.slot(file.size).map(|(port, slot)| Held::new(port, slot));
        }
        if self.held.is_none() {
            return false;
        }
        let waiting = self.batch.get_or_insert_with(|| Arc::new(Waiting::new()));
        let number = waiting.add_file();
        self.file = Some(File { number, facts: Facts::of(file), pieces: 0, bytes: 0, lost: None });
        self.begin_piece();
        true
    }

    /// The next bytes of the file.
    pub(crate) fn block(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(held) = &mut self.held else { return };
            let room = held.slot.packed.room_for_more(&self.gpu.kernel, &held.port.sizes);
            if room == 0 {
                let port = held.port;
                held.slot.packed.end(&self.gpu.kernel);
                self.flush();
                if !self.wait_for_slot(port) {
                    return;
                }
                self.begin_piece();
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            held.slot.packed.push(now);
            if let Some(file) = &mut self.file {
                file.bytes += now.len() as u64;
            }
            bytes = later;
        }
    }

    /// The file is read, and has a row, in which the values of the device are missing.
    pub(crate) fn done(&mut self, entry: usize, row: usize, values: usize) {
        let (Some(file), Some(waiting)) = (self.file.take(), &self.batch) else { return };
        waiting.place(file.number, Place { entry, row, values });
        if let Some(outcome) = file.lost {
            return waiting.instead(file.number, outcome);
        }
        if let Some(held) = &mut self.held {
            held.slot.packed.end(&self.gpu.kernel);
            if let Some(owner) = held.owners.last_mut() {
                owner.is_last = true;
            }
        }
    }

    /// Nothing came of the file.
    pub(crate) fn void(&mut self) {
        let (Some(file), Some(waiting)) = (self.file.take(), &self.batch) else { return };
        if file.lost.is_none()
            && let Some(held) = &mut self.held
        {
            held.slot.packed.undo();
            held.owners.pop();
            waiting.drop_piece();
        }
    }

    /// A batch is read. Its results, unless some of them are still to come.
    pub(crate) fn end_batch(
        &mut self,
        batch: Batch,
        outcomes: Vec<Outcome>,
        rows: Row,
        columns: usize,
    ) -> Option<Results> {
        match self.batch.take() {
            None => Some(Results::new(batch, outcomes, rows, columns)),
            Some(waiting) => waiting.read(batch, outcomes, rows, columns).map(|(results, _)| results),
        }
    }

    /// Whether something was packed that no device has yet.
    pub(crate) fn holds_something(&self) -> bool {
        self.held.is_some()
    }

    /// Gives a device what has been waiting for long enough.
    pub(crate) fn flush_old(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.since.elapsed() > LINGER) {
            self.flush();
        }
    }

    /// Gives a device what is packed.
    pub(crate) fn flush(&mut self) {
        let Some(Held { port, slot, owners, .. }) = self.held.take() else { return };
        if slot.packed.is_empty() {
            return port.put_back(slot);
        }
        port.send(slot, owners);
    }

    /// The same where there is nothing else to do: what a device would finish last the worker does itself. The batches that were
    /// waiting for that alone.
    pub(crate) fn flush_last(&mut self) -> Vec<Answered> {
        let Some(held) = &self.held else { return Vec::new() };
        let own = held.slot.packed.bytes().len() as u64;
        let is_whole = held.owners.iter().all(|owner| owner.is_first && owner.is_last);
        let is_later =
            self.gpu.split.is_later(&held.port.rates, held.port.backlog.load(Ordering::Relaxed) + own, own);
        if !(is_whole && is_later) {
            self.flush();
            return Vec::new();
        }
        let Some(Held { port, slot, owners, .. }) = self.held.take() else { return Vec::new() };
        let mut finisher = Finisher::new(&*self.gpu.analysis, &self.gpu.kernel);
        let answered =
            owners.iter().enumerate().filter_map(|(i, owner)| finisher.answer(&slot.packed, i, owner, None));
        let answered = answered.collect();
        port.put_back(slot);
        answered
    }

    /// An empty slot, where a device has one. Where devices are to have all, it is waited for, as long as some device takes
    /// anything.
    fn slot(&self, size: u64) -> Option<(&'r Port, Slot)> {
        loop {
            let mut ports = self.gpu.ports_for(size, 1);
            let free = ports.find_map(|port| Some((port, port.free.1.try_recv().ok()?)));
            if free.is_some() || !self.gpu.split.is_forced() || self.control.should_stop() {
                return free;
            }
            let port = self.gpu.ports_for(size, 1).next()?;
            if let Ok(slot) = port.free.1.recv_timeout(LINGER) {
                return Some((port, slot));
            }
        }
    }

    fn begin_piece(&mut self) {
        let (Some(held), Some(file), Some(waiting)) = (&mut self.held, &mut self.file, &self.batch) else {
            return;
        };
        held.slot.packed.begin();
        waiting.add_piece();
        held.owners.push(Owner {
            waiting: Arc::clone(waiting),
            file: file.number,
            facts: file.facts.clone(),
            bytes_before: file.bytes,
            is_first: file.pieces == 0,
            is_last: false,
        });
        file.pieces += 1;
    }

    /// For the rest of a file: whether there is one.
    fn wait_for_slot(&mut self, port: &'r Port) -> bool {
        loop {
            match port.free.1.recv_timeout(LINGER) {
                Ok(slot) => {
                    self.held = Some(Held::new(port, slot));
                    return true;
                }
                Err(RecvTimeoutError::Timeout) if self.control.should_stop() => {
                    self.lose(Outcome::Unread);
                    return false;
                }
                Err(RecvTimeoutError::Timeout) if !port.is_dead.load(Ordering::Relaxed) => {}
                Err(_) => {
                    self.lose(Outcome::Failed(FileError::new(Step::Analyse, Cause::Panic)));
                    return false;
                }
            }
        }
    }

    fn lose(&mut self, outcome: Outcome) {
        if let Some(file) = &mut self.file {
            file.lost = Some(outcome);
        }
    }
}

impl Held<'_> {
    fn new(port: &Port, slot: Slot) -> Held<'_> {
        Held { port, slot, owners: Vec::new(), since: Instant::now() }
    }
}

impl Drop for Packer<'_> {
    fn drop(&mut self) {
        // Only after a panic is there anything left: what was waiting for it is never told of, and the run has failed.
        if let Some(Held { port, mut slot, .. }) = self.held.take() {
            slot.packed.clear();
            port.put_back(slot);
        }
    }
}
