//! Field values for the properties of the parsers: every byte that a field may hold, separators more often than not.

use http::HeaderValue;
use proptest::prelude::*;

/// Any field value: bytes of any kind, among them many that mean something to a parser.
pub(super) fn field_value() -> impl Strategy<Value = HeaderValue> {
    let byte = prop_oneof![
        any::<u8>(),
        proptest::sample::select(b" \t,;=\"\\/*W01.-+aqA".as_slice()),
        proptest::sample::select(b"max-age=no-store,private".as_slice()),
    ];
    proptest::collection::vec(byte, 0..48)
        .prop_filter_map("not a field value", |bytes| HeaderValue::from_bytes(&legal(bytes)).ok())
}

/// Leaves out what no field can hold, and so no parser ever sees: control characters but the tab.
fn legal(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.retain(|byte| *byte == b'\t' || !byte.is_ascii_control());
    bytes
}
