//! Removes temporary links that an earlier run left because it was killed, if their content has another name.
//!
//! A run may be at work in the same directory: it holds a shared lock on it while it has temporary links there. Where locks do
//! not work, the order below keeps the promise alone: the link first gets a name that no other program knows, then it is
//! compared with the other name of its file, and only then it is removed.

use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, RenameFlags, Stat, flock, fstat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::act::Refusal;
use super::hardlink::unguessable_name;
use super::open::{is_same_file, number};
use super::step::{Step, Steps};
use crate::faults::Faults;

/// Removes the name `link` in `directory` if `other`, in the directory beside it, is another name of the same file.
pub(crate) fn remove_leftover(
    (directory, link): (BorrowedFd<'_>, &[u8]),
    other: (BorrowedFd<'_>, &[u8]),
    faults: &Faults,
) -> Result<(), Refusal> {
    let steps = &Steps::new(faults);
    let failed = |step: Step| move |errno| step.failed("the temporary link", errno);
    // Without locks the checks below are enough.
    if flock(directory, FlockOperation::NonBlockingLockExclusive) == Err(Errno::AGAIN) {
        return Err("another run of filemill is at work in its directory".into());
    }
    let _unlock = Unlock(directory);
    let known = look(steps, (directory, link)).map_err(failed(Step::Status))?;
    check_redundant(steps, &known, other)?;
    if same_entry(steps, (directory, link), other).map_err(failed(Step::Status))? {
        return Err("no other name of its content was found".into());
    }
    let hidden = unguessable_name();
    let rename =
        |from: &[u8], to: &[u8]| renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE);
    steps.take(Step::Exchange, || rename(link, hidden.as_bytes())).map_err(failed(Step::Exchange))?;
    let verified = look(steps, (directory, hidden.as_bytes()))
        .map_err(failed(Step::Status))
        .and_then(
            |now| if is_same_file(&now, &known) { Ok(()) } else { Err("another file took its name".into()) },
        )
        .and_then(|()| check_redundant(steps, &known, other));
    let removed = verified.and_then(|()| {
        steps
            .take(Step::Unlink, || unlinkat(directory, hidden.as_str(), AtFlags::empty()))
            .map_err(failed(Step::Unlink))
    });
    removed.map_err(|refusal| match rename(hidden.as_bytes(), link) {
        Ok(()) => refusal,
        Err(_) => format!("{refusal}; it is called {hidden} now").into(),
    })
}

/// Gives the lock on a directory back: this run may reach the directory by another handle next.
struct Unlock<'d>(BorrowedFd<'d>);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        // The lock ends with the handle at the latest.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Checks that the file has another name, and that `other` is one of its names.
fn check_redundant(steps: &Steps<'_>, known: &Stat, other: (BorrowedFd<'_>, &[u8])) -> Result<(), Refusal> {
    let there =
        look(steps, other).map_err(|errno| Step::Status.failed("the other name of its file", errno))?;
    let is_regular = FileType::from_raw_mode(known.st_mode) == FileType::RegularFile;
    if is_regular && is_same_file(known, &there) && number(there.st_nlink) > 1 {
        return Ok(());
    }
    Err("no other name of its content was found".into())
}

fn look(steps: &Steps<'_>, (directory, name): (BorrowedFd<'_>, &[u8])) -> Result<Stat, Errno> {
    steps.take(Step::Status, || statat(directory, name, AtFlags::SYMLINK_NOFOLLOW))
}

/// Whether two names are one: the same in the same directory, whichever mounts it was reached by.
fn same_entry(
    steps: &Steps<'_>,
    (one, name): (BorrowedFd<'_>, &[u8]),
    (other, other_name): (BorrowedFd<'_>, &[u8]),
) -> Result<bool, Errno> {
    let directory = |of: BorrowedFd<'_>| steps.take(Step::Status, || fstat(of));
    Ok(name == other_name && is_same_file(&directory(one)?, &directory(other)?))
}
