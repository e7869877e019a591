//! All pairs on a GPU: the same groups, whatever happens to it.

use filemill::plan::Device;

use super::*;
#[cfg(feature = "cli")]
use crate::binary::{filemill, text as text_of};
use crate::gpu::is_there;

fn all_pairs(tree: &Tree, device: Device) -> Search {
    let mut search = near(search(tree), Near { compares: Compares::All, ..Near::new(0.6) });
    search.plan.device = device;
    search.plan.gpu_memory_bytes_max = 20_000_000;
    search
}

fn found(search: &Search) -> Found {
    find(search, &mut Keep::default(), &Control::new()).unwrap()
}

#[test]
fn all_pairs_on_a_gpu_give_the_same_groups() {
    if !is_there() {
        return;
    }
    let (tree, _) = gradual(40, 6);
    let expected = found(&all_pairs(&tree, Device::Cpu));
    assert!(expected.near.len() > 20 && expected.report.gpus.is_empty());
    let on_gpu = found(&all_pairs(&tree, Device::Gpu));
    assert_eq!(told(&on_gpu), told(&expected));
    // What makes the sketches, and what compares them.
    let units: Vec<_> = on_gpu.report.gpus.iter().map(|gpu| (gpu.unit.name(), gpu.failures)).collect();
    assert_eq!(units, [("bytes", 0), ("pairs", 0)], "{:?}", on_gpu.report.notes);
    assert!(on_gpu.report.gpus[1].submissions > 0, "{:?}", on_gpu.report.gpus);
    assert!(on_gpu.report.notes.is_empty(), "{:?}", on_gpu.report.notes);
    // Without sketches there is nothing for it.
    let mut exact = search(&tree);
    exact.plan.device = Device::Gpu;
    let exact = find(&exact, &mut Keep::default(), &Control::new()).unwrap();
    assert_eq!(exact.report.notes, ["no GPU is used: files of the same content are found by the processor"]);
    // Few sketches are the processor's, unless it must be.
    let auto = found(&all_pairs(&tree, Device::Auto));
    assert_eq!((told(&auto), auto.report.notes.len()), (told(&expected), 0));
}

#[test]
fn a_gpu_that_cannot_be_had_ends_a_search_only_where_it_is_required() {
    let (tree, _) = gradual(3, 3);
    let refused =
        |search: &Search| find(search, &mut Keep::default(), &Control::new()).unwrap_err().to_string();
    let named = all_pairs(&tree, Device::Named("no such card".into()));
    assert!(refused(&named).starts_with("--device no such card: "), "{}", refused(&named));
    let mut small = all_pairs(&tree, Device::Gpu);
    small.plan.gpu_memory_bytes_max = 1000;
    assert!(refused(&small).starts_with("--device gpu: "), "{}", refused(&small));
    small.plan.device = Device::Auto;
    assert_eq!(told(&found(&small)), told(&found(&all_pairs(&tree, Device::Cpu))));
}

#[cfg(feature = "cli")]
#[test]
fn a_gpu_prints_what_the_processor_prints() {
    if !is_there() {
        return;
    }
    let (tree, _) = gradual(20, 4);
    for format in ["csv", "table"] {
        let printed = |device: &str, verify: &str| {
            let arguments = ["duplicates", "--near-all", "--near", "0.6", "--format", format];
            let more = ["--device", device, "--gpu-verify", verify];
            let output =
                filemill(&[&arguments[..], &more].concat()).current_dir(tree.path()).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
            output.stdout
        };
        let expected = printed("cpu", "sample");
        assert!(!expected.is_empty());
        for verify in ["all", "sample", "off"] {
            assert!(printed("gpu", verify) == expected, "{format} {verify}");
        }
    }
}

#[cfg(all(feature = "gpu", feature = "faults"))]
#[test]
fn a_gpu_that_is_lost_while_it_compares_loses_nothing() {
    use filemill::faults::{Effect, Faults, Operation};

    if !is_there() {
        return;
    }
    let (tree, _) = gradual(40, 6);
    let expected = told(&found(&all_pairs(&tree, Device::Cpu)));
    // Words have no kernel: what fails is what compares.
    let of_words = |device: Device| {
        let mut search = all_pairs(&tree, device);
        let near = search.near.as_mut().unwrap();
        near.sketches = MinHash::new(128, Shingle::Words(2), SketchKind::Permutations).unwrap();
        search
    };
    assert_eq!(told(&found(&all_pairs(&tree, Device::Gpu))), expected);
    let expected = told(&found(&of_words(Device::Cpu)));
    for operation in [Operation::GpuLose, Operation::GpuAnswer, Operation::GpuWords] {
        for effect in [Effect::FailsOnce, Effect::Panics] {
            if effect == Effect::Panics && operation != Operation::GpuAnswer {
                continue;
            }
            let mut search = of_words(Device::Gpu);
            search.plan.faults = Faults::new(operation, 1, effect);
            let found = found(&search);
            assert!(search.plan.faults.has_struck());
            assert_eq!(told(&found), expected, "{operation:?} {effect:?}");
            let notes: Vec<_> = found.report.notes.iter().filter(|note| note.contains("failed")).collect();
            assert_eq!(notes.len(), 1, "{:?}", found.report.notes);
            assert_eq!(found.report.gpus[0].failures, 1, "{:?}", found.report.gpus);
        }
    }
}
