//! Made-up records: what the targets of the sinks feed to a sink, and then expect to read in its report.

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use arbitrary::{Arbitrary, Result, Unstructured};
use filemill::analyses::{Analysis, Pass};
use filemill::error::{Cause, FileError, Step};
use filemill::keep::Keep;
use filemill::plan::Plan;
use filemill::record::{Column, Digest, Identity, Outcome, Record, SkipReason, Value, ValueKind};
use filemill::sink::Sink;

/// What a run could have reported.
#[derive(Debug)]
pub struct Made {
    /// The columns of its plan.
    pub columns: &'static [Column],
    /// Its records in order.
    pub records: Vec<MadeRecord>,
    /// How often all of them come in turn: many times, they may be more than a sink's buffer holds.
    pub rounds: usize,
}

/// One record, and what happens after it.
#[derive(Debug)]
pub struct MadeRecord {
    /// Path of its directory.
    pub directory: Vec<u8>,
    /// Its name there.
    pub name: Vec<u8>,
    /// Never `Listed` or `Unread`: they have no record.
    pub outcome: Outcome,
    /// One a column where it is done, none otherwise.
    pub values: Vec<Value>,
    /// Whether the sink is idle after it.
    pub is_idle_after: bool,
}

/// An analysis that is nothing but its columns.
pub struct Columns(pub &'static [Column]);

impl Analysis for Columns {
    fn name(&self) -> &'static str {
        "made-up"
    }

    fn columns(&self) -> &[Column] {
        self.0
    }

    fn pass(&self) -> Box<dyn Pass> {
        unreachable!("no file is read")
    }
}

/// With names that each format has to quote somehow.
const COLUMNS: &[Column] = &[
    Column { name: "count", kind: ValueKind::U64, unit: "" },
    Column { name: "a,b", kind: ValueKind::F64, unit: "" },
    Column { name: "quote\"", kind: ValueKind::Bool, unit: "" },
    Column { name: "line\nfeed\r", kind: ValueKind::Text, unit: "" },
    Column { name: "naïve\\", kind: ValueKind::Digest, unit: "" },
    Column { name: "", kind: ValueKind::Text, unit: "" },
];

impl Made {
    /// A plan with its columns.
    pub fn plan(&self) -> Plan {
        // Asks the system for cores and handles, which takes longer than many a report.
        static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan::new(["made-up"]));
        let mut plan = PLAN.clone();
        if !self.columns.is_empty() {
            plan.analyses.push(Arc::new(Columns(self.columns)));
        }
        plan
    }

    /// Gives everything to `sink`, which writes to memory, and lets it write the last of it.
    pub fn report_to(&self, sink: &mut impl Sink, plan: &Plan) {
        sink.begin(plan, SystemTime::UNIX_EPOCH).expect("memory takes all");
        for made in self.in_order() {
            sink.record(&made.record()).expect("memory takes all");
            if made.is_idle_after {
                sink.idle().expect("memory takes all");
            }
        }
        sink.idle().expect("memory takes all");
    }

    /// The records as often and in the order in which a sink was given them.
    pub fn in_order(&self) -> impl Iterator<Item = &MadeRecord> {
        std::iter::repeat_n(&self.records, self.rounds).flatten()
    }
}

impl MadeRecord {
    /// The whole path: one slash between directory and name, unless there is one already or one is empty.
    pub fn path(&self) -> Vec<u8> {
        match (&self.directory[..], &self.name[..]) {
            (directory, b"") => directory.to_vec(),
            (b"", name) => name.to_vec(),
            ([.., b'/'], name) => [&self.directory, name].concat(),
            (directory, name) => [directory, b"/", name].concat(),
        }
    }

    fn record(&self) -> Record<'_> {
        let MadeRecord { directory, name, outcome, values, .. } = self;
        Record { number: 0, directory, name, outcome: *outcome, values }
    }
}

impl<'a> Arbitrary<'a> for Made {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Made> {
        let columns = &COLUMNS[..u.int_in_range(0..=COLUMNS.len())?];
        // Rarely many, which takes long.
        let rounds = if u.arbitrary::<u8>()? == u8::MAX { 64 } else { 1 };
        let mut records = Vec::new();
        while !u.is_empty() {
            records.push(record(u, columns.len())?);
        }
        Ok(Made { columns, records, rounds })
    }
}

fn record(u: &mut Unstructured<'_>, columns: usize) -> Result<MadeRecord> {
    let outcome = outcome(u)?;
    let values = if matches!(outcome, Outcome::Done { .. }) { columns } else { 0 };
    Ok(MadeRecord {
        outcome,
        values: (0..values).map(|_| value(u)).collect::<Result<_>>()?,
        is_idle_after: u.arbitrary()?,
        directory: bytes(u)?,
        name: bytes(u)?,
    })
}

fn outcome(u: &mut Unstructured<'_>) -> Result<Outcome> {
    Ok(match u.int_in_range(0..=5)? {
        0 => Outcome::Skipped(*u.choose(&SkipReason::ALL)?),
        1 => {
            let step = *u.choose(&[Step::Walk, Step::Stage, Step::Analyse])?;
            Outcome::Failed(FileError { step, cause: *u.choose(&Cause::ALL)?, errno: u.arbitrary()? })
        }
        _ => Outcome::Done {
            size: u.arbitrary()?,
            mtime_ns: u.arbitrary()?,
            identity: Identity {
                // No file system has this number.
                device: u64::MAX,
                inode: u.arbitrary()?,
                links: u.arbitrary()?,
                ctime_seconds: u.arbitrary()?,
                ctime_nanoseconds: u.int_in_range(0..=999_999_999)?,
            },
            mode: u.arbitrary()?,
            is_sparse: u.arbitrary()?,
            keep: *u.choose(&[Keep::Unasked, Keep::Yes, Keep::No])?,
        },
    })
}

fn value(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=7)? {
        0 => Value::Null,
        1 => Value::U64(u.arbitrary()?),
        2 if u.arbitrary()? => Value::F64(*u.choose(&ODD_NUMBERS)?),
        2 => Value::F64(u.arbitrary()?),
        3 => Value::Bool(u.arbitrary()?),
        4 => {
            let digest: [u8; 32] = u.arbitrary()?;
            Value::Digest(Digest::new(&digest[..u.int_in_range(0..=32)?]))
        }
        _ => Value::Text(String::from_utf8_lossy(&bytes(u)?).into_owned().into()),
    })
}

/// Those that chance hardly meets.
const ODD_NUMBERS: [f64; 8] =
    [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE / 4.0, 1e21, 2.5e-7];

/// A few bytes of the input, as with all of it for one text nothing would be left for the others; rarely many
/// times, so that some fill a good part of a sink's buffer.
fn bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = u.arbitrary::<u8>()?;
    let times = if length < 0xf8 { 1 } else { 256 };
    let length = usize::from(length % 25).min(u.len());
    Ok(u.bytes(length)?.repeat(times))
}
