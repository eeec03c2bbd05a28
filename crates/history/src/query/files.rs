//! The files of a table in a scan: those that may hold what is asked, each in the order of the table's key.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use deltalake_core::kernel::{EagerSnapshot, LogicalFileView};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use telemetry::table::Table;

use super::asked::unqualified;
use crate::memory::plain::ORDER;
use crate::schema::{DATE, sort_key};
use crate::store::location::Location;
use crate::store::scan::partitioned;

/// So many files are read side by side, each in its order; of more several are read one after the other, and their rows
/// come in no order. So are few bytes, of which an answer is there soon: sums then depend on no one's turn.
const SIDE_BY_SIDE_MAX: usize = 32;

/// A scan of a table's files, with the columns of `projection` (of all when `None`) of `schema`; `None` when no file may
/// hold what is asked.
///
/// Our tables have neither deletion vectors nor renamed columns: opening a store has refused any other. So Parquet is
/// read as it is, and what DataFusion knows of Parquet, orders and filters holds.
///
/// # Errors
/// When a filter cannot be planned, or the store is not known to the session.
pub fn scan(
    session: &dyn Session,
    table: Table,
    schema: &SchemaRef,
    (snapshot, location): (&EagerSnapshot, &Location),
    projection: Option<&Vec<usize>>,
    filters: &[Expr],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let files = files_asked(session, snapshot, schema, filters)?;
    if files.is_empty() {
        return Ok(None);
    }
    let (dates, stored): (Vec<_>, Vec<_>) =
        schema.fields().iter().cloned().partition(|field| field.name() == DATE);
    let columns =
        TableSchema::builder(Arc::new(Schema::new(stored))).with_table_partition_cols(dates).build();
    let in_files = columns.table_schema().clone();
    let kept = match projection {
        Some(kept) => kept.clone(),
        None => (0..schema.fields().len()).collect(),
    };
    let kept = kept.iter().map(|index| in_files.index_of(schema.field(*index).name()));
    let kept = kept.collect::<Result<Vec<_>, _>>()?;

    let url = ObjectStoreUrl::parse(location.objects_url())?;
    let options = TableParquetOptions {
        global: session.config_options().execution.parquet.clone(),
        ..TableParquetOptions::default()
    };
    let footers = session.runtime_env().cache_manager.get_file_metadata_cache();
    let reader = CachedParquetFileReaderFactory::new(session.runtime_env().object_store(&url)?, footers);
    let source = ParquetSource::new(columns)
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(reader));

    let rows = files.iter().map(LogicalFileView::num_records).sum::<Option<usize>>();
    let bytes = files.iter().map(|file| usize::try_from(file.size()).unwrap_or_default()).sum();
    let statistics = Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Inexact),
        total_byte_size: Precision::Inexact(bytes),
        ..Statistics::new_unknown(&in_files)
    };
    let settings = session.config_options();
    let is_much = settings.optimizer.repartition_file_min_size < bytes;
    let side_by_side = files.len() == 1 || (is_much && files.len() <= SIDE_BY_SIDE_MAX);
    let rows_of_each = files.iter().map(LogicalFileView::num_records).collect::<Vec<_>>();
    let files = files.iter().map(|file| partitioned(file, location, table)).collect::<Result<Vec<_>>>()?;
    let (groups, order) = if side_by_side {
        let piece_bytes = bytes.div_ceil(settings.execution.target_partitions.max(1));
        let pieces = files.into_iter().zip(rows_of_each).flat_map(|(file, rows)| match rows {
            Some(rows) if is_much => in_pieces(file, rows, piece_bytes),
            Some(_) | None => vec![file],
        });
        (pieces.map(|piece| FileGroup::new(vec![piece])).collect(), key_order(table, &in_files)?)
    } else if is_much {
        (FileGroup::new(files).split_files(settings.execution.target_partitions), None)
    } else {
        // In the order of the log. Split, they would be in that of their names, which are random, and so would sums be.
        (vec![FileGroup::new(files)], None)
    };
    let scan = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_output_ordering(order.into_iter().collect())
        .with_projection_indices(Some(kept))?
        .build();
    Ok(Some(DataSourceExec::from_data_source(scan)))
}

/// Rows of all files; one that does not say how many has more than any query should read at once.
pub fn rows(snapshot: &EagerSnapshot) -> usize {
    let files = snapshot.log_data();
    let rows = files.iter().map(|file| file.num_records().unwrap_or(usize::MAX));
    rows.fold(0, usize::saturating_add)
}

/// A file as pieces of equally many rows, each of about `piece_bytes` at most, so that a file with most of the rows keeps all
/// cores busy. Pieces end within row groups: seven of these would be four for one core and three for the other. Each piece
/// has the order of the file.
fn in_pieces(file: PartitionedFile, rows: usize, piece_bytes: usize) -> Vec<PartitionedFile> {
    let wanted = file.object_meta.size.div_ceil(piece_bytes.max(1) as u64);
    let count = usize::try_from(wanted).unwrap_or(usize::MAX).clamp(1, rows.max(1));
    if count == 1 {
        return vec![file];
    }
    let begin = |number: usize| (rows as u128 * number as u128 / count as u128) as usize;
    let pieces = (0..count).map(|number| {
        let (from, to) = (begin(number), begin(number + 1));
        let read = [RowSelector::skip(from), RowSelector::select(to - from), RowSelector::skip(rows - to)];
        file.clone().with_extension(ParquetRowSelection::new(RowSelection::from(read.to_vec())))
    });
    pieces.collect()
}

/// The order of a table's key, as far as these columns tell it.
///
/// # Errors
/// Never for columns of a table.
pub fn key_order(table: Table, columns: &Schema) -> Result<Option<LexOrdering>> {
    let known = sort_key(table).iter().take_while(|name| columns.index_of(name).is_ok());
    let order = known.map(|name| Ok(PhysicalSortExpr::new(col(name, columns)?, ORDER)));
    Ok(LexOrdering::new(order.collect::<Result<Vec<_>>>()?))
}

/// The files that may hold rows which pass the filters, by the statistics in the table's log.
fn files_asked(
    session: &dyn Session,
    snapshot: &EagerSnapshot,
    schema: &SchemaRef,
    filters: &[Expr],
) -> Result<Vec<LogicalFileView>> {
    let files: Vec<LogicalFileView> = snapshot.log_data().iter().collect();
    let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(files) };
    let filter = session.create_physical_expr(unqualified(filter)?, &DFSchema::try_from(schema.clone())?)?;
    // A filter that statistics say nothing about leaves all files.
    let predicate = PruningPredicateBuilder::new().with_file_schema(schema.clone()).build(filter);
    let Some(kept) = predicate.and_then(|predicate| predicate.prune(snapshot).ok()) else { return Ok(files) };
    Ok(files.into_iter().zip(kept).filter_map(|(file, kept)| kept.then_some(file)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_file_have_each_of_its_rows_once_and_equally_many() {
        for (bytes, rows, piece_bytes, count) in [
            (10, 7, 10, 1),
            (11, 7, 10, 2),
            (99, 1_000, 10, 10),
            (99, 3, 10, 3),
            (7, 100, 0, 7),
            (99, 0, 10, 1),
        ] {
            let pieces = in_pieces(PartitionedFile::new("part.parquet", bytes), rows, piece_bytes);
            assert_eq!(pieces.len(), count, "of {bytes} bytes and {rows} rows");
            let selections = pieces.iter().map(|piece| piece.extension::<ParquetRowSelection>());
            let Some(selections) = selections.collect::<Option<Vec<_>>>() else {
                assert_eq!(count, 1, "only a whole file is read without saying which rows");
                continue;
            };
            let mut readers = vec![0; rows];
            for selection in selections {
                let mut at = 0;
                for selector in selection.selection().iter() {
                    let covered = &mut readers[at..at + selector.row_count];
                    covered.iter_mut().for_each(|readers| *readers += u32::from(!selector.skip));
                    at += selector.row_count;
                }
                assert_eq!(at, rows, "a selection tells of all rows of its file");
                let read = selection.selection().row_count();
                assert!(read.abs_diff(rows / count) <= 1, "{read} of {rows} rows for one of {count}");
            }
            assert!(readers.iter().all(|readers| *readers == 1), "{readers:?}");
        }
    }
}
