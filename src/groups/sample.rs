//! Catalogs for tests, written down as lines.

use std::collections::HashMap;

use super::{Catalog, Contents, DirectoryId, Identical, Other, identical};
use crate::record::Identity;

/// A catalog, its contents and where its links lead to.
pub(super) struct Sample {
    pub(super) catalog: Catalog,
    pub(super) contents: Contents,
    pub(super) targets: HashMap<Vec<u8>, Vec<u8>>,
}

/// What lies below the roots. A line is `directory/`, `file=content`, `file=?` (it could not be read), `link>target`,
/// `link>?`, `fifo|`, `socket%` or `unknown?`; the directories on the way are listed as well.
pub(super) fn sample<S: AsRef<str>>(roots: &[&str], lines: &[S]) -> Sample {
    let mut catalog = Catalog::new(roots.iter().map(|root| root.as_bytes()));
    let (mut tokens, mut known, mut targets) = (Vec::new(), HashMap::new(), HashMap::new());
    for line in lines.iter().map(AsRef::as_ref) {
        let end = line.find(['=', '>', '|', '%', '?']).unwrap_or(line.len());
        let (path, what) = line.split_at(end);
        let slash = path.rfind('/');
        let directory = list(&mut catalog, roots, slash.map_or("", |slash| &path[..slash]));
        let name = &path[slash.map_or(0, |slash| slash + 1)..];
        let other = match what.as_bytes() {
            [] => continue,
            [b'=', content @ ..] => {
                let file = catalog.add_file(
                    &directory,
                    name.as_bytes(),
                    content.len() as u64,
                    0,
                    Identity::default(),
                );
                let next = 7 * known.len() as u64;
                let token = (content != b"?").then(|| *known.entry(content.to_vec()).or_insert(next));
                tokens.push((file, token));
                continue;
            }
            [b'>', target @ ..] => {
                if target != b"?" {
                    targets.insert(path.as_bytes().to_vec(), target.to_vec());
                }
                Other::Symlink
            }
            b"|" => Other::Fifo,
            b"%" => Other::Socket,
            _ => Other::Unknown,
        };
        catalog.add_other(&directory, name.as_bytes(), other);
    }
    let mut contents = Contents::new(tokens.len());
    for (file, token) in tokens {
        if let Some(token) = token {
            contents.set(file, token);
        }
    }
    Sample { catalog, contents, targets }
}

/// Adds a directory and those it lies in, up to its root; gives its path as it is shown.
fn list(catalog: &mut Catalog, roots: &[&str], path: &str) -> Vec<u8> {
    if let Some(root) = roots.iter().find(|root| **root == path || root.strip_suffix('/') == Some(path)) {
        catalog.add_directory(root.as_bytes());
        return root.as_bytes().to_vec();
    }
    catalog.add_directory(path.as_bytes());
    if !path.is_empty() {
        list(catalog, roots, path.rfind('/').map_or("", |slash| &path[..slash]));
    }
    path.as_bytes().to_vec()
}

impl Sample {
    pub(super) fn identical(&self) -> Identical {
        identical(&self.catalog, &self.contents, &mut |link| self.targets.get(link).cloned())
    }

    pub(super) fn path(&self, directory: DirectoryId) -> String {
        String::from_utf8_lossy(self.catalog.directory_path(directory)).into_owned()
    }

    /// All directories, by path.
    pub(super) fn directories(&self) -> Vec<String> {
        let mut paths: Vec<_> = super::tree::ids(&self.catalog).map(|id| self.path(id)).collect();
        paths.sort_by(|a, b| a.split('/').cmp(b.split('/')));
        paths
    }
}

/// Lines of small random trees below `r`, in random order: few names and contents, so that many are alike.
pub(super) fn lines() -> impl proptest::strategy::Strategy<Value = Vec<String>> {
    use proptest::prelude::*;
    let directory = proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 0..4);
    let what = prop_oneof![
        8 => Just("f=x"), 4 => Just("f=yy"), 8 => Just("g=x"), 4 => Just("g=yyy"), 2 => Just("h=wwwwwwww"),
        2 => Just("h="), 2 => Just("l>one"), 2 => Just("l>two"), 1 => Just("l>?"), 1 => Just("u?"), 1 => Just("f=?"),
        1 => Just("p|"), 1 => Just("p%"), 2 => Just(""),
    ];
    proptest::collection::vec((directory, what), 1..40).prop_map(|entries| {
        let mut named = HashMap::new();
        let mut lines = Vec::new();
        for (directory, what) in entries {
            let directory: String = directory.iter().map(|name| format!("{name}/")).collect();
            // Of two entries of one name the first.
            let name = format!("r/{directory}{}", what.get(..1).unwrap_or(""));
            if named.insert(name, ()).is_none() {
                lines.push(format!("r/{directory}{what}"));
            }
        }
        lines
    })
}
