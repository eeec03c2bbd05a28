//! Walks protobuf messages in place: borrows from the request, allocates nothing, never reads past an end.
//!
//! request bytes → **protobuf** → `remote_write`, `otlp`. Only what the decoders need; prost is its oracle in tests.

/// A message that is not what its wire types say, with the offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Torn {
    pub at: usize,
    pub what: &'static str,
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Value<'a> {
    const WRONG: Torn = Torn { at: 0, what: "a field has another wire type than its definition" };

    pub fn bytes(self) -> Result<&'a [u8], Torn> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32(_) => Err(Self::WRONG),
        }
    }

    pub fn varint(self) -> Result<u64, Torn> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed64(_) | Self::Fixed32(_) => Err(Self::WRONG),
        }
    }

    pub fn fixed64(self) -> Result<u64, Torn> {
        match self {
            Self::Fixed64(value) => Ok(value),
            Self::Varint(_) | Self::Bytes(_) | Self::Fixed32(_) => Err(Self::WRONG),
        }
    }
}

/// A message and how far it has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Message<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next field begins.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The next field's number and value, `None` at the end. Groups are skipped.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Torn> {
        while self.at < self.bytes.len() {
            let (field, wire_type) = self.tag()?;
            match wire_type {
                3 => self.skip_group(field)?,
                4 => return Err(self.torn("a group ends that did not begin")),
                _ => return self.value(wire_type).map(|value| Some((field, value))),
            }
        }
        Ok(None)
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<(u32, u32), Torn> {
        let tag = u32::try_from(self.varint()?).map_err(|_| self.torn("a field's number is too large"))?;
        match tag >> 3 {
            0 => Err(self.torn("a field has number 0")),
            field => Ok((field, tag & 7)),
        }
    }

    #[inline(always)]
    fn value(&mut self, wire_type: u32) -> Result<Value<'a>, Torn> {
        match wire_type {
            0 => self.varint().map(Value::Varint),
            1 => self
                .take(8)
                .map(|bytes| Value::Fixed64(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))),
            2 => {
                let length = self.varint()?;
                let length =
                    usize::try_from(length).map_err(|_| self.torn("a length is beyond the message's end"))?;
                self.take(length).map(Value::Bytes)
            }
            5 => self
                .take(4)
                .map(|bytes| Value::Fixed32(u32::from_le_bytes(bytes.try_into().expect("four bytes")))),
            _ => Err(self.torn("a field has an unknown wire type")),
        }
    }

    /// Reads one number of a packed field, or the next varint of any kind.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, Torn> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Torn> {
        let mut value = 0_u64;
        for (index, byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                // The tenth byte holds one bit of 64.
                if index == 9 && *byte > 1 {
                    break;
                }
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(self.torn("a number does not end"))
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Torn> {
        let rest = &self.bytes[self.at..];
        if length > rest.len() {
            return Err(self.torn("a length is beyond the message's end"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// Goes past the fields of bytes at the front that have this number, and says where they end.
    #[inline(always)]
    pub fn skip_run(&mut self, field: u32) -> Result<usize, Torn> {
        let tag = (field << 3 | 2) as u8;
        while self.bytes.get(self.at) == Some(&tag) {
            self.at += 1;
            let length = self.varint()?;
            self.take(
                usize::try_from(length).map_err(|_| self.torn("a length is beyond the message's end"))?,
            )?;
        }
        Ok(self.at)
    }

    /// Skips to the end of the group of number `field`; nested ones to a depth of 100, as prost does.
    fn skip_group(&mut self, field: u32) -> Result<(), Torn> {
        let mut open = vec![field];
        while let Some(innermost) = open.last() {
            let (field, wire_type) = self.tag()?;
            match wire_type {
                3 if open.len() < 100 => open.push(field),
                3 => return Err(self.torn("groups are nested more than 100 deep")),
                4 if field == *innermost => {
                    open.pop();
                }
                4 => return Err(self.torn("a group ends that did not begin")),
                _ => {
                    self.value(wire_type)?;
                }
            }
        }
        Ok(())
    }

    const fn torn(&self, what: &'static str) -> Torn {
        Torn { at: self.at, what }
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_written_up_to_the_largest() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(Message::new(&bytes).varint(), Ok(value));
        }
    }

    #[test]
    fn a_number_that_does_not_end_is_torn() {
        for bytes in [&[0x80_u8][..], &[0xff; 10][..], &[0xff; 20][..]] {
            assert!(Message::new(bytes).varint().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_torn_and_not_allocated() {
        let bytes = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(Message::new(&bytes).next().is_err());
    }

    #[test]
    fn a_group_of_an_unknown_field_is_skipped() {
        // group 9 { field 1 = 5 }, field 1 = 7
        let bytes = [9 << 3 | 3, 1 << 3, 5, 9 << 3 | 4, 1 << 3, 7];
        let mut message = Message::new(&bytes);
        assert_eq!(message.next(), Ok(Some((1, Value::Varint(7)))));
        assert_eq!(message.next(), Ok(None));
    }
}
