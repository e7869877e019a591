//! What each device did, in the last record.

use serde::Serialize;

use crate::report::{GpuUse, RateUnit, Report, Volume};

/// What the processor did, and each GPU.
#[derive(Serialize)]
pub(super) struct Devices<'a> {
    cpu: Device,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gpus: Vec<Gpu<'a>>,
}

/// Files, and their bytes.
#[derive(Serialize)]
pub(super) struct Device {
    files: u64,
    bytes: u64,
}

impl From<Volume> for Device {
    fn from(volume: Volume) -> Device {
        Device { files: volume.files, bytes: volume.bytes }
    }
}

/// A GPU that was there and wanted.
#[derive(Serialize)]
struct Gpu<'a> {
    adapter: &'a str,
    driver: &'a str,
    backend: &'a str,
    /// None was chosen where it was left out before.
    #[serde(skip_serializing_if = "str::is_empty")]
    upload: &'a str,
    files: u64,
    bytes: u64,
    submissions: u64,
    busy_seconds: f64,
    unit: &'static str,
    per_second: Option<f64>,
    worker_per_second: Option<f64>,
    failures: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    left_out: &'a str,
}

impl<'a> From<&'a GpuUse> for Gpu<'a> {
    fn from(gpu: &'a GpuUse) -> Gpu<'a> {
        Gpu {
            adapter: &gpu.adapter,
            driver: &gpu.driver,
            backend: &gpu.backend,
            upload: gpu.upload,
            files: gpu.files,
            bytes: gpu.bytes,
            submissions: gpu.submissions,
            busy_seconds: gpu.busy.as_secs_f64(),
            unit: gpu.unit.name(),
            per_second: gpu.rate,
            worker_per_second: gpu.worker_rate,
            failures: gpu.failures,
            left_out: &gpu.left_out,
        }
    }
}

impl<'a> From<&'a Report> for Devices<'a> {
    fn from(report: &'a Report) -> Devices<'a> {
        // A GPU may have answered for a file that failed later, and what it compared is no file that was read.
        let left = |all: u64, of: fn(&GpuUse) -> u64| {
            let files = report.gpus.iter().filter(|gpu| gpu.unit == RateUnit::Bytes);
            files.fold(all, |left, gpu| left.saturating_sub(of(gpu)))
        };
        Devices {
            cpu: Device {
                files: left(report.ledger.done, |gpu| gpu.files),
                bytes: left(report.ledger.bytes, |gpu| gpu.bytes),
            },
            gpus: report.gpus.iter().map(Gpu::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::{Value as Json, json};

    use super::super::{JSONL_SCHEMA, Jsonl};
    use super::*;
    use crate::latencies::Latencies;
    use crate::record::Outcome;
    use crate::report::{Ledger, Staged, StepTimes};
    use crate::sink::Sink;

    /// The last record of a run over three files of 100 bytes.
    fn end(gpus: Vec<GpuUse>) -> Json {
        let mut ledger = Ledger::default();
        ledger.met = 3;
        let done = Outcome::done(100, 0);
        (0..3).for_each(|_| ledger.count(&done));
        let report = Report {
            started: SystemTime::UNIX_EPOCH,
            elapsed: Duration::from_secs(1),
            ledger,
            directories: 1,
            directories_failed: 0,
            filtered: 0,
            steps: StepTimes::default(),
            batches: Latencies::new(),
            staged: Staged::default(),
            gpus,
            walkers: 1,
            workers: 1,
            moves: Vec::new(),
            peak_memory_bytes: None,
            duplicates: None,
            notes: Vec::new(),
            cancelled: false,
        };
        let mut sink = Jsonl::new(Vec::new());
        sink.end(&report).expect("memory takes all");
        serde_json::from_slice(&sink.into_inner()).expect("it is JSON")
    }

    fn gpu() -> GpuUse {
        GpuUse {
            adapter: "Made-up 9".to_owned(),
            driver: "none 1.2".to_owned(),
            backend: "vulkan".to_owned(),
            upload: "staging",
            files: 2,
            bytes: 200,
            submissions: 1,
            busy: Duration::from_millis(250),
            unit: RateUnit::Bytes,
            rate: Some(800.0),
            worker_rate: Some(400.0),
            failures: 0,
            left_out: String::new(),
        }
    }

    #[track_caller]
    fn check(gpus: Vec<GpuUse>, expected: Json) {
        let schema: Json = serde_json::from_str(JSONL_SCHEMA).expect("the schema is JSON");
        let validator = jsonschema::draft202012::new(&schema).expect("it is a schema");
        let end = end(gpus);
        let errors: Vec<_> = validator.iter_errors(&end).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{end}: {errors:?}");
        assert_eq!(end["devices"], expected);
        // A key that the schema does not know is none, and none may be missing that it asks for.
        for at in 0..end["devices"]["gpus"].as_array().map_or(0, Vec::len) {
            let keys: Vec<String> =
                end["devices"]["gpus"][at].as_object().expect("an object").keys().cloned().collect();
            for key in keys.iter().filter(|key| !["upload", "left_out"].contains(&key.as_str())) {
                let mut broken = end.clone();
                broken["devices"]["gpus"][at].as_object_mut().expect("an object").remove(key);
                assert!(!validator.is_valid(&broken), "without {key}");
            }
            let mut broken = end.clone();
            broken["devices"]["gpus"][at]["whim"] = json!(1);
            assert!(!validator.is_valid(&broken), "with a whim");
        }
    }

    #[test]
    fn without_a_gpu_all_is_the_processors() {
        check(Vec::new(), json!({"cpu": {"files": 3, "bytes": 300}}));
    }

    #[test]
    fn what_a_gpu_answered_is_not_the_processors() {
        let used = json!({
            "adapter": "Made-up 9", "driver": "none 1.2", "backend": "vulkan", "upload": "staging", "files": 2, "bytes": 200,
            "submissions": 1, "busy_seconds": 0.25, "unit": "bytes", "per_second": 800.0, "worker_per_second": 400.0, "failures": 0
        });
        check(vec![gpu()], json!({"cpu": {"files": 1, "bytes": 100}, "gpus": [used]}));
        let left_out = GpuUse {
            adapter: "llvmpipe".to_owned(),
            backend: "vulkan".to_owned(),
            left_out: "it is software".to_owned(),
            ..GpuUse::default()
        };
        let told = json!({
            "adapter": "llvmpipe", "driver": "", "backend": "vulkan", "files": 0, "bytes": 0, "submissions": 0, "busy_seconds": 0.0,
            "unit": "bytes", "per_second": null, "worker_per_second": null, "failures": 0, "left_out": "it is software"
        });
        check(vec![gpu(), left_out], json!({"cpu": {"files": 1, "bytes": 100}, "gpus": [used, told]}));
        let compared = GpuUse { unit: RateUnit::Pairs, files: 0, bytes: 250, ..gpu() };
        assert_eq!(end(vec![compared])["devices"]["cpu"], json!({"files": 3, "bytes": 300}));
        // More than there is, where files that it answered for failed later: nothing is below none.
        let much = GpuUse { files: 9, bytes: 9000, ..gpu() };
        assert_eq!(end(vec![much])["devices"]["cpu"], json!({"files": 0, "bytes": 0}));
    }
}
