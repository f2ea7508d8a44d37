//! [`Unzstd`]: the coding `zstd`.

use std::io::{self, ErrorKind, Write};

use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::BUFFER;

/// The largest window is 8 MiB (RFC 9659 §3).
const WINDOW_LOG_MAX: u32 = 23;

/// Unlike zstd's own writer it tells a frame that was cut from a whole one.
pub(super) struct Unzstd<W> {
    out: W,
    decoder: Decoder<'static>,
    buffer: Box<[u8]>,
    /// Whether a frame has ended, and no other has begun.
    is_whole: bool,
}

impl<W: Write> Unzstd<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self { out, decoder, buffer: vec![0; BUFFER].into(), is_whole: false })
    }

    pub(super) fn get_ref(&self) -> &W {
        &self.out
    }

    pub(super) fn finish(self) -> io::Result<W> {
        if self.is_whole { Ok(self.out) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

impl<W: Write> Write for Unzstd<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut rest = data;
        while !rest.is_empty() || !self.is_whole {
            let status = self.decoder.run_on_buffers(rest, &mut self.buffer[..])?;
            self.out.write_all(&self.buffer[..status.bytes_written])?;
            rest = &rest[status.bytes_read..];
            self.is_whole = status.remaining == 0;
            if rest.is_empty() && status.bytes_written < self.buffer.len() {
                break;
            }
            if status.bytes_read == 0 && status.bytes_written == 0 {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
