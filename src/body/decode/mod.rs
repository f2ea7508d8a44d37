//! [`Decoder`]: takes content codings off a body as it passes, to look into it; what is kept and sent on stays as it came.

mod inflate;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    fmt,
    io::{self, ErrorKind, Write},
};

use brotli_decompressor::DecompressorWriter;
use flate2::write::MultiGzDecoder;

use self::inflate::Inflate;
#[cfg(feature = "zstd")]
use self::zstd::Unzstd;
use crate::header::content_encoding::Coding;

/// The most that is decoded of one body, in bytes: few bytes can be made to stand for any number. The longest answers of models,
/// as events, have half of it. It holds behind each coding, for what the next makes nothing of takes its time all the same.
const LIMIT: usize = 64 << 20;

/// The bytes that are decoded at once.
const BUFFER: usize = 16 << 10;

/// Why a body can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// It isn't what its coding says that it is, or not all of it.
    Broken,
    /// There is more in it than is decoded.
    TooLarge,
}

/// What is in a whole body, by its codings in the order in which they were applied; without any, the body itself.
///
/// # Errors
///
/// [`Undecodable`], if something is wrong with it, or it is larger than 64 MiB.
pub(crate) fn decode<'a>(codings: &[Coding], body: &'a [u8]) -> Result<Cow<'a, [u8]>, Undecodable> {
    if codings.is_empty() {
        return Ok(Cow::Borrowed(body));
    }
    let mut decoder = Decoder::new(codings, Vec::new()).ok_or(Undecodable::Broken)?;
    decoder.read(body)?;
    decoder.finish().map(Cow::Owned)
}

/// Writes what is in an encoded body to a `W`, as soon as it can be known.
pub(crate) struct Decoder<W: Write>(Chain<W>);

impl<W: Write> Decoder<W> {
    /// For a body with these codings, in the order in which they were applied; `None` if there is no memory for it.
    pub(crate) fn new(codings: &[Coding], out: W) -> Option<Self> {
        let plain = Chain::Plain(Limited::new(out));
        codings.iter().try_fold(plain, |inner, coding| Chain::of(*coding, Limited::new(Box::new(inner)))).map(Self)
    }

    /// Some more of the body. After an error there is no more to be had of it.
    pub(crate) fn read(&mut self, data: &[u8]) -> Result<(), Undecodable> {
        self.0.write_all(data).and_then(|()| self.0.flush()).map_err(undecodable)
    }

    /// What was written to, if the body ended where its codings end.
    pub(crate) fn finish(self) -> Result<W, Undecodable> {
        self.0.finish().map_err(undecodable)
    }

    /// What is written to.
    pub(crate) fn get_ref(&self) -> &W {
        self.0.get_ref()
    }
}

impl<W: Write> fmt::Debug for Decoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` has it")]
fn undecodable(error: io::Error) -> Undecodable {
    if error.kind() == ErrorKind::FileTooLarge { Undecodable::TooLarge } else { Undecodable::Broken }
}

/// What a decoder writes to.
type Inner<W> = Limited<Box<Chain<W>>>;

/// Decoders, each of which writes to the next.
enum Chain<W: Write> {
    Plain(Limited<W>),
    Gzip(MultiGzDecoder<Inner<W>>),
    Deflate(Inflate<Inner<W>>),
    Brotli(Box<DecompressorWriter<Inner<W>>>),
    #[cfg(feature = "zstd")]
    Zstd(Unzstd<Inner<W>>),
}

impl<W: Write> Chain<W> {
    fn of(coding: Coding, inner: Inner<W>) -> Option<Self> {
        Some(match coding {
            Coding::Gzip => Self::Gzip(MultiGzDecoder::new(inner)),
            Coding::Deflate => Self::Deflate(Inflate::new(inner)),
            Coding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(inner, BUFFER))),
            #[cfg(feature = "zstd")]
            Coding::Zstd => Self::Zstd(Unzstd::new(inner).ok()?),
        })
    }

    fn finish(self) -> io::Result<W> {
        let inner = match self {
            Self::Plain(limited) => return Ok(limited.out),
            Self::Gzip(decoder) => decoder.finish()?,
            Self::Deflate(decoder) => decoder.finish()?,
            Self::Brotli(mut decoder) => {
                decoder.close()?;
                decoder.into_inner().map_err(|_| ErrorKind::InvalidData)?
            }
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.finish()?,
        };
        inner.out.finish()
    }

    fn get_ref(&self) -> &W {
        match self {
            Self::Plain(limited) => &limited.out,
            Self::Gzip(decoder) => decoder.get_ref().out.get_ref(),
            Self::Deflate(decoder) => decoder.get_ref().out.get_ref(),
            Self::Brotli(decoder) => decoder.get_ref().out.get_ref(),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.get_ref().out.get_ref(),
        }
    }
}

impl<W: Write> Write for Chain<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(limited) => limited.write(data),
            Self::Gzip(decoder) => decoder.write(data),
            Self::Deflate(decoder) => decoder.write(data),
            Self::Brotli(decoder) => decoder.write(data),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(limited) => limited.flush(),
            Self::Gzip(decoder) => decoder.flush(),
            Self::Deflate(decoder) => decoder.flush(),
            Self::Brotli(decoder) => decoder.flush(),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.flush(),
        }
    }
}

/// Takes so many bytes, and no more.
struct Limited<W> {
    out: W,
    room: usize,
}

impl<W> Limited<W> {
    fn new(out: W) -> Self {
        Self { out, room: LIMIT }
    }
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(data.len()).ok_or(ErrorKind::FileTooLarge)?;
        self.out.write_all(data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
