// Twin of src/groups/pairs.rs: the pairs of a tile of sketches that have enough equal places.
//
// A workgroup has a block of 64 sketches on the left and 64 on the right, an invocation four of each: 16 pairs, whose misses it
// counts. Most pairs have nothing in common, so a block is left as soon as none of its pairs can have enough.

struct Call {
    // Odd. Each workgroup adds it to what is done: as many times as there are workgroups, or they did not all run.
    ticket: u32,
    left_rows: u32,
    right_rows: u32,
    // Numbers of a sketch.
    k: u32,
    matches_min: u32,
    // 1: left and right are the same rows, each pair is wanted once.
    is_diagonal: u32,
    // Hits that there is room for. More are counted, and not written.
    capacity: u32,
    unused: u32,
}

struct Hit {
    left: u32,
    right: u32,
    matches: u32,
}

struct Answer {
    done: atomic<u32>,
    count: atomic<u32>,
    hits: array<Hit>,
}

@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> left: array<u32>;
@group(0) @binding(2) var<storage, read> right: array<u32>;
@group(0) @binding(3) var<storage, read_write> answer: Answer;

const BLOCK = 64u;
const INVOCATIONS = 256u;
// Places that are looked at before it is asked again whether anything is left.
const STEP = 16u;
// Misses of what is no pair: more than there are places.
const NO_PAIR = 0x10000u;

// Place by place, the numbers of the rows of a block.
var<workgroup> left_numbers: array<u32, 1024>;
var<workgroup> right_numbers: array<u32, 1024>;
var<workgroup> near: atomic<u32>;
var<workgroup> is_over: u32;

// One place of one row on the left with the four on the right.
fn missed(number: u32, numbers: vec4<u32>) -> vec4<u32> {
    return select(vec4<u32>(0u), vec4<u32>(1u), vec4<u32>(number) != numbers);
}

// Misses of pairs that are none: beyond the ends, and one of each two on the diagonal.
fn misses_before(row: u32, column: u32) -> vec4<u32> {
    let columns = vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u);
    let beyond = columns >= vec4<u32>(call.right_rows);
    let twice = (columns <= vec4<u32>(row)) & vec4<bool>(call.is_diagonal == 1u);
    let none = beyond | twice | vec4<bool>(row >= call.left_rows);
    return select(vec4<u32>(0u), vec4<u32>(NO_PAIR), none);
}

fn tell(row: u32, column: u32, misses: vec4<u32>) {
    for (var i = 0u; i < 4u; i++) {
        if misses[i] <= call.k - call.matches_min {
            let at = atomicAdd(&answer.count, 1u);
            if at < call.capacity {
                answer.hits[at] = Hit(row, column + i, call.k - misses[i]);
            }
        }
    }
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block_row = group.y * BLOCK;
    let block_column = group.x * BLOCK;
    let row = block_row + 4u * invocation.y;
    let column = block_column + 4u * invocation.x;
    let misses_max = call.k - call.matches_min;
    var a = misses_before(row, column);
    var b = misses_before(row + 1u, column);
    var c = misses_before(row + 2u, column);
    var d = misses_before(row + 3u, column);

    // All of a block below the diagonal is somebody else's.
    let places = select(call.k, 0u, call.is_diagonal == 1u && block_row > block_column);
    for (var first = 0u; first < places; first += STEP) {
        for (var i = 0u; i < 4u; i++) {
            let at = thread + i * INVOCATIONS;
            let place = first + at % STEP;
            let one = at / STEP;
            let into = (at % STEP) * BLOCK + one;
            // What is beyond the ends is no pair whatever its numbers, but it is read.
            var number = 0u;
            if place < call.k && block_row + one < call.left_rows {
                number = left[(block_row + one) * call.k + place];
            }
            left_numbers[into] = number;
            number = 0u;
            if place < call.k && block_column + one < call.right_rows {
                number = right[(block_column + one) * call.k + place];
            }
            right_numbers[into] = number;
        }
        if thread == 0u {
            atomicStore(&near, 0u);
        }
        workgroupBarrier();
        let count = min(STEP, call.k - first);
        for (var place = 0u; place < count; place++) {
            let l = place * BLOCK + 4u * invocation.y;
            let r = place * BLOCK + 4u * invocation.x;
            let numbers =
                vec4<u32>(right_numbers[r], right_numbers[r + 1u], right_numbers[r + 2u], right_numbers[r + 3u]);
            a += missed(left_numbers[l], numbers);
            b += missed(left_numbers[l + 1u], numbers);
            c += missed(left_numbers[l + 2u], numbers);
            d += missed(left_numbers[l + 3u], numbers);
        }
        let least = min(min(a, b), min(c, d));
        if min(min(least.x, least.y), min(least.z, least.w)) <= misses_max {
            atomicStore(&near, 1u);
        }
        workgroupBarrier();
        if thread == 0u {
            is_over = select(0u, 1u, atomicLoad(&near) == 0u);
        }
        if workgroupUniformLoad(&is_over) == 1u {
            break;
        }
    }

    if places > 0u {
        tell(row, column, a);
        tell(row + 1u, column, b);
        tell(row + 2u, column, c);
        tell(row + 3u, column, d);
    }
    storageBarrier();
    workgroupBarrier();
    if thread == 0u {
        atomicAdd(&answer.done, call.ticket);
    }
}
