//! Reads Postgres binary values: big-endian integers and length-prefixed parts.

use super::EncodeFault;

/// What is left of a binary value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(raw: &'a [u8]) -> Reader<'a> {
        Reader(raw)
    }

    pub fn u8(&mut self) -> Result<u8, EncodeFault> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Result<u16, EncodeFault> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub fn i16(&mut self) -> Result<i16, EncodeFault> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, EncodeFault> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, EncodeFault> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], EncodeFault> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(EncodeFault::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A part with its length in front; -1 is NULL.
    pub fn part(&mut self) -> Result<Option<&'a [u8]>, EncodeFault> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| EncodeFault::Malformed)?;
                self.take(len).map(Some)
            }
        }
    }

    pub fn finish(self) -> Result<(), EncodeFault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(EncodeFault::TrailingBytes)
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EncodeFault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(EncodeFault::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }
}

/// A value of exactly `N` bytes.
pub(super) fn exactly<const N: usize>(raw: &[u8]) -> Result<[u8; N], EncodeFault> {
    raw.try_into().map_err(|_| {
        if raw.len() < N {
            EncodeFault::Truncated
        } else {
            EncodeFault::TrailingBytes
        }
    })
}
