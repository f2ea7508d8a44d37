//! Objects and arrays as the layer takes them apart and puts them together.

pub(super) use crate::llm::members::Member;

/// The most members that are looked at.
const MOST: usize = 256;

pub(super) type Members<'a> = crate::llm::members::Members<'a, MOST>;

/// Writes an object's members; `write` writes the values.
pub(super) fn write_object<'n, V>(
    members: impl Iterator<Item = (&'n str, V)>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(V, &mut Vec<u8>),
) {
    out.push(b'{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // A text in memory can't fail.
        let _ = serde_json::to_writer(&mut *out, name);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// Writes an array; `write` writes its elements.
pub(super) fn write_array<T>(
    elements: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(usize, T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(index, element, out);
    }
    out.push(b']');
}
