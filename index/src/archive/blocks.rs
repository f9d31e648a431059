//! What stands in a tar file around the bytes of its entries?
//!
//! A header of 512 bytes before each, zeros behind it up to a multiple of 512,
//! and two blocks of zeros at the end. The library knows how names and numbers
//! are written into a header; what we expect of one is decided here.

use tar::{EntryType, Header};

/// The unit of a tar file.
pub(super) const BLOCK: usize = 512;

/// What ends a tar file.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The one header that an entry of this name and length has in our archives;
/// none if the name does not fit.
pub(super) fn header(name: &str, bytes: u64, modified: u64) -> Option<[u8; BLOCK]> {
    let mut header = Header::new_ustar();
    header.set_path(name).ok()?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header.set_mtime(modified);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Some(*header.as_bytes())
}

/// How many zeros follow an entry's bytes.
pub(super) fn padding(bytes: u64) -> usize {
    // The rest of a division by 512 fits anywhere.
    (bytes.next_multiple_of(BLOCK as u64) - bytes) as usize
}

/// The name in a header, for reading.
pub(super) fn name(block: &[u8; BLOCK]) -> String {
    let name = Header::from_byte_slice(block).path_bytes();
    let text = String::from_utf8_lossy(&name);
    // Control characters of a hostile name must not reach a terminal.
    format!("'{}'", text.escape_debug())
}

/// The length in a header.
pub(super) fn length(block: &[u8; BLOCK]) -> Option<u64> {
    Header::from_byte_slice(block).entry_size().ok()
}

/// Why a header is not the expected one.
pub(super) fn difference(found: &[u8; BLOCK], expected: &[u8; BLOCK]) -> String {
    let wanted = name(expected);
    if found.iter().all(|byte| *byte == 0) {
        return format!("it ends where {wanted} should stand");
    }
    let found_name = name(found);
    let kind = match Header::from_byte_slice(found).entry_type() {
        EntryType::Regular => None,
        EntryType::Link => Some("a hard link"),
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::Char | EntryType::Block => Some("a device"),
        EntryType::Directory => Some("a directory"),
        EntryType::Fifo => Some("a pipe"),
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::GNUSparse => {
            Some("a header of GNU tar")
        }
        EntryType::XHeader | EntryType::XGlobalHeader => Some("an extended header"),
        _ => Some("an entry of unknown kind"),
    };
    if let Some(kind) = kind {
        return format!("{found_name} is {kind} where the plain file {wanted} should stand");
    }
    if found_name != wanted {
        return format!("{found_name} stands where {wanted} should");
    }
    match (length(found), length(expected)) {
        (Some(found), Some(expected)) if found != expected => {
            format!("{wanted} claims {found} bytes instead of {expected}")
        }
        _ => format!("the header of {wanted} is damaged"),
    }
}
