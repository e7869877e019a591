//! temp
use filemill::control::Control;
use filemill::duplicates::{Search, find};
use filemill::plan::Plan;
struct Null;
impl filemill::sink::Sink for Null {
    fn record(&mut self, _: &filemill::record::Record<'_>) -> std::io::Result<()> {
        Ok(())
    }
}
fn main() {
    let mut a = std::env::args().skip(1);
    let head: u64 = a.next().unwrap().parse().unwrap();
    let pct: u32 = a.next().unwrap().parse().unwrap();
    let mut s = Search::new(Plan::new(a.collect::<Vec<_>>()));
    s.rounds.head_bytes = head;
    s.rounds.likely_percent_min = pct;
    filemill::guard_mappings().unwrap();
    let f = find(&s, &mut Null, &Control::new()).unwrap();
    let d = f.report.duplicates.as_ref().unwrap();
    println!(
        "{} groups {} redundant {} reclaimable; searched {} read {}; {:?} peak {:?}",
        d.groups,
        d.redundant_files,
        d.reclaimable_bytes,
        d.searched_bytes,
        d.read_bytes,
        f.report.elapsed,
        f.report.peak_memory_bytes
    );
    for r in &d.rounds {
        println!("  {:8} {} files {} bytes {:?}", r.name, r.files, r.bytes, r.elapsed);
    }
    println!("{:?} {:?} {:?}", f.report.ledger, f.report.steps, f.report.notes);
}
