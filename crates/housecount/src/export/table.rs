//! A table that is written row by row, as all formats use it.

use std::borrow::Cow;
use std::io;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// A JSON object as text.
    Json,
    /// A whole number, never negative.
    Number,
    /// Unix milliseconds.
    TimeMs,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name of the column, with its unit last.
    pub name: Cow<'static, str>,
    /// Type of the column's values.
    pub kind: ColumnType,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Value of a text or JSON column.
    Text(String),
    /// Value of a number or time column.
    Number(u64),
}

/// Writer of rows in one format.
pub trait Sink {
    /// Writes a row with one cell per column.
    fn row(&mut self, cells: Vec<Cell>) -> io::Result<()>;
    /// Writes the end of the file after the last row.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
