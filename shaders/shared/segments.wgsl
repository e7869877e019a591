// What every kernel over segments of files is given. The bytes of a slot lie in words, the first byte lowest; a file begins at
// a multiple of 16.

// One call: a workgroup for every row, in a grid of `width` rows a line.
struct Call {
    // Written beside the answers of each row: what is not there was not run.
    ticket: u32,
    rows: u32,
    width: u32,
    rows_per_segment: u32,
}

struct Segment {
    first_byte: u32,
    positions: u32,
}

@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> bytes: array<u32>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> parameters: array<u32>;
// A ticket for every row; then the words of the rows.
@group(0) @binding(4) var<storage, read_write> answers: array<u32>;

fn byte_at(at: u32) -> u32 {
    return (bytes[at >> 2u] >> ((at & 3u) << 3u)) & 0xFFu;
}

// The last thing that a workgroup does, on one of its invocations, once the words of its row are written.
fn stamp(row: u32) {
    answers[row] = call.ticket + row;
}
