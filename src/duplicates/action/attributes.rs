//! What hard links have in common beside their content: owner, group, mode, and extended attributes, with lists of who may
//! do what (ACLs) and labels of security modules among them.

use std::os::fd::OwnedFd;

use rustix::fs::{fgetxattr, flistxattr};
use rustix::io::Errno;

use super::act::Refusal;
use super::open::Opened;
use super::step::{Step, Steps};

/// That nothing would be lost about `other` if it had what `one` has.
pub(super) fn check_same_attributes(
    steps: &Steps<'_>,
    one: &Opened<'_>,
    other: &Opened<'_>,
) -> Result<(), Refusal> {
    let differs = |what: &str| Err(format!("it has another {what} than the kept file").into());
    if one.stat.st_uid != other.stat.st_uid {
        return differs("owner");
    }
    if one.stat.st_gid != other.stat.st_gid {
        return differs("group");
    }
    if one.stat.st_mode != other.stat.st_mode {
        return differs("mode");
    }
    let read = |file: &Opened<'_>| {
        steps
            .take(Step::Attributes, || attributes(&file.handle))
            .map_err(|errno| Step::Attributes.failed(file.name(), errno))
    };
    let (ours, theirs) = (read(one)?, read(other)?);
    let is_in = |all: &[Attribute], attribute: &Attribute| all.binary_search(attribute).is_ok();
    let only_one_has = ours
        .iter()
        .find(|attribute| !is_in(&theirs, attribute))
        .or_else(|| theirs.iter().find(|attribute| !is_in(&ours, attribute)));
    match only_one_has {
        Some((name, _)) => differs(&format!("extended attribute {}", name.escape_ascii())),
        None => Ok(()),
    }
}

/// Name and value.
type Attribute = (Vec<u8>, Vec<u8>);

/// All that the process may see, sorted.
fn attributes(handle: &OwnedFd) -> Result<Vec<Attribute>, Errno> {
    let names = match grow(|buffer| flistxattr(handle, buffer)) {
        // A file system without any.
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut found = names
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| Ok((name.to_vec(), grow(|buffer| fgetxattr(handle, name, buffer))?)))
        .collect::<Result<Vec<Attribute>, Errno>>()?;
    found.sort_unstable();
    Ok(found)
}

/// The kernel hands out no list and no value that is longer.
const BYTES_MAX: usize = 64 << 10;

/// What `read` reads, into a buffer that is large enough.
fn grow(mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 1 << 10];
    loop {
        match read(&mut buffer) {
            Err(Errno::RANGE) if buffer.len() < BYTES_MAX => buffer.resize(BYTES_MAX, 0),
            read => {
                buffer.truncate(read?);
                return Ok(buffer);
            }
        }
    }
}
