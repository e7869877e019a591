//! The extended attributes of a file, ACLs and labels of security modules among them.

use std::os::fd::OwnedFd;

use rustix::fs::{fgetxattr, flistxattr};
use rustix::io::Errno;

/// Name and value.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// Returns all attributes that the process may see, sorted.
pub(super) fn attributes(handle: &OwnedFd) -> Result<Vec<Attribute>, Errno> {
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
