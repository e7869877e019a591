//! The adapter that tests use. `FILEMILL_GPU` says what its absence means: `require` fails, `auto` (also where it is not set) skips
//! with a message, `off` skips always.

use super::adapters;
use crate::plan::Device;

/// Hardware where there is some, otherwise software.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn adapter() -> Option<wgpu::Adapter> {
    let wanted = std::env::var("FILEMILL_GPU").unwrap_or_default();
    if wanted == "off" {
        eprintln!("skipped: FILEMILL_GPU is off");
        return None;
    }
    match adapters::find(&Device::Gpu) {
        Ok(adapters) => adapters.into_iter().next(),
        Err(why) => {
            assert!(wanted != "require", "FILEMILL_GPU requires an adapter: {why}");
            eprintln!("skipped: {why}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use naga::valid::{Capabilities, ValidationFlags, Validator};
    use naga::{AddressSpace, Module, TypeInner};

    use super::super::{engine, packing, pairs};
    use crate::analyses::{Analysis, MinHash};

    fn parse(name: &str, wgsl: &str) -> Module {
        let module = naga::front::wgsl::parse_str(wgsl);
        let module = module.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(wgsl)));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
        let valid = validator.validate(&module);
        valid.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(wgsl)));
        module
    }

    /// Each shader as it is handed to a driver.
    fn shaders() -> Vec<(&'static str, Module)> {
        let minhash = MinHash::default().kernel().expect("it has one").wgsl;
        vec![("minhash", parse("minhash", &minhash)), ("pairs", parse("pairs", pairs::WGSL))]
    }

    /// The folder's shaders, and no others, are what is tested here.
    #[test]
    fn every_shader_is_valid_without_asking_for_more_than_every_device_has() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let files = std::fs::read_dir(folder).expect("the folder is there").flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        let there: BTreeSet<String> =
            names.filter_map(|name| name.strip_suffix(".wgsl").map(str::to_owned)).collect();
        let tested: BTreeSet<String> = shaders().iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(there, tested);
        for (name, module) in shaders() {
            let gctx = module.to_ctx();
            let globals = module.global_variables.iter().map(|(_, global)| global);
            let shared: u32 = globals
                .filter(|global| global.space == AddressSpace::WorkGroup)
                .map(|global| module.types[global.ty].inner.size(gctx))
                .sum();
            assert!(shared <= 16 << 10, "{name} takes {shared} bytes of workgroup memory");
            let [entry] = &module.entry_points[..] else { panic!("{name} has one entry") };
            assert!(entry.name == "main" && entry.workgroup_size.iter().product::<u32>() <= 256, "{name}");
            for (_, of) in module.types.iter() {
                let scalar = match of.inner {
                    TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => scalar,
                    _ => continue,
                };
                let is_bool = scalar.kind == naga::ScalarKind::Bool;
                let is_integer = matches!(scalar.kind, naga::ScalarKind::Uint | naga::ScalarKind::Sint);
                assert!(is_bool || (is_integer && scalar.width == 4), "{name} has numbers of {scalar:?}");
            }
        }
    }

    #[test]
    fn structures_are_as_large_on_both_sides() {
        #[track_caller]
        fn check(module: &Module, name: &str, expected: usize) {
            let found = module.types.iter().find(|(_, of)| of.name.as_deref() == Some(name));
            let size = found.map(|(_, of)| of.inner.size(module.to_ctx()) as usize);
            assert_eq!(size, Some(expected), "{name}");
        }
        let shaders = shaders();
        check(&shaders[0].1, "Call", size_of::<engine::Call>());
        check(&shaders[0].1, "Segment", size_of::<packing::Segment>());
        check(&shaders[1].1, "Call", size_of::<pairs::Call>());
        check(&shaders[1].1, "Hit", size_of::<pairs::Pair>());
    }
}
