//! The summary for people: what `duplicates` prints when nothing else is asked for.

use std::io::{self, Write};

use console::{measure_text_width, style};
use filemill::record::{Acted, ActionRecord, Alike, Group, Record};
use filemill::report::{Actions, Duplicates, Near, Report};
use filemill::sink::{Sink, percent, printable, similarity};
use indicatif::{DecimalBytes, HumanCount};

use super::super::progress::Progress;
use super::super::summary::{WIDTH_MIN, count, gpus, ledger, short};

/// Groups that are shown, of what is the same and of what is nearly; the others are counted.
const GROUPS_MAX: usize = 10;
/// Names of a group that are shown.
const NAMES_MAX: usize = 4;
/// Reasons of refusals that are shown; files with others are counted together.
const REASONS_MAX: usize = 20;

/// Writes the groups with most to gain as they come, and totals at the end.
pub(super) struct DuplicatesSummary<'s, W> {
    writer: W,
    /// Whether it is for the terminal that standard output is: as wide as that, and in colours where they are on.
    is_printed: bool,
    progress: &'s Progress,
    /// What is to be written.
    text: Vec<u8>,
    groups: usize,
    near_groups: usize,
    reclaimable_bytes: u64,
    acts: bool,
    /// Why files were refused, and how many for each reason.
    refusals: Vec<(String, u64)>,
}

impl<'s, W: Write> DuplicatesSummary<'s, W> {
    /// A summary for `writer`, which is standard output where `is_printed`. It is written above the progress.
    pub(super) fn new(writer: W, is_printed: bool, progress: &'s Progress) -> DuplicatesSummary<'s, W> {
        let text = Vec::new();
        DuplicatesSummary {
            writer,
            is_printed,
            progress,
            text,
            groups: 0,
            near_groups: 0,
            reclaimable_bytes: 0,
            acts: false,
            refusals: Vec::new(),
        }
    }

    fn width(&self) -> usize {
        let terminal = console::Term::stdout();
        let is_terminal = self.is_printed && terminal.is_term();
        if is_terminal { usize::from(terminal.size().1).max(WIDTH_MIN) } else { usize::MAX }
    }

    /// Writes what has come together.
    fn write(&mut self) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.text);
        if !self.is_printed {
            text = console::strip_ansi_codes(&String::from_utf8_lossy(&text)).into_owned().into_bytes();
        }
        let mut written = Ok(());
        self.progress.above(|| written = self.writer.write_all(&text).and_then(|()| self.writer.flush()));
        written
    }

    /// How many groups were not shown of what is the same.
    fn tell_of_more(&mut self) -> io::Result<()> {
        let left = self.groups.saturating_sub(GROUPS_MAX) as u64;
        if left > 0 {
            let gain = DecimalBytes(self.reclaimable_bytes);
            writeln!(self.text, "\nand {} with {gain} to gain", count(left, "more group"))?;
        }
        Ok(())
    }

    /// Writes one line for each reason, the most frequent first.
    fn refusals(&mut self) -> io::Result<()> {
        self.refusals.sort_by_key(|(_, files)| std::cmp::Reverse(*files));
        for (why, files) in self.refusals.iter().take(REASONS_MAX) {
            writeln!(self.text, "{}", style(format!("{}: {why}", count(*files, "file"))).red())?;
        }
        let others: u64 = self.refusals.iter().skip(REASONS_MAX).map(|(_, files)| files).sum();
        if others > 0 {
            writeln!(self.text, "{}", style(format!("{}: other reasons", count(others, "file"))).red())?;
        }
        if !self.refusals.is_empty() {
            writeln!(self.text, "{}", style("--format table lists each of them").dim())?;
        }
        Ok(())
    }

    fn path(&mut self, path: &[u8], margin: &str, note: &str) -> io::Result<()> {
        let path = shortened(&printable(path), self.width().saturating_sub(margin.len() + note.len()));
        writeln!(self.text, "{margin}{path}{note}")
    }
}

impl<W: Write> Sink for DuplicatesSummary<'_, W> {
    fn record(&mut self, _: &Record<'_>) -> io::Result<()> {
        Ok(())
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        let is_near = matches!(group.alike, Alike::Near { .. });
        if is_near && self.near_groups == 0 {
            self.tell_of_more()?;
        }
        let groups = if is_near { &mut self.near_groups } else { &mut self.groups };
        *groups += 1;
        if *groups > GROUPS_MAX {
            self.reclaimable_bytes += group.reclaimable_bytes;
            return Ok(());
        }
        let gain = style(DecimalBytes(group.reclaimable_bytes)).green().bold();
        let (copies, size) = (HumanCount(group.copies() as u64), DecimalBytes(group.size));
        match group.alike {
            Alike::Files => writeln!(self.text, "\n{gain} to gain: {copies} files of {size}")?,
            Alike::Directories { files } => {
                let files = count(files, "file");
                writeln!(self.text, "\n{gain} to gain: {copies} directories of {size}, {files} each")?;
            }
            Alike::Similar { share } => {
                let share = percent(share, share >= 1.0);
                writeln!(self.text, "\n{share} alike: {copies} directories with {size} in common")?;
            }
            Alike::Near { .. } => writeln!(self.text, "\n{copies} files nearly the same")?,
        }
        let mut before = None;
        for member in group.members.iter().take(NAMES_MAX) {
            let mut path = Vec::new();
            member.path_to(&mut path);
            let is_link = before == Some(member.copy);
            let mut note = if is_link { "  (hard link)" } else { "" }.to_owned();
            if let Some(similarity) = similarity(group.alike, member).filter(|_| before.is_some() && !is_link)
            {
                note.push_str(&format!("  ({similarity})"));
            }
            if member.is_reference && !is_link {
                note.push_str("  (reference)");
            }
            before = Some(member.copy);
            self.path(&path, "  ", &note)?;
        }
        let left = group.members.len().saturating_sub(NAMES_MAX);
        if left > 0 {
            writeln!(self.text, "  {}", style(format!("and {} more", HumanCount(left as u64))).dim())?;
        }
        Ok(())
    }

    fn action(&mut self, action: &ActionRecord<'_>) -> io::Result<()> {
        if !self.acts {
            self.acts = true;
            writeln!(self.text)?;
        }
        let outcome = match &action.acted {
            Acted::Planned => style("would be done".to_owned()).dim(),
            Acted::Done => style("done".to_owned()).green(),
            Acted::Already => style("is so already".to_owned()).dim(),
            // Equal refusals have one line together, at the end.
            Acted::Refused(why) => {
                let why = printable(why.as_bytes());
                match self.refusals.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, files)) => *files += 1,
                    None => self.refusals.push((why, 1)),
                }
                return Ok(());
            }
        };
        let (path, keep) = (printable(action.path), printable(action.keep));
        writeln!(self.text, "{} {path} to {keep}: {outcome}", action.action.name())?;
        // Each line appears when it is true.
        self.write()
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        if self.near_groups == 0 {
            self.tell_of_more()?;
        }
        let near_left = self.near_groups.saturating_sub(GROUPS_MAX) as u64;
        if near_left > 0 {
            writeln!(self.text, "\nand {} of files nearly the same", count(near_left, "more group"))?;
        }
        let duplicates = report.duplicates.clone().unwrap_or_default();
        totals(&mut self.text, report, &duplicates)?;
        if let Some(told) = duplicates.near.as_ref().filter(|_| !report.cancelled) {
            near(&mut self.text, told)?;
        }
        self.refusals()?;
        actions(&mut self.text, &duplicates.actions)?;
        rounds(&mut self.text, &duplicates, report.cancelled)?;
        gpus(&mut self.text, report)?;
        ledger(&mut self.text, report)?;
        self.write()
    }
}

fn totals(out: &mut impl Write, report: &Report, duplicates: &Duplicates) -> io::Result<()> {
    if report.cancelled {
        let what = "interrupted: nothing can be said of what is the same";
        return writeln!(out, "\n{}", style(what).yellow().bold());
    }
    let mut found = vec![count(duplicates.groups, "group") + " of files"];
    if duplicates.directory_groups > 0 {
        found.insert(0, count(duplicates.directory_groups, "group") + " of directories");
    }
    if duplicates.similar_pairs > 0 {
        found.push(count(duplicates.similar_pairs, "pair") + " of similar directories");
    }
    let (redundant, gain) =
        (HumanCount(duplicates.redundant_files), DecimalBytes(duplicates.reclaimable_bytes));
    writeln!(
        out,
        "\n{}: {redundant} redundant, {} to gain\nsearched {}, {}, in {} and {}",
        style(found.join(", ")).bold(),
        style(gain).green().bold(),
        count(report.ledger.done, "file"),
        DecimalBytes(duplicates.searched_bytes),
        count(report.directories, "directory"),
        style(short(report.elapsed)).bold(),
    )
}

fn actions(out: &mut impl Write, actions: &Actions) -> io::Result<()> {
    let Actions { planned, done, already, refused, bytes } = *actions;
    if planned > 0 {
        let bytes = DecimalBytes(bytes);
        let refused = if refused > 0 {
            format!("; {} would be left unchanged", HumanCount(refused))
        } else {
            String::new()
        };
        return writeln!(
            out,
            "{} of {bytes} would be acted on: --apply does it{refused}",
            count(planned, "name")
        );
    }
    if done + already + refused == 0 {
        return Ok(());
    }
    let (done, already, refused) = (count(done, "name"), HumanCount(already), HumanCount(refused));
    writeln!(
        out,
        "{done} of {} acted on; {already} were so already, {refused} left unchanged",
        DecimalBytes(bytes)
    )
}

/// What is nearly the same, and how much may have been missed.
fn near(out: &mut impl Write, near: &Near) -> io::Result<()> {
    let percent = |share: f64| match (share * 1000.0 + 1e-9).floor() {
        1000.0.. if share < 1.0 => ">99.9 %".to_owned(),
        thousandths => format!("{} %", thousandths / 10.0),
    };
    writeln!(
        out,
        "{} of {} nearly the same, each at least {} like another",
        style(count(near.groups, "group")).bold(),
        count(near.files, "file"),
        percent(near.threshold),
    )?;
    match near.banding {
        None => writeln!(out, "all pairs of {} compared", count(near.contents, "content"))?,
        Some((bands, rows)) => writeln!(
            out,
            "{} compared by {} of {}",
            count(near.contents, "content"),
            count(bands as u64, "band"),
            count(rows as u64, "row"),
        )?,
    }
    if near.banding.is_none() && !near.is_exact {
        return left_out(out, near);
    }
    writeln!(
        out,
        "of pairs {} {} alike {} are found, of those {} alike {}",
        if near.is_exact { "that are" } else { "whose sketches are" },
        percent(near.threshold),
        percent(near.found_at_threshold),
        percent((near.threshold - 0.1).max(0.0)),
        percent(near.found_below),
    )?;
    left_out(out, near)
}

fn left_out(out: &mut impl Write, near: &Near) -> io::Result<()> {
    if near.unsketched > 0 {
        writeln!(out, "{} too short or too long to be nearly the same", count(near.unsketched, "file"))?;
    }
    if near.not_text > 0 {
        writeln!(out, "{} no text", count(near.not_text, "file"))?;
    }
    if near.spilled_bytes > 0 {
        writeln!(out, "{} of sketches on a disk", DecimalBytes(near.spilled_bytes))?;
    }
    Ok(())
}

/// Files and bytes read by each round, and its time. An interrupted search has no line of bytes spared.
fn rounds(out: &mut impl Write, duplicates: &Duplicates, is_cancelled: bool) -> io::Result<()> {
    let title = format!("{:<8} {:>12} {:>12} {:>10}", "round", "files", "read", "time");
    writeln!(out, "\n  {}", style(title).dim())?;
    for round in &duplicates.rounds {
        writeln!(
            out,
            "  {:<8} {:>12} {:>12} {:>10}",
            round.name,
            HumanCount(round.files).to_string(),
            DecimalBytes(round.bytes).to_string(),
            short(round.elapsed),
        )?;
    }
    if is_cancelled {
        return Ok(());
    }
    let spared = duplicates.searched_bytes.saturating_sub(duplicates.read_bytes);
    writeln!(
        out,
        "\n  {} of {} need not be read",
        DecimalBytes(spared),
        DecimalBytes(duplicates.searched_bytes)
    )
}

/// The end of a path tells more than its start.
fn shortened(path: &str, width: usize) -> String {
    let excess = measure_text_width(path).saturating_sub(width);
    if excess == 0 {
        return path.to_owned();
    }
    format!("…{}", path.chars().skip(excess + 1).collect::<String>())
}
