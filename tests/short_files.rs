//! Files of a server that states sizes beyond their content.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;

use filemill::control::Control;
use filemill::duplicates::{Search, find};
use filemill::error::Cause;
use filemill::plan::{Plan, Workers};
use filemill::record::{Group, Outcome, Record, Value};
use filemill::sink::Sink;

use crate::support::{Tree, scan};

/// A mounted FUSE with two files, `f` and `g`. Unmounted in the end.
struct Server {
    place: Tree,
    thread: Option<JoinHandle<()>>,
}

/// What the server has.
struct Served {
    /// Of `f` and of `g`.
    contents: [Vec<u8>; 2],
    stated: u64,
    /// 1: reads go past the page cache.
    open_flags: u32,
}

impl Server {
    /// `None`, with a line, if nothing can be mounted here.
    fn start(served: Served) -> Option<Server> {
        use std::os::fd::AsRawFd;
        let place = Tree::new();
        let device = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        rustix::io::fcntl_setfd(&device, rustix::io::FdFlags::empty()).unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let mount = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", &options, "none"])
            .arg(place.path())
            .output();
        if !mount.is_ok_and(|output| output.status.success()) {
            println!("not tried: no FUSE can be mounted here");
            return None;
        }
        rustix::io::fcntl_setfd(&device, rustix::io::FdFlags::CLOEXEC).unwrap();
        let thread = std::thread::spawn(move || serve(device, &served));
        Some(Server { place, thread: Some(thread) })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.at(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.place.path()).status());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Answers until the file system is unmounted. The numbers are those of linux/fuse.h.
fn serve(mut device: File, served: &Served) {
    let mut request = vec![0; 1 << 20];
    while let Ok(length) = device.read(&mut request) {
        let u64_at = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap());
        let (operation, unique, node) = (u64_at(0) >> 32, u64_at(8), u64_at(16));
        let attributes = |node: u64| {
            let (size, mode) = if node == 1 { (0, 0o40755_u32) } else { (served.stated, 0o100_644) };
            let mut answer: Vec<u8> = Vec::new();
            [node, size, size.div_ceil(512), 1, 1, 1]
                .iter()
                .for_each(|number| answer.extend(number.to_ne_bytes()));
            [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0]
                .iter()
                .for_each(|number| answer.extend(number.to_ne_bytes()));
            answer
        };
        let answer: Result<Vec<u8>, i32> = match operation {
            // LOOKUP: node, generation, and how long the answer holds.
            1 if matches!(request[40..length], [b'f' | b'g', 0, ..]) => {
                let node = if request[40] == b'f' { 2_u64 } else { 3 };
                let head = [node, 0, 0, 0, 0].iter().flat_map(|number| number.to_ne_bytes()).collect();
                Ok([head, attributes(node)].concat())
            }
            1 => Err(2),
            // FORGET, INTERRUPT, BATCH_FORGET
            2 | 36 | 42 => continue,
            // GETATTR
            3 => Ok([vec![0; 16], attributes(node)].concat()),
            // OPEN, OPENDIR
            14 => Ok([0, 0, served.open_flags, 0].iter().flat_map(|number| number.to_ne_bytes()).collect()),
            27 => Ok(vec![0; 16]),
            // READ
            15 => {
                let content = &served.contents[usize::from(node == 3)];
                let start = usize::try_from(u64_at(48)).unwrap().min(content.len());
                let wanted = usize::try_from(u64_at(56) & 0xffff_ffff).unwrap();
                Ok(content[start..(start + wanted).min(content.len())].to_vec())
            }
            // STATFS, RELEASE, RELEASEDIR
            17 => Ok(vec![0; 80]),
            18 | 29 => Ok(Vec::new()),
            // INIT
            26 => {
                let numbers = [7_u32, 31, 65_536, 0, 0, 65_536, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                Ok(numbers.iter().flat_map(|number| number.to_ne_bytes()).collect())
            }
            _ => Err(38),
        };
        let (error, body) = answer.map_or_else(|error| (-error, Vec::new()), |body| (0, body));
        let mut reply = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        reply.extend(error.to_ne_bytes());
        reply.extend(unique.to_ne_bytes());
        reply.extend(body);
        // The asking process may be gone.
        drop(device.write(&reply));
    }
}

#[test]
fn a_file_that_ends_before_its_stated_size_is_read_to_its_end() {
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    for open_flags in [0, 1] {
        for bytes in [0, 1, 4096, 100_000, 1_200_000] {
            for (beyond, share_bytes) in
                [(1, 1 << 26), (5000, 1 << 26), (2_000_000, 1 << 26), (2_000_000, 1 << 18)]
            {
                let content = content[..bytes].to_vec();
                let expected = blake3::hash(&content);
                let stated = bytes as u64 + beyond;
                let contents = [content, Vec::new()];
                let Some(server) = Server::start(Served { contents, stated, open_flags }) else { return };
                let mut plan = Plan::new([server.file("f")]);
                plan.analyses = filemill::analyses::parse("blake3").unwrap();
                plan.workers = Workers::Number(2);
                plan.share_bytes = share_bytes;
                let (records, report) = scan(&plan);
                let (outcome, values) = records.values().next().unwrap();
                let case =
                    format!("{bytes} of {stated} bytes, flags {open_flags}, shared from {share_bytes}");
                assert!(
                    matches!(outcome, Outcome::Done { size, .. } if *size == bytes as u64),
                    "{case}: {outcome:?}"
                );
                let Value::Digest(digest) = &values[0] else { panic!("{case}: {values:?}") };
                assert_eq!(digest.hex(&mut [0; 64]), expected.to_hex().as_str(), "{case}");
                let note = "1 file was read to an end before the size that the file system states";
                assert_eq!(report.notes, [note], "{case}");
            }
        }
    }
}

/// `dupes` finds files by their sizes: such files are left out, and named as what they are.
#[test]
fn files_that_end_before_their_stated_size_are_not_compared() {
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    for (bytes, stated) in [(0, 5000), (3000, 3001), (3000, 5000), (3000, 100_000), (1_200_000, 3_000_000)] {
        let contents = [content[..bytes].to_vec(), content[..bytes].to_vec()];
        let Some(server) = Server::start(Served { contents, stated, open_flags: 0 }) else { return };
        let search = Search::new(Plan::new([server.file("f"), server.file("g")]));
        let mut failures = Failures::default();
        let found = find(&search, &mut failures, &Control::new()).unwrap();
        assert_eq!(failures.0, [Cause::EndsEarly; 2], "{bytes} of {stated} bytes");
        assert_eq!(found.report.ledger.failed_total(), 2);
    }
}

/// The causes of failures; there are no groups.
#[derive(Default)]
struct Failures(Vec<Cause>);

impl Sink for Failures {
    fn record(&mut self, record: &Record<'_>) -> std::io::Result<()> {
        if let Outcome::Failed(error) = record.outcome {
            self.0.push(error.cause);
        }
        Ok(())
    }

    fn group(&mut self, group: &Group<'_>) -> std::io::Result<()> {
        panic!("{group:?}");
    }
}
