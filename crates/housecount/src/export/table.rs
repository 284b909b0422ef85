//! A table that is written row by row: what the formats have in common.

use std::io;

/// What a column holds.
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
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, with its unit last.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnType,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Of a text or JSON column.
    Text(String),
    /// Of a number or time column.
    Number(u64),
}

/// Where rows go.
pub trait Sink {
    /// Writes a row, a cell a column.
    fn row(&mut self, cells: Vec<Cell>) -> io::Result<()>;
    /// Writes what comes after the last row.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
