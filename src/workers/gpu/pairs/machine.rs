//! The thread that has a device compare tiles, and the panels that lie there.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use wgpu::BufferUsages as Use;

use super::super::device::{Device, Failure};
use super::super::{adapters, detached};
use super::{BLOCK, Call, HEADER_BYTES, HITS_MAX, Job, Pair, Reply, SLOTS, Shared, Sizes, TIMEOUT, WGSL};
use crate::faults::{Faults, Operation};
use crate::plan;
use crate::report::{GpuUse, RateUnit};

/// The device, on its own thread.
pub(super) struct Machine {
    device: Device,
    pipeline: wgpu::ComputePipeline,
    sizes: Sizes,
    k: usize,
    /// By their first rows.
    panels: HashMap<u32, wgpu::Buffer>,
    /// The one that was used last is last.
    order: VecDeque<u32>,
    slots: Vec<Slot>,
    /// Odd: what it comes to for all workgroups of a tile is never that of a tile that did not run.
    ticket: u32,
}

struct Slot {
    call: wgpu::Buffer,
    answer: wgpu::Buffer,
    back: wgpu::Buffer,
}

struct Running {
    slot: Slot,
    submission: wgpu::SubmissionIndex,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    done: u32,
    /// On the left and on the right.
    rows: (u32, u32),
    reply: Sender<Reply>,
    since: Instant,
}

impl Machine {
    pub(super) fn start(
        wanted: &plan::Device,
        k: usize,
        sizes: Sizes,
        shared: &Shared,
    ) -> Result<Machine, Failure> {
        let adapter = adapters::find(wanted).map_err(Failure)?.swap_remove(0);
        let (name, driver, backend) = adapters::describe(&adapter.get_info());
        *shared.used() = GpuUse {
            adapter: name,
            driver,
            backend,
            upload: "write",
            unit: RateUnit::Pairs,
            ..GpuUse::default()
        };
        let device = Device::open(&adapter)?;
        let pipeline = device.pipeline("pairs", WGSL)?;
        let answer_bytes = usize::try_from(HEADER_BYTES).expect("8") + HITS_MAX * size_of::<Pair>();
        let slot = || {
            Ok(Slot {
                call: device.buffer(size_of::<Call>(), Use::UNIFORM | Use::COPY_DST)?,
                answer: device.buffer(answer_bytes, Use::STORAGE | Use::COPY_SRC | Use::COPY_DST)?,
                back: device.buffer(answer_bytes, Use::MAP_READ | Use::COPY_DST)?,
            })
        };
        let slots = (0..SLOTS).map(|_| slot()).collect::<Result<_, Failure>>()?;
        let (panels, order) = (HashMap::new(), VecDeque::new());
        let mut machine = Machine { device, pipeline, sizes, k, panels, order, slots, ticket: 1 };
        machine.test()?;
        Ok(machine)
    }

    /// # Errors
    /// When it does not know the pairs of a small tile.
    fn test(&mut self) -> Result<(), Failure> {
        let (rows, k) = (BLOCK + 6, u32::try_from(self.k).expect("1024 at most"));
        // Row i differs from row 0 in its first i places.
        let number = |at: u32| if at % k < at / k { at / k + 1 } else { 0 };
        let numbers: Vec<u32> = (0..rows * k).map(number).collect();
        self.load(0, &numbers)?;
        let matches_min = k.div_ceil(2);
        let call = Call {
            ticket: 0,
            left_rows: rows,
            right_rows: rows,
            k,
            matches_min,
            is_diagonal: 1,
            capacity: u32::try_from(HITS_MAX).expect("65,536"),
            unused: 0,
        };
        let mut expected = Vec::new();
        for left in 0..rows {
            for right in left + 1..rows {
                let matches = k.saturating_sub(right);
                if matches >= matches_min {
                    expected.push(Pair { left, right, matches });
                }
            }
        }
        let (reply, _) = bounded(1);
        let running = self.submit([0, 0], call, reply)?;
        let answer = self.finish(&running)?;
        self.slots.push(running.slot);
        match answer {
            Reply::Hits(mut hits) => {
                hits.sort_unstable();
                self.panels.clear();
                self.order.clear();
                if hits == expected {
                    Ok(())
                } else {
                    Err(Failure("its answers to known questions are wrong".to_owned()))
                }
            }
            _ => Err(Failure("no answer from the device".to_owned())),
        }
    }

    /// Works until nobody asks any more, or the device fails.
    pub(super) fn work(mut self, orders: &Receiver<Job>, shared: &Shared, faults: &Faults) {
        let mut running: VecDeque<Running> = VecDeque::new();
        let mut free_since = Instant::now();
        loop {
            // As much as there is is under way before anything is waited for.
            let next = match (running.is_empty(), self.slots.is_empty()) {
                (true, _) => orders.recv().ok(),
                (false, false) => orders.try_recv().ok(),
                (false, true) => None,
            };
            let done = match next {
                None if running.is_empty() => return,
                Some(job) => self.obey(job, shared, faults).map(|started| running.extend(started)),
                None => {
                    let Some(oldest) = running.pop_front() else { return };
                    let since = oldest.since.max(free_since);
                    let answered = faults.strike(Operation::GpuAnswer);
                    let answered = answered.map_err(|_| Failure("no answer from the device".to_owned()));
                    let mut answer = answered.and_then(|()| self.finish(&oldest));
                    if let Ok(Reply::Hits(hits)) = &mut answer
                        // They come in no order. The first by its rows is among those that any sample counts again.
                        && let Some(hit) = hits.iter_mut().min_by_key(|hit| (hit.left, hit.right))
                        && faults.strike(Operation::GpuWords).is_err()
                    {
                        hit.matches ^= 1;
                    }
                    free_since = Instant::now();
                    let mut used = shared.used();
                    used.busy += free_since.saturating_duration_since(since);
                    used.submissions += 1;
                    drop(used);
                    self.slots.push(oldest.slot);
                    if let Err(failure) = &answer {
                        // Before who asked is told, by nobody being there any more.
                        shared.fail(&failure.to_string());
                    }
                    // Who asked may have gone.
                    answer.map(|answer| drop(oldest.reply.send(answer)))
                }
            };
            if let Err(failure) = done {
                // That nobody answers is answer enough for those who wait.
                shared.fail(&failure.to_string());
                return;
            }
        }
    }

    /// Begins with a tile, once its panels are there.
    fn obey(&mut self, job: Job, shared: &Shared, faults: &Faults) -> Result<Option<Running>, Failure> {
        let Job { left, right, call, reply } = job;
        let firsts = [left.first, right.first];
        for panel in [left, right] {
            if self.panels.contains_key(&panel.first) {
                continue;
            }
            let Some(numbers) = panel.numbers else {
                // It was there when this was sent. Who asked may have gone.
                drop(reply.send(Reply::Gone));
                return Ok(None);
            };
            self.make_room(firsts, shared);
            shared.used().bytes += size_of_val(&numbers[..]) as u64;
            self.load(panel.first, &numbers)?;
            shared.resident().insert(panel.first);
        }
        let started = self.submit(firsts, call, reply)?;
        if faults.strike(Operation::GpuLose).is_err() {
            let device = self.device.device.clone();
            drop(detached::spawn("filemill-gpu-lose", move || device.destroy()));
        }
        Ok(Some(started))
    }

    /// The panel that was not used for the longest time goes where there is no room for one more, but neither of these.
    fn make_room(&mut self, kept: [u32; 2], shared: &Shared) {
        while self.panels.len() >= self.sizes.panels {
            let oldest = self.order.iter().position(|first| !kept.contains(first));
            let Some(oldest) = oldest.and_then(|at| self.order.remove(at)) else { return };
            self.panels.remove(&oldest);
            shared.resident().remove(&oldest);
        }
    }

    fn load(&mut self, first: u32, numbers: &[u32]) -> Result<(), Failure> {
        let bytes: &[u8] = bytemuck::cast_slice(numbers);
        let panel = self.device.buffer(bytes.len(), Use::STORAGE | Use::COPY_DST)?;
        self.device.queue.write_buffer(&panel, 0, bytes);
        self.panels.insert(first, panel);
        self.order.retain(|other| *other != first);
        self.order.push_back(first);
        Ok(())
    }

    fn submit(
        &mut self,
        [left, right]: [u32; 2],
        call: Call,
        reply: Sender<Reply>,
    ) -> Result<Running, Failure> {
        for panel in [left, right] {
            self.order.retain(|other| *other != panel);
            self.order.push_back(panel);
        }
        self.ticket = self.ticket.wrapping_add(0x9E37_79BA);
        let call = Call { ticket: self.ticket, ..call };
        let slot = self.slots.pop().ok_or_else(|| Failure("no room for an answer".to_owned()))?;
        let (queue, device) = (&self.device.queue, &self.device.device);
        queue.write_buffer(&slot.call, 0, bytemuck::bytes_of(&call));
        queue.write_buffer(&slot.answer, 0, &[0; 8]);
        let all = [&slot.call, &self.panels[&left], &self.panels[&right], &slot.answer];
        let entries: Vec<_> = (0..)
            .zip(all)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = &self.pipeline.get_bind_group_layout(0);
        let bindings =
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let (columns, rows) = (call.right_rows.div_ceil(BLOCK), call.left_rows.div_ceil(BLOCK));
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &bindings, &[]);
            pass.dispatch_workgroups(columns, rows, 1);
        }
        encoder.copy_buffer_to_buffer(&slot.answer, 0, &slot.back, 0, slot.back.size());
        let submission = queue.submit([encoder.finish()]);
        let (tell, mapped) = mpsc::channel();
        slot.back.map_async(wgpu::MapMode::Read, .., move |result| drop(tell.send(result)));
        self.device.check()?;
        let done = self.ticket.wrapping_mul(columns * rows);
        let rows = (call.left_rows, call.right_rows);
        Ok(Running { slot, submission, mapped, done, rows, reply, since: Instant::now() })
    }

    /// Waits for a tile, and answers. It counts only if everything says that it ran.
    fn finish(&mut self, running: &Running) -> Result<Reply, Failure> {
        let Running { slot, submission, mapped, done, rows, .. } = running;
        self.device.wait(submission, TIMEOUT)?;
        match mapped.try_recv() {
            Ok(Ok(())) => {}
            _ => return Err(Failure("memory was not mapped".to_owned())),
        }
        let view = slot.back.get_mapped_range(..);
        let view = view.map_err(|error| Failure(format!("answers cannot be seen: {error}")))?;
        let (header, hits) = view.split_at(usize::try_from(HEADER_BYTES).expect("8"));
        let header: &[u32] = bytemuck::cast_slice(header);
        let has_run = header[0] == *done;
        let count = header[1] as usize;
        let answer = if count > HITS_MAX {
            Reply::TooMany
        } else {
            let pairs: &[Pair] = bytemuck::cast_slice(&hits[..count * size_of::<Pair>()]);
            // Whoever joins rows by them relies on these being there.
            if has_run && pairs.iter().any(|pair| pair.left >= rows.0 || pair.right >= rows.1) {
                return Err(Failure("it found pairs of rows that are not there".to_owned()));
            }
            Reply::Hits(pairs.to_vec())
        };
        drop(view);
        slot.back.unmap();
        self.device.check()?;
        if has_run { Ok(answer) } else { Err(Failure("the shader did not run to its end".to_owned())) }
    }
}
