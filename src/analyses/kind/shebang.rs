//! Scripts: the type by the interpreter that the line `#!` names.

/// The type of a script. `None`: no path follows, or the interpreter is none of those that are known.
pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    const LINE_BYTES_MAX: usize = 1024;
    let line = head.strip_prefix(b"#!")?;
    let line = &line[..line.len().min(LINE_BYTES_MAX)];
    let end = line.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0)).unwrap_or(line.len());
    let mut words = line[..end].split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let path = words.next().filter(|path| path.starts_with(b"/"))?;
    match base_name(path) {
        b"env" => by_name(base_name(interpreter_of_env(words)?)),
        // One program with many names: the first argument is the name.
        b"busybox" | b"toybox" => by_name(words.next()?),
        name => by_name(name),
    }
}

fn base_name(path: &[u8]) -> &[u8] {
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    &path[start..]
}

/// The program that `env` runs: the first word that is neither an option nor a variable.
fn interpreter_of_env<'h>(mut words: impl Iterator<Item = &'h [u8]>) -> Option<&'h [u8]> {
    while let Some(word) = words.next() {
        let mut word = unquoted(word);
        // What `-S` splits begins in the same word, or is the next.
        if let Some(rest) = word.strip_prefix(b"--split-string=") {
            word = unquoted(rest);
        } else if let Some(options) = word.strip_prefix(b"-").filter(|options| !options.starts_with(b"-"))
            && let Some(at) = options.iter().position(|letter| TAKES_ARGUMENT.contains(letter))
        {
            if options[at] == b'S' {
                word = unquoted(&options[at + 1..]);
            } else if at + 1 == options.len() {
                words.next();
            }
        }
        if matches!(word, b"--unset" | b"--chdir" | b"--argv0") {
            words.next();
        }
        if !word.is_empty() && !word.starts_with(b"-") && !word.contains(&b'=') {
            return Some(word);
        }
    }
    None
}

/// Options of `env` whose argument is the rest of the word, or the next: a string to split, a variable to unset, a directory, a
/// name, and a list of directories.
const TAKES_ARGUMENT: &[u8] = b"SuCaP";

fn unquoted(word: &[u8]) -> &[u8] {
    let word = word.strip_prefix(b"\"").or(word.strip_prefix(b"'")).unwrap_or(word);
    word.strip_suffix(b"\"").or(word.strip_suffix(b"'")).unwrap_or(word)
}

/// The type by the name of the interpreter, which a version may follow: `python3.12`, `bash-5.2`, `perl5.36-x86_64-linux-gnu`.
fn by_name(name: &[u8]) -> Option<&'static str> {
    let name = name.strip_suffix(b".exe").unwrap_or(name);
    let end = name.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(name.len());
    let (name, version) = name.split_at(end);
    let digits = version.strip_prefix(b"-").unwrap_or(version);
    if !version.is_empty() && !digits.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    match name {
        b"sh" | b"bash" | b"dash" | b"ash" | b"zsh" | b"ksh" | b"mksh" | b"pdksh" | b"rbash" | b"csh"
        | b"tcsh" | b"fish" | b"yash" | b"posh" | b"rc" => Some("text/x-shellscript"),
        b"python" | b"pypy" | b"pythonw" | b"micropython" => Some("text/x-script.python"),
        b"perl" => Some("text/x-perl"),
        b"ruby" | b"jruby" => Some("text/x-ruby"),
        b"awk" | b"mawk" => Some("text/x-awk"),
        b"gawk" => Some("text/x-gawk"),
        b"nawk" => Some("text/x-nawk"),
        b"php" => Some("text/x-php"),
        b"node" | b"nodejs" => Some("application/javascript"),
        b"lua" | b"luajit" => Some("text/x-lua"),
        b"tclsh" | b"wish" | b"expect" => Some("text/x-tcl"),
        b"make" | b"gmake" => Some("text/x-makefile"),
        b"execlineb" => Some("text/x-execline"),
        b"stap" => Some("text/x-systemtap"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_says_what_a_script_is() {
        #[track_caller]
        fn check(line: &str, expected: Option<&str>) {
            assert_eq!(kind(line.as_bytes()), expected, "{line}");
            assert_eq!(kind(format!("{line}\n/bin/sh\n").as_bytes()), expected, "{line}");
        }
        let python = Some("text/x-script.python");
        check("#!/bin/sh", Some("text/x-shellscript"));
        check("#! \t/usr/bin/bash -e", Some("text/x-shellscript"));
        check("#!/bin/bash-5.2", Some("text/x-shellscript"));
        check("#!/usr/bin/python3.12 -sE", python);
        check("#!/opt/python3/bin/perl5.36.0 -w", Some("text/x-perl"));
        check("#!/usr/bin/env python3", python);
        check("#!/usr/bin/env -S python3 -u", python);
        check("#!/usr/bin/env -Spython3 -u", python);
        check("#!/usr/bin/env -vS python3", python);
        check("#!/usr/bin/env --split-string=python3 -u", python);
        check("#!/usr/bin/env --ignore-environment PATH=/bin A=b python3", python);
        check("#!/usr/bin/env -S A=b python3", python);
        check("#!/usr/bin/env -SA=b python3", python);
        check("#!/usr/bin/env -u PYTHONPATH /opt/bin/python3", python);
        check("#!/usr/bin/env -uPYTHONPATH -C /tmp python3", python);
        check("#!/usr/bin/env -S \"python3\"", python);
        check("#!/usr/bin/env -S-i A=b python3 -u", python);
        check("#!/usr/bin/env --split-string=-i python3", python);
        check("#!/usr/bin/env --split-string python3", python);
        check("#!/usr/bin/env --unset PYTHONPATH --chdir /tmp -a sh python3", python);
        check("#!/usr/bin/env -- python3", python);
        check("#!/usr/bin/env -i - python3", python);
        check("#!/usr/bin/env\tpython3\r", python);
        check("#!\t /usr/local/bin/python3.13t -I", python);
        check("#!/usr/bin/python2.7-dbg", python);
        check("#!/c/Python312/python.exe", python);
        check("#!/bin/ksh93u+m", Some("text/x-shellscript"));
        check("#!/usr/bin/perl5.36-x86_64-linux-gnu", Some("text/x-perl"));
        check("#!/usr/bin/env node", Some("application/javascript"));
        check("#!/usr/bin/awk -f", Some("text/x-awk"));
        check("#!/usr/bin/php8.2", Some("text/x-php"));
        check("#!/usr/bin/ruby2.7", Some("text/x-ruby"));
        check("#!/bin/busybox sh", Some("text/x-shellscript"));
        check("#!/usr/bin/make -f", Some("text/x-makefile"));
    }

    #[test]
    fn what_names_no_interpreter_is_no_script() {
        for line in [
            "#!",
            "#!\n",
            "#! \t",
            "#![allow(dead_code)]",
            "#!important note",
            "#! comment: /bin/sh",
            "#!bin/sh",
            "#!/usr/bin/env",
            "#!/usr/bin/env -S",
            "#!/usr/bin/env -u python3",
            "#!/usr/bin/env A=b",
            "#!/",
            "#!/3.12",
            "#!/usr/bin/unheard-of",
            "#!/usr/bin/pythonic",
            "#!/usr/bin/python-config",
            "#!/usr/bin/sh.txt",
            "#!/usr/bin/env -S -u python3",
            "#!/bin/busybox",
            " #!/bin/sh",
            "#/bin/sh",
        ] {
            assert_eq!(kind(line.as_bytes()), None, "{line}");
        }
    }
}
