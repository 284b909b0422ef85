//! Apache Parquet, through the crate `parquet` without Arrow.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::table::{Cell, Column, Kind, Sink};

/// Rows of one row group: what is held in memory.
const GROUP_ROWS: usize = 100_000;

/// See the module's text.
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
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Kind::Number => (Physical::INT64, None),
        Kind::TimeMs => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
    };
    let field = Type::primitive_type_builder(column.name, physical);
    Ok(Arc::new(field.with_repetition(Repetition::REQUIRED).with_logical_type(logical).build()?))
}

impl Parquet {
    /// Begins the file.
    pub fn new(out: Box<dyn Write + Send>, columns: Vec<Column>) -> io::Result<Parquet> {
        let fields = columns.iter().map(field).collect::<Result<_, _>>().map_err(failed)?;
        let schema = Type::group_type_builder("watch").with_fields(fields).build().map_err(failed)?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer =
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        Ok(Parquet { writer, columns, rows: Vec::new() })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        for (i, column) in self.columns.iter().enumerate() {
            let Some(mut writer) = group.next_column()? else { break };
            let cells = rows.iter().filter_map(|row| row.get(i));
            match column.kind {
                Kind::Text | Kind::Json => {
                    let text = |cell: &Cell| match cell {
                        Cell::Text(text) => ByteArray::from(text.as_str()),
                        Cell::Number(number) => ByteArray::from(number.to_string().as_str()),
                    };
                    let values: Vec<ByteArray> = cells.map(text).collect();
                    writer.typed::<ByteArrayType>().write_batch(&values, None, None)?;
                }
                Kind::Number | Kind::TimeMs => {
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
        if self.rows.len() >= GROUP_ROWS { self.write_group().map_err(failed) } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if !self.rows.is_empty() {
            self.write_group().map_err(failed)?;
        }
        self.writer.close().map(drop).map_err(failed)
    }
}
