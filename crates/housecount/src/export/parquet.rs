//! Apache Parquet, through the crate `parquet` without Arrow.

use std::io::{self, Write};
use std::sync::Arc;

use housecount_core::limits::PARQUET_GROUP_ROWS_MAX;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::table::{Cell, Column, ColumnType, Sink};

/// Exporter of rows as Apache Parquet.
pub struct Parquet {
    writer: SerializedFileWriter<Box<dyn Write + Send>>,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.kind {
        ColumnType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        ColumnType::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        ColumnType::Number => (Physical::INT64, None),
        ColumnType::TimeMs => {
            (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS)))
        }
    };
    let field = Type::primitive_type_builder(&column.name, physical);
    Ok(Arc::new(field.with_repetition(Repetition::REQUIRED).with_logical_type(logical).build()?))
}

impl Parquet {
    /// Begins the file.
    pub fn new(out: Box<dyn Write + Send>, columns: Vec<Column>) -> io::Result<Parquet> {
        let fields = columns.iter().map(field).collect::<Result<_, _>>().map_err(failed)?;
        let schema =
            Type::group_type_builder("watch").with_fields(fields).build().map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(PARQUET_GROUP_ROWS_MAX))
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
            .map_err(failed)?;
        Ok(Parquet { writer, columns, rows: Vec::new() })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        for (i, column) in self.columns.iter().enumerate() {
            let Some(mut writer) = group.next_column()? else { break };
            let cells = rows.iter().filter_map(|row| row.get(i));
            match column.kind {
                ColumnType::Text | ColumnType::Json => {
                    let text = |cell: &Cell| match cell {
                        Cell::Text(text) => ByteArray::from(text.as_str()),
                        Cell::Number(number) => ByteArray::from(number.to_string().as_str()),
                    };
                    let values: Vec<ByteArray> = cells.map(text).collect();
                    writer.typed::<ByteArrayType>().write_batch(&values, None, None)?;
                }
                ColumnType::Number | ColumnType::TimeMs => {
                    let number = |cell: &Cell| match cell {
                        Cell::Number(number) => i64::try_from(*number).unwrap_or(i64::MAX),
                        Cell::Text(_) => 0,
                    };
                    let values: Vec<i64> = cells.map(number).collect();
                    writer.typed::<Int64Type>().write_batch(&values, None, None)?;
                }
            }
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }
}

impl Sink for Parquet {
    fn row(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        self.rows.push(cells);
        if self.rows.len() >= PARQUET_GROUP_ROWS_MAX {
            self.write_group().map_err(failed)
        } else {
            Ok(())
        }
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if !self.rows.is_empty() {
            self.write_group().map_err(failed)?;
        }
        self.writer.close().map(drop).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    #[test]
    fn parquet_group_rows_max_rows_are_held_and_no_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let columns = vec![Column { name: "n".into(), kind: ColumnType::Number }];
        let mut sink = Parquet::new(Box::new(file.reopen().unwrap()), columns).unwrap();
        for n in 0..=PARQUET_GROUP_ROWS_MAX {
            sink.row(vec![Cell::Number(n as u64)]).unwrap();
            assert!(sink.rows.len() < PARQUET_GROUP_ROWS_MAX);
        }
        Box::new(sink).finish().unwrap();
        let read = SerializedFileReader::new(file.reopen().unwrap()).unwrap();
        let groups = read.metadata().row_groups().iter().map(|group| group.num_rows());
        assert_eq!(groups.collect::<Vec<_>>(), [PARQUET_GROUP_ROWS_MAX as i64, 1]);
    }
}
