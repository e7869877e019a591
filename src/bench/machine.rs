//! The machine in words: figures of one say little about another.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::plan::cores;

/// What decides how fast a tree is read, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Operating system and its version.
    pub kernel: String,
    /// Kind of file system that the tree lies on.
    pub file_system: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// This machine, for a tree at `path`.
    pub fn here(path: &Path) -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let info = read("/proc/cpuinfo");
        // Other processors than x86 have no names there, but numbers.
        let numbers = || {
            let (implementer, part) = (field(&info, "CPU implementer")?, field(&info, "CPU part")?);
            Some(format!("implementer {implementer}, part {part}"))
        };
        let cpu = field(&info, "model name").or_else(numbers).unwrap_or_else(|| UNKNOWN.to_owned());
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let memory = memory.and_then(|memory| memory.split_whitespace().next()?.parse::<u64>().ok());
        let release = read("/proc/sys/kernel/osrelease");
        Machine {
            cpu,
            cores: cores(),
            memory_bytes: memory.unwrap_or(0) * 1024,
            kernel: format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned(),
            file_system: file_system(path).unwrap_or_else(|| UNKNOWN.to_owned()),
        }
    }

    /// What is different on `other` or unknown, in words; empty where figures of the two can be compared. The memory of a machine
    /// differs a little from one start to the next.
    pub fn differences(&self, other: &Machine) -> Vec<String> {
        let mut all = Vec::new();
        let mut compare = |what: &str, here: &str, there: &str| {
            if here != there || here == UNKNOWN {
                all.push(format!("{what} {there}, here {here}"));
            }
        };
        compare("processor", &self.cpu, &other.cpu);
        compare("cores", &self.cores.to_string(), &other.cores.to_string());
        compare("kernel", &self.kernel, &other.kernel);
        compare("file system", &self.file_system, &other.file_system);
        if self.memory_bytes.abs_diff(other.memory_bytes) > self.memory_bytes / 20 {
            let gibibytes = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
            compare("memory", &gibibytes(self.memory_bytes), &gibibytes(other.memory_bytes));
        }
        all
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine { cpu, cores, memory_bytes, kernel, file_system } = self;
        let memory = *memory_bytes as f64 / f64::from(1 << 30);
        let plural = if *cores == 1 { "" } else { "s" };
        write!(to, "{cpu}, {cores} core{plural}, {memory:.1} GiB, {kernel}, {file_system}")
    }
}

/// The kind of the file system that holds `path`: of the mount whose place is its longest start.
fn file_system(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let place = line.split(' ').nth(4)?.replace("\\040", " ");
        let kind = line.split(" - ").nth(1)?.split(' ').next()?;
        // Of two at one place the later lies on top.
        if path.starts_with(&place) && best.as_ref().is_none_or(|(length, _)| place.len() >= *length) {
            best = Some((place.len(), kind.to_owned()));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Memory that is free for the asking, in bytes, where the system tells.
pub(crate) fn memory_available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_differ_in_what_is_named() {
        let here = Machine {
            cpu: "A".to_owned(),
            cores: 2,
            memory_bytes: 100 << 30,
            kernel: "linux 6".to_owned(),
            file_system: "ext4".to_owned(),
        };
        assert_eq!(here.differences(&here.clone()), [""; 0]);
        let other = Machine { cpu: "B".to_owned(), memory_bytes: 98 << 30, ..here.clone() };
        assert_eq!(here.differences(&other), ["processor B, here A"]);
        let unknown = Machine { cpu: UNKNOWN.to_owned(), ..here.clone() };
        assert_eq!(unknown.differences(&unknown), ["processor unknown, here unknown"]);
        let other = Machine { memory_bytes: 50 << 30, ..here.clone() };
        assert_eq!(here.differences(&other), ["memory 50.0 GiB, here 100.0 GiB"]);
        assert_eq!(here.to_string(), "A, 2 cores, 100.0 GiB, linux 6, ext4");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_can_be_told() {
        let here = Machine::here(Path::new("/"));
        assert!(here.memory_bytes > 0 && here.kernel.starts_with("linux ") && here.file_system != UNKNOWN);
        assert_eq!(Machine::here(Path::new("/proc")).file_system, "proc");
    }
}
