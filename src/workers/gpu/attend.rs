//! Attends to one device: gives it what is packed, takes what comes back, and has the processor do what the device cannot. The
//! loop of a thread beside the workers, which waits for all of that at once, and for no driver.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, after, never, select};

use super::driver::{self, Answer, Driver, Job, Order, Started};
use super::packing::{Packed, segment_by_twin};
use super::waiting::{Answered, Finisher, Owner};
use super::{Filled, Gpu, Port, Slot};
use crate::control::Control;
use crate::plan::GpuVerify;
use crate::report::GpuUse;

/// What came of it.
pub(crate) struct Attended {
    /// For the report.
    pub(crate) used: GpuUse,
    /// What a person should know.
    pub(crate) note: Option<String>,
}

/// Why a device gets nothing, or nothing more.
const WORKER_IS_FASTER: &str = "a worker is faster";

/// How long nobody looks at the clock.
const TICK: Duration = Duration::from_millis(50);

impl Gpu {
    /// Attends to the device of this number until the run is over: until nobody is left who might pack something.
    pub(crate) fn attend(
        &self,
        number: usize,
        is_over: &Receiver<Infallible>,
        control: &Control,
        tell: &mut dyn FnMut(Answered),
    ) -> Attended {
        let port = &self.ports()[number];
        let _left_out = OnDrop(|| {
            self.leave_out(number);
            // What it had at hand is lost: nobody waits for that.
            if std::thread::panicking() {
                control.abandon();
            }
        });
        let mut desk = Desk {
            gpu: self,
            port,
            control,
            tell,
            finisher: Finisher::new(&*self.analysis, &self.kernel),
            running: VecDeque::new(),
            state: State::Out(never()),
            used: GpuUse {
                adapter: port.found.adapter.clone(),
                driver: port.found.driver.clone(),
                backend: port.found.interface.clone(),
                ..GpuUse::default()
            },
            note: None,
        };
        desk.begin();
        desk.run(is_over);
        // Where it was not so in the beginning, it has turned out to be.
        if desk.used.left_out.is_empty() && self.split.is_worker_faster(&port.rates) {
            desk.used.left_out = WORKER_IS_FASTER.to_owned();
        }
        desk.used.rate = port.rates.all();
        desk.used.worker_rate = self.split.worker_rate();
        Attended { used: desk.used, note: desk.note }
    }
}

/// Does something when it goes out of scope, in a panic too.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

struct Desk<'g> {
    gpu: &'g Gpu,
    port: &'g Port,
    control: &'g Control,
    tell: &'g mut dyn FnMut(Answered),
    finisher: Finisher<'g>,
    /// What the device is at work on, the oldest first.
    running: VecDeque<Running>,
    state: State,
    used: GpuUse,
    note: Option<String>,
}

struct Running {
    index: usize,
    packed: Arc<Packed>,
    owners: Vec<Owner>,
}

enum State {
    /// Somebody talks to the driver; it answered last at this time.
    In(Driver, Instant),
    /// The driver is being started.
    Starting(Driver),
    /// It is left alone until then.
    Out(Receiver<Instant>),
}

impl Desk<'_> {
    /// Starts the device, unless it was started already.
    fn begin(&mut self) {
        let first = self.port.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match first {
            Some((driver, started)) => self.take_up(driver, &started),
            None => self.start(),
        }
    }

    fn start(&mut self) {
        let Gpu { kernel, sizes, faults, .. } = self.gpu;
        let (backend, kernel) = (self.port.found.backend.clone(), Arc::clone(kernel));
        match driver::start(Order { backend, kernel, sizes: *sizes, faults: faults.clone() }) {
            Ok(driver) => self.state = State::Starting(driver),
            Err(failure) => self.fail(&failure.to_string()),
        }
    }

    fn run(&mut self, is_over: &Receiver<Infallible>) {
        let mut over = is_over.clone();
        let mut is_over = false;
        while !(is_over && self.running.is_empty() && self.port.filled.1.is_empty()) {
            let (started, answers, again) = match &self.state {
                State::In(driver, _) => (never(), driver.answers.clone(), never()),
                State::Starting(driver) => (driver.started.clone(), never(), never()),
                State::Out(again) => (never(), never(), again.clone()),
            };
            select! {
                recv(self.port.filled.1) -> filled => if let Ok(filled) = filled { self.filled(filled) },
                recv(answers) -> answer => self.answered(answer),
                recv(started) -> result => self.started(result),
                recv(again) -> _ => self.start(),
                recv(over) -> _ => (over, is_over) = (never(), true),
                default(TICK) => {}
            }
            self.look_at_the_clock();
        }
        self.dismiss();
    }

    /// A driver that works is let go in an orderly way: it may not like the end of the process while it does something.
    fn dismiss(&mut self) {
        if let State::In(Driver { jobs, answers, .. }, _) =
            std::mem::replace(&mut self.state, State::Out(never()))
        {
            drop(jobs);
            // Whoever cancelled a run does not wait for what is still under way.
            let patience = if self.control.should_stop() { 100 } else { 1000 };
            let until = Instant::now() + Duration::from_millis(patience);
            while answers.recv_deadline(until).is_ok() {}
        }
    }

    fn started(&mut self, result: Result<Result<Started, super::device::Failure>, RecvError>) {
        let State::Starting(driver) = std::mem::replace(&mut self.state, State::Out(never())) else { return };
        match result {
            Ok(Ok(started)) => self.take_up(driver, &started),
            Ok(Err(failure)) => self.fail(&failure.to_string()),
            Err(_) => self.fail("its driver panicked"),
        }
    }

    /// The device is ready; whether it is worth its while is known as well.
    fn take_up(&mut self, driver: Driver, started: &Started) {
        /// What both were measured with.
        const SIZE: u64 = 256 << 10;
        let split = &self.gpu.split;
        let sample: Vec<u8> = (0..SIZE).map(|i| ((i * i) >> 3).to_le_bytes()[0]).collect();
        let device = Duration::from_secs_f64(SIZE as f64 / started.rate.max(1.0));
        split.begin(&self.port.rates, SIZE, self.finisher.time(&sample), device);
        self.used.upload = started.upload;
        if !split.is_for(&self.port.rates, SIZE, 1) {
            self.used.left_out = WORKER_IS_FASTER.to_owned();
            self.state = State::Out(never());
            return;
        }
        *self.port.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            started.windows.clone();
        self.state = State::In(driver, Instant::now());
        self.port.is_in.store(true, Ordering::Relaxed);
    }

    fn filled(&mut self, filled: Filled) {
        let Filled { slot: Slot { index, packed }, owners, written } = filled;
        let running = Running { index, packed: Arc::new(packed), owners };
        if self.control.should_stop() {
            return self.give_up(running);
        }
        let State::In(driver, since) = &mut self.state else { return self.redo(running) };
        if running.packed.segments().is_empty() {
            // Ends of files that are shorter than what the kernel looks for. What comes before them has its turn first.
            self.running.push_back(running);
            return self.redo_empty();
        }
        if self.running.is_empty() {
            *since = Instant::now();
        }
        // Packed before the device was started anew, it was written to where nobody looks any more.
        let windows = self.port.windows();
        if let Some(windows) = windows
            && !written.is_some_and(|written| Arc::ptr_eq(&written, &windows))
        {
            windows.write(index, running.packed.bytes());
        }
        // Where the driver's thread is gone, what it had to say comes first, and then that it is gone.
        drop(driver.jobs.send(Job { slot: index, packed: Arc::clone(&running.packed) }));
        self.running.push_back(running);
        self.used.submissions += 1;
    }

    fn answered(&mut self, answer: Result<Answer, RecvError>) {
        let Ok(Answer { slot, words, busy }) = answer else { return self.fail("its driver panicked") };
        let words = match words {
            Ok(words) => words,
            Err(failure) => return self.fail(&failure.to_string()),
        };
        let Some(at) = self.running.iter().position(|running| running.index == slot) else { return };
        let Some(running) = self.running.remove(at) else { return };
        if !self.agree(&running, &words) {
            self.running.insert(at, running);
            return self.fail("its answers are not those of the processor");
        }
        let packed = &running.packed;
        let bytes = packed.bytes().len();
        // The time of a few bytes is that of asking.
        if bytes >= self.port.sizes.bytes / 8 {
            let piece = |i| (packed.piece_bytes(i).len() as u64, packed.piece_segments(i) as u64);
            self.port.rates.count_all((0..packed.len()).map(piece), busy);
        }
        self.used.busy += busy;
        // A file that is not read to its end after all is nobody's.
        for (i, owner) in running.owners.iter().enumerate().filter(|(_, owner)| owner.is_last) {
            self.used.files += 1;
            self.used.bytes += owner.bytes_before + packed.piece_bytes(i).len() as u64;
        }
        self.finish(running, Some(&words));
        self.redo_empty();
        // Whoever takes the rows may have taken their time.
        if let State::In(_, since) = &mut self.state {
            *since = Instant::now();
        }
    }

    /// What there is nothing to do for, once it is its turn.
    fn redo_empty(&mut self) {
        while let Some(running) = self.running.pop_front_if(|next| next.packed.segments().is_empty()) {
            self.redo(running);
        }
    }

    /// Whether the processor says the same, as far as that is looked at.
    fn agree(&mut self, running: &Running, words: &[u32]) -> bool {
        let Running { packed, owners, .. } = running;
        match self.gpu.verify {
            GpuVerify::All => (0..packed.len()).all(|i| self.finisher.agrees(packed, i, &owners[i], words)),
            GpuVerify::Sample => {
                // Another one each time.
                let one = usize::try_from(self.used.submissions).unwrap_or(0) % packed.segments().len();
                let of_segment = self.gpu.kernel.segment_words();
                words[one * of_segment..][..of_segment] == segment_by_twin(packed, one, &self.gpu.kernel)
            }
            GpuVerify::Off => true,
        }
    }

    /// The rows of a slot get their values.
    fn finish(&mut self, running: Running, words: Option<&[u32]>) {
        let Running { index, packed, owners } = running;
        for (i, owner) in owners.iter().enumerate() {
            if let Some(answered) = self.finisher.answer(&packed, i, owner, words) {
                (self.tell)(answered);
            }
        }
        self.recycle(index, packed);
    }

    fn redo(&mut self, running: Running) {
        self.finish(running, None);
    }

    fn give_up(&mut self, running: Running) {
        for owner in &running.owners {
            if let Some(answered) = self.finisher.give_up(owner) {
                (self.tell)(answered);
            }
        }
        self.recycle(running.index, running.packed);
    }

    fn recycle(&self, index: usize, packed: Arc<Packed>) {
        self.port.backlog.fetch_sub(packed.bytes().len() as u64, Ordering::Relaxed);
        // A driver that hangs may have it still.
        let packed = Arc::try_unwrap(packed).unwrap_or_else(|_| Packed::with_sizes(&self.port.sizes));
        self.port.put_back(Slot { index, packed });
    }

    /// The device failed: what it had at hand the processor does, and it is left alone for a while, or for good.
    fn fail(&mut self, why: &str) {
        self.port.is_in.store(false, Ordering::Relaxed);
        *self.port.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        self.used.failures += 1;
        let pause = self.port.found.backend.pause(self.used.failures);
        self.state = State::Out(pause.map_or_else(never, after));
        self.note.get_or_insert_with(|| {
            format!("the GPU {} failed, the processor does its work: {why}", self.port.found.adapter)
        });
        if pause.is_none() {
            self.used.left_out = format!("failed too often, the last time: {why}");
        }
        while let Some(running) = self.running.pop_front() {
            self.redo(running);
        }
    }

    fn look_at_the_clock(&mut self) {
        let State::In(driver, since) = &self.state else { return };
        if self.running.is_empty() {
            return;
        }
        if self.control.should_stop() {
            while let Some(running) = self.running.pop_front() {
                self.give_up(running);
            }
            return;
        }
        // The driver's thread watches the device; this watches the thread.
        if driver.answers.is_empty() && since.elapsed() > 2 * self.port.found.backend.timeout() {
            self.fail("its driver does not answer");
        }
    }
}
