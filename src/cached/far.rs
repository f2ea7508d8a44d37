//! [`Far`]: values in a store that other processes share, as bytes.
//!
//! The body of an entry is a format's number (one byte), the schema's (four, little-endian), whether there is a value (one), and
//! the value in [MessagePack](https://msgpack.org), with the names of its fields.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use super::slot::Slot;
use crate::{
    BoxError,
    entry::{Entry, Frames, Head},
    store::{BoxStore, Trust},
};

/// Raised whenever the same value would be written in other bytes than before.
const FORMAT: u8 = 1;

/// What stands before a value.
const HEADER: usize = 6;

pub(super) struct Far<V> {
    pub(super) store: BoxStore,
    pub(super) trust: Trust,
    codec: Codec<V>,
    schema: u32,
}

/// A store, and how its values are written: taken where `V` is known to be one that serde can write.
pub(super) struct Codec<V> {
    write: fn(&mut Vec<u8>, &V) -> Result<(), BoxError>,
    read: fn(&[u8]) -> Result<V, BoxError>,
}

impl<V: Serialize + DeserializeOwned> Codec<V> {
    pub(super) fn new() -> Self {
        Self {
            // With names, so that a field that is new, gone or left out isn't taken for its neighbour.
            write: |bytes, value| {
                value.serialize(&mut rmp_serde::Serializer::new(bytes).with_struct_map())?;
                Ok(())
            },
            read: |bytes| Ok(rmp_serde::from_slice(bytes)?),
        }
    }
}

impl<V> Clone for Codec<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Codec<V> {}

impl<V> Far<V> {
    pub(super) fn new(store: BoxStore, codec: Codec<V>, schema: u32) -> Self {
        Self { store, trust: Trust::default(), codec, schema }
    }

    /// A value as an entry.
    pub(super) fn entry(&self, slot: &Slot<V>) -> Result<Entry, BoxError> {
        let mut body = Vec::with_capacity(256);
        body.push(FORMAT);
        body.extend_from_slice(&self.schema.to_le_bytes());
        body.push(u8::from(slot.value.is_some()));
        if let Some(value) = &slot.value {
            (self.codec.write)(&mut body, value)?;
        }
        let head = Head::new(StatusCode::OK, HeaderMap::new(), slot.lifetime.clone()).tags(slot.tags.to_vec());
        Ok(Entry::new(head, Frames::whole(Bytes::from(body.into_boxed_slice()))))
    }

    /// The value of an entry; an error if it is of another schema.
    pub(super) fn value(&self, entry: &Entry) -> Result<Option<V>, BoxError> {
        let (header, value) = entry.body().data().split_first_chunk::<HEADER>().ok_or("it is cut")?;
        let [format, schema @ .., is_there] = *header;
        if format != FORMAT {
            return Err(format!("its format is {format}").into());
        }
        let schema = u32::from_le_bytes(schema);
        if schema != self.schema {
            return Err(format!("its schema is {schema}").into());
        }
        match is_there {
            0 if value.is_empty() => Ok(None),
            1 => (self.codec.read)(value).map(Some),
            _ => Err("it is damaged".into()),
        }
    }
}
