//! CSV, through the crate `csv`.

use std::io::{self, Write};

use super::table::{Cell, Column, Sink};

/// A header, then a line a row.
pub struct Csv {
    writer: csv::Writer<Box<dyn Write + Send>>,
}

impl Csv {
    /// Writes the header.
    pub fn new(out: Box<dyn Write + Send>, columns: Vec<Column>) -> io::Result<Csv> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(columns.iter().map(|column| column.name)).map_err(cause)?;
        Ok(Csv { writer })
    }
}

/// What the writer below said: a pipe that is closed must be known as one.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

impl Sink for Csv {
    fn row(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        let shown = cells.into_iter().map(|cell| match cell {
            Cell::Text(text) => text,
            Cell::Number(number) => number.to_string(),
        });
        self.writer.write_record(shown.collect::<Vec<_>>()).map_err(cause)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.flush()
    }
}
