//! Whether a run has GPUs, and which: looked for on a thread of its own, so that nobody has to wait for drivers to be loaded.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, never, select};

use super::driver::{self, Backend, Driver, Order, Started};
use super::packing::Sizes;
use super::split::Split;
use super::{Gpu, Port, adapters, detached};
use crate::error::Error;
use crate::plan::{Adapter, Device, Plan};

/// A device that was found.
pub(super) struct Found {
    pub(super) backend: Backend,
    pub(super) adapter: String,
    pub(super) driver: String,
    pub(super) interface: String,
}

/// What is known of the devices.
pub(super) struct Start {
    looking: Receiver<Result<Vec<Found>, String>>,
    pub(super) why_none: Option<String>,
}

/// A driver that takes longer than this to tell what there is, or to start, is as good as none.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const NO_ANSWER: &str = "its driver does not answer";

/// Where there cannot be a GPU, a plan that would take one wants none.
pub(crate) fn prepare(plan: &mut Plan) {
    if plan.device == Device::Auto && !adapters::may_be_there() && !plan.faults.are_of_gpu() {
        plan.device = Device::Cpu;
    }
}

impl Gpu {
    /// Looks for the GPUs that a plan wants; in the background, unless it cannot do without.
    ///
    /// # Errors
    /// [`Error::Plan`] where a GPU is wanted in any case and there is none that can be used.
    pub(crate) fn start(plan: &Plan, notes: &mut Vec<String>) -> Result<Option<Gpu>, Error> {
        if plan.device == Device::Cpu {
            return Ok(None);
        }
        let is_required = plan.device.is_required();
        let kernels =
            plan.analyses.iter().enumerate().filter_map(|(at, analysis)| Some((at, analysis.kernel()?)));
        let Some((at, kernel)) = kernels.into_iter().next() else {
            if is_required {
                expect_device(&plan.device)?;
                notes.push("no GPU is used: none of the analyses runs on one".to_owned());
            }
            return Ok(None);
        };
        let refuse = |why: &str| Error::Plan(format!("--device {}: {why}", plan.device));
        let wanted = plan.workers_first() + 2;
        let sizes = match Sizes::fit(&kernel, plan.gpu_memory_bytes_max, wanted) {
            Ok(sizes) => sizes,
            Err(why) if is_required => return Err(refuse(&why)),
            Err(why) => {
                notes.push(format!("no GPU is used: {why}"));
                return Ok(None);
            }
        };
        let analysis = Arc::clone(&plan.analyses[at]);
        let columns = analysis.columns().len();
        let start = Start::look(plan);
        let ports = OnceLock::new();
        let kernel = Arc::new(kernel);
        if is_required {
            let found = start.looking.recv_timeout(START_TIMEOUT);
            let found = found.unwrap_or_else(|_| Err(NO_ANSWER.to_owned()));
            let found = found.map_err(|why| refuse(&why))?;
            let order = |backend: &Backend| Order {
                backend: backend.clone(),
                kernel: Arc::clone(&kernel),
                sizes,
                faults: plan.faults.clone(),
            };
            let mut started = Vec::new();
            let mut refused = Vec::new();
            for found in found {
                match start_now(order(&found.backend)) {
                    Ok(first) => started.push(Port::started(found, sizes, first)),
                    Err(why) => refused.push(format!("{}: {why}", found.adapter)),
                }
            }
            if started.is_empty() {
                return Err(refuse(&refused.join("; ")));
            }
            notes.extend(refused.into_iter().map(|why| format!("a GPU is not used: {why}")));
            drop(ports.set(started));
        }
        Ok(Some(Gpu {
            analysis,
            kernel,
            at,
            columns,
            sizes,
            split: Split::new(is_required),
            verify: plan.gpu_verify,
            faults: plan.faults.clone(),
            start: Mutex::new(start),
            ports,
        }))
    }
}

/// The adapters of this machine. Loads their drivers.
///
/// # Errors
/// Why they cannot be listed, in a few words.
pub fn list_adapters() -> Result<Vec<Adapter>, String> {
    in_time(|| Ok(adapters::all().iter().map(|adapter| adapters::shown(&adapter.get_info())).collect()))
}

/// Refuses a device that is required and has no adapter, whether or not anything would run on it.
///
/// # Errors
/// [`Error::Plan`] with the adapters that there are.
pub fn expect_device(device: &Device) -> Result<(), Error> {
    if !device.is_required() {
        return Ok(());
    }
    let wanted = device.clone();
    let found = in_time(move || find(&wanted, false));
    found.map(drop).map_err(|why| Error::Plan(format!("--device {device}: {why}")))
}

/// Asks drivers something on a thread of its own, and waits no longer than a driver may take.
fn in_time<T: Send + 'static>(ask: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    let (tell, told) = bounded(1);
    // If no thread can be started, its end of the channel is closed, which means the same.
    drop(detached::spawn("filemill-gpu-find", move || drop(tell.send(ask()))));
    told.recv_timeout(START_TIMEOUT).unwrap_or_else(|_| Err(NO_ANSWER.to_owned()))
}

fn start_now(order: Order) -> Result<(Driver, Started), String> {
    let driver = driver::start(order).map_err(|failure| failure.to_string())?;
    match driver.started.recv_timeout(START_TIMEOUT) {
        Ok(Ok(started)) => Ok((driver, started)),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(RecvTimeoutError::Timeout) => Err(NO_ANSWER.to_owned()),
        Err(RecvTimeoutError::Disconnected) => Err("its driver panicked".to_owned()),
    }
}

impl Start {
    fn look(plan: &Plan) -> Start {
        let (tell, looking) = bounded(1);
        let (device, is_fake) =
            (plan.device.clone(), plan.faults.are_of_gpu() && plan.device == Device::Auto);
        let body = move || {
            if !(is_fake || device.is_required()) {
                std::thread::sleep(detached::PAUSE);
            }
            drop(tell.send(find(&device, is_fake)));
        };
        // Where there can be no thread, that its end of the channel is gone says that there is no GPU.
        drop(detached::spawn("filemill-gpu-find", body));
        Start { looking, why_none: None }
    }

    /// What was found, once that is known; nothing where the run is over before.
    pub(super) fn wait(&mut self, is_over: &Receiver<Infallible>) -> Vec<Found> {
        let looking = std::mem::replace(&mut self.looking, never());
        let found = select! {
            recv(looking) -> found => found.unwrap_or_else(|_| Err(NO_ANSWER.to_owned())),
            recv(is_over) -> _ => return Vec::new(),
        };
        found.unwrap_or_else(|why| {
            self.why_none = Some(why);
            Vec::new()
        })
    }
}

#[cfg_attr(not(any(test, feature = "faults")), expect(unused_variables, reason = "only tests pretend"))]
fn find(device: &Device, is_fake: bool) -> Result<Vec<Found>, String> {
    #[cfg(any(test, feature = "faults"))]
    if is_fake || *device == Device::Named("fake".into()) {
        let (adapter, driver, interface) = ("fake".to_owned(), "none".to_owned(), "none".to_owned());
        return Ok(vec![Found { backend: Backend::Fake, adapter, driver, interface }]);
    }
    let found = adapters::find(device)?.into_iter().map(|found| {
        let (adapter, driver, interface) = adapters::describe(&found.get_info());
        Found { backend: Backend::Wgpu(found), adapter, driver, interface }
    });
    Ok(found.collect())
}
