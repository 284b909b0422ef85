//! Newline-delimited JSON output: one object per line.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::table::{Cell, Column, ColumnType, Sink};

/// Exporter of rows as JSON, one object per line.
pub struct Ndjson {
    out: Box<dyn Write + Send>,
    columns: Vec<Column>,
}

impl Ndjson {
    /// An exporter that has written no row yet.
    pub fn new(out: Box<dyn Write + Send>, columns: Vec<Column>) -> Ndjson {
        Ndjson { out, columns }
    }
}

impl Sink for Ndjson {
    fn row(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        let mut object = Map::new();
        for (column, cell) in self.columns.iter().zip(cells) {
            let value = match cell {
                Cell::Text(text) if column.kind == ColumnType::Json => serde_json::from_str(&text)?,
                Cell::Text(text) => Value::from(text),
                Cell::Number(number) => Value::from(number),
            };
            object.insert(column.name.to_string(), value);
        }
        serde_json::to_writer(&mut self.out, &Value::Object(object))?;
        self.out.write_all(b"\n")
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}
