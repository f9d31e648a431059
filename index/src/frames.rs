//! How do bytes on disk say what they are, and that they are whole?
//!
//! A framed file is a header and then frames, all numbers little-endian:
//!
//! ```text
//! header: kind [8 bytes] | version u32 | salt u64 | CRC-32C of the 20 bytes before
//! frame:  length u32 | CRC-32C u32 of salt, length and payload | payload
//! ```
//!
//! The log's segments and the vector projection's file are framed files. The
//! salt is a random number of the file's own: bytes that spell a frame of
//! another file, or that stand as text in a payload, are no frame here. CRC-32C
//! finds every burst error of up to 32 bits; it is no defence against forgery,
//! which a local disk does not need.

use crate::IndexError;
use crate::disk::DiskFile;
use crate::random;

/// What a framed file holds.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    /// Eight bytes that begin the file.
    pub(crate) kind: &'static [u8; 8],
    /// The version that this program writes, and the only one it reads.
    pub(crate) version: u32,
}

/// The random number that a file's checksums begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) u64);

/// Where the first frame begins.
pub(crate) const HEADER_BYTES: u64 = 24;
/// What stands before a frame's payload.
pub(crate) const FRAME_HEAD_BYTES: u64 = 8;

impl Format {
    /// The header as bytes.
    fn header(self, salt: Salt) -> [u8; HEADER_BYTES as usize] {
        let mut header = [0; HEADER_BYTES as usize];
        header[..8].copy_from_slice(self.kind);
        header[8..12].copy_from_slice(&self.version.to_le_bytes());
        header[12..20].copy_from_slice(&salt.0.to_le_bytes());
        let crc = crc32c::crc32c(&header[..20]);
        header[20..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Writes the header of a new file, with a new salt. Not synced.
    pub(crate) fn begin(self, file: &DiskFile) -> Result<Salt, IndexError> {
        let salt = Salt(random::number());
        file.write_all_at(&self.header(salt), 0)?;
        Ok(salt)
    }

    /// Whether the header of an open file is whole, and of a later version.
    pub(crate) fn is_later(self, file: &DiskFile) -> bool {
        let mut found = [0; HEADER_BYTES as usize];
        if file.read_exact_at(&mut found, 0).is_err() {
            return false;
        }
        let word = |at: usize| {
            let bytes = [found[at], found[at + 1], found[at + 2], found[at + 3]];
            u32::from_le_bytes(bytes)
        };
        let is_whole = crc32c::crc32c(&found[..20]) == word(20);
        is_whole && &found[..8] == self.kind && word(8) > self.version
    }

    /// Checks the header of an open file.
    pub(crate) fn check(self, file: &DiskFile) -> Result<Salt, IndexError> {
        let mut found = [0; HEADER_BYTES as usize];
        let is_long_enough = file.bytes()? >= HEADER_BYTES;
        if is_long_enough {
            file.read_exact_at(&mut found, 0)?;
        }
        let (known, rest) = found.split_at(12);
        let salt = rest
            .first_chunk::<8>()
            .map_or(0, |s| u64::from_le_bytes(*s));
        let salt = Salt(salt);
        if is_long_enough && found == self.header(salt) {
            return Ok(salt);
        }
        let kind = String::from_utf8_lossy(self.kind).into_owned();
        let version = known
            .last_chunk::<4>()
            .map_or(0, |v| u32::from_le_bytes(*v));
        // The checksum has moved with the header's length, so a former version
        // is told by its kind alone.
        let found = if !is_long_enough {
            "a file too short for a header".to_owned()
        } else if &known[..8] == self.kind && version == self.version {
            "a damaged header".to_owned()
        } else if known[..8].iter().all(u8::is_ascii_lowercase) && version < 1000 {
            format!("{} version {version}", String::from_utf8_lossy(&known[..8]))
        } else {
            "a damaged header".to_owned()
        };
        Err(IndexError::Format {
            path: file.path().to_owned(),
            expected: format!("{kind} version {}", self.version),
            found,
        })
    }
}

fn checksum(salt: Salt, length: [u8; 4], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.0.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &length), payload)
}

/// A payload as a frame.
///
/// Payloads are bounded by their writers far below 4 GiB.
pub(crate) fn encode(salt: Salt, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let mut frame = Vec::with_capacity(payload.len() + FRAME_HEAD_BYTES as usize);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&checksum(salt, length, payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The payload of the frame that `bytes` begin with, if they begin with one.
/// `is_plausible` is asked before the checksum is computed.
pub(crate) fn decode(
    salt: Salt,
    bytes: &[u8],
    is_plausible: impl Fn(&[u8]) -> bool,
) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    (is_plausible(payload) && checksum(salt, *length, payload) == u32::from_le_bytes(*crc))
        .then_some(payload)
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

/// Reads the frame at `offset` of a file of `file_bytes` bytes.
pub(crate) fn read(
    file: &DiskFile,
    salt: Salt,
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
    file.read_exact_at(&mut head, offset)?;
    let length = [head[0], head[1], head[2], head[3]];
    let expected = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if u64::from(u32::from_le_bytes(length)) > remaining - FRAME_HEAD_BYTES {
        return Ok(Frame::Broken("a frame is cut off"));
    }
    let mut payload = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact_at(&mut payload, offset + FRAME_HEAD_BYTES)?;
    if checksum(salt, length, &payload) != expected {
        return Ok(Frame::Broken("a frame's checksum does not match"));
    }
    let end = offset + FRAME_HEAD_BYTES + payload.len() as u64;
    Ok(Frame::Whole { payload, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        kind: b"testfile",
        version: 1,
    };
    const SALT: Salt = Salt(7);

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, DiskFile, u64) {
        let dir = tempfile::tempdir().unwrap();
        let file = DiskFile::create(&dir.path().join("file")).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        (dir, file, bytes.len() as u64)
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let good = encode(SALT, b"some payload");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let (_dir, file, bytes) = file_of(&bad);
            let frame = read(&file, SALT, 0, bytes).unwrap();
            assert!(matches!(frame, Frame::Broken(_)), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_of_another_file_is_no_frame_here() {
        let foreign = encode(Salt(8), b"some payload");
        let (_dir, file, bytes) = file_of(&foreign);
        let frame = read(&file, SALT, 0, bytes).unwrap();
        assert!(matches!(frame, Frame::Broken(_)));
        assert!(decode(SALT, &foreign, |_| true).is_none());
        assert!(decode(Salt(8), &foreign, |_| true).is_some());
    }

    #[test]
    fn a_frame_cut_anywhere_is_broken_and_an_empty_rest_is_the_end() {
        let good = encode(SALT, b"some payload");
        for cut in 1..good.len() {
            let (_dir, file, bytes) = file_of(&good[..cut]);
            assert!(matches!(
                read(&file, SALT, 0, bytes).unwrap(),
                Frame::Broken(_)
            ));
        }
        let (_dir, file, bytes) = file_of(&good);
        assert!(matches!(
            read(&file, SALT, bytes, bytes).unwrap(),
            Frame::End
        ));
    }

    #[test]
    fn another_kind_or_version_is_refused_by_name() {
        let other = Format {
            kind: b"otherone",
            version: 7,
        };
        let (_dir, file, _) = file_of(&other.header(SALT));
        let error = FORMAT.check(&file).unwrap_err();
        assert!(error.to_string().contains("otherone version 7"), "{error}");
        let (_dir, file, _) = file_of(&FORMAT.header(SALT));
        assert_eq!(FORMAT.check(&file).unwrap(), SALT);
        for bit in 0..HEADER_BYTES as usize * 8 {
            let mut bad = FORMAT.header(SALT);
            bad[bit / 8] ^= 1 << (bit % 8);
            let (_dir, file, _) = file_of(&bad);
            assert!(FORMAT.check(&file).is_err(), "bit {bit}");
        }
    }
}
