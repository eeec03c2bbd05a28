//! The few protobuf fields that the payloads have.

/// A message while it is written.
#[derive(Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint_bytes(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A number.
    pub fn varint(&mut self, field: u8, value: u64) -> &mut Self {
        self.0.push(field << 3);
        self.varint_bytes(value);
        self
    }

    /// Eight bytes.
    pub fn fixed64(&mut self, field: u8, bits: u64) -> &mut Self {
        self.0.push(field << 3 | 1);
        self.0.extend_from_slice(&bits.to_le_bytes());
        self
    }

    /// Text, bytes or a message.
    pub fn bytes(&mut self, field: u8, bytes: &[u8]) -> &mut Self {
        self.0.push(field << 3 | 2);
        self.varint_bytes(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Numbers, packed.
    pub fn packed(&mut self, field: u8, values: &[u64]) -> &mut Self {
        let mut packed = Self::default();
        values.iter().for_each(|value| packed.varint_bytes(*value));
        self.bytes(field, &packed.0)
    }
}
