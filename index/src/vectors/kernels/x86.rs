//! How are vectors compared on x86-64?

use std::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_T0, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_prefetch,
    _mm_shuffle_epi32, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
    _mm256_cvtepu8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_setzero_si256,
    _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_setzero_si512,
};

use super::{Kernels, LINE_BYTES, Rows, portable};

static AVX512: Kernels = Kernels {
    name: "avx512-vnni",
    gather: gather_avx512,
    dot_codes: dot_codes_avx512,
    dot: dot_avx512,
};

static AVX2: Kernels = Kernels {
    name: "avx2",
    gather: gather_avx2,
    dot_codes: dot_codes_avx2,
    dot: dot_avx2,
};

pub(super) fn available() -> impl Iterator<Item = &'static Kernels> {
    let has_avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    let has_avx2 = is_x86_feature_detected!("avx2");
    let all = [(has_avx512, &AVX512), (has_avx2, &AVX2)];
    all.into_iter()
        .filter_map(|(is_here, kernels)| is_here.then_some(kernels))
}

/// So many rows ahead are brought into the cache: what a row takes to come from
/// memory, in rows that are compared meanwhile.
const AHEAD: usize = 8;

/// Asks for the lines of the cache that begin with what is wanted.
#[inline(always)]
pub(super) fn prefetch<T>(wanted: &[T]) {
    for line in wanted.chunks(LINE_BYTES / size_of::<T>()) {
        // SAFETY: a prefetch touches no memory that the program could see, and
        // every x86-64 processor has it.
        unsafe { _mm_prefetch(line.as_ptr().cast(), _MM_HINT_T0) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn gather_avx512(rows: Rows<'_>, query: &[i8], named: &[u32], sums: &mut [i32]) {
    named
        .iter()
        .take(AHEAD)
        .for_each(|&row| prefetch(rows.row(row as usize)));
    let ahead = |at: usize| {
        if let Some(&row) = named.get(at) {
            prefetch(rows.row(row as usize));
        }
    };
    // Two at a time, so that the sums of one do not wait for each other.
    let mut pairs = named.chunks_exact(2);
    for (at, pair) in (&mut pairs).enumerate() {
        ahead(2 * at + AHEAD);
        ahead(2 * at + 1 + AHEAD);
        let (first, second) = (rows.row(pair[0] as usize), rows.row(pair[1] as usize));
        let (mut one, mut other) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let lines = first
            .chunks_exact(LINE_BYTES)
            .zip(second.chunks_exact(LINE_BYTES));
        for ((a, b), q) in lines.zip(query.chunks_exact(LINE_BYTES)) {
            let q = line_i8(q);
            one = _mm512_dpbusd_epi32(one, line(a), q);
            other = _mm512_dpbusd_epi32(other, line(b), q);
        }
        sums[2 * at] = _mm512_reduce_add_epi32(one);
        sums[2 * at + 1] = _mm512_reduce_add_epi32(other);
    }
    if let [last] = pairs.remainder() {
        let mut sum = _mm512_setzero_si512();
        let row = rows.row(*last as usize).chunks_exact(LINE_BYTES);
        for (a, q) in row.zip(query.chunks_exact(LINE_BYTES)) {
            sum = _mm512_dpbusd_epi32(sum, line(a), line_i8(q));
        }
        sums[named.len() - 1] = _mm512_reduce_add_epi32(sum);
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn line(bytes: &[u8]) -> __m512i {
    debug_assert_eq!(bytes.len(), LINE_BYTES);
    // SAFETY: callers cut the slice to 64 bytes, which is what is read.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn line_i8(codes: &[i8]) -> __m512i {
    debug_assert_eq!(codes.len(), LINE_BYTES);
    // SAFETY: callers cut the slice to 64 bytes, which is what is read.
    unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn dot_codes_avx512(query: &[f32], row: &[u8]) -> f32 {
    portable::dot_codes(query, row)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn dot_avx512(query: &[f32], vector: &[f32]) -> f32 {
    portable::dot(query, vector)
}

/// Bytes that AVX2 widens at once.
const HALF_BYTES: usize = 16;

#[target_feature(enable = "avx2")]
fn gather_avx2(rows: Rows<'_>, query: &[i8], named: &[u32], sums: &mut [i32]) {
    named
        .iter()
        .take(AHEAD)
        .for_each(|&row| prefetch(rows.row(row as usize)));
    for (at, (sum, &row)) in sums.iter_mut().zip(named).enumerate() {
        if let Some(&row) = named.get(at + AHEAD) {
            prefetch(rows.row(row as usize));
        }
        let (mut one, mut other) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        let row = rows.row(row as usize).chunks_exact(2 * HALF_BYTES);
        for (r, q) in row.zip(query.chunks_exact(2 * HALF_BYTES)) {
            one = _mm256_add_epi32(one, products(&r[..HALF_BYTES], &q[..HALF_BYTES]));
            other = _mm256_add_epi32(other, products(&r[HALF_BYTES..], &q[HALF_BYTES..]));
        }
        let all = _mm256_add_epi32(one, other);
        let half = _mm_add_epi32(
            _mm256_castsi256_si128(all),
            _mm256_extracti128_si256::<1>(all),
        );
        let half = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
        let half = _mm_add_epi32(half, _mm_shuffle_epi32::<0b10_11_00_01>(half));
        *sum = _mm_cvtsi128_si32(half);
    }
}

/// Products of 16 bytes with 16 codes, added in pairs.
#[target_feature(enable = "avx2")]
#[inline]
fn products(row: &[u8], query: &[i8]) -> __m256i {
    debug_assert!(row.len() == HALF_BYTES && query.len() == HALF_BYTES);
    // SAFETY: callers cut both slices to 16 bytes, which is what is read.
    let (row, query) = unsafe {
        (
            _mm_loadu_si128(row.as_ptr().cast()),
            _mm_loadu_si128(query.as_ptr().cast()),
        )
    };
    _mm256_madd_epi16(_mm256_cvtepu8_epi16(row), _mm256_cvtepi8_epi16(query))
}

#[target_feature(enable = "avx2")]
fn dot_codes_avx2(query: &[f32], row: &[u8]) -> f32 {
    portable::dot_codes(query, row)
}

#[target_feature(enable = "avx2")]
fn dot_avx2(query: &[f32], vector: &[f32]) -> f32 {
    portable::dot(query, vector)
}
