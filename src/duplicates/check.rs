//! Refuses searches that contradict themselves, or that cannot do what they are to do, before anything is read.

use super::{Directories, Search};
use crate::error::Error;
use crate::plan::Plan;
use crate::walk::roots::{self, Resolved};

impl Search {
    /// Refuses what contradicts itself or cannot work.
    ///
    /// # Errors
    /// [`Error::Plan`], which says what and why; [`Error::Root`] when a reference is not there.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Plan(why.to_owned()));
        self.plan.check()?;
        let mut left_out = Vec::new();
        if self.is_across && resolved_roots(&self.plan, &mut left_out)? < 2 {
            let why = "--across needs at least two paths";
            left_out.insert(0, why.to_owned());
            return refuse(&left_out.join("; "));
        }
        if let Some(Directories::Similar(share)) = self.directories
            && !(share > 0.0 && share <= 1.0)
        {
            return refuse("the share that similar directories have in common must be above 0 and at most 1");
        }
        if self.directories.is_some() && self.plan.filter.depth_max.is_some() {
            return refuse("directories cannot be compared to a depth: files below it may differ");
        }
        if self.directories.is_some() && self.plan.filter.follow {
            return refuse("directories cannot be compared through links: one may be met twice");
        }
        if self.directories.is_some() && (self.is_across || !self.references.is_empty()) {
            return refuse(
                "directories are searched for everywhere: neither across paths alone nor beside a reference",
            );
        }
        if self.action.is_some() && self.directories.is_some() {
            return refuse("actions are about files: they cannot be combined with directories");
        }
        if self.action.is_some() && self.plan.filter.follow {
            return refuse(
                "nothing can be done about files behind links: leave out either the action or the links",
            );
        }
        if self.rounds.head_bytes == 0 || self.rounds.tail_bytes == 0 {
            return refuse("head_bytes and tail_bytes must be at least 1");
        }
        if let Some(near) = &self.near {
            near.check(self)?;
        }
        super::references::resolve(self)?;
        if self.action.is_some() && self.applies {
            self.check_writable()?;
        }
        Ok(())
    }

    /// One message instead of one for each file.
    fn check_writable(&self) -> Result<(), Error> {
        if !cfg!(target_os = "linux") {
            return Err(Error::Plan("this system cannot act on files that are the same".to_owned()));
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{StatVfsMountFlags, statvfs};
            let Plan { roots, listed, .. } = &self.plan;
            // An entry of a list lies in its folder, which is looked at once.
            let folders = (0..listed.folders()).map(|folder| match listed.folder(folder) {
                b"" => &b"."[..],
                folder => folder,
            });
            let places = roots.iter().map(|root| root.path().as_os_str().as_encoded_bytes()).chain(folders);
            for place in places {
                if statvfs(place).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY)) {
                    let path = String::from_utf8_lossy(place);
                    return Err(Error::Plan(format!(
                        "{path}: nothing can be changed there: the file system is read-only"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// How many roots are left, and entries of the list, when those are left out that another one leads to.
fn resolved_roots(plan: &Plan, notes: &mut Vec<String>) -> Result<usize, Error> {
    let Resolved { roots, listed, .. } = roots::resolve(plan, notes)?;
    Ok(roots.len() + listed.len())
}
