//! A kernel on a device: slots of buffers, each with its way there and back. One thread has it ([`super::driver`]); the windows
//! through which bytes get into its memory are written by whoever packed them.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wgpu::BufferUsages;

use super::device::{Device, Failure};
use super::packing::{Packed, Sizes, answer_bytes};
use crate::analyses::Kernel;

/// How bytes get to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    /// Into memory that both see, and copied from there by the device.
    Staging,
    /// By a call that copies them once more.
    Write,
    /// Into memory that both see, where the kernel reads them.
    Mapped,
}

impl Upload {
    pub(super) const ALL: [Upload; 3] = [Upload::Staging, Upload::Write, Upload::Mapped];

    /// Whether a device can do it.
    pub(super) fn is_possible(self, device: &Device) -> bool {
        self != Upload::Mapped || device.device.features().contains(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS)
    }

    /// The word that reports use.
    pub(super) fn name(self) -> &'static str {
        match self {
            Upload::Staging => "staging",
            Upload::Write => "write",
            Upload::Mapped => "mapped",
        }
    }
}

/// As in `shaders/shared/segments.wgsl`.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Call {
    ticket: u32,
    rows: u32,
    width: u32,
    rows_per_segment: u32,
}

/// Workgroups on a line of the grid, which every device allows.
const GRID_WIDTH: u32 = 32_768;

/// Memory of the device that slots can be written to.
pub(super) struct Windows(Vec<Mutex<Option<wgpu::BufferViewMut>>>);

impl Windows {
    /// Copies the bytes of a slot to the device, as far as that is a thing to do beforehand.
    pub(super) fn write(&self, slot: usize, bytes: &[u8]) {
        if let Some(window) = &mut *self.lock(slot) {
            window.slice(..bytes.len()).copy_from_slice(bytes);
        }
    }

    fn lock(&self, slot: usize) -> std::sync::MutexGuard<'_, Option<wgpu::BufferViewMut>> {
        self.0[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kernel, ready to run.
pub(super) struct Engine {
    device: Device,
    kernel: Arc<Kernel>,
    upload: Upload,
    pipeline: wgpu::ComputePipeline,
    slots: Vec<Slot>,
    windows: Arc<Windows>,
    ticket: u32,
}

struct Slot {
    bytes: wgpu::Buffer,
    /// For [`Upload::Staging`].
    staging: Option<wgpu::Buffer>,
    call: wgpu::Buffer,
    segments: wgpu::Buffer,
    answers: wgpu::Buffer,
    back: wgpu::Buffer,
    bindings: wgpu::BindGroup,
    running: Option<Running>,
}

struct Running {
    submission: wgpu::SubmissionIndex,
    ticket: u32,
    rows: usize,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    /// Until the memory that both see can be written to again.
    window: Option<mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>>,
}

impl Engine {
    /// # Errors
    /// When the driver has too little memory.
    pub(super) fn new(
        device: Device,
        pipeline: wgpu::ComputePipeline,
        kernel: &Arc<Kernel>,
        sizes: &Sizes,
        upload: Upload,
        timeout: Duration,
    ) -> Result<Engine, Failure> {
        let table: &[u8] = bytemuck::cast_slice(&kernel.parameters);
        let parameters = device.buffer(table.len(), BufferUsages::STORAGE | BufferUsages::COPY_DST)?;
        device.queue.write_buffer(&parameters, 0, table);
        let slots =
            (0..sizes.slots).map(|_| Slot::new(&device, kernel, sizes, upload, &pipeline, &parameters));
        let slots = slots.collect::<Result<Vec<_>, _>>()?;
        let windows = Arc::new(Windows(slots.iter().map(|_| Mutex::new(None)).collect()));
        let kernel = Arc::clone(kernel);
        let engine = Engine { device, kernel, upload, pipeline, slots, windows, ticket: 0 };
        engine.open_windows(timeout)?;
        engine.device.check()?;
        Ok(engine)
    }

    pub(super) fn windows(&self) -> &Arc<Windows> {
        &self.windows
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.device.device
    }

    fn open_windows(&self, timeout: Duration) -> Result<(), Failure> {
        let opened: Vec<_> = self.slots.iter().map(|slot| slot.open_window(self.upload)).collect();
        let submission = self.device.queue.submit([]);
        self.device.wait(&submission, timeout)?;
        for (slot, opened) in opened.into_iter().enumerate() {
            self.take_window(slot, opened)?;
        }
        Ok(())
    }

    /// The window of a slot, which was asked for, is there.
    fn take_window(&self, slot: usize, opened: Option<Mapping>) -> Result<(), Failure> {
        let Some(opened) = opened else { return Ok(()) };
        is_mapped(&opened)?;
        let view = self.slots[slot].window(self.upload).get_mapped_range_mut(..);
        *self.windows.lock(slot) =
            Some(view.map_err(|error| Failure(format!("memory cannot be seen: {error}")))?);
        Ok(())
    }

    /// Has the device work on a slot, whose bytes were given to [`Windows::write`]. Does not wait.
    ///
    /// # Errors
    /// When the device is lost, as far as that is known.
    pub(super) fn submit(&mut self, slot: usize, packed: &Packed) -> Result<(), Failure> {
        self.device.check()?;
        let call = self.next_call(packed);
        let mut encoder = self.encoder();
        self.upload(slot, packed, call, &mut encoder);
        self.run(slot, call, &mut encoder);
        let answer_bytes = self.read_back(slot, packed, &mut encoder);
        let submission = self.device.queue.submit([encoder.finish()]);
        let mapped = map(&self.slots[slot].back, wgpu::MapMode::Read, 0..answer_bytes);
        let window = self.slots[slot].open_window(self.upload);
        let (ticket, rows) = (call.ticket, call.rows as usize);
        self.slots[slot].running = Some(Running { submission, ticket, rows, mapped, window });
        Ok(())
    }

    pub(super) fn next_call(&mut self, packed: &Packed) -> Call {
        self.ticket = self.ticket.wrapping_add(0x9E37_79B9);
        let number = |number: usize| u32::try_from(number).expect("answers fit 128 MiB");
        let rows = number(packed.segments().len() * self.kernel.rows);
        Call {
            ticket: self.ticket,
            rows,
            width: GRID_WIDTH.min(rows),
            rows_per_segment: number(self.kernel.rows),
        }
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Has the bytes and the tables of a slot get to the device.
    pub(super) fn upload(
        &self,
        slot: usize,
        packed: &Packed,
        call: Call,
        encoder: &mut wgpu::CommandEncoder,
    ) {
        // Whoever packed is done with it.
        if self.windows.lock(slot).take().is_some() {
            self.slots[slot].window(self.upload).unmap();
        }
        let Slot { bytes, staging, segments, call: call_buffer, .. } = &self.slots[slot];
        let queue = &self.device.queue;
        queue.write_buffer(call_buffer, 0, bytemuck::bytes_of(&call));
        queue.write_buffer(segments, 0, bytemuck::cast_slice(packed.segments()));
        if self.upload == Upload::Write {
            write_whole_words(queue, bytes, packed.bytes());
        }
        if let Some(staging) = staging {
            let length = packed.bytes().len().next_multiple_of(4);
            encoder.copy_buffer_to_buffer(staging, 0, bytes, 0, length as u64);
        }
    }

    /// Has the kernel run over a slot that is there.
    pub(super) fn run(&self, slot: usize, call: Call, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.slots[slot].bindings, &[]);
        pass.dispatch_workgroups(call.width, call.rows.div_ceil(call.width.max(1)), 1);
    }

    /// Has its answers get to where they can be read. Returns how many bytes they are.
    pub(super) fn read_back(&self, slot: usize, packed: &Packed, encoder: &mut wgpu::CommandEncoder) -> u64 {
        let Slot { answers, back, .. } = &self.slots[slot];
        let bytes = answer_bytes(&self.kernel, packed.segments().len()) as u64;
        encoder.copy_buffer_to_buffer(answers, 0, back, 0, bytes);
        bytes
    }

    /// Submits what is encoded, and waits until it is done.
    ///
    /// # Errors
    /// When anything went wrong.
    #[cfg(feature = "bench")]
    pub(super) fn do_now(&self, encoder: wgpu::CommandEncoder, timeout: Duration) -> Result<(), Failure> {
        let submission = self.device.queue.submit([encoder.finish()]);
        self.device.wait(&submission, timeout)
    }

    /// Makes a slot one that can be written to again.
    ///
    /// # Errors
    /// When anything went wrong.
    #[cfg(feature = "bench")]
    pub(super) fn open_window(&self, slot: usize, timeout: Duration) -> Result<(), Failure> {
        let opened = self.slots[slot].open_window(self.upload);
        self.do_now(self.encoder(), timeout)?;
        self.take_window(slot, opened)
    }

    /// Reads the answers of what ran last, and returns their exclusive or: something that depends on all of them.
    ///
    /// # Errors
    /// When anything went wrong.
    #[cfg(feature = "bench")]
    pub(super) fn read_words(&self, slot: usize, packed: &Packed, timeout: Duration) -> Result<u32, Failure> {
        let mut encoder = self.encoder();
        let bytes = self.read_back(slot, packed, &mut encoder);
        let submission = self.device.queue.submit([encoder.finish()]);
        let back = &self.slots[slot].back;
        let mapped = map(back, wgpu::MapMode::Read, 0..bytes);
        self.device.wait(&submission, timeout)?;
        is_mapped(&mapped)?;
        let view = back.get_mapped_range(..bytes);
        let view = view.map_err(|error| Failure(format!("answers cannot be seen: {error}")))?;
        let all: &[u32] = bytemuck::cast_slice(&view);
        let word = all.iter().fold(0, |sum, word| sum ^ word);
        drop(view);
        back.unmap();
        Ok(word)
    }

    /// Waits for a slot, and hands over the words of its segments. It counts only if everything says that it ran.
    ///
    /// # Errors
    /// When anything does not.
    pub(super) fn finish(&mut self, slot: usize, timeout: Duration) -> Result<Vec<u32>, Failure> {
        let Running { submission, ticket, rows, mapped, window } =
            self.slots[slot].running.take().expect("it was submitted");
        self.device.wait(&submission, timeout)?;
        is_mapped(&mapped)?;
        self.take_window(slot, window)?;
        let back = &self.slots[slot].back;
        let length = (rows * (1 + self.kernel.words) * size_of::<u32>()) as u64;
        let words = {
            let view = back.get_mapped_range(..length);
            let view = view.map_err(|error| Failure(format!("answers cannot be seen: {error}")))?;
            let all: &[u32] = bytemuck::cast_slice(&view);
            let (tickets, words) = all.split_at(rows);
            let is_stamped = (0_u32..).zip(tickets).all(|(row, &found)| found == ticket.wrapping_add(row));
            is_stamped.then(|| words.to_vec())
        };
        back.unmap();
        self.device.check()?;
        words.ok_or_else(|| Failure("the shader did not run to its end".to_owned()))
    }
}

/// Words of 4 bytes are what can be written: the last one is filled up.
fn write_whole_words(queue: &wgpu::Queue, buffer: &wgpu::Buffer, bytes: &[u8]) {
    let (words, rest) = bytes.as_chunks::<4>();
    let words = words.as_flattened();
    if !words.is_empty() {
        queue.write_buffer(buffer, 0, words);
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        queue.write_buffer(buffer, words.len() as u64, &last);
    }
}

type Mapping = mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>;

fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode, range: std::ops::Range<u64>) -> Mapping {
    let (sender, mapped) = mpsc::channel();
    // Nobody may want to know any more.
    buffer.map_async(mode, range, move |result| drop(sender.send(result)));
    mapped
}

/// # Errors
/// When it is not, or not yet, though the device says that it is done.
fn is_mapped(mapping: &Mapping) -> Result<(), Failure> {
    match mapping.try_recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure(format!("memory cannot be mapped: {error}"))),
        Err(_) => Err(Failure("memory was not mapped".to_owned())),
    }
}

impl Slot {
    fn new(
        device: &Device,
        kernel: &Kernel,
        sizes: &Sizes,
        upload: Upload,
        pipeline: &wgpu::ComputePipeline,
        parameters: &wgpu::Buffer,
    ) -> Result<Slot, Failure> {
        use wgpu::BufferUsages as Use;
        let to_device = match upload {
            Upload::Staging | Upload::Write => Use::STORAGE | Use::COPY_DST,
            Upload::Mapped => Use::STORAGE | Use::MAP_WRITE,
        };
        let bytes = device.buffer(sizes.bytes, to_device)?;
        let staging = match upload {
            Upload::Staging => Some(device.buffer(sizes.bytes, Use::MAP_WRITE | Use::COPY_SRC)?),
            Upload::Write | Upload::Mapped => None,
        };
        let call = device.buffer(size_of::<Call>(), Use::UNIFORM | Use::COPY_DST)?;
        let table_bytes = sizes.segments * size_of::<super::packing::Segment>();
        let segments = device.buffer(table_bytes, Use::STORAGE | Use::COPY_DST)?;
        let answers = device.buffer(answer_bytes(kernel, sizes.segments), Use::STORAGE | Use::COPY_SRC)?;
        let back = device.buffer(answer_bytes(kernel, sizes.segments), Use::MAP_READ | Use::COPY_DST)?;
        let all = [&call, &bytes, &segments, parameters, &answers];
        let entries: Vec<_> = (0..)
            .zip(all)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bindings = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        device.check()?;
        Ok(Slot { bytes, staging, call, segments, answers, back, bindings, running: None })
    }

    /// The buffer that is written from outside.
    fn window(&self, upload: Upload) -> &wgpu::Buffer {
        match (upload, &self.staging) {
            (Upload::Staging, Some(staging)) => staging,
            _ => &self.bytes,
        }
    }

    /// Asks for its window, where it has one.
    fn open_window(&self, upload: Upload) -> Option<Mapping> {
        let window = self.window(upload);
        (upload != Upload::Write).then(|| map(window, wgpu::MapMode::Write, 0..window.size()))
    }
}

/// Runs `packed` on the first slot; returns its words, and how long it took from here to there and back.
///
/// # Errors
/// When anything fails.
pub(super) fn run_once(
    engine: &mut Engine,
    packed: &Packed,
    timeout: Duration,
) -> Result<(Vec<u32>, Duration), Failure> {
    let since = Instant::now();
    engine.windows.write(0, packed.bytes());
    engine.submit(0, packed)?;
    let words = engine.finish(0, timeout)?;
    Ok((words, since.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::super::packing::words_by_twin;
    use super::super::testing::adapter;
    use super::*;
    use crate::analyses::{Analysis, MinHash, Shingle, SketchKind};

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// Three runs by each way there is agree with the twin.
    #[track_caller]
    fn check(adapter: &wgpu::Adapter, kernel: Kernel, lengths: &[usize]) {
        let kernel = Arc::new(kernel);
        let sizes = Sizes::fit(&kernel, 8_000_000, 3).expect("enough");
        let mut packed = Packed::with_sizes(&sizes);
        for &length in lengths {
            assert!(packed.room(&kernel, &sizes) >= length, "{length} bytes");
            packed.begin();
            packed.push(&(0..length as u64).map(|i| (i * i / 7).to_le_bytes()[0]).collect::<Vec<u8>>());
            packed.end(&kernel);
        }
        let expected = words_by_twin(&packed, &kernel);
        for upload in Upload::ALL {
            let device = Device::open(adapter).expect("a device");
            if !upload.is_possible(&device) {
                continue;
            }
            let pipeline = device.pipeline(kernel.name, &kernel.wgsl).expect("a valid shader");
            let engine = Engine::new(device, pipeline, &kernel, &sizes, upload, TIMEOUT);
            let mut engine = engine.expect("an engine");
            for round in 0..3 {
                let (words, _) = run_once(&mut engine, &packed, TIMEOUT).expect("it runs");
                assert!(words == expected, "{upload:?}, {} rows, run {round}", kernel.rows);
            }
        }
    }

    #[test]
    fn the_kernel_agrees_with_its_twin_whatever_the_way_there() {
        let Some(adapter) = adapter() else { return };
        let kernel = |k, shingle_bytes| {
            let analysis = MinHash::new(k, Shingle::Bytes(shingle_bytes), SketchKind::Permutations);
            analysis.expect("valid").kernel().expect("it has one")
        };
        let around_the_ends = [
            0, 1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 1039, 1040, 32_767, 32_768, 32_782,
            32_783, 32_784, 70_000,
        ];
        check(&adapter, kernel(128, 16), &around_the_ends);
        check(&adapter, kernel(1, 1), &[1, 2, 1025]);
        check(&adapter, kernel(300, 64), &[63, 64, 65, 2000]);
        check(&adapter, kernel(1024, 7), &[7, 5000]);
    }

    /// Files begin at multiples of 16, segments of this length at every place in a word.
    #[test]
    fn segments_begin_anywhere_in_a_word() {
        let Some(adapter) = adapter() else { return };
        let kernel = MinHash::default().kernel().expect("it has one");
        for segment_positions in [997, 998, 999, 1000] {
            check(&adapter, Kernel { segment_positions, ..kernel.clone() }, &[5000, 17, 1013, 1014]);
        }
    }
}
