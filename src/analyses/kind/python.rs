//! Python's own files: byte code and pickles.

use super::numbers::{byte, has, le16, le32, le64};

/// The number of a version, then after the fields of its header a code object.
pub(super) fn is_bytecode(head: &[u8]) -> Option<bool> {
    const CODE: u8 = b'c';
    /// In the type of an object: it is referred to later.
    const IS_REFERRED: u8 = 0x80;
    let start = match le16(head, 0)? {
        // Python 3.7 on: flags come first.
        3390..=4000 if le32(head, 4)? <= 3 => 16,
        // Since 3.3 the size of the source is there.
        3190..3390 => 12,
        // Before that, and Python 2 (counted up by tens from 20121), the time alone.
        3000..3190 | 20121..=62300 => 8,
        _ => return Some(false),
    };
    Some(byte(head, start)? & !IS_REFERRED == CODE)
}

/// The version of the protocol; from 4 on a frame, before that an instruction that may come first.
pub(super) fn is_pickle(head: &[u8]) -> Option<bool> {
    Some(match byte(head, 1)? {
        4 | 5 => has(head, 2, b"\x95") && (1..1 << 40).contains(&le64(head, 3)?),
        // A list, a dictionary or a tuple, empty and put into the memo, or a mark; the name of a class.
        2 | 3 => match head.get(2..4)? {
            b"]q" | b"}q" | b")q" | b"(]" | b"(}" | b"(K" => byte(head, 4)? <= 1 || head[2] == b'(',
            [b'c', first] => {
                let name = head.get(3..head.len().min(67))?;
                let end = name.iter().position(|byte| *byte == b'\n')?;
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._".contains(byte);
                (first.is_ascii_alphabetic() || *first == b'_') && name[..end].iter().all(is_name)
            }
            _ => false,
        },
        _ => false,
    })
}
