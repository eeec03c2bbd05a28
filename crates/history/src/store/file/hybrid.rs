//! Parquet's hybrid of run lengths and packed bits, written run by run.
//!
//! Apache Parquet, Encodings.md, "Run Length Encoding / Bit-Packing Hybrid (RLE = 3)". The encoder of the library takes
//! one value after the other; here a run of a million rows costs what a run of eight does.

/// Values in a packed group.
const GROUP: usize = 8;
/// Packed values before they are written, so that they stay in the processor's cache.
const PACKED_MAX: usize = 504;

/// Numbers of a fixed width in bits.
#[derive(Debug)]
pub struct Hybrid {
    width: u32,
    bytes: Vec<u8>,
    run: Option<(u32, usize)>,
    packed: Vec<u32>,
}

impl Hybrid {
    /// Begins; `width` is in bits, 0 to 32, and every number has to fit.
    pub const fn new(width: u32) -> Self {
        Self { width, bytes: Vec::new(), run: None, packed: Vec::new() }
    }

    /// Bits that the numbers up to `largest` take.
    pub const fn width_of(largest: u32) -> u32 {
        u32::BITS - largest.leading_zeros()
    }

    /// Adds one number `count` times.
    pub fn push_run(&mut self, value: u32, count: usize) {
        match &mut self.run {
            Some((last, known)) if *last == value => *known += count,
            _ => {
                self.settle();
                self.run = (count > 0).then_some((value, count));
            }
        }
    }

    /// Adds a row of numbers `count` times.
    pub fn push_rows(&mut self, row: &[u32], count: usize) {
        let Some(first) = row.first() else { return };
        if row.iter().all(|value| value == first) {
            return self.push_run(*first, row.len() * count);
        }
        self.settle();
        let mut left = count;
        while left > 0 && !self.packed.len().is_multiple_of(GROUP) {
            self.pack(row);
            left -= 1;
        }
        // Eight rows fill whole groups, whatever their length: their bits are made once.
        let blocks = left / GROUP;
        if blocks > 0 {
            self.write_packed();
            self.write_header((blocks * row.len()) << 1 | 1);
            let block: Vec<u32> = row.iter().copied().cycle().take(GROUP * row.len()).collect();
            let start = self.bytes.len();
            pack_bits(&block, self.width, &mut self.bytes);
            let end = self.bytes.len();
            for _ in 1..blocks {
                self.bytes.extend_from_within(start..end);
            }
        }
        for _ in 0..left % GROUP {
            self.pack(row);
        }
    }

    /// The bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.settle();
        let padded = self.packed.len().next_multiple_of(GROUP);
        self.packed.resize(padded, 0);
        self.write_packed();
        self.bytes
    }

    fn pack(&mut self, values: &[u32]) {
        self.packed.extend_from_slice(values);
        if self.packed.len() >= PACKED_MAX && self.packed.len().is_multiple_of(GROUP) {
            self.write_packed();
        }
    }

    /// Ends the run: what fills up a packed group goes there, and so does a short rest.
    fn settle(&mut self) {
        let Some((value, mut count)) = self.run.take() else { return };
        let fill = self.packed.len().next_multiple_of(GROUP) - self.packed.len();
        let filled = fill.min(count);
        self.packed.extend(std::iter::repeat_n(value, filled));
        count -= filled;
        if count >= GROUP {
            self.write_packed();
            self.write_header(count << 1);
            let bytes = self.width.div_ceil(8) as usize;
            self.bytes.extend_from_slice(&value.to_le_bytes()[..bytes]);
        } else {
            self.packed.extend(std::iter::repeat_n(value, count));
            if self.packed.len() >= PACKED_MAX && self.packed.len().is_multiple_of(GROUP) {
                self.write_packed();
            }
        }
    }

    fn write_packed(&mut self) {
        if self.packed.is_empty() {
            return;
        }
        let packed = std::mem::take(&mut self.packed);
        self.write_header((packed.len() / GROUP) << 1 | 1);
        pack_bits(&packed, self.width, &mut self.bytes);
        self.packed = packed;
        self.packed.clear();
    }

    fn write_header(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

/// Packs numbers, the first in the lowest bits; their count is a multiple of eight.
fn pack_bits(values: &[u32], width: u32, bytes: &mut Vec<u8>) {
    let (mut bits, mut filled) = (0_u64, 0);
    for value in values {
        bits |= u64::from(*value) << filled;
        filled += width;
        while filled >= 8 {
            bytes.push(bits as u8);
            bits >>= 8;
            filled -= 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the specification reads it.
    fn decoded(bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut values = Vec::new();
        let mut at = 0;
        while values.len() < count {
            let (mut header, mut shift) = (0_usize, 0);
            loop {
                header |= usize::from(bytes[at] & 0x7f) << shift;
                shift += 7;
                at += 1;
                if bytes[at - 1] & 0x80 == 0 {
                    break;
                }
            }
            if header & 1 == 0 {
                let length = width.div_ceil(8) as usize;
                let mut value = [0; 4];
                value[..length].copy_from_slice(&bytes[at..at + length]);
                at += length;
                values.extend(std::iter::repeat_n(u32::from_le_bytes(value), header >> 1));
            } else {
                let length = (header >> 1) * width as usize;
                let bit = |index: usize| bytes[at + index / 8] >> (index % 8) & 1;
                for value in 0..(header >> 1) * GROUP {
                    let start = value * width as usize;
                    values
                        .push((0..width as usize).map(|index| u32::from(bit(start + index)) << index).sum());
                }
                at += length;
            }
        }
        assert_eq!(at, bytes.len(), "nothing is left over");
        values.truncate(count);
        values
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            width in 0_u32..=20,
            pushes in prop::collection::vec((prop::collection::vec(any::<u32>(), 0..5), 0_usize..40), 0..60),
        ) {
            let mask = (1_u32 << width) - 1;
            let mut hybrid = Hybrid::new(width);
            let mut expected = Vec::new();
            for (row, count) in pushes {
                let row: Vec<u32> = row.into_iter().map(|value| value & mask).collect();
                match row[..] {
                    [value] => hybrid.push_run(value, count),
                    _ => hybrid.push_rows(&row, count),
                }
                (0..count).for_each(|_| expected.extend_from_slice(&row));
            }
            prop_assert_eq!(decoded(&hybrid.finish(), width, expected.len()), expected);
        }
    }

    #[test]
    fn a_long_run_takes_a_few_bytes() {
        let mut hybrid = Hybrid::new(11);
        hybrid.push_run(1_234, 1_000_000);
        assert_eq!(hybrid.finish().len(), 5);
    }
}
