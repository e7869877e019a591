//! The configuration of git, by git's own word: whatever it says, the files that git lists are the files that are met.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;
use proptest::sample::select;

use crate::binary::{filemill, text};
use crate::support::Tree;

/// A user, a system, a repository with a linked worktree, and files that match one pattern each.
struct Scene {
    tree: Tree,
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
    fn new() -> Option<Scene> {
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

    fn set(&mut self, name: &str, value: Option<&str>) {
        self.variables.insert(name.to_owned(), value.map(str::to_owned));
    }

    fn top(&self) -> PathBuf {
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

    fn git(&self, place: &str, arguments: &[&str]) {
        let mut git = Command::new("git");
        self.prepare(&mut git, place);
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }

    /// What git lists, or what it says when it refuses to.
    fn git_lists(&self, place: &str) -> Result<Vec<String>, String> {
        let mut git = Command::new("git");
        self.prepare(&mut git, place);
        let output = git.args(["ls-files", "--others", "--exclude-standard", "-z"]).output().unwrap();
        match output.status.success() {
            true => Ok(names(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// What filemill meets, and what it says.
    fn lists(&self, place: &str) -> (Vec<String>, String) {
        let mut command = filemill(&["scan", "--gitignore", "-a", "none", "--format", "paths", "-0"]);
        self.prepare(&mut command, place);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        (names(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    fn check(&self, place: &str) -> Vec<String> {
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

/// A path in a value, in one of the ways to write it. `TOP` stands for the top of the scene.
fn value() -> impl Strategy<Value = String> {
    let plain = select(vec![
        "~/e1",
        "TOP/e3",
        "e4",
        "../e3",
        "TOP/e;7",
        "~/with blank/e2",
        "",
        "~/missing",
        "TOP/repository/e4",
        "TOP/home/.config/git/ignore",
        "~root/missing",
        "TOP//e3",
        "~/../e3",
        ".",
        "TOP/e3/",
    ]);
    (plain, 0..5).prop_map(|(path, style)| match style {
        0 => format!("\"{path}\""),
        1 => format!("{path} ; e3"),
        2 => format!("  {path}\t# ~/e1"),
        3 if !path.is_empty() => format!("\"{}\"{}", &path[..1], &path[1..]),
        _ => path.to_owned(),
    })
}

fn condition() -> impl Strategy<Value = &'static str> {
    select(vec![
        "gitdir:TOP/",
        "gitdir:TOP/repository/",
        "gitdir:TOP/repository/.git",
        "gitdir:repository/",
        "gitdir:repository/.git",
        "gitdir:**/.git",
        "gitdir/i:TOP/REPOSITORY/",
        "gitdir/i:Repository/.GIT",
        "gitdir:~/",
        "gitdir:~/by-link/",
        "gitdir:TOP/by-link/",
        "gitdir:./",
        "gitdir:./repository/",
        "gitdir:./.git",
        "gitdir/i:./REPOSITORY/",
        "gitdir:TOP/repo*/.git",
        "gitdir:TOP/*",
        "gitdir:*",
        "gitdir:worktrees/linked",
        "gitdir:TOP/repository/.git/worktrees/",
        "gitdir:",
        "gitdir:~nobody-there/",
        "onbranch:main",
        "onbranch:ma*",
        "onbranch:topic/",
        "onbranch:topic/**",
        "onbranch:*",
        "onbranch:**",
        "onbranch:Main",
        "onbranch:",
        "hasconfig:remote.*.url:https://example.org/**",
        "hasconfig:remote.*.url:*",
        "hasconfig:remote.*.url:**",
        "hasconfig:remote.*.url:ssh://x/y",
        "hasconfig:remote.x.url:**",
        "nonsense",
        "GITDIR:TOP/",
        "",
    ])
}

fn line() -> impl Strategy<Value = String> {
    let core = select(vec![
        "[core]\n\t",
        "[core] ",
        "[CORE]\n",
        "[core \"sub\"]\n",
        "[other]\n",
        "[core]\n[core]",
        "",
    ]);
    let key = select(vec!["excludesFile", "excludesfile", "EXCLUDESFILE"]);
    let included = select(vec![
        "a.inc",
        "~/b.inc",
        "TOP/c.inc",
        "missing.inc",
        "TOP/repository/.git/a.inc",
        "../c.inc",
        "\"TOP/d .inc\"",
    ]);
    let ignore_case =
        select(vec!["true", "false", "yes", "off", "1", "0", "\"\"", "TRUE ; x", "1k", "+1", "0x0"]);
    let url = select(vec!["https://example.org/x/y", "ssh://x/y", "plain"]);
    prop_oneof![
        6 => (core, key, value()).prop_map(|(core, key, value)| format!("{core}{key} = {value}\n")),
        3 => ignore_case.prop_map(|value| format!("[core]\nignoreCase={value}\n")),
        1 => Just("[core]\nignorecase\n".to_owned()),
        3 => included.clone().prop_map(|path| format!("[include]\npath = {path}\n")),
        5 => (condition(), included, any::<bool>()).prop_map(|(condition, path, one_line)| {
            let (name, end) = if one_line { ("includeif", " ") } else { ("includeIf", "\n\t") };
            format!("[{name} \"{condition}\"]{end}path = {path}\n")
        }),
        1 => url.prop_map(|url| format!("[remote \"origin\"]\n\turl = {url}\n\tfetch = +refs/*:refs/*\n")),
        1 => Just("# [core] excludesFile = ~/e1\n; x\n\n".to_owned()),
        1 => Just("[branch \"x\"]\nremote = \\\n\torigin ; x\r\n".to_owned()),
        1 => Just("[core] excludesFile = TO\\\nP/e3\n".to_owned()),
    ]
}

fn config() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..4).prop_map(|lines| lines.concat())
}

#[derive(Debug, Clone)]
struct Case {
    files: BTreeMap<&'static str, String>,
    /// Lines for the repository's own files, after what git wrote there.
    own: String,
    of_worktree: Option<(String, String)>,
    global: bool,
    xdg: Option<&'static str>,
    no_system: Option<&'static str>,
    environment: Vec<(String, String)>,
    parameters: Option<String>,
    place: &'static str,
}

fn case() -> impl Strategy<Value = Case> {
    let names = [
        "home/.gitconfig",
        "home/.config/git/config",
        "xdg/git/config",
        "system",
        "global",
        "home/a.inc",
        "home/b.inc",
        "c.inc",
        "d .inc",
        "a.inc",
        "repository/.git/a.inc",
    ];
    let files =
        prop::collection::vec(prop::option::weighted(0.6, config()), names.len()).prop_map(move |texts| {
            names.into_iter().zip(texts).filter_map(|(name, text)| Some((name, text?))).collect()
        });
    let variable = prop_oneof![
        (select(vec!["core.excludesFile", "CORE.EXCLUDESFILE"]), select(vec!["TOP/e3", "~/e1", "", "e4"])),
        (Just("include.path"), select(vec!["TOP/c.inc", "~/b.inc"])),
        (Just("includeIf.onbranch:main.path"), Just("~/b.inc")),
        (Just("core.ignorecase"), select(vec!["true", "", "no"])),
        (Just("other.excludesFile"), Just("~/e1")),
    ];
    let variables = prop::collection::vec(variable, 0..3).prop_map(|variables| {
        variables.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    });
    let parameters = prop::option::weighted(
        0.2,
        select(vec![
            "'core.excludesfile'='TOP/e3'",
            "'core.excludesfile=~/e1'",
            "'core.ignorecase'",
            "'core.ignorecase'= 'a.b=c'",
        ]),
    );
    (
        files,
        config(),
        prop::option::weighted(0.3, (config(), config())),
        prop::bool::weighted(0.2),
        select(vec![None, None, Some(""), Some("TOP/xdg")]),
        select(vec![None, None, Some("1"), Some("false")]),
        variables,
        parameters,
        select(vec!["repository", "linked", "by-link", "home/by-link"]),
    )
        .prop_map(|(files, own, of_worktree, global, xdg, no_system, environment, parameters, place)| {
            Case {
                files,
                own,
                of_worktree,
                global,
                xdg,
                no_system,
                environment,
                parameters: parameters.map(str::to_owned),
                place,
            }
        })
}

impl Case {
    fn set_up(&self, scene: &mut Scene) {
        let top = scene.top().to_str().unwrap().to_owned();
        let full = |text: &str| text.replace("TO\\\nP", &top).replace("TOP", &top);
        for (name, text) in &self.files {
            scene.tree.file(name, full(text));
        }
        let append = |name: &str, text: &str| {
            let path = scene.tree.at(name);
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(path, before + &full(text)).unwrap();
        };
        append("repository/.git/config", &self.own);
        if let Some((main, linked)) = &self.of_worktree {
            append("repository/.git/config", "[extensions]\nworktreeConfig = true\n");
            append("repository/.git/config.worktree", main);
            append("repository/.git/worktrees/linked/config.worktree", linked);
        }
        scene.set("GIT_CONFIG_GLOBAL", self.global.then(|| full("TOP/global")).as_deref());
        scene.set("XDG_CONFIG_HOME", self.xdg.map(full).as_deref());
        scene.set("GIT_CONFIG_NOSYSTEM", self.no_system);
        scene.set("GIT_CONFIG_COUNT", Some(&self.environment.len().to_string()));
        for (i, (key, value)) in self.environment.iter().enumerate() {
            scene.set(&format!("GIT_CONFIG_KEY_{i}"), Some(key));
            scene.set(&format!("GIT_CONFIG_VALUE_{i}"), Some(&full(value)));
        }
        scene.set("GIT_CONFIG_PARAMETERS", self.parameters.as_deref().map(full).as_deref());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_configuration_is_read_as_git_reads_it(case in case()) {
        let Some(mut scene) = Scene::new() else { return Ok(()) };
        case.set_up(&mut scene);
        let (met, notes) = scene.lists(case.place);
        match scene.git_lists(case.place) {
            Ok(expected) => prop_assert_eq!(met, expected, "{}", notes),
            // To learn the remotes, git reads files whose condition may not hold, and stops at their faults.
            Err(_) if format!("{case:?}").contains("hasconfig") => {}
            // Git gives no answer to compare with. filemill must still give a note.
            Err(why) => prop_assert!(!notes.is_empty(), "{}", why),
        }
    }
}

#[test]
fn each_way_to_write_it_is_read() {
    let Some(mut scene) = Scene::new() else { return };
    let own = std::fs::read_to_string(scene.tree.at("repository/.git/config")).unwrap();
    let top = scene.top().to_str().unwrap().to_owned();
    scene.tree.file("a.inc", format!("[core]\nexcludesFile = {top}/e3\n"));
    scene.tree.file("remote.inc", "[remote \"x\"]\nurl = https://example.org/x\n");
    let e3 = format!("{top}/e3");
    for (text, left_out) in [
        (format!("[core]\n\texcludesFile = {e3}\n"), "a.e3"),
        ("[core]\nexcludesFile = \"~/with blank/e2\" ; why\n".to_owned(), "a.e2"),
        (format!("[core]\nexcludesFile = ~/e1 # why\nexcludesFile = {e3}\n"), "a.e3"),
        (format!("[core] excludesFile={e3}"), "a.e3"),
        (format!("[other]\nexcludesFile = {e3}\n[core \"x\"]\nexcludesFile = {e3}\n"), "a.e5"),
        (format!("[include] path = {top}/a.inc"), "a.e3"),
        ("[include] path = ../../a.inc".to_owned(), "a.e3"),
        (format!("[includeIf \"gitdir:{top}/\"] path = {top}/a.inc"), "a.e3"),
        (format!("[includeif \"gitdir/i:{}/\"] path = {top}/a.inc", top.to_uppercase()), "a.e3"),
        (format!("[includeIf \"onbranch:ma*\"] path = {top}/a.inc"), "a.e3"),
        (
            format!(
                "[include] path = {top}/remote.inc\n\
                 [includeIf \"hasconfig:remote.*.url:https://example.org/**\"] path = {top}/a.inc"
            ),
            "a.e3",
        ),
        ("[core]\nignoreCase = true\nexcludesFile = ~/e1\n".to_owned(), "sub/b.E1"),
        ("[core]\nexcludesFile = e4\n[core]\nexcludesFile =\n".to_owned(), ""),
        ("[extensions]\nworktreeConfig = on\n".to_owned(), "a.e4"),
    ] {
        scene.tree.file("repository/.git/config", format!("{own}{text}"));
        scene
            .tree
            .file("repository/.git/config.worktree", format!("[core] excludesFile = {top}/repository/e4"));
        let met = scene.check("repository");
        assert!(left_out.is_empty() || !met.iter().any(|name| name == left_out), "{text}: {met:?}");
        scene.check("linked");
        scene.check("repository/sub");
    }
    scene.tree.file("repository/.git/config", own);
    scene.set("GIT_CONFIG_COUNT", Some("1"));
    scene.set("GIT_CONFIG_KEY_0", Some("core.excludesFile"));
    scene.set("GIT_CONFIG_VALUE_0", Some("~/e1"));
    assert!(!scene.check("repository").contains(&"a.e1".to_owned()));
}

#[test]
fn what_is_no_repository_has_no_configuration() {
    let Some(scene) = Scene::new() else { return };
    // Directories and files of the name alone make none: the one above goes on.
    scene.tree.file("repository/.gitignore", "*.e1\n");
    scene.tree.directory("repository/sub/.git");
    scene.tree.file("repository/other/.git", "gitdir: nowhere\n");
    scene.tree.file("repository/other/c.e1", "x");
    scene.tree.file("repository/other/c.e2", "x");
    let met = scene.check("repository");
    assert!(met.contains(&"other/c.e2".to_owned()) && !met.contains(&"other/c.e1".to_owned()), "{met:?}");
}

#[test]
fn the_configuration_of_another_user_is_not_read() {
    let Some(mut scene) = Scene::new() else { return };
    if !rustix::process::geteuid().is_root() {
        println!("not tried: only root can give a repository to another user");
        return;
    }
    let config = scene.tree.at("repository/.git/config");
    let own = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{own}[core]\nexcludesFile = {}/e3\n", scene.top().display())).unwrap();
    assert!(!scene.check("repository").contains(&"a.e3".to_owned()));
    for name in ["repository", "repository/.git"] {
        std::os::unix::fs::chown(scene.tree.at(name), Some(12345), None).unwrap();
    }
    assert!(scene.git_lists("repository").unwrap_err().contains("dubious ownership"));
    let (met, note) = scene.lists("repository");
    let top = scene.top();
    let expected = format!(
        "filemill: {}: its configuration of git is not read: another user owns it, and safe.directory of git does not list it\n",
        top.join("repository").display()
    );
    assert_eq!(note, expected);
    assert!(met.contains(&"a.e3".to_owned()));
    for allowed in ["*".to_owned(), format!("{}/*", top.display()), format!("{}/by-link", top.display())] {
        scene
            .tree
            .file("home/.gitconfig", format!("[safe]\ndirectory = /x\n[safe]\ndirectory = {allowed}\n"));
        assert!(!scene.check("repository").contains(&"a.e3".to_owned()), "{allowed}");
    }
    for refused in ["/*", "", "repository", "~"] {
        scene.tree.file("home/.gitconfig", format!("[safe]\ndirectory = {refused}\n"));
        let is_allowed_by_git = scene.git_lists("repository").is_ok();
        let (_, note) = scene.lists("repository");
        assert_eq!(note.is_empty(), is_allowed_by_git, "{refused}: {note}");
    }
    scene.tree.file("home/.gitconfig", "");
    scene.set("SUDO_UID", Some("12345"));
    assert!(!scene.check("repository").contains(&"a.e3".to_owned()));
}

#[test]
fn hostile_configurations_are_noted_and_end() {
    let Some(scene) = Scene::new() else { return };
    let own = std::fs::read_to_string(scene.tree.at("repository/.git/config")).unwrap();
    let place = scene.top();
    let at = |name: &str| place.join(name);
    crate::support::fifo(&at("pipe"));
    scene.tree.directory("directory");
    std::fs::File::create(at("huge")).unwrap().set_len(1 << 30).unwrap();
    scene.tree.file("broken", "[core]\nx = \"a\n");
    scene.tree.file("cycle", "[include] path = cycle\n".repeat(1000));
    for i in 0..9 {
        scene.tree.file(format!("wide{i}"), format!("[include] path = wide{}\n", i + 1).repeat(1000));
    }
    scene.tree.file("wide9", "");
    for (name, why) in [
        ("pipe", "it is no regular file"),
        ("directory", "it is no regular file"),
        ("huge", "it is larger than 1 MiB"),
        ("broken", "git would not understand line 2"),
        ("cycle", "too many files include each other"),
        ("wide0", "too many files include each other"),
    ] {
        let path = at(name).display().to_string();
        let text = format!("{own}[include]\npath = {path}\n[core]\nexcludesFile = ~/e1\n");
        scene.tree.file("repository/.git/config", text);
        let (met, notes) = scene.lists("repository");
        assert_eq!(notes.lines().count(), 1, "{notes}");
        assert!(notes.contains(name.trim_end_matches('0')) && notes.trim_end().ends_with(why), "{notes}");
        // What stands around it counts.
        assert!(!met.contains(&"a.e1".to_owned()) && met.contains(&"a.e2".to_owned()), "{name}: {met:?}");
    }
    // The file itself.
    for (name, why) in [("pipe", "it is no regular file"), ("huge", "it is larger than 1 MiB")] {
        std::fs::remove_file(at("repository/.git/config")).unwrap();
        std::fs::rename(at(name), at("repository/.git/config")).unwrap();
        let (met, notes) = scene.lists("repository");
        assert!(notes.trim_end().ends_with(why) && notes.lines().count() == 1, "{notes}");
        assert!(met.contains(&"a.e1".to_owned()));
    }
    // Files of patterns.
    scene.tree.file("repository/.git/config", own);
    scene.tree.directory("repository/sub/.gitignore");
    scene.tree.link("repository/dir/.gitignore", "../.gitignore");
    let (_, notes) = scene.lists("repository");
    assert_eq!(notes.matches(".gitignore: its patterns are not read: ").count(), 2, "{notes}");
}
