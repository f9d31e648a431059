//! How does memory that is walked at random come in large pages?
//!
//! A walk touches rows all over the segment. With pages of 4 KiB the processor
//! looks up most of them in its page tables first; with pages of 2 MiB hardly
//! any.

#![allow(
    unsafe_code,
    reason = "lines of the cache are an array of bytes; an advice on memory names it by its address"
)]

use bytemuck::{Pod, Zeroable};

use super::kernels::LINE_BYTES;

/// Sixty-four bytes that begin where a line of the cache begins.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; LINE_BYTES]);

// SAFETY: a line is an array of 64 bytes and nothing else, without padding, and
// every pattern of bits is one.
unsafe impl Zeroable for Line {}
// SAFETY: as above.
unsafe impl Pod for Line {}

/// Less is not worth an advice.
const WORTH_BYTES: usize = 4 << 20;

/// An empty vector with room for so many, in large pages where the system has
/// them to give.
pub(crate) fn with_large_pages<T>(capacity: usize) -> Vec<T> {
    let room = Vec::with_capacity(capacity);
    #[cfg(target_os = "linux")]
    advise(&room);
    room
}

#[cfg(target_os = "linux")]
fn advise<T>(room: &Vec<T>) {
    use rustix::mm::{Advice, madvise};

    const PAGE_BYTES: usize = 4096;
    let begin = room.as_ptr().addr().next_multiple_of(PAGE_BYTES);
    let end = room.as_ptr().addr() + room.capacity() * size_of::<T>();
    if end < begin + WORTH_BYTES {
        return;
    }
    let bytes = (end - begin) / PAGE_BYTES * PAGE_BYTES;
    let address = room.as_ptr().with_addr(begin).cast_mut().cast();
    // SAFETY: whole pages of the vector's own allocation are named, and the advice
    // changes how they are backed, not what they hold. Without effect it is no error:
    // a system may have no large pages.
    let _ = unsafe { madvise(address, bytes, Advice::LinuxHugepage) };
}
