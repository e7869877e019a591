//! Compares two open files byte by byte.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, pread, retry_on_intr};

use super::act::Refusal;
use super::open::Opened;
use super::step::{Step, Steps};

/// What is said where it is so.
pub(super) const DIFFERS: &str = "its content differs";

/// Large enough that the calls cost nothing beside the copying. A guess, not measured.
const BLOCK_BYTES: usize = 1 << 20;

/// That both have the same content. `between` is called before each block, and may end it.
pub(super) fn check_same_content(
    steps: &Steps<'_>,
    one: &Opened,
    other: &Opened,
    mut between: impl FnMut() -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let block_bytes = usize::try_from(one.size().max(1)).map_or(BLOCK_BYTES, |size| size.min(BLOCK_BYTES));
    let (mut ours, mut theirs) = (vec![0; block_bytes], vec![0; block_bytes]);
    let mut offset = 0;
    while offset < one.size() {
        between()?;
        let ours = read(steps, one, offset, &mut ours)?;
        let theirs = read(steps, other, offset, &mut theirs)?;
        if ours.is_empty() || ours != theirs {
            return Err(DIFFERS.into());
        }
        offset += ours.len() as u64;
    }
    Ok(())
}

fn read<'b>(
    steps: &Steps<'_>,
    file: &Opened,
    offset: u64,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], Refusal> {
    steps
        .take(Step::Read, || read_full(&file.handle, offset, buffer))
        .map(|bytes| &buffer[..bytes])
        .map_err(|errno| Step::Read.failed(file.name(), errno))
}

/// Fills the buffer, but for the end of the file.
fn read_full(handle: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match retry_on_intr(|| pread(handle, &mut buffer[filled..], offset + filled as u64))? {
            0 => break,
            bytes => filled += bytes,
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
mod tests {
    use super::super::open::Role;
    use super::super::scene::Scene;
    use super::*;
    use crate::faults::Faults;

    #[test]
    fn every_byte_counts() {
        #[track_caller]
        fn check(bytes: usize, differing: Option<usize>) {
            let mut content = vec![7; bytes];
            let scene = Scene::new(&content);
            if let Some(at) = differing {
                content[at] = 8;
                scene.file("replace", &content);
            }
            let faults = Faults::default();
            let steps = Steps::new(&faults);
            let (keep, replace) = (scene.place("keep"), scene.place("replace"));
            let keep = Opened::open(&steps, &keep, Role::Kept).unwrap();
            let replace = Opened::open(&steps, &replace, Role::Replaced).unwrap();
            let compared = check_same_content(&steps, &keep, &replace, || Ok(()));
            assert_eq!(compared.is_ok(), differing.is_none(), "{bytes} bytes, {differing:?}");
        }
        for bytes in [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES + 3] {
            check(bytes, None);
            for at in [0, bytes / 2, bytes - 1] {
                check(bytes, Some(at));
            }
        }
    }
}
