// Twin of src/analyses/minhash: the least and the greatest product of each multiplier with the hashes of the shingles of a
// segment. A row is 64 multipliers of a segment.
//
// parameters: bytes of a shingle, the base to the power of one less, then the multipliers, as many as fill all rows.
// words: the least of each multiplier, then the greatest of each.

const BASE = 0x915F77F5u;
const THREADS = 256u;
const MULTIPLIERS = 64u;
// So many invocations have the same multiplier, each with its own part of the hashes.
const LANES = 4u;
// Hashes that all invocations make together before they use them.
const TILE = 1024u;

// Four at a time: they are read so, and the products of four need one step of a loop.
var<workgroup> hashes: array<vec4<u32>, THREADS>;
var<workgroup> leasts: array<u32, THREADS>;
var<workgroup> greatests: array<u32, THREADS>;

fn mix(number: u32) -> u32 {
    var x = number;
    x ^= x >> 16u;
    x *= 0x7FEB352Du;
    x ^= x >> 15u;
    x *= 0x846CA68Bu;
    return x ^ (x >> 16u);
}

fn shingle_hash(polynomial: u32) -> u32 {
    return max(mix(polynomial + 0x9E3779B9u), 1u);
}

// The hashes of the shingles at `first` and the next places, of which `count` are there; the others are the first once more,
// which changes no extreme.
fn four_hashes(first: u32, count: u32) -> vec4<u32> {
    let shingle_bytes = parameters[0];
    let power = parameters[1];
    var polynomial = 0u;
    for (var i = 0u; i < shingle_bytes; i++) {
        polynomial = polynomial * BASE + byte_at(first + i);
    }
    var four = vec4<u32>(shingle_hash(polynomial));
    for (var i = 1u; i < min(count, 4u); i++) {
        polynomial = (polynomial - byte_at(first + i - 1u) * power) * BASE + byte_at(first + i + shingle_bytes - 1u);
        four[i] = shingle_hash(polynomial);
    }
    return four;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group.x + group.y * call.width;
    if row >= call.rows {
        return;
    }
    let segment = segments[row / call.rows_per_segment];
    let first_multiplier = (row % call.rows_per_segment) * MULTIPLIERS;
    let multiplier = parameters[2u + first_multiplier + thread % MULTIPLIERS];
    let lane = thread / MULTIPLIERS;

    var least = vec4<u32>(0xFFFFFFFFu);
    var greatest = vec4<u32>(0u);
    for (var tile = 0u; tile < segment.positions; tile += TILE) {
        let count = min(TILE, segment.positions - tile);
        let own = 4u * thread;
        if own < count {
            hashes[thread] = four_hashes(segment.first_byte + tile + own, count - own);
        }
        workgroupBarrier();
        let fours = (count + 3u) / 4u;
        for (var i = lane; i < fours; i += LANES) {
            let products = hashes[i] * multiplier;
            least = min(least, products);
            greatest = max(greatest, products);
        }
        workgroupBarrier();
    }

    leasts[thread] = min(min(least.x, least.y), min(least.z, least.w));
    greatests[thread] = max(max(greatest.x, greatest.y), max(greatest.z, greatest.w));
    workgroupBarrier();
    let words = call.rows + row * 2u * MULTIPLIERS;
    if thread < MULTIPLIERS {
        var all = leasts[thread];
        for (var other = 1u; other < LANES; other++) {
            all = min(all, leasts[thread + other * MULTIPLIERS]);
        }
        answers[words + thread] = all;
    } else if thread < 2u * MULTIPLIERS {
        let own = thread - MULTIPLIERS;
        var all = greatests[own];
        for (var other = 1u; other < LANES; other++) {
            all = max(all, greatests[own + other * MULTIPLIERS]);
        }
        answers[words + thread] = all;
    }
    storageBarrier();
    workgroupBarrier();
    if thread == 0u {
        stamp(row);
    }
}
