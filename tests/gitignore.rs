//! What git would leave out, by git's own word: in a repository where nothing is tracked, the files that it lists are the
//! files that are met.

use std::path::Path;
use std::process::Command;

use filemill::plan::{Filter, Plan, Sort, Walker};

use crate::support::{Tree, scan};

/// Runs git, without the settings of whoever runs the tests; `None` where there is no git.
fn git(place: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut git = Command::new("git");
    git.args(arguments)
        .current_dir(place)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null");
    match git.output() {
        Ok(output) => {
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(output.stdout)
        }
        Err(error) => {
            println!("not tried: there is no git: {error}");
            None
        }
    }
}

fn with_gitignore(root: &Path) -> Plan {
    Plan { filter: Filter { gitignore: true, ..Filter::default() }, ..Plan::new([root]) }
}

/// Compares what is met below `root` with what git lists there.
#[track_caller]
fn check(root: &Path) -> usize {
    let Some(listed) = git(root, &["ls-files", "--others", "--exclude-standard", "-z"]) else {
        return usize::MAX;
    };
    let entries = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    // A repository within this one answers for itself; git names it alone.
    let mut expected: Vec<_> =
        entries.filter(|path| !path.ends_with(b"/")).map(|path| path.escape_ascii().to_string()).collect();
    expected.sort();
    let nested: Vec<_> = walkdir::WalkDir::new(root)
        .min_depth(2)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_name() == ".git")
        .map(|entry| entry.path().parent().unwrap().strip_prefix(root).unwrap().to_owned())
        .collect();
    for (walker, sort) in
        [(Walker::Handles, Sort::None), (Walker::Handles, Sort::Path), (Walker::Portable, Sort::None)]
    {
        let records = scan(&Plan { walker, sort, ..with_gitignore(root) }).0;
        let is_nested = |path: &String| nested.iter().any(|nested| Path::new(path).starts_with(nested));
        let met: Vec<_> = records.into_keys().filter(|path| !is_nested(path)).collect();
        assert_eq!(met, expected, "{root:?} {walker:?} {sort:?}");
    }
    expected.len()
}

#[test]
fn patterns_of_the_tree_of_the_repository_and_above() {
    let tree = Tree::new();
    tree.directory("repository");
    if git(&tree.at("repository"), &["init", "-q"]).is_none() {
        return;
    }
    tree.file("repository/.git/info/exclude", "*.bak\n");
    tree.file(
        "repository/.gitignore",
        "\u{feff}*.o\r\n/build/\n!keep.o\nlogs/*.txt\n# no.c\n\\#odd\ntrailing   \nkept\\ \ntabbed\t\n",
    );
    tree.file("repository/src/.gitignore", "!special.o\n/generated\n**/deep/x\n");
    tree.file("repository/src/sub/.gitignore", "*\n!.gitignore\n!*/\n!*.md\n");
    let module = tree.directory("repository/module");
    git(&module, &["init", "-q"]);
    for name in [
        "a.o",
        "keep.o",
        "a.c",
        "no.c",
        "#odd",
        "trailing",
        "kept ",
        "tabbed",
        "tabbed\t",
        "a.bak",
        "build/x",
        "src/build/x",
        "logs/a.txt",
        "logs/a.md",
        "src/logs/a.txt",
        "src/special.o",
        "src/other.o",
        "src/generated",
        "src/a/generated",
        "src/a/deep/x",
        "src/sub/a",
        "src/sub/a.md",
        "src/sub/b/c.md",
        "src/sub/b/c",
        "module/a.o",
        "module/a.c",
    ] {
        tree.file(format!("repository/{name}"), "x");
    }
    assert!(check(&tree.at("repository")) >= 14);
    assert!(check(&tree.at("repository/src")) >= 7);
    assert!(check(&tree.at("repository/src/sub")) >= 3);
    let records = scan(&with_gitignore(&tree.at("repository"))).0;
    assert!(records.contains_key("module/a.o") && records.contains_key("module/a.c"));
    // A root that git would leave out is read all the same, and is no part of the other.
    let roots = [tree.at("repository"), tree.at("repository/build")];
    let both = scan(&Plan { roots: roots.map(Into::into).into(), ..with_gitignore(tree.path()) }).0;
    assert!(both.contains_key("build/x") && both.contains_key("a.c"), "{both:?}");
}

#[test]
fn patterns_are_read_as_git_reads_them() {
    let names = [
        "lib/a",
        "libx",
        "liby",
        ".env/x",
        ".env.local",
        "a.js",
        "a.map",
        "a.{js,map}",
        "{a",
        "1x",
        "ax",
        " y",
        "foo[",
        "foo",
        "b/c",
        "b",
        "a/x/ab",
        "axab",
        "ab",
        "sub/b",
        "sub/deep/b",
        "x.TXT",
        "x.txt",
        "[z]",
        "z",
        "back\\slash",
        "d/e/f/g",
        "d/g",
        "~",
        "a-b",
        "a/b-c",
        "!bang",
        "#hash",
        "foo/bar",
        "foo/baz/bar",
        "dir/file",
        "other/dir/file",
    ];
    let patterns = [
        "lib[!x]*",
        ".env[!.]*",
        "*.{js,map}",
        "{a",
        "[[:digit:]]x",
        "[[:space:]]*",
        "foo[",
        "b\\/",
        "**/b",
        "b/**",
        "a/**/ab",
        "[a-z]",
        "[]z]",
        "[^a]*",
        "*.txt",
        "\\!bang",
        "\\#hash",
        "!*",
        "/foo",
        "foo/",
        "foo/*",
        "foo/*/bar",
        "dir/",
        "/dir/",
        "**/dir",
        "d/**/g",
        "d/*/g",
        "*",
        "?",
        "[[]z]",
        "back\\\\slash",
        "a-?",
        "**",
        "[!-~]",
        "*/",
        "~",
        "\\",
        "a\\",
        "/",
        "",
        "dir//file",
        "[9-0]x",
        "sub/./b",
        "./ab",
    ];
    let tree = Tree::new();
    for (i, pattern) in patterns.iter().enumerate() {
        let place = tree.directory(i.to_string());
        if git(&place, &["init", "-q"]).is_none() {
            return;
        }
        tree.file(format!("{i}/.gitignore"), format!("{pattern}\n!.gitignore\n"));
        for name in names {
            // Some names are directories of others.
            let path = place.join(name);
            if std::fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.is_dir() {
                std::fs::write(path, "x").unwrap();
            }
        }
        println!("{pattern:?}");
        check(&place);
    }
}

#[test]
fn linked_worktrees_and_linked_files_of_patterns() {
    let tree = Tree::new();
    let main = tree.directory("main");
    if git(&main, &["init", "-q"]).is_none() {
        return;
    }
    let commit = ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"];
    git(&main, &commit);
    git(&main, &["worktree", "add", "-q", "../linked"]);
    tree.file("main/.git/info/exclude", "*.bak\n");
    for name in ["linked/a", "linked/a.bak", "main/a", "main/a.bak"] {
        tree.file(name, "x");
    }
    assert_eq!(check(&tree.at("linked")), 1);
    assert_eq!(check(&main), 1);
    // Git follows a link to the repository's patterns, and none in the tree.
    std::fs::remove_file(main.join(".git/info/exclude")).unwrap();
    tree.file("elsewhere", "a\n");
    tree.link("main/.git/info/exclude", "../../../elsewhere");
    assert_eq!(check(&main), 1);
    tree.link("main/.gitignore", "../elsewhere");
    tree.file("main/b/a", "x");
    crate::support::fifo(&tree.directory("main/pipe").join(".gitignore"));
    std::fs::create_dir(tree.directory("main/directory").join(".gitignore")).unwrap();
    tree.file("main/directory/.gitignore/x", "x");
    let met = scan(&with_gitignore(&main)).0;
    assert!(
        met.contains_key("a.bak") && !met.contains_key("b/a") && met.contains_key("directory/.gitignore/x")
    );
}
