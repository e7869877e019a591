//! The file systems that records lie on: those of the roots for the first record, and that of a file on another one.

use std::path::Path;

use crate::keep::FileSystems;
use crate::plan::{Plan, Root};
use crate::record::{Record, bytes_to_path};

/// What JSON lines say of file systems.
#[derive(Debug, Default)]
pub(super) struct Places {
    file_systems: FileSystems,
    /// The device number of the first root: records of its files do not name it.
    home: Option<u64>,
    of_roots: Vec<Option<String>>,
    /// The device number of the last file elsewhere, and its identity in JSON.
    last: Option<(u64, Vec<u8>)>,
}

impl Places {
    /// Places of a run whose first root has this device number.
    #[cfg(test)]
    pub(super) fn at(home: u64) -> Places {
        Places { home: Some(home), ..Places::default() }
    }

    /// Looks at the roots of the command line. If all come from lists, the first of those stands for them.
    pub(super) fn new(plan: &Plan) -> Places {
        let file_systems = plan.file_systems.clone();
        let given = plan.roots.iter().filter(|root| !root.is_listed()).map(Root::path);
        let mut devices: Vec<_> = given.map(|path| file_systems.meet_path(path)).collect();
        if devices.is_empty() {
            let meet_entry =
                |entry| file_systems.meet_path(Path::new(&bytes_to_path(plan.listed.path(entry))));
            let entry = plan.listed.order().first().map(|met| meet_entry(met.entry()));
            let root = || plan.roots.first().map(|root| file_systems.meet_path(root.path()));
            devices.extend(entry.or_else(root));
        }
        let of_roots = devices.iter().map(|device| file_systems.identity((*device)?)).collect();
        Places { home: devices.first().copied().flatten(), of_roots, last: None, file_systems }
    }

    /// The identities of the file systems of the roots, in their order; `None`: it has none.
    pub(super) fn of_roots(&self) -> &[Option<String>] {
        &self.of_roots
    }

    /// Whether a device number is that of the first root.
    pub(super) fn is_home(&self, device: u64) -> bool {
        self.home == Some(device)
    }

    /// The identity of the file system of a file elsewhere, in JSON.
    pub(super) fn json(&mut self, record: &Record<'_>, device: u64) -> &[u8] {
        if self.last.as_ref().is_none_or(|(last, _)| *last != device) {
            if self.file_systems.by_device(device).is_none() {
                self.meet(record);
            }
            let identity = self.file_systems.identity(device);
            let json = serde_json::to_vec(&identity).unwrap_or_else(|_| b"null".to_vec());
            self.last = Some((device, json));
        }
        self.last.as_ref().map_or(b"null", |(_, json)| json)
    }

    /// Meets the file system of a file that the run did not open. Most likely its directory lies on the same one.
    fn meet(&self, record: &Record<'_>) {
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let mut path = Vec::new();
            record.path_to(&mut path);
            let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&path));
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            self.file_systems.meet_path(directory.unwrap_or(std::path::Path::new(".")));
        }
        #[cfg(not(unix))]
        let _ = (self, record);
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
mod tests {
    use super::*;
    use crate::plan::{Met, PathList};
    use crate::record::{Identity, Outcome};
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;

    #[test]
    fn each_root_has_its_file_system_and_a_file_elsewhere_names_its_own() {
        let device = |path: &str| std::fs::metadata(path).unwrap().dev();
        let mut places = Places::new(&Plan::new(["/proc", "/nowhere/at/all", "/sys"]));
        // Nothing identifies the files that the kernel makes up.
        assert_eq!(places.of_roots(), [None, None, None]);
        assert!(places.is_home(device("/proc")) && !places.is_home(device("/sys")));

        let here = tempfile::tempdir().unwrap();
        let at = here.path().to_str().unwrap();
        let expected = Places::new(&Plan::new([at])).of_roots()[0].clone();
        let record = Record {
            number: 0,
            directory: at.as_bytes(),
            name: b"f",
            outcome: Outcome::done(0, 0),
            values: &[],
        };
        let json = places.json(&record, device(at)).to_vec();
        assert_eq!(serde_json::from_slice::<Option<String>>(&json).unwrap(), expected);
        let unknown = Identity { device: u64::MAX, ..Identity::default() };
        assert_eq!(places.json(&record, unknown.device), b"null");
    }

    #[test]
    fn a_list_has_the_file_system_of_its_first_path() {
        let mut plan = Plan::new(["."; 0]);
        assert_eq!(Places::new(&plan).of_roots().len(), 0);
        plan.roots = vec![Root::listed("/proc"), Root::listed("/sys")];
        let places = Places::new(&plan);
        assert_eq!(
            (places.of_roots(), places.home),
            (&[None][..], Some(std::fs::metadata("/proc").unwrap().dev()))
        );
        let listed: PathList = ["/sys", "/proc"].map(PathBuf::from).iter().collect();
        let listed = listed.in_order(vec![Met::new(0, false), Met::new(1, false)]);
        let places = Places::new(&Plan { listed, ..Plan::new(["."; 0]) });
        assert_eq!(places.home, Some(std::fs::metadata("/sys").unwrap().dev()));
    }
}
