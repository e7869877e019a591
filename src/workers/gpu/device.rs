//! A device that is open, and what is known of its health: wgpu says of some failures nothing where they happen, and of a
//! lost device only that it is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What went wrong with a device, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// What wgpu writes on many lines, the cause last; a driver may write pages.
fn in_one_line(why: &str) -> String {
    const PARTS_MAX: usize = 4;
    let parts = why.lines().map(str::trim).filter(|part| !part.is_empty() && *part != "Caused by:");
    parts.take(PARTS_MAX).collect::<Vec<_>>().join(": ")
}

/// An open device.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    trouble: Arc<Mutex<Option<Failure>>>,
}

impl Device {
    /// Opens a device of an adapter. No call to it panics after this: errors are kept, and told by [`Device::check`].
    ///
    /// # Errors
    /// When the driver refuses.
    pub(crate) fn open(adapter: &wgpu::Adapter) -> Result<Device, Failure> {
        let mappable = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("filemill"),
            required_features: adapter.features() & mappable,
            required_limits: wgpu::Limits::default(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) = opened.map_err(|error| Failure(format!("the driver refuses: {error}")))?;
        let trouble = Arc::new(Mutex::new(None));
        let keep = |trouble: &Arc<Mutex<Option<Failure>>>, why: String| {
            let mut first = trouble.lock().unwrap_or_else(PoisonError::into_inner);
            // What follows is mostly of the first one's making.
            first.get_or_insert_with(|| Failure(in_one_line(&why)));
        };
        let errors = Arc::clone(&trouble);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| keep(&errors, error.to_string())));
        let losses = Arc::clone(&trouble);
        device.set_device_lost_callback(move |reason, why| {
            let why = why.trim();
            let separator = if why.is_empty() { "" } else { ": " };
            // Whatever else went wrong before is of its making.
            let why = Failure(in_one_line(&format!("the device was lost ({reason:?}){separator}{why}")));
            *losses.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        });
        Ok(Device { device, queue, trouble })
    }

    /// # Errors
    /// The first thing that went wrong since the device was opened.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let first = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone().map_or(Ok(()), Err)
    }

    /// Waits for a submission, and what was to be mapped after it.
    ///
    /// # Errors
    /// When it takes longer than this, or anything went wrong.
    pub(crate) fn wait(&self, submission: &wgpu::SubmissionIndex, timeout: Duration) -> Result<(), Failure> {
        let wait =
            wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: Some(timeout) };
        // wgpu panics where the driver tells it, and not the other way round, that the device is lost.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(wait)));
        self.check()?;
        let polled = polled.map_err(|_| Failure("the device was lost".to_owned()))?;
        polled.map(drop).map_err(|error| Failure(format!("no answer from the device: {error}")))
    }

    /// A compute pipeline of a shader whose entry is `main`.
    ///
    /// # Errors
    /// When the driver refuses it.
    pub(crate) fn pipeline(&self, name: &str, wgsl: &str) -> Result<wgpu::ComputePipeline, Failure> {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(wgsl.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            // Kernels write to it before they read from it.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        });
        self.check().map_err(|Failure(why)| Failure(format!("the shader {name} is refused: {why}")))?;
        Ok(pipeline)
    }

    /// A buffer of at least `bytes`, which is never empty.
    ///
    /// # Errors
    /// When there is not so much memory.
    pub(crate) fn buffer(&self, bytes: usize, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Failure> {
        let size = (bytes.max(16) as u64).next_multiple_of(16);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        });
        self.check()?;
        Ok(buffer)
    }
}
