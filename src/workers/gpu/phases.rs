//! What it takes to have a GPU answer, phase by phase: for benches, which are to tell where the time goes.

use std::sync::Arc;
use std::time::Duration;

use super::adapters;
use super::device::Device;
use super::engine::{Engine, Upload};
use super::packing::{Packed, Sizes};
use crate::analyses::{Analysis, Kernel};
use crate::plan;

/// A slot of one device, and what is packed for it.
pub struct Phases {
    engine: Engine,
    kernel: Arc<Kernel>,
    sizes: Sizes,
    packed: Packed,
    /// The adapter's name.
    pub adapter: String,
}

const TIMEOUT: Duration = Duration::from_secs(60);

impl Phases {
    /// Opens the best adapter there is, for an analysis that has a kernel. `upload` is the way there: `staging`, `write`
    /// or `mapped`.
    ///
    /// # Errors
    /// What is not there, in a few words.
    pub fn open(analysis: &dyn Analysis, gpu_memory_bytes: u64, upload: &str) -> Result<Phases, String> {
        let upload = Upload::ALL.into_iter().find(|way| way.name() == upload).ok_or("no such way there")?;
        let kernel = Arc::new(analysis.kernel().ok_or("it has no kernel")?);
        let adapter = adapters::find(&plan::Device::Gpu)?.swap_remove(0);
        let sizes = Sizes { slots: 1, ..Sizes::fit(&kernel, gpu_memory_bytes, 1)? };
        let refused = |failure: super::device::Failure| failure.to_string();
        let device = Device::open(&adapter).map_err(refused)?;
        if !upload.is_possible(&device) {
            return Err("not on this device".to_owned());
        }
        let pipeline = device.pipeline(kernel.name, &kernel.wgsl).map_err(refused)?;
        let engine = Engine::new(device, pipeline, &kernel, &sizes, upload, TIMEOUT).map_err(refused)?;
        let packed = Packed::with_sizes(&sizes);
        Ok(Phases { engine, kernel, sizes, packed, adapter: adapter.get_info().name })
    }

    /// Packs as many of these files as there is room for. Returns their bytes.
    pub fn pack(&mut self, files: &[Vec<u8>]) -> usize {
        self.packed.clear();
        let mut bytes = 0;
        for file in files {
            if self.packed.room(&self.kernel, &self.sizes) < file.len() {
                break;
            }
            self.packed.begin();
            self.packed.push(file);
            self.packed.end(&self.kernel);
            bytes += file.len();
        }
        bytes
    }

    /// Everything that comes after packing: there, run, and back.
    ///
    /// # Errors
    /// When the device fails.
    pub fn all(&mut self) -> Result<Vec<u32>, String> {
        let done = super::engine::run_once(&mut self.engine, &self.packed, TIMEOUT);
        done.map(|(words, _)| words).map_err(|failure| failure.to_string())
    }

    /// Gets what is packed to the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn upload(&mut self) -> Result<(), String> {
        self.engine.windows().write(0, self.packed.bytes());
        let call = self.engine.next_call(&self.packed);
        let mut encoder = self.engine.encoder();
        self.engine.upload(0, &self.packed, call, &mut encoder);
        let done = self.engine.do_now(encoder, TIMEOUT).and_then(|()| self.engine.open_window(0, TIMEOUT));
        done.map_err(|failure| failure.to_string())
    }

    /// Runs the kernel over what was uploaded last.
    ///
    /// # Errors
    /// When the device fails.
    pub fn run(&mut self) -> Result<(), String> {
        let call = self.engine.next_call(&self.packed);
        let mut encoder = self.engine.encoder();
        self.engine.run(0, call, &mut encoder);
        self.engine.do_now(encoder, TIMEOUT).map_err(|failure| failure.to_string())
    }

    /// Gets the answers back.
    ///
    /// # Errors
    /// When the device fails.
    pub fn read_back(&mut self) -> Result<u32, String> {
        self.engine.read_words(0, &self.packed, TIMEOUT).map_err(|failure| failure.to_string())
    }
}
