//! How are vectors compared on 64-bit ARM?

use std::arch::aarch64::{
    int8x16_t, vaddvq_s32, vdupq_n_s32, vdupq_n_u8, veorq_u8, vget_low_s8, vld1q_s8, vld1q_u8,
    vmull_high_s8, vmull_s8, vpadalq_s16, vreinterpretq_s8_u8,
};

use super::{Kernels, Rows, ZERO, portable};

static NEON: Kernels = Kernels {
    name: "neon",
    gather,
    dot_codes: portable::dot_codes,
    dot: portable::dot,
};

/// Every 64-bit ARM has them, and the portable bodies are compiled for them.
pub(super) fn available() -> impl Iterator<Item = &'static Kernels> {
    [&NEON].into_iter()
}

const BYTES: usize = 16;

#[target_feature(enable = "neon")]
fn gather(rows: Rows<'_>, query: &[i8], named: &[u32], sums: &mut [i32]) {
    // Codes are multiplied as they are, and what the offset would have added is
    // added once: there is no product of bytes with codes here.
    let offset: i32 = query
        .iter()
        .map(|&code| i32::from(code) * i32::from(ZERO))
        .sum();
    for (sum, &row) in sums.iter_mut().zip(named) {
        let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
        let row = rows.row(row as usize).chunks_exact(BYTES);
        for (r, q) in row.zip(query.chunks_exact(BYTES)) {
            let (r, q) = load(r, q);
            low = vpadalq_s16(low, vmull_s8(vget_low_s8(r), vget_low_s8(q)));
            high = vpadalq_s16(high, vmull_high_s8(r, q));
        }
        *sum = vaddvq_s32(low) + vaddvq_s32(high) + offset;
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn load(row: &[u8], query: &[i8]) -> (int8x16_t, int8x16_t) {
    debug_assert!(row.len() == BYTES && query.len() == BYTES);
    // SAFETY: callers cut both slices to 16 bytes, which is what is read.
    let (row, query) = unsafe { (vld1q_u8(row.as_ptr()), vld1q_s8(query.as_ptr())) };
    (vreinterpretq_s8_u8(veorq_u8(row, vdupq_n_u8(ZERO))), query)
}
