//! GPUs beside the workers. A worker that opens a file which a device is to have copies its bytes into a slot as it reads them,
//! through the [`Packer`] it has; a full slot goes to the device's [`Port`], where somebody attends to it ([`Gpu::attend`]): hands
//! it to the thread that talks to the driver, takes what comes back, and puts it into the rows that wait for it. Whatever goes
//! wrong with a device, the bytes are still there, and the processor answers.
//!
//! ```text
//! workers ── slots packed ──▶ port: attend ── jobs ──▶ driver's thread: submit, wait
//!    ▲                             │ ◀── words ──
//!    └──────── slots, empty ───────┴── rows ──▶ results
//! ```

pub(crate) mod adapters;
mod attend;
pub(crate) mod detached;
pub(crate) mod device;
mod driver;
mod engine;
mod packer;
mod packing;
pub(crate) mod pairs;
#[cfg(feature = "bench")]
pub(crate) mod phases;
mod split;
mod start;
#[cfg(test)]
pub(crate) mod testing;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

pub(crate) use self::attend::Attended;
use self::driver::{Driver, Started};
use self::engine::Windows;
pub(crate) use self::packer::Packer;
use self::packing::{Packed, Sizes};
use self::split::{Rates, Split};
pub(crate) use self::start::prepare;
use self::start::{Found, Start};
pub use self::start::{expect_device, list_adapters};
pub(crate) use self::waiting::Answered;
use self::waiting::Owner;
use crate::analyses::{Analysis, Kernel};
use crate::faults::Faults;
use crate::plan::GpuVerify;

/// The GPUs of a run, as far as they are there.
pub(crate) struct Gpu {
    analysis: Arc<dyn Analysis>,
    kernel: Arc<Kernel>,
    /// Which of the plan's analyses that is, and how many columns it has.
    at: usize,
    columns: usize,
    sizes: Sizes,
    split: Split,
    verify: GpuVerify,
    faults: Faults,
    start: Mutex<Start>,
    ports: OnceLock<Vec<Port>>,
}

/// One device, as the workers see it.
struct Port {
    found: Found,
    /// Where it was started before anything was read.
    first: Mutex<Option<(Driver, Started)>>,
    sizes: Sizes,
    free: (Sender<Slot>, Receiver<Slot>),
    filled: (Sender<Filled>, Receiver<Filled>),
    windows: Mutex<Option<Arc<Windows>>>,
    rates: Rates,
    /// Bytes that are on their way.
    backlog: AtomicU64,
    /// Whether it takes anything new.
    is_in: AtomicBool,
    /// Nobody attends to it any more.
    is_dead: AtomicBool,
}

/// A slot, as it goes round.
struct Slot {
    index: usize,
    packed: Packed,
}

/// A slot that is packed, and whose pieces these are.
struct Filled {
    slot: Slot,
    owners: Vec<Owner>,
    /// Where its bytes were written to already.
    written: Option<Arc<Windows>>,
}

impl Gpu {
    /// Devices for whoever attends to them: as many as were found, once that is known. None, where the run is over before.
    pub(crate) fn devices(&self, is_over: &Receiver<std::convert::Infallible>) -> usize {
        let find = || {
            let found = self.start.lock().unwrap_or_else(PoisonError::into_inner).wait(is_over);
            found.into_iter().map(|found| Port::new(found, self.sizes)).collect()
        };
        self.ports.get_or_init(find).len()
    }

    /// Nobody attends to any.
    pub(crate) fn leave_out_all(&self) {
        (0..self.ports().len()).for_each(|number| self.leave_out(number));
    }

    /// Nobody attends to the device of this number: it is offered to nobody.
    pub(crate) fn leave_out(&self, number: usize) {
        if let Some(port) = self.ports().get(number) {
            port.is_in.store(false, Ordering::Relaxed);
            port.is_dead.store(true, Ordering::Relaxed);
        }
    }

    /// Why there is none, where one was looked for.
    pub(crate) fn why_none(&self) -> Option<String> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner).why_none.clone()
    }

    fn ports(&self) -> &[Port] {
        self.ports.get().map_or(&[], Vec::as_slice)
    }

    /// The devices that are to have a file of this size, which so many workers would share otherwise.
    fn ports_for(&self, size: u64, workers: usize) -> impl Iterator<Item = &Port> {
        let is_for = move |port: &&Port| {
            port.is_in.load(Ordering::Relaxed) && self.split.is_for(&port.rates, size, workers)
        };
        self.ports().iter().filter(is_for)
    }
}

impl Port {
    fn new(found: Found, sizes: Sizes) -> Port {
        let port = Port {
            found,
            first: Mutex::new(None),
            sizes,
            free: bounded(sizes.slots),
            filled: unbounded(),
            windows: Mutex::new(None),
            rates: Rates::default(),
            backlog: AtomicU64::new(0),
            is_in: AtomicBool::new(false),
            is_dead: AtomicBool::new(false),
        };
        for index in 0..sizes.slots {
            port.put_back(Slot { index, packed: Packed::with_sizes(&sizes) });
        }
        port
    }

    /// One that works, and takes what there is from now on.
    fn started(found: Found, sizes: Sizes, (driver, started): (Driver, Started)) -> Port {
        let windows = Mutex::new(started.windows.clone());
        let is_in = AtomicBool::new(true);
        Port { first: Mutex::new(Some((driver, started))), windows, is_in, ..Port::new(found, sizes) }
    }

    fn put_back(&self, mut slot: Slot) {
        slot.packed.clear();
        // There is room for all slots that there are.
        drop(self.free.0.try_send(slot));
    }

    fn windows(&self) -> Option<Arc<Windows>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives a slot to whoever attends to the device, its bytes to the device at once where that is possible.
    fn send(&self, slot: Slot, owners: Vec<Owner>) {
        let written = self.windows();
        if let Some(windows) = &written {
            windows.write(slot.index, slot.packed.bytes());
        }
        self.backlog.fetch_add(slot.packed.bytes().len() as u64, Ordering::Relaxed);
        // The other end is in the same place.
        drop(self.filled.0.send(Filled { slot, owners, written }));
    }
}
