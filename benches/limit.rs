//! The machine's floor as a program of its own, for timing whole processes: `filemill::bench::limit::floor`, once.
//!
//!     cargo bench --bench limit -- PATH [--threads N] [--with walk|none|blake3|xxh3|sha256|fused]
//!
//! `fused` is lines, words, entropy, BLAKE3 and XXH3. `filemill bench limit` measures floor and engine in turn.

#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::path::Path;

use filemill::bench::limit::{Bare, FUSED, floor};
use filemill::control::Control;

fn main() {
    let mut path = ".".to_owned();
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut with = "none".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("the option takes a value");
        match argument.as_str() {
            "--threads" => threads = value().parse().expect("a number of threads"),
            "--with" => with = value(),
            // cargo bench adds it.
            "--bench" => {}
            _ => path = argument,
        }
    }
    let bare = match with.as_str() {
        "walk" => Bare::Walk,
        "fused" => Bare::Read(FUSED.to_owned()),
        list => Bare::Read(list.to_owned()),
    };
    let came = floor(Path::new(&path), threads, &bare, &Control::new()).expect("the tree can be read");
    let seconds = came.elapsed.as_secs_f64();
    println!(
        "{} files, {} bytes, {} errors, {threads} threads, with {with}: {seconds:.4} s, {:.0} files/s, {:.1} MB/s",
        came.files,
        came.bytes,
        came.errors,
        came.files as f64 / seconds,
        came.bytes as f64 / seconds / 1e6
    );
}
