//! The configuration of git: the files that git lists are the files that filemill meets.

mod generated;
mod scene;

use self::scene::Scene;

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
        // The sections before and after it count.
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
