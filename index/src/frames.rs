//! How do bytes on disk say what they are, and that they are whole?
//!
//! A framed file is a header and then frames, all numbers little-endian:
//!
//! ```text
//! header: kind [8 bytes] | version u32 | CRC-32C of the 12 bytes before
//! frame:  length u32     | CRC-32C u32 of length and payload | payload
//! ```
//!
//! The log and the vector projection's file are framed files. CRC-32C finds
//! every burst error of up to 32 bits; it is no defence against forgery, which
//! a local disk does not need.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::IndexError;
use crate::error::IoContext;

/// What a framed file holds.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    /// Eight bytes that begin the file.
    pub(crate) kind: &'static [u8; 8],
    /// The version that this program writes, and the only one it reads.
    pub(crate) version: u32,
}

/// Where the first frame begins.
pub(crate) const HEADER_BYTES: u64 = 16;
/// What stands before a frame's payload.
pub(crate) const FRAME_HEAD_BYTES: u64 = 8;

impl Format {
    /// The header as bytes.
    pub(crate) fn header(self) -> [u8; HEADER_BYTES as usize] {
        let mut header = [0; HEADER_BYTES as usize];
        header[..8].copy_from_slice(self.kind);
        header[8..12].copy_from_slice(&self.version.to_le_bytes());
        let crc = crc32c::crc32c(&header[..12]);
        header[12..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Checks the header of an open file.
    pub(crate) fn check(self, file: &File, path: &Path) -> Result<(), IndexError> {
        let mut found = [0; HEADER_BYTES as usize];
        let read = file.read_exact_at(&mut found, 0);
        if read.is_ok() && found == self.header() {
            return Ok(());
        }
        let kind = String::from_utf8_lossy(self.kind).into_owned();
        let found = match read {
            Err(_) => "a file too short for a header".to_owned(),
            Ok(()) if crc32c::crc32c(&found[..12]).to_le_bytes() != found[12..] => {
                "a damaged header".to_owned()
            }
            Ok(()) => format!(
                "{} version {}",
                String::from_utf8_lossy(&found[..8]),
                u32::from_le_bytes([found[8], found[9], found[10], found[11]])
            ),
        };
        Err(IndexError::Format {
            path: path.to_owned(),
            expected: format!("{kind} version {}", self.version),
            found,
        })
    }
}

/// A payload as a frame.
///
/// Payloads are bounded by their writers far below 4 GiB.
pub(crate) fn encode(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), payload);
    let mut frame = Vec::with_capacity(payload.len() + FRAME_HEAD_BYTES as usize);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&crc.to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// What stands at a place of a framed file.
pub(crate) enum Frame {
    /// A whole frame, and where the next one would begin.
    Whole {
        /// What it carries.
        payload: Vec<u8>,
        /// One past its last byte.
        end: u64,
    },
    /// The file ends here.
    End,
    /// Bytes that are no whole frame.
    Broken(&'static str),
}

/// Where the frame at `offset` says that it ends; `None` if that is not within
/// the file. Nothing is verified.
pub(crate) fn end_of(
    file: &File,
    path: &Path,
    offset: u64,
    file_bytes: u64,
) -> Result<Option<u64>, IndexError> {
    if file_bytes.saturating_sub(offset) < FRAME_HEAD_BYTES {
        return Ok(None);
    }
    let mut length = [0; 4];
    file.read_exact_at(&mut length, offset)
        .on("cannot read", path)?;
    let end = offset + FRAME_HEAD_BYTES + u64::from(u32::from_le_bytes(length));
    Ok((end <= file_bytes).then_some(end))
}

/// Reads the frame at `offset` of a file of `file_bytes` bytes.
pub(crate) fn read(
    file: &File,
    path: &Path,
    offset: u64,
    file_bytes: u64,
) -> Result<Frame, IndexError> {
    let remaining = file_bytes.saturating_sub(offset);
    if remaining == 0 {
        return Ok(Frame::End);
    }
    if remaining < FRAME_HEAD_BYTES {
        return Ok(Frame::Broken("a frame's head is cut off"));
    }
    let mut head = [0; FRAME_HEAD_BYTES as usize];
    file.read_exact_at(&mut head, offset)
        .on("cannot read", path)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let expected = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if u64::from(length) > remaining - FRAME_HEAD_BYTES {
        return Ok(Frame::Broken("a frame is cut off"));
    }
    let mut payload = vec![0; length as usize];
    file.read_exact_at(&mut payload, offset + FRAME_HEAD_BYTES)
        .on("cannot read", path)?;
    if crc32c::crc32c_append(crc32c::crc32c(&head[..4]), &payload) != expected {
        return Ok(Frame::Broken("a frame's checksum does not match"));
    }
    Ok(Frame::Whole {
        payload,
        end: offset + FRAME_HEAD_BYTES + u64::from(length),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const FORMAT: Format = Format {
        kind: b"testfile",
        version: 1,
    };

    fn file_of(bytes: &[u8]) -> (tempfile::NamedTempFile, u64) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        (file, bytes.len() as u64)
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let good = encode(b"some payload");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let (file, bytes) = file_of(&bad);
            let frame = read(file.as_file(), file.path(), 0, bytes).unwrap();
            assert!(matches!(frame, Frame::Broken(_)), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_broken_and_an_empty_rest_is_the_end() {
        let good = encode(b"some payload");
        for cut in 1..good.len() {
            let (file, bytes) = file_of(&good[..cut]);
            assert!(matches!(
                read(file.as_file(), file.path(), 0, bytes).unwrap(),
                Frame::Broken(_)
            ));
        }
        let (file, bytes) = file_of(&good);
        assert!(matches!(
            read(file.as_file(), file.path(), bytes, bytes).unwrap(),
            Frame::End
        ));
    }

    #[test]
    fn another_kind_or_version_is_refused_by_name() {
        let other = Format {
            kind: b"otherone",
            version: 7,
        };
        let (file, _) = file_of(&other.header());
        let error = FORMAT.check(file.as_file(), file.path()).unwrap_err();
        assert!(error.to_string().contains("otherone version 7"), "{error}");
        let (file, _) = file_of(&FORMAT.header());
        assert!(FORMAT.check(file.as_file(), file.path()).is_ok());
    }
}
