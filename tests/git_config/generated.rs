//! Generated configurations: filemill lists the files that git lists.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::scene::Scene;

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
