//! One immutable view of all rows: files up to a record, memory after it. No row twice, none missing.

use std::sync::Arc;

use telemetry::record::Sequence;
use telemetry::table::Table;

use crate::memory::part::{BlockValues, Chunk, Mark, Part, PlainRow};
use crate::store::table::TableVersion;

/// The files of every table and the memory beside them, published as one.
///
/// How far the log is in a table's files is part of the files' version, so rows that are in both are seen once:
/// memory counts only after that position.
#[derive(Debug, Clone)]
pub struct Published {
    /// By table.
    pub versions: Vec<TableVersion>,
    /// Rows in the order they came; the last part is added to.
    pub parts: Vec<Arc<Part>>,
}

/// What one query sees, in all tables, from beginning to end.
#[derive(Debug)]
pub struct Cut {
    published: Arc<Published>,
    marks: Vec<Mark>,
}

impl Cut {
    /// Fixes what is there now: rows added later are not seen.
    pub fn take(published: Arc<Published>) -> Self {
        let marks = published.parts.iter().map(|part| part.mark()).collect();
        Self { published, marks }
    }

    /// The table's files.
    pub fn version(&self, table: Table) -> &TableVersion {
        &self.published.versions[table as usize]
    }

    /// How many rows of a table are in memory; some may be in the files too.
    pub fn rows_in_memory(&self, table: Table) -> usize {
        self.parts(table).map(|(_, mark)| mark.rows(table)).sum()
    }

    /// Rows of `samples` in memory; some may be in the files too.
    pub fn samples(&self) -> Vec<(Arc<Chunk<f64>>, usize)> {
        self.parts(Table::Samples).flat_map(|(part, mark)| part.samples(mark)).collect()
    }

    /// Rows of `blocks` in memory; some may be in the files too.
    pub fn blocks(&self) -> Vec<(Arc<Chunk<BlockValues>>, usize)> {
        self.parts(Table::Blocks).flat_map(|(part, mark)| part.blocks(mark)).collect()
    }

    /// Rows of another table in memory that are not in the files.
    pub fn plain(&self, table: Table) -> Vec<PlainRow> {
        let after = self.version(table).transaction;
        let rows = self.parts(table).flat_map(|(part, mark)| part.plain(table, mark));
        rows.filter(|(sequence, _)| *sequence > after).collect()
    }

    fn parts(&self, table: Table) -> impl Iterator<Item = (&Arc<Part>, &Mark)> {
        let after: Sequence = self.version(table).transaction;
        self.published
            .parts
            .iter()
            .zip(&self.marks)
            .filter(move |(part, _)| part.last_sequence(table) > after)
    }
}
