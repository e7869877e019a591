//! `filemill completions` and `filemill man`: made from the definition of the flags.

use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use filemill::faults::Faults;
use roff::{Roff, bold, roman};

use super::Failure;
use super::bench::recipes_help;
use super::flags::{Flags, analyses_help};
use super::outputs::Stdout;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Flags::command(), "filemill", &mut script);
    Stdout::new(&Faults::default())?.write_all(&script)?;
    Ok(())
}

/// Writes a page a command, and the JSON Schema of the records, into `directory`.
pub(crate) fn write(directory: &Path) -> Result<(), Failure> {
    let write = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, content)
            .map_err(|error| Failure::Report(format!("cannot write {}: {error}", path.display())))
    };
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::Report(format!("cannot make {}: {error}", directory.display())))?;
    let mut command = Flags::command();
    command.build();
    for (name, command) in pages("filemill".to_owned(), command) {
        let sections = match name.as_str() {
            "filemill" => MAIN,
            "filemill-scan" => SCAN,
            "filemill-duplicates" => DUPLICATES,
            "filemill-bench" => BENCH,
            "filemill-bench-corpus" => CORPUS,
            "filemill-bench-tier" => TIER,
            "filemill-bench-check" => CHECK,
            _ => &[],
        };
        // The help that stands below the flags is told by the sections of the page.
        let command = command.display_name(&name).after_help(None::<&str>);
        write(&format!("{name}.1"), &page(command, sections)?)?;
    }
    write("filemill.scan.1.schema.json", filemill::sink::JSONL_SCHEMA.as_bytes())
}

/// A command and all below it, with the names of their pages.
fn pages(name: String, command: Command) -> Vec<(String, Command)> {
    let below: Vec<_> = command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
        .flat_map(|subcommand| pages(format!("{name}-{}", subcommand.get_name()), subcommand.clone()))
        .collect();
    [vec![(name, command)], below].concat()
}

fn page(command: Command, sections: &[Section]) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.disable_help_flag(true)).manual("User Commands").render(&mut page)?;
    let mut roff = Roff::new();
    for (title, entries) in sections {
        roff.control("SH", [*title]);
        for (term, text) in *entries {
            if term.is_empty() {
                roff.control("PP", []);
            } else {
                roff.control("TP", []);
                roff.text([bold(*term)]);
            }
            let text = text.replace("{analyses}", &analyses_help()).replace("{recipes}", &recipes_help());
            for line in text.lines() {
                roff.text([roman(line.trim_start())]);
                if line.starts_with("  ") {
                    roff.control("br", []);
                }
            }
        }
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// A title, and terms with what they mean; without a term, a paragraph.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

const MAIN: &[Section] = &[(
    "SEE ALSO",
    &[(
        "",
        "filemill-scan(1), filemill-duplicates(1), filemill-bench(1), filemill-completions(1), filemill-man(1)",
    )],
)];

const BENCH: &[Section] = &[
    (
        "MEASURING",
        &[
            (
                "",
                "Sides that are compared take turns in one run, in random order; the first run of each warms up and is not counted. Medians are quoted. Every run answers, and is checked against the first one, or against the answers that a corpus is known to have: a wrong answer is an error, whatever it took. No settings are read.",
            ),
            (
                "RAM disk",
                "The tree is copied once to a directory of a tmpfs (/dev/shm, or --ram-disk) that goes away with the process; what a killed one left is removed by the next.",
            ),
        ],
    ),
    (
        "RECORDS",
        &[(
            "",
            "--record FILE of sweep is CSV, a row a measurement, written as it is made: load, warm-up, sample, error (a run that failed, or answered wrongly: note says in what); at the end skipped and point (medians, the interval of the rate at 95 %, its variation). Times are in seconds, sizes in bytes; stage_seconds and the like are summed over threads; answers is a checksum over all that was answered; machine, tree, version and settings stand in every row. The last columns tell of devices: gpu_memory_bytes is the limit for each GPU, gpu_busy_seconds is summed over them, all empty where there is none. In a point, repetition is the number of its samples. --resume goes on with a record that was cut short, of the same machine, tree and version alone; one of before, without columns for devices, goes on without them.",
        )],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "Done; a target, a tier, a check is met."),
            ("1", "A target or a tier is missed, or scans became slower."),
            ("2", "A mistake on the command line, or there is no result."),
            ("3", "Finished, but a point failed or answered wrongly, or something could not be read."),
            ("4", "Too noisy to say."),
            ("129, 130, 143", "Interrupted by HUP, INT or TERM. What was measured by then is told."),
        ],
    ),
    (
        "SEE ALSO",
        &[(
            "",
            "filemill-bench-corpus(1), filemill-bench-limit(1), filemill-bench-sweep(1), filemill-bench-tier(1), filemill-bench-check(1)",
        )],
    ),
];

const CORPUS: &[Section] = &[(
    "RECIPES",
    &[
        ("", "{recipes}"),
        (
            "",
            "The answers of each are known: a corpus is checked against them when it is made, and when it is there already. What is half made, after an interrupt, is finished by the same command.",
        ),
    ],
)];

const TIER: &[Section] = &[(
    "TIERS",
    &[
        (
            "base",
            "On n cores 2n + 8 workers; batches of 500 and 1,000 files; at least 10,000 files on a RAM disk of less than 2 GB; at most 0.125 GB of the memory of a GPU; 1,000 files/s.",
        ),
        (
            "legendary",
            "4n + 16 workers; batches of 2,000 and 5,000 files; at least 20,000 files on a RAM disk of less than 2 GB; at most 0.5 GB of the memory of a GPU; 7,000 files/s.",
        ),
        (
            "turbo",
            "6n + 32 workers; batches of 5,000 and 10,000 files; at least 50,000 files on a RAM disk of less than 5 GB; at most 0.25 GB of the memory of a GPU; 10,000 files/s.",
        ),
        (
            "limit",
            "At most 1.25 of the time that the machine's floor takes: without analyses, with BLAKE3, and with five together.",
        ),
        (
            "",
            "The questions of the first three are lines and SHA-256. Each asks also that every file is read, that all runs answer alike (as is known of a corpus), that every run reaches the target, and that they vary by at most 15 %. A GPU is used only where it is faster; where none is, the processor does all, which is told and misses nothing.",
        ),
    ],
)];

const CHECK: &[Section] = &[(
    "EXIT STATUS",
    &[
        ("0", "Not slower than allowed."),
        ("1", "Slower, and a second round says so too."),
        (
            "2",
            "No verdict: a mistake on the command line, builds that answer differently, a baseline of another machine, tree or setting, a tree that changed meanwhile.",
        ),
        ("3", "Not slower than allowed, but something in the tree cannot be read."),
        ("4", "Too noisy to say; what would decide it is told."),
    ],
)];

const DUPLICATES: &[Section] = &[
    (
        "WHAT IS THE SAME",
        &[
            (
                "files",
                "Of the same content, by BLAKE3. Rounds read as little as tells files apart: sizes and inodes (look), the first 4 KiB of what has the size of another (head), the last 16 KiB of what is larger than 1 MiB (tail), and all of what is left (content). Small files that are likely the same, by their names, are read whole at once. Hard links to one file are one copy. A file that changes meanwhile is an error, and in no group.",
            ),
            (
                "directories",
                "With --dirs: those with the same names, types and contents in them, all the way down; of links, where they lead. The topmost are told, and no file in them twice. What could not be read is like nothing. --min-size and --max-size limit what is told, not what is compared. With --dirs=similar:SHARE also pairs whose common content, whatever the files are called, has this share of the bytes that either has.",
            ),
            (
                "order",
                "Most to gain first; in a group those of a --reference, then PATH by PATH as given, then by name.",
            ),
        ],
    ),
    (
        "WHAT IS NEARLY THE SAME",
        &[
            (
                "",
                "With --near SIMILARITY every file is read once, for its digest and for a sketch of its shingles: all runs of 16 bytes, or what --minhash says. The share of equal places in two sketches estimates the Jaccard index of the sets of shingles: how many shingles both have of those that either has. Files whose estimate is at least SIMILARITY are a pair, and files connected by pairs are a group of the kind near. The first of a group is the first by name, or of a --reference. filemill prints the similarity of each other file to it, which may be below SIMILARITY if others lie between them (below). A ~ marks an estimate; files that differ are at most >99 % alike. Files of the same content are groups of their own as well.",
            ),
            (
                "pairs",
                "Sketches are compared that are equal in one of several bands of their numbers; the report tells with what probability a pair was compared that is as similar as asked for, or 0.1 less. --near-all compares all.",
            ),
            (
                "--exact",
                "The shingles themselves decide: files whose sketches are at most 0.1 less similar than asked for are read once more, and the Jaccard index of their sets of shingles is computed. A pair whose sketches are less similar than that is missed, with --near-all too; the report tells how probable that is (1 in 300 at 0.8 with 128 numbers).",
            ),
            (
                "--minhash",
                "k=N: numbers in a sketch, 1 to 1024 (128); the standard error of the estimate is sqrt(J (1 - J) / k). shingle=bytes:N, 1 to 64 (bytes:16), for any file; shingle=words:N, 1 to 16, whatever white space is between them. kind=permutations, or one-permutation, whose cost does not grow with k, and whose estimates are coarser for files of few shingles.",
            ),
            (
                "left out",
                "What is shorter than a shingle is nearly the same as nothing, and so is what has more than 2^28 shingles, whose hashes of 32 bits are alike by chance. With --text-only also what is no text, as the analysis kind tells it. All of these are counted.",
            ),
            (
                "--memory",
                "Sketches that do not fit are kept in a file without a name in the directory for temporary files (TMPDIR).",
            ),
        ],
    ),
    (
        "EARLIER REPORTS",
        &[(
            "",
            "--from takes the digest of a file from a report in JSON lines if path, inode, size, mtime, ctime and file system are those of the report, and the report says that nothing could change the file without a new ctime (settled). A file has settled if its ctime is 60 seconds old, or if the kernel grants a read lease on it. Files on tmpfs, overlays, FUSE, SMB and FAT never settle. Everything else is read. A report of an older version, or one begun in the future, is not used. A report that was cut short is used as far as it goes, so a search that was killed goes on from there.",
        )],
    ),
    (
        "ACTIONS",
        &[
            (
                "reflink",
                "The kernel compares both files and lets them share their blocks (FIDEDUPERANGE). Owner, mode, times and names stay.",
            ),
            (
                "hardlink",
                "The name becomes one of the file that stays. filemill refuses a file that differs in owner, mode, flags or an extended attribute (ACLs are such), lies on another file system, is open for writing or cannot be leased, changed since it was read, or has names outside of the search. It compares both byte by byte under leases (F_SETLEASE) and brings the kept files of a batch to the disk. Then it exchanges a new link with the old name in one step, looks again, and only then removes the old name. Killed at any step every name has its content. A name .filemill-... may be left; the next run with --apply removes it if its content has another name. The kernel leaves one race: a program looks up the old name before the exchange, opens it for writing after the last look, and writes to a file without a name.",
            ),
            (
                "",
                "Files that cannot join the kept file are joined among themselves. Without --apply filemill prints what it would do. Nothing is deleted.",
            ),
        ],
    ),
    (
        "FORMATS",
        &[
            ("summary", "For people: the groups with most to gain, totals, what the rounds read."),
            (
                "jsonl",
                "Schema filemill.scan/1: group and action records, file records of files whose digest was taken, skipped and error records as of a scan; end has duplicates.",
            ),
            (
                "csv",
                "A row a name: group, kind, size, blake3, copies, copy, reference, mtime_ns, similarity, below, estimated, identical, share, path. csv-raw guards nothing.",
            ),
            ("table", "For people: every group."),
            (
                "fdupes",
                "The first name of each copy, one a line, and an empty line after each group. A name with a line feed is left out with a message.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "Done, whether anything is the same or not."),
            ("2", "A mistake on the command line, or the report is not usable."),
            ("3", "Finished, but something could not be read, or was left as it is. Each is told."),
            (
                "129, 130, 143",
                "Interrupted by HUP, INT or TERM: no group is told. --from goes on with the report.",
            ),
        ],
    ),
    ("SEE ALSO", &[("", "filemill-scan(1) tells of reports, workers, staging and settings.")]),
];

const SCAN: &[Section] = &[
    ("ANALYSES", &[("", "{analyses}")]),
    (
        "FORMATS",
        &[
            (
                "summary",
                "For people, and what is printed where nothing else is asked for: totals by kind and extension, the largest files, the sum of what became of every path.",
            ),
            (
                "jsonl",
                "One JSON record a line, schema filemill.scan/1: begin; then file, skipped or error for each path met; then end with the sums, and how long batches took (batch_seconds: p50, p95, p99, p999, max). A report without end was cut short. A path that is not UTF-8 is {\"bytes\": BASE64}. `filemill man` writes the JSON Schema.",
            ),
            (
                "csv",
                "RFC 4180 with a header: path, size, mtime_ns, status (ok, skipped:REASON, error:CAUSE), then a field a column. Text that begins with = + - @ TAB or CR gets a ' in front; csv-raw leaves it as it is.",
            ),
            ("table", "For people, a row a path. Sizes are bytes, times UTC."),
            ("paths", "The names of the files that were read, one a line, or ended by NUL with -0."),
            ("b3sum, sha256sum", "Manifests for the --check of these tools. Runs the analysis they need."),
            (
                "",
                "A path that a format cannot express (a line feed in paths without -0, a name that is not UTF-8 in b3sum) is left out of that report with a message, and the exit code is 3.",
            ),
        ],
    ),
    (
        "REPORT FILES",
        &[(
            "",
            "--out FORMAT=FILE writes FILE.partial and gives it its name once it is complete and safe on the disk; whatever stood there before stays until then. After an interrupt or a full disk FILE.partial holds what was written. A FILE that is a pipe or a device is written to as it is. A run leaves out the files it writes (own-output). A report cannot go to the file that standard output or standard error goes to.",
        )],
    ),
    (
        "WORKERS AND STAGING",
        &[
            (
                "-j auto",
                "One worker a core in the beginning; while cores are idle because workers wait for storage, twice as many as long as that pays, up to 32 a core, and back to the last good number where it does not.",
            ),
            (
                "large files",
                "Files of 16 MiB and more are read when those beside them are done, by several workers: blake3, lines, words, entropy and kind in parts, sha256 and xxh3 by one of them.",
            ),
            (
                "--stage auto",
                "Files of 4 MiB and more are mapped, the others read. read reads all, mmap maps from 1 MiB on. A mapped file that becomes shorter is an error record.",
            ),
            (
                "--stage ram-disk",
                "Each batch is copied into memory without a name (or, with --ram-disk, an unnamed file in a directory, which should be a tmpfs) and read from there; together the workers hold at most --ram-disk-bytes. What does not fit, and files of 16 MiB and more, are read as they lie, with a message; so is everything where there is no RAM disk.",
            ),
            (
                "--device",
                "auto, the default, lets GPUs answer as well if one is faster than a worker, and uses no software GPU. cpu is the processor alone. gpu, or a part of an adapter's name, requires one: if it is missing the run does not begin (exit code 2), even if no analysis would run on it. '?' lists the adapters. Only minhash with shingles of bytes, and the comparisons of duplicates --near-all, can be done on a GPU. --gpu-memory limits the memory taken of it, and --gpu-verify sets how many of its answers the processor computes again and compares. The record end lists the work of each GPU (devices.gpus).",
            ),
            ("", "No setting changes a row of the report."),
        ],
    ),
    (
        "RATES AND LATENCIES",
        &[
            (
                "--fail-below RATE",
                "So many files (7000f/s, 7000 files/s) or bytes (500MB/s, 2GiB/s) have to be read in a second, from the start of the run to its last record. Where no file was read there is no rate, and the gate fails.",
            ),
            (
                "--fail-latency QUANTILE=DURATION",
                "So many percent of the batches (p50, p99, p99.9) or all of them (max) may take no longer than DURATION (ns, us, ms, s), from a worker beginning with one until its results are ready. A quantile is known to two digits, and at most 1 % or half a microsecond too long; max is exact. The record end tells them (batch_seconds).",
            ),
            (
                "",
                "Each can be repeated. They are asked when the reports are complete; each that fails is a line on standard error, with -q too, and the exit code is 1. After an interrupt none is asked.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            (
                "0",
                "Done, and every gate is reached. An empty tree, and a reader of standard output that goes away, are no errors.",
            ),
            ("1", "A gate failed (--fail-below, --fail-latency). Each has a line on standard error."),
            ("2", "A mistake on the command line, or the report is not usable."),
            (
                "3",
                "Finished, but at least one path could not be read, or could not be expressed in a report. Each has an error record, or a line on standard error (unless -q).",
            ),
            (
                "129, 130, 143",
                "Interrupted by HUP, INT or TERM. What was read by then is reported. A run that does not come to its end within 1.5 s is ended; a second signal, a quarter of a second after the first or later, ends it at once.",
            ),
            ("", "When several apply, a signal goes first, then 2, then 1, then 3."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            (
                "FILEMILL_NAME",
                "The value of the long flag --name, with dashes as underscores: FILEMILL_BATCH_FILES=500, FILEMILL_FOLLOW=true. Empty is not set. A line on standard error names a variable that is no setting.",
            ),
            (
                "NO_COLOR, CLICOLOR_FORCE",
                "Whether to use colours, as no-color.org and bixense.com/clicolors have it.",
            ),
        ],
    ),
    (
        "FILES",
        &[(
            "./filemill.toml, $XDG_CONFIG_HOME/filemill/filemill.toml",
            "Settings by the names of the long flags in a table a command, e.g. under [scan]: analyses = \"full\", glob = [\"!target\"], follow = true. What is typed goes first, then variables, then ./filemill.toml, then the user's file (in ~/.config where XDG_CONFIG_HOME is not set). A setting replaces the same one from further down, and --no-NAME undoes a flag without a value (--no-follow). --out, --null, --files-from, --files0-from and --ram-disk, and of duplicates --reference, --from, --near and what belongs to it, --action and --apply, can be given on the command line alone.",
        )],
    ),
];
