//! What a message of Arrow IPC claims about itself, checked before the reader believes it.
//!
//! The reader of arrow-ipc panics where a schema has a type that it does not know, or a buffer lies outside its
//! message; a panic ends this process, so no sender may cause one.

use arrow::ipc::{self, Endianness, MessageHeader, Precision, TimeUnit, Type};
use arrow_flight::FlightData;

use super::COLUMNS;

/// The schema in force, as far as it says where buffers belong.
#[derive(Debug, Default)]
pub struct Envelope {
    columns: Vec<Buffers>,
    /// The values of dictionaries, by their ids.
    dictionaries: Vec<(i64, Buffers)>,
}

/// Which buffers a column has; the first is that of nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buffers {
    None,
    /// Values of so many bytes.
    Fixed(usize),
    /// Offsets of so many bytes, and text.
    Text(usize),
    /// Views, and as many buffers of text as the message says.
    Views,
}

/// Bytes of a view.
const VIEW_BYTES: usize = 16;

impl Envelope {
    /// Checks the next message of a stream.
    ///
    /// # Errors
    /// What is wrong with it, for its sender.
    pub fn check(&mut self, data: &FlightData) -> Result<(), String> {
        let message = ipc::root_as_message(&data.data_header)
            .map_err(|error| format!("a message is not one of Arrow IPC: {error}"))?;
        let bytes = data.data_body.len();
        match message.header_type() {
            MessageHeader::NONE => Ok(()),
            MessageHeader::Schema => {
                *self = Self::default();
                self.take_schema(message.header_as_schema().ok_or("a schema is missing in its message")?)
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or("a batch is missing in its message")?;
                check_batch(batch, &self.columns, bytes)
            }
            MessageHeader::DictionaryBatch => {
                let dictionary =
                    message.header_as_dictionary_batch().ok_or("a dictionary is missing in its message")?;
                if dictionary.isDelta() {
                    return Err("a dictionary adds to the one before: send whole dictionaries".to_owned());
                }
                let known = self.dictionaries.iter().find(|(id, _)| *id == dictionary.id());
                let (_, values) = known.ok_or("a dictionary is of no column")?;
                check_batch(dictionary.data().ok_or("a dictionary has no values")?, &[*values], bytes)
            }
            other => Err(format!("a message holds {}", other.variant_name().unwrap_or("what nobody knows"))),
        }
    }

    fn take_schema(&mut self, schema: ipc::Schema<'_>) -> Result<(), String> {
        if schema.endianness() != Endianness::Little {
            return Err("the numbers are big-endian: send them little-endian".to_owned());
        }
        for field in schema.fields().ok_or("a schema has no columns")? {
            let refused = || {
                let held = field.type_type().variant_name().unwrap_or("what nobody knows");
                format!("column {:?} holds {held}; {COLUMNS}", field.name().unwrap_or_default())
            };
            let values = buffers_of(field).ok_or_else(refused)?;
            let Some(dictionary) = field.dictionary() else {
                self.columns.push(values);
                continue;
            };
            let index = dictionary.indexType().and_then(whole_number).ok_or_else(refused)?;
            self.columns.push(index);
            self.dictionaries.push((dictionary.id(), values));
        }
        Ok(())
    }
}

/// The buffers of a column of one of the types that telemetry has.
fn buffers_of(field: ipc::Field<'_>) -> Option<Buffers> {
    match field.type_type() {
        Type::Null => Some(Buffers::None),
        Type::Int => whole_number(field.type_as_int()?),
        Type::FloatingPoint => match field.type_as_floating_point()?.precision() {
            Precision::HALF => Some(Buffers::Fixed(2)),
            Precision::SINGLE => Some(Buffers::Fixed(4)),
            Precision::DOUBLE => Some(Buffers::Fixed(8)),
            _ => None,
        },
        Type::Timestamp => match field.type_as_timestamp()?.unit() {
            TimeUnit::SECOND | TimeUnit::MILLISECOND | TimeUnit::MICROSECOND | TimeUnit::NANOSECOND => {
                Some(Buffers::Fixed(8))
            }
            _ => None,
        },
        Type::Utf8 => Some(Buffers::Text(4)),
        Type::LargeUtf8 => Some(Buffers::Text(8)),
        Type::Utf8View => Some(Buffers::Views),
        _ => None,
    }
}

fn whole_number(int: ipc::Int<'_>) -> Option<Buffers> {
    match int.bitWidth() {
        8 => Some(Buffers::Fixed(1)),
        16 => Some(Buffers::Fixed(2)),
        32 => Some(Buffers::Fixed(4)),
        64 => Some(Buffers::Fixed(8)),
        _ => None,
    }
}

/// Checks that the buffers of a batch lie in its body of so many bytes, and that there are as many as its columns ask.
fn check_batch(batch: ipc::RecordBatch<'_>, columns: &[Buffers], bytes: usize) -> Result<(), String> {
    const FEW: &str = "a batch has fewer columns than its schema";
    const OUTSIDE: &str = "a batch says what its body does not hold";
    if batch.compression().is_some() {
        return Err("a batch is compressed: send it as it is, or compress the gRPC stream".to_owned());
    }
    let size = |size: i64| usize::try_from(size).map_err(|_| OUTSIDE);
    let (mut nodes, mut buffers) = (batch.nodes().ok_or(FEW)?.iter(), batch.buffers().ok_or(FEW)?.iter());
    let mut texts = batch.variadicBufferCounts().into_iter().flatten();
    size(batch.length())?;
    for column in columns {
        let node = nodes.next().ok_or(FEW)?;
        let (rows, nulls) = (size(node.length())?, size(node.null_count())?);
        let (count, width) = match column {
            Buffers::None => (0, 0),
            Buffers::Fixed(width) => (2, *width),
            Buffers::Text(width) => (3, *width),
            Buffers::Views => (size(texts.next().ok_or(FEW)?)?.saturating_add(2), VIEW_BYTES),
        };
        for position in 0..count {
            let buffer = buffers.next().ok_or(FEW)?;
            let (offset, length) = (size(buffer.offset())?, size(buffer.length())?);
            if offset.checked_add(length).is_none_or(|end| end > bytes) {
                return Err(OUTSIDE.to_owned());
            }
            let is_whole = match position {
                0 => nulls == 0 || length.saturating_mul(8) >= rows,
                1 => length % width == 0 && length >= rows.saturating_mul(width),
                _ => true,
            };
            if !is_whole {
                return Err(OUTSIDE.to_owned());
            }
        }
    }
    if texts.next().is_some() {
        return Err("a batch has more columns than its schema".to_owned());
    }
    Ok(())
}
