//! A user, a system and a repository with configurations of git, and the files that git and filemill list there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::binary::{filemill, text};
use crate::support::Tree;

/// A user, a system, a repository with a linked worktree, and files that match one pattern each.
pub(super) struct Scene {
    pub(super) tree: Tree,
    variables: BTreeMap<String, Option<String>>,
}

/// Files of patterns, each with a pattern of its own, as seen from the top of the scene.
const EXCLUDES: [&str; 7] = [
    "home/e1",
    "home/with blank/e2",
    "e3",
    "repository/e4",
    "home/.config/git/ignore",
    "xdg/git/ignore",
    "e;7",
];

const COMMIT: [&str; 9] =
    ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"];

impl Scene {
    /// `None` if git is not installed.
    pub(super) fn new() -> Option<Scene> {
        let tree = Tree::new();
        let top = tree.path().canonicalize().unwrap();
        let mut scene = Scene { tree, variables: BTreeMap::new() };
        let at = |name: &str| Some(top.join(name).to_str().unwrap().to_owned());
        for (name, value) in [
            ("HOME", at("home")),
            ("XDG_CONFIG_HOME", None),
            ("GIT_CONFIG_SYSTEM", at("system")),
            ("GIT_CONFIG_GLOBAL", None),
            ("GIT_CONFIG_NOSYSTEM", None),
            ("GIT_CONFIG_COUNT", None),
            ("GIT_CONFIG_PARAMETERS", None),
            ("LC_ALL", Some("C".to_owned())),
        ] {
            scene.set(name, value.as_deref());
        }
        for directory in ["home", "repository"] {
            scene.tree.directory(directory);
        }
        if Command::new("git").arg("--version").output().is_err() {
            println!("not tried: there is no git");
            return None;
        }
        scene.git("repository", &["init", "-q", "-b", "main"]);
        scene.git("repository", &COMMIT);
        scene.git("repository", &["worktree", "add", "-q", "-b", "topic/x", "../linked"]);
        for (i, name) in (1..).zip(EXCLUDES) {
            scene.tree.file(name, format!("*.e{i}\n"));
            for worktree in ["repository", "linked"] {
                scene.tree.file(format!("{worktree}/a.e{i}"), "x");
                scene.tree.file(format!("{worktree}/sub/b.E{i}"), "x");
            }
        }
        for worktree in ["repository", "linked"] {
            scene.tree.file(format!("{worktree}/.gitignore"), "*.Log\nDir/\n");
            for name in ["a.log", "b.Log", "dir/x", "Dir/x"] {
                scene.tree.file(format!("{worktree}/{name}"), "x");
            }
        }
        scene.tree.link("by-link", "repository");
        scene.tree.link("home/by-link", "../repository");
        Some(scene)
    }

    pub(super) fn set(&mut self, name: &str, value: Option<&str>) {
        self.variables.insert(name.to_owned(), value.map(str::to_owned));
    }

    pub(super) fn top(&self) -> PathBuf {
        self.tree.path().canonicalize().unwrap()
    }

    fn prepare(&self, command: &mut Command, place: &str) {
        let place = self.top().join(place);
        command.current_dir(&place).env("PWD", &place);
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }

    pub(super) fn git(&self, place: &str, arguments: &[&str]) {
        let mut git = Command::new("git");
        self.prepare(&mut git, place);
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }

    /// What git lists, or what it says when it refuses to.
    pub(super) fn git_lists(&self, place: &str) -> Result<Vec<String>, String> {
        let mut git = Command::new("git");
        self.prepare(&mut git, place);
        let output = git.args(["ls-files", "--others", "--exclude-standard", "-z"]).output().unwrap();
        match output.status.success() {
            true => Ok(names(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// What filemill meets, and what it says.
    pub(super) fn lists(&self, place: &str) -> (Vec<String>, String) {
        let mut command = filemill(&["scan", "--gitignore", "-a", "none", "--format", "paths", "-0"]);
        self.prepare(&mut command, place);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        (names(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    pub(super) fn check(&self, place: &str) -> Vec<String> {
        let expected = self.git_lists(place).unwrap();
        assert_eq!(self.lists(place), (expected.clone(), String::new()), "{place}");
        expected
    }
}

fn names(listed: &[u8]) -> Vec<String> {
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<_> = names.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
    names.sort();
    names
}
