//! How does a part of the vectors lie on the disk once it does not change any
//! more?
//!
//! One file, mapped into memory: codes on lines of the cache, 1 ÷ their lengths,
//! the graph's links, which chunk each row is, and the vectors themselves where
//! they are kept. Numbers are little-endian; sections begin on lines of the
//! cache.
//!
//! ```text
//! header, 512 bytes: "centoseg" | version u32 | dimensions u32 | rows u64 | degree u32
//!   | slack f32 | first and last chunk u64 | 8 × (offset u64, bytes u64, CRC-32C u32, 0 u32)
//!   | 0 … | CRC-32C of the 508 bytes before
//! codes | inverse lengths f32 | links u32 | chunks u64 | rows by chunk u32 | entries u32
//!   | effort: (from f32, depth u32, ef u32, recall f32) | vectors f32
//! ```

#![allow(
    unsafe_code,
    reason = "a file is mapped: its pages are the cache, and opening reads none"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::{cast_slice, cast_slice_mut};
use cento_core::ChunkNo;
use memmap2::Mmap;

use super::allowed::ByChunk;
use super::effort::Measured;
use super::graph::{Adjacency, Graph};
use super::kernels::{LINE_BYTES, Rows, stride};
use super::pages::{Line, with_large_pages};
use super::rows::Space;
use crate::IndexError;
use crate::disk::{DiskFile, PIECE};

#[cfg(target_endian = "big")]
compile_error!("segments are mapped as they are, and their numbers are little-endian");

const KIND: &[u8; 8] = b"centoseg";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 512;
const TABLE_AT: usize = 48;
const ENTRY_BYTES: usize = 24;

/// The parts of a file, in order.
#[derive(Clone, Copy)]
enum Section {
    Codes,
    InverseLengths,
    Links,
    Chunks,
    ByChunk,
    Entries,
    Effort,
    Originals,
}

const SECTIONS: usize = 8;

/// Where a section is.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    offset: u64,
    bytes: u64,
    crc: u32,
}

/// What the header says.
#[derive(Debug, Clone)]
struct Header {
    dimensions: usize,
    rows: usize,
    degree: usize,
    slack: f32,
    first: ChunkNo,
    last: ChunkNo,
    extents: [Extent; SECTIONS],
    /// The header's own checksum, which tells one file from another.
    crc: u32,
}

/// Where segments are while they are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residence {
    /// Codes and links are read into memory, in large pages; vectors that are kept
    /// beside them stay in the file, of which a query reads a few.
    #[default]
    Memory,
    /// All of it is read from the file when it is needed, and kept by the system
    /// while it has memory to spare.
    Mapped,
}

/// A part of the vectors that does not change any more.
pub(crate) struct Segment {
    /// Its number in this process.
    identity: u64,
    /// The number in its file's name.
    pub(crate) number: u64,
    header: Header,
    map: Mmap,
    /// What of the file follows its header, as far as it is kept in memory.
    resident: Vec<Line>,
    effort: Vec<Measured>,
    path: PathBuf,
}

/// Counts what a mask can be of.
pub(crate) fn next_identity() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The path of a segment's file.
pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.segment"))
}

/// What a segment is made of. `order` says which row of the sources comes first,
/// which second; the graph is numbered so already.
pub(crate) struct Contents<'a> {
    pub(crate) space: Space<'a>,
    pub(crate) order: &'a [u32],
    pub(crate) graph: &'a Graph,
    pub(crate) chunks: &'a [ChunkNo],
    pub(crate) effort: &'a [Measured],
    /// Whether vectors are kept beside their codes, and how far the two may be
    /// apart.
    pub(crate) keeps_originals: bool,
    pub(crate) slack: f32,
    /// The vector of a row of the sources.
    pub(crate) original: &'a dyn Fn(u32) -> Vec<f32>,
}

/// Writes sections one after the other.
struct Writer {
    file: DiskFile,
    end: u64,
    buffer: Vec<u8>,
    extent: Extent,
}

impl Writer {
    fn push(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        self.file.write_all_at(&self.buffer, self.end)?;
        self.extent.crc = crc32c::crc32c_append(self.extent.crc, &self.buffer);
        self.extent.bytes += self.buffer.len() as u64;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends a section; the next one begins on a line.
    fn section(&mut self) -> Result<Extent, IndexError> {
        self.flush()?;
        self.end = self.end.next_multiple_of(LINE_BYTES as u64);
        let next = Extent {
            offset: self.end,
            ..Extent::default()
        };
        Ok(std::mem::replace(&mut self.extent, next))
    }
}

/// Writes a segment's file. Durable when it returns, but for its name.
pub(crate) fn write(path: &Path, contents: &Contents<'_>) -> Result<(), IndexError> {
    let Contents { space, order, .. } = *contents;
    let mut writer = Writer {
        file: DiskFile::create(path)?,
        end: HEADER_BYTES as u64,
        buffer: Vec::with_capacity(2 * PIECE),
        extent: Extent {
            offset: HEADER_BYTES as u64,
            ..Extent::default()
        },
    };
    let mut extents = [Extent::default(); SECTIONS];
    for &row in order {
        writer.push(space.rows.row(row as usize))?;
    }
    extents[Section::Codes as usize] = writer.section()?;
    for &row in order {
        writer.push(&space.inverse_lengths[row as usize].to_le_bytes())?;
    }
    extents[Section::InverseLengths as usize] = writer.section()?;
    for places in contents.graph.links.chunks(PIECE / 4) {
        writer.push(cast_slice(places))?;
    }
    extents[Section::Links as usize] = writer.section()?;
    let chunks: Vec<u64> = order
        .iter()
        .map(|&row| contents.chunks[row as usize].0)
        .collect();
    writer.push(cast_slice(&chunks))?;
    extents[Section::Chunks as usize] = writer.section()?;
    let mut by_chunk: Vec<u32> = (0..chunks.len() as u32).collect();
    by_chunk.sort_unstable_by_key(|&row| chunks[row as usize]);
    writer.push(cast_slice(&by_chunk))?;
    extents[Section::ByChunk as usize] = writer.section()?;
    writer.push(cast_slice(&contents.graph.entries))?;
    extents[Section::Entries as usize] = writer.section()?;
    for step in contents.effort {
        writer.push(&step.from.to_le_bytes())?;
        writer.push(&step.depth.to_le_bytes())?;
        writer.push(&step.ef.to_le_bytes())?;
        writer.push(&step.recall.to_le_bytes())?;
    }
    extents[Section::Effort as usize] = writer.section()?;
    if contents.keeps_originals {
        for &row in order {
            writer.push(cast_slice(&(contents.original)(row)))?;
        }
    }
    extents[Section::Originals as usize] = writer.section()?;
    let bound = |at: Option<&u32>| ChunkNo(at.map_or(0, |&row| chunks[row as usize]));
    let header = Header {
        dimensions: space.dimensions,
        rows: order.len(),
        degree: contents.graph.degree,
        slack: contents.slack,
        first: bound(by_chunk.first()),
        last: bound(by_chunk.last()),
        extents,
        crc: 0,
    };
    writer.file.write_all_at(&header.encode(), 0)?;
    // The length is part of what was written, also where the last part is empty.
    writer.file.set_bytes(writer.end)?;
    writer.file.sync_data()
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(KIND);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.dimensions as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.rows as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.degree as u32).to_le_bytes());
        bytes.extend_from_slice(&self.slack.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.last.0.to_le_bytes());
        debug_assert_eq!(bytes.len(), TABLE_AT);
        for extent in self.extents {
            bytes.extend_from_slice(&extent.offset.to_le_bytes());
            bytes.extend_from_slice(&extent.bytes.to_le_bytes());
            bytes.extend_from_slice(&extent.crc.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
        }
        bytes.resize(HEADER_BYTES - 4, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or("it is too short")?;
        let u32_at = |at: usize| {
            let word: [u8; 4] = bytes[at..at + 4].try_into().unwrap_or_default();
            u32::from_le_bytes(word)
        };
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let crc = u32_at(HEADER_BYTES - 4);
        if crc != crc32c::crc32c(&bytes[..HEADER_BYTES - 4]) {
            return Err("its header does not match its checksum");
        }
        if (&bytes[..8], u32_at(8)) != (KIND, VERSION) {
            return Err("it is of another format");
        }
        let too_large = |_| "it is too large for this machine";
        let extent = |section: usize| {
            let at = TABLE_AT + section * ENTRY_BYTES;
            Extent {
                offset: u64_at(at),
                bytes: u64_at(at + 8),
                crc: u32_at(at + 16),
            }
        };
        Ok(Self {
            dimensions: u32_at(12) as usize,
            rows: usize::try_from(u64_at(16)).map_err(too_large)?,
            degree: u32_at(24) as usize,
            slack: f32::from_bits(u32_at(28)),
            first: ChunkNo(u64_at(32)),
            last: ChunkNo(u64_at(40)),
            extents: std::array::from_fn(extent),
            crc,
        })
    }

    /// Whether every section is as long as the numbers say and within the file.
    fn fits(&self, bytes: u64) -> bool {
        let rows = self.rows as u64;
        let of = |section: Section| self.extents[section as usize];
        let per_row = [
            (Section::Codes, stride(self.dimensions) as u64),
            (Section::InverseLengths, 4),
            (Section::Links, 4 * self.degree as u64),
            (Section::Chunks, 8),
            (Section::ByChunk, 4),
        ];
        let originals = of(Section::Originals).bytes;
        let is_whole = |bytes: u64, unit: u64| rows.checked_mul(unit) == Some(bytes);
        let is_within = |extent: &Extent| {
            let end = extent.offset.checked_add(extent.bytes);
            let is_after_header = extent.offset >= HEADER_BYTES as u64;
            is_after_header
                && extent.offset.is_multiple_of(LINE_BYTES as u64)
                && end.is_some_and(|end| end <= bytes)
        };
        self.dimensions > 0
            && rows > 0
            && rows < u64::from(u32::MAX >> 1)
            && self.first <= self.last
            && self.slack.is_finite()
            && per_row
                .iter()
                .all(|&(section, unit)| is_whole(of(section).bytes, unit))
            && (originals == 0 || is_whole(originals, 4 * self.dimensions as u64))
            && of(Section::Entries).bytes.is_multiple_of(4)
            && of(Section::Effort).bytes.is_multiple_of(16)
            && self.extents.iter().all(is_within)
    }
}

impl Segment {
    /// Opens a segment's file: its header is checked, and that its sections are
    /// there; what they hold is for [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`IndexError::Projection`] if it is not what was written.
    pub(crate) fn open(
        dir: &Path,
        number: u64,
        dimensions: usize,
        residence: Residence,
    ) -> Result<Self, IndexError> {
        let path = segment_path(dir, number);
        let file = DiskFile::open_to_read(&path)?;
        let bytes = file.bytes()?;
        let wrong = |reason: &str| IndexError::Projection {
            projection: "vectors",
            reason: format!("{}: {reason}", path.display()),
        };
        if bytes < HEADER_BYTES as u64 {
            return Err(wrong("it is too short"));
        }
        // SAFETY: segments are written once, before they are named, and never
        // changed: they are removed, not truncated, and a directory has one owner,
        // who holds its lock. Whoever else changes the files of a database under it
        // may crash the process, as with any engine that maps its files.
        let map = unsafe { Mmap::map(file.as_file()) };
        let map = map.map_err(|source| IndexError::Io {
            action: "cannot map",
            path: path.clone(),
            source,
        })?;
        let header = Header::decode(&map).map_err(wrong)?;
        if !header.fits(map.len() as u64) {
            return Err(wrong("its parts do not fit its length"));
        }
        if header.dimensions != dimensions {
            return Err(wrong("it is of other dimensions"));
        }
        let mut segment = Self {
            identity: next_identity(),
            number,
            header,
            map,
            resident: Vec::new(),
            effort: Vec::new(),
            path,
        };
        if residence == Residence::Memory {
            segment.resident = segment.read(&file)?;
        }
        let words: &[u32] = cast_slice(segment.section(Section::Effort));
        segment.effort = (words.chunks_exact(4))
            .map(|step| Measured {
                from: f32::from_bits(step[0]),
                depth: step[1],
                ef: step[2],
                recall: f32::from_bits(step[3]),
            })
            .collect();
        Ok(segment)
    }

    /// Codes, lengths, links and chunks, which a walk touches all over.
    fn read(&self, file: &DiskFile) -> Result<Vec<Line>, IndexError> {
        let last = self.header.extents[Section::Chunks as usize];
        let bytes = (last.offset + last.bytes) as usize - HEADER_BYTES;
        let lines = bytes.div_ceil(LINE_BYTES);
        let mut resident: Vec<Line> = with_large_pages(lines);
        resident.resize(lines, Line([0; LINE_BYTES]));
        let room: &mut [u8] = cast_slice_mut(&mut resident);
        for (at, piece) in room[..bytes].chunks_mut(PIECE).enumerate() {
            file.read_exact_at(piece, (HEADER_BYTES + at * PIECE) as u64)?;
        }
        Ok(resident)
    }

    fn section(&self, section: Section) -> &[u8] {
        let Extent { offset, bytes, .. } = self.header.extents[section as usize];
        let (first, last) = (offset as usize, (offset + bytes) as usize);
        let resident: &[u8] = cast_slice(&self.resident);
        let in_memory = || resident.get(first - HEADER_BYTES..last - HEADER_BYTES);
        match section {
            Section::Codes | Section::InverseLengths | Section::Links | Section::Chunks => {
                in_memory().unwrap_or(&self.map[first..last])
            }
            _ => &self.map[first..last],
        }
    }

    /// Compares every byte with its checksum.
    ///
    /// # Errors
    /// [`IndexError::Projection`] with the first place that does not match.
    pub(crate) fn verify(&self) -> Result<(), IndexError> {
        for (section, extent) in self.header.extents.iter().enumerate() {
            let bytes = &self.map[extent.offset as usize..(extent.offset + extent.bytes) as usize];
            if crc32c::crc32c(bytes) != extent.crc {
                return Err(IndexError::Projection {
                    projection: "vectors",
                    reason: format!(
                        "{}: section {section} at offset {} does not match its checksum",
                        self.path.display(),
                        extent.offset
                    ),
                });
            }
        }
        Ok(())
    }

    /// What tells its file from every other.
    pub(crate) fn checksum(&self) -> u32 {
        self.header.crc
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its file's length.
    pub(crate) fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// How many rows it holds.
    pub(crate) fn rows(&self) -> usize {
        self.header.rows
    }

    /// The least and the greatest chunk.
    pub(crate) fn bounds(&self) -> (ChunkNo, ChunkNo) {
        (self.header.first, self.header.last)
    }

    /// What its rows are compared by.
    pub(crate) fn space(&self) -> Space<'_> {
        Space {
            dimensions: self.header.dimensions,
            rows: Rows::new(self.section(Section::Codes), self.header.dimensions),
            inverse_lengths: cast_slice(self.section(Section::InverseLengths)),
            originals: cast_slice(self.section(Section::Originals)),
            slack: self.header.slack,
        }
    }

    /// Its graph's links.
    pub(crate) fn adjacency(&self) -> Adjacency<'_> {
        Adjacency {
            degree: self.header.degree,
            links: cast_slice(self.section(Section::Links)),
        }
    }

    /// Where walks begin.
    pub(crate) fn entries(&self) -> &[u32] {
        cast_slice(self.section(Section::Entries))
    }

    /// What walks find of it.
    pub(crate) fn effort(&self) -> &[Measured] {
        &self.effort
    }

    /// The chunk of a row.
    pub(crate) fn chunk(&self, row: usize) -> ChunkNo {
        ChunkNo(self.chunks()[row])
    }

    fn chunks(&self) -> &[u64] {
        cast_slice(self.section(Section::Chunks))
    }

    /// The row of a chunk.
    pub(crate) fn find(&self, chunk: ChunkNo) -> Option<usize> {
        let (chunks, rows): (_, &[u32]) =
            (self.chunks(), cast_slice(self.section(Section::ByChunk)));
        let number = |row: u32| chunks.get(row as usize).copied().unwrap_or(u64::MAX);
        let at = rows
            .binary_search_by_key(&chunk.0, |&row| number(row))
            .ok()?;
        Some(rows[at] as usize)
    }
}

impl ByChunk for Segment {
    fn identity(&self) -> u64 {
        self.identity
    }

    fn count(&self) -> usize {
        self.rows()
    }

    fn span(&self) -> (ChunkNo, ChunkNo) {
        self.bounds()
    }

    /// A row that is none, in a damaged file, is left out.
    fn by_chunk(&self) -> impl Iterator<Item = (ChunkNo, u32)> {
        let (chunks, rows): (_, &[u32]) =
            (self.chunks(), cast_slice(self.section(Section::ByChunk)));
        let named = rows.iter().copied();
        named.filter_map(|row| Some((ChunkNo(*chunks.get(row as usize)?), row)))
    }

    fn row_of(&self, chunk: ChunkNo) -> Option<u32> {
        self.find(chunk).map(|row| row as u32)
    }
}
