//! Nothing that happens to an archive on its way goes unnoticed.

use cento_index::IndexError;
use cento_index::archive::export;
use rayon::prelude::*;
use tempfile::TempDir;

use crate::sample::{Broken, about, archive, refusal, try_import, try_import_from, write_files};

#[test]
fn an_archive_cut_off_at_any_byte_is_refused() {
    let whole = archive();
    try_import(&whole).unwrap();
    for length in 0..whole.len() {
        let reason = refusal(&whole[..length]);
        let says = format!("it ends after {length} bytes");
        assert!(reason.starts_with(&says), "{length}: {reason}");
    }
}

#[test]
fn any_single_changed_byte_is_refused() {
    // As many files as it takes to have every kind of byte; each attempt syncs.
    let dir = TempDir::new().unwrap();
    write_files(dir.path(), &[("a", b"abc"), ("b/c", b"")]);
    let mut bytes = Vec::new();
    export(dir.path(), &about(), &mut bytes).unwrap();
    try_import(&bytes).unwrap();
    (0..bytes.len()).into_par_iter().for_each(|at| {
        let mut damaged = bytes.clone();
        for change in [0x01, 0x20, 0xff] {
            damaged[at] = bytes[at] ^ change;
            let result = try_import(&damaged);
            let refused = matches!(result, Err(IndexError::Archive { .. }));
            assert!(refused, "byte {at} with {change:#x}: {result:?}");
        }
    });
}

#[test]
fn whatever_follows_the_end_is_refused() {
    for more in [&b"\0"[..], b"x", &[0; 512], &archive()] {
        let reason = refusal(&[archive().as_slice(), more].concat());
        assert_eq!(reason, "something follows its end");
    }
}

#[test]
fn a_block_that_is_missing_doubled_or_moved_is_refused() {
    let whole = archive();
    let blocks: Vec<&[u8]> = whole.chunks(512).collect();
    for at in 0..blocks.len() {
        let without = [&blocks[..at], &blocks[at + 1..]].concat().concat();
        refusal(&without);
        let twice = [&blocks[..=at], &blocks[at..]].concat().concat();
        refusal(&twice);
        for other in at + 1..blocks.len() {
            if blocks[at] != blocks[other] {
                let mut swapped = blocks.clone();
                swapped.swap(at, other);
                refusal(&swapped.concat());
            }
        }
    }
}

#[test]
fn a_compressed_archive_is_called_so() {
    let gzip = [&[0x1f, 0x8b][..], &[8; 600]].concat();
    assert!(refusal(&gzip).contains("compressed"));
}

#[test]
fn a_stream_that_breaks_is_no_damaged_archive() {
    let whole = archive();
    for length in [0, 100, 512, whole.len() / 2, whole.len()] {
        let error = try_import_from(&mut Broken(&whole[..length])).unwrap_err();
        let stream = matches!(error, IndexError::ArchiveStream { .. });
        assert!(stream, "{length}: {error}");
    }
}
