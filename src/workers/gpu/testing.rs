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
